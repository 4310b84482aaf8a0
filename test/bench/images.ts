/** The scenario `images`: pull, save and load of one large image, from empty stores; memory and API latency meanwhile. */
import { existsSync } from "node:fs";
import { rm } from "node:fs/promises";
import { formatBytesBinary } from "../../src/core/size.ts";
import { command, succeed } from "../harness/command.ts";
import { startRegistry } from "../harness/registry.ts";
import type { Workspace } from "../harness/workspace.ts";
import { bigImageLayout } from "./big-image.ts";
import type { Engine } from "./engines.ts";
import { type Measured, summarize, table, timed } from "./measure.ts";
import { descendants, pssBytes } from "./memory.ts";

const memoryIntervalMs = 40;
const requestIntervalMs = 10;

/** Measures everything that there is of pull, save and load, and prints it. */
export async function measureImages(workspace: Workspace, engines: readonly Engine[], rounds: number): Promise<void> {
  const registry = await startRegistry(workspace, { port: 5002 });
  const image = await registry.pushLayout(await bigImageLayout(), "bench/big");
  const archive = workspace.path("big.tar");
  const layout = `oci:${await bigImageLayout()}:latest`;
  const pull = await interleaved(engines, rounds, async (engine) => {
    await clear(engine, image);
    return timed({ name: engine.name, env: engine.env, argv: pullCommand(engine, image) });
  });
  console.log(table("pull, 10 layers, 500 MB, 30,000 files", pull, "docker"));
  for (const engine of engines) console.log(await whilePulling(engine, image));
  const able = await those(engines, (engine) => hasCommand(engine, "save"));
  const save = await interleaved(able, rounds, async (engine) => {
    const saved = workspace.path("saved.tar");
    const argv = [...engine.prefix, "save", "-o", saved, image];
    const elapsed = await timed({ name: engine.name, env: engine.env, argv });
    await rm(saved);
    return elapsed;
  });
  console.log(table("save of that image", save, "podman"));
  await succeed(["skopeo", "copy", "-q", "--insecure-policy", layout, `docker-archive:${archive}:${image}:latest`], {
    timeoutMs: 300_000,
  });
  const loading = await those(engines, (engine) => hasCommand(engine, "load"));
  const load = await interleaved(loading, rounds, async (engine) => {
    await clear(engine, image);
    return timed({ name: engine.name, env: engine.env, argv: [...engine.prefix, "load", "-q", "-i", archive] });
  });
  console.log(table("load of its docker-archive", load, "docker"));
  for (const engine of engines) await clear(engine, image);
}

function pullCommand({ name, prefix }: Engine, image: string): string[] {
  return [...prefix, "pull", "-q", ...(name === "podman" ? ["--tls-verify=false"] : []), image];
}

/** Every engine once a round, so that a noisy moment of the machine hits all of them alike. */
async function interleaved(
  engines: readonly Engine[],
  rounds: number,
  measure: (engine: Engine) => Promise<number>,
): Promise<Measured[]> {
  const samples = new Map(engines.map(({ name }) => [name, [] as number[]]));
  for (let round = 0; round < rounds; round++) {
    for (const engine of engines) samples.get(engine.name)!.push(await measure(engine));
  }
  return engines.map(({ name }) => summarize(name, samples.get(name)!));
}

/** Removes the image, if it is there, and lets the disk come to rest. */
async function clear(engine: Engine, image: string): Promise<void> {
  const { prefix, env, settled } = engine;
  await command([...prefix, "rmi", "-f", image], { env, timeoutMs: 120_000 });
  const left = await succeed([...prefix, "images", "-q", image], { env });
  if (left !== "") throw new Error(`${engine.name}: ${image} is still there`);
  await settled?.();
  await succeed(["sync"], { timeoutMs: 120_000 });
}

async function those(engines: readonly Engine[], test: (engine: Engine) => Promise<boolean>): Promise<Engine[]> {
  const chosen: Engine[] = [];
  for (const engine of engines) if (await test(engine)) chosen.push(engine);
  return chosen;
}

async function hasCommand({ prefix, env }: Engine, name: string): Promise<boolean> {
  return (await command([...prefix, name, "--help"], { env })).status === 0;
}

/** Two more pulls, which are looked at while they go on: looking takes time, so they do not count above. */
async function whilePulling(engine: Engine, image: string): Promise<string> {
  // What works for the daemon are its children; podman is its own daemon.
  const daemons = await engine.daemonPids();
  const peak = await duringPull(engine, image, (client) => watchMemory(daemons.length > 0 ? daemons : [client]));
  const { socket } = engine;
  const latencies = socket === undefined ? [] : await duringPull(engine, image, () => watchLatency(socket));
  const whose = daemons.length > 0 ? "the daemon and its helpers" : "the command";
  return [
    `### ${engine.name} during the pull`,
    "",
    `- memory, PSS of ${whose}: at most ${formatBytesBinary(peak.bytes)} in ${peak.processes} processes`,
    ...latencies.map(({ path, samples }) => `- ${shownLatency(path, samples)}`),
    "",
  ].join("\n");
}

interface Watch<T> {
  stop(): Promise<T>;
}

async function duringPull<T>(engine: Engine, image: string, watch: (client: number) => Watch<T>): Promise<T> {
  await clear(engine, image);
  const client = Bun.spawn(pullCommand(engine, image), {
    stdio: ["ignore", "ignore", "ignore"],
    env: { ...process.env, ...engine.env },
  });
  const watching = watch(client.pid);
  const status = await client.exited;
  const seen = await watching.stop();
  if (status !== 0) throw new Error(`${engine.name}: pull of ${image}: status ${status}`);
  return seen;
}

function watchMemory(roots: readonly number[]): Watch<{ bytes: number; processes: number }> {
  let going = true;
  const peak = { bytes: 0, processes: 0 };
  const work = (async () => {
    while (going) {
      const pids = roots.flatMap((root) => [root, ...descendants(root)]);
      const bytes = pids.reduce((sum, pid) => sum + (existsSync(`/proc/${pid}`) ? pssOrNone(pid) : 0), 0);
      if (bytes > peak.bytes) Object.assign(peak, { bytes, processes: pids.length });
      await Bun.sleep(memoryIntervalMs);
    }
  })();
  return {
    async stop() {
      going = false;
      await work;
      return peak;
    },
  };
}

function pssOrNone(pid: number): number {
  try {
    return pssBytes(pid);
  } catch {
    return 0; // it ended while it was looked at
  }
}

interface Latencies {
  path: string;
  samples: number[];
}

function watchLatency(socket: string): Watch<Latencies[]> {
  let going = true;
  const all: Latencies[] = ["/_ping", "/images/json"].map((path) => ({ path, samples: [] }));
  const work = (async () => {
    while (going) {
      for (const { path, samples } of all) {
        const begun = performance.now();
        await (await fetch(`http://engine${path}`, { unix: socket })).arrayBuffer();
        samples.push(performance.now() - begun);
        await Bun.sleep(requestIntervalMs);
      }
    }
  })();
  return {
    async stop() {
      going = false;
      await work;
      return all;
    },
  };
}

function shownLatency(path: string, samples: readonly number[]): string {
  const sorted = samples.toSorted((a, b) => a - b);
  const at = (part: number) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))]!.toFixed(1);
  return `GET ${path}: median ${at(0.5)} ms, 99 % ${at(0.99)} ms, max ${at(1)} ms (${sorted.length} requests)`;
}
