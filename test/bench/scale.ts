/**
 * The scenarios `sequence` and `burst`, 100 runs one after another and 50 at once, and `many`: what lists, starts and
 * stops cost beside 5 and beside 500 running containers, what each of them costs in memory, and what an engine does in a
 * minute in which nobody asks it anything.
 */
import { readdirSync, readFileSync } from "node:fs";
import { formatBytesBinary } from "../../src/core/size.ts";
import { succeed } from "../harness/command.ts";
import type { Engine } from "./engines.ts";
import { median, summarize, table, timed } from "./measure.ts";
import { privateBytes, processesMatching, pssBytes } from "./memory.ts";

const runsInSequence = 100;
const runsAtOnce = 50;
const idleMs = 60_000;
/** Shims give back memory a second after a start, and spares of a burst of starts end after ten. */
const settleMs = 15_000;

export async function measureSequence(engines: readonly Engine[], rounds: number): Promise<void> {
  const title = `${runsInSequence} runs one after another, busybox true`;
  await measureRounds(title, engines, rounds, async (engine) => {
    for (let run = 0; run < runsInSequence; run++) await timed({ ...runOf(engine), name: engine.name });
  });
}

export async function measureBurst(engines: readonly Engine[], rounds: number): Promise<void> {
  await measureRounds(`${runsAtOnce} runs at once, busybox true`, engines, rounds, async (engine) => {
    await Promise.all(Array.from({ length: runsAtOnce }, () => timed({ ...runOf(engine), name: engine.name })));
  });
}

function runOf({ prefix, env, runFlags, image }: Engine) {
  return { env, argv: [...prefix, "run", "--rm", ...runFlags, image, "true"] };
}

async function measureRounds(
  title: string,
  engines: readonly Engine[],
  rounds: number,
  work: (engine: Engine) => Promise<void>,
): Promise<void> {
  const few = Math.max(3, Math.ceil(rounds / 10));
  const samples = new Map(engines.map(({ name }) => [name, [] as number[]]));
  for (let round = 0; round < few; round++) {
    for (const engine of engines) {
      const begun = performance.now();
      await work(engine);
      samples.get(engine.name)!.push(performance.now() - begun);
    }
  }
  const results = engines.map(({ name }) => summarize(name, samples.get(name)!));
  console.log(table(title, results, "docker"));
}

/** @param counts of running containers, rising. */
export async function measureMany(
  engines: readonly Engine[],
  counts: readonly number[],
  rounds: number,
): Promise<void> {
  for (const engine of engines) {
    const { name, prefix, env } = engine;
    console.log(`### ${name} beside running containers\n`);
    console.log("| containers | ps ms | start ms | stop ms | daemon PSS | each shim PSS | of its own |");
    console.log("|---|---|---|---|---|---|---|");
    let running = 0;
    try {
      for (const count of counts) {
        for (; running < count; running++) await startSleeping(engine, `many-${running}`);
        console.log(await rowOf(engine, count, Math.max(5, Math.ceil(rounds / 3))));
      }
      console.log(`\n${await idleProcessorTime(engine)}\n`);
    } finally {
      const names = Array.from({ length: running }, (_, index) => `many-${index}`);
      await succeed([...prefix, "rm", "-f", ...names], { env, timeoutMs: 600_000 });
    }
  }
}

function startSleeping({ prefix, env, runFlags, image }: Engine, name: string): Promise<string> {
  return succeed([...prefix, "run", "-d", ...runFlags, "--name", name, image, "sleep", "86400"], { env });
}

async function rowOf(engine: Engine, count: number, rounds: number): Promise<string> {
  const { name, prefix, env, runFlags, image, daemonPids } = engine;
  const samples = { ps: [] as number[], start: [] as number[], stop: [] as number[] };
  await succeed([...prefix, "create", ...runFlags, "--name", "one-more", image, "sleep", "86400"], { env });
  for (let round = -1; round < rounds; round++) {
    const once = async (samplesOf: number[], ...argv: string[]) => {
      const elapsed = await timed({ name, env, argv: [...prefix, ...argv] });
      if (round >= 0) samplesOf.push(elapsed);
    };
    await once(samples.ps, "ps");
    await once(samples.start, "start", "one-more");
    // A first process without a handler does not take SIGTERM: it would be waited for.
    await once(samples.stop, "stop", "-t", "0", "one-more");
  }
  await succeed([...prefix, "rm", "one-more"], { env });
  await Bun.sleep(settleMs);
  const shims = shimsOf(engine);
  const sum = (pids: number[], of: (pid: number) => number) => pids.reduce((total, pid) => total + of(pid), 0);
  const times = [samples.ps, samples.start, samples.stop].map((each) => median(each).toFixed(1));
  const sizes = [
    sum(await daemonPids(), pssBytes),
    sum(shims, pssBytes) / shims.length,
    sum(shims, privateBytes) / shims.length,
  ].map(formatBytesBinary);
  return `| ${[count, ...times, ...sizes].join(" | ")} |`;
}

/** Those of this engine, and not of another on the same machine. */
function shimsOf({ shimPattern, ownPattern }: Engine): number[] {
  const own = new Set(processesMatching(ownPattern));
  return processesMatching(shimPattern).filter((pid) => own.has(pid));
}

async function idleProcessorTime(engine: Engine): Promise<string> {
  const { name, daemonPids } = engine;
  const daemons = await daemonPids();
  const shims = shimsOf(engine);
  const before = [daemons, shims].map((pids) => pids.reduce((sum, pid) => sum + processorMs(pid), 0));
  await Bun.sleep(idleMs);
  const after = [daemons, shims].map((pids) => pids.reduce((sum, pid) => sum + processorMs(pid), 0));
  const [daemon, all] = after.map((ms, index) => (ms - before[index]!).toFixed(1));
  return `${name}, idle for ${idleMs / 1000} s with ${shims.length} shims: the daemon's processor time ${daemon} ms, all shims' together ${all} ms`;
}

/** The time on a processor of all its threads, proc_pid_schedstat(5). */
function processorMs(pid: number): number {
  const nanoseconds = readdirSync(`/proc/${pid}/task`).map((task) =>
    Number(readFileSync(`/proc/${pid}/task/${task}/schedstat`, "utf8").split(" ")[0]),
  );
  return nanoseconds.reduce((sum, each) => sum + each, 0) / 1e6;
}
