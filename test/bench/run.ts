/**
 * `bun run bench [--rounds N] [--engines A,B] [--containers N,M] [SCENARIO…]`: tsd beside docker, podman, runc and crun where they are installed, and
 * beside the same kernel calls from a C program, all in one run and interleaved. Prints medians and ratios.
 *
 * Scenarios: run (no network), bridge, runtime, exec, runtime-exec, runtime-verbs, userns (an image of 1 GiB, with and
 * without users of the container's own), memory, network (iperf3, connect, 1,000 published ports: ten minutes), api (ps
 * and inspect beside 20 and 500 containers, requests per second), images (pull, save, load: a round of it takes a
 * minute), copy (cp, export), copy-up (new volumes filled from images), logs (200 MB of lines written and read), sequence (100
 * runs one after another), burst (50 at once), many (beside 5, 100 and 500 running containers, and idle for a minute: ten
 * minutes an engine).
 */
import "../../build/pinned.ts";
import { existsSync } from "node:fs";
import { parseArgs } from "node:util";
import { build } from "../../build/build.ts";
import { formatBytesBinary } from "../../src/core/size.ts";
import { command, succeed } from "../harness/command.ts";
import { installPackages } from "../harness/packages.ts";
import { Workspace } from "../harness/workspace.ts";
import { measureApi } from "./api.ts";
import { measureCopies } from "./copy.ts";
import { measureCopyUp } from "./copy-up.ts";
import { mountDisk } from "./disk.ts";
import { type Engine, startDocker, startPodman, startTsd } from "./engines.ts";
import { measureImages } from "./images.ts";
import { measureVerbs } from "./lifecycle.ts";
import { measureLogs } from "./logs.ts";
import { type Contender, interleave, table } from "./measure.ts";
import { privateBytes, processesMatching, pssBytes } from "./memory.ts";
import { measureNetwork } from "./network.ts";
import { runtimeContenders, runtimeExecContenders } from "./runtimes.ts";
import { measureBurst, measureMany, measureSequence } from "./scale.ts";
import { measureUserNamespaces } from "./userns.ts";

const { values, positionals } = parseArgs({
  options: {
    rounds: { type: "string", default: "30" },
    engines: { type: "string", default: "tsd,docker,podman" },
    containers: { type: "string", default: "5,100,500" },
  },
  allowPositionals: true,
});
const rounds = Number(values.rounds);
const runtimeScenarios = ["runtime", "runtime-exec", "runtime-verbs"];
const scenarios = [
  "run",
  "bridge",
  "exec",
  "api",
  ...runtimeScenarios,
  "userns",
  "memory",
  "sequence",
  "burst",
  "many",
  "network",
  "images",
  "copy",
  "copy-up",
  "logs",
];
const chosen = positionals.length === 0 ? scenarios : positionals;
for (const name of chosen) {
  if (!scenarios.includes(name)) throw new Error(`no scenario ${name}: ${scenarios.join(", ")}`);
}

await installPackages();
const executable = await build();
await using workspace = await Workspace.open();
console.log(`${executable}, ${new Date().toISOString().slice(0, 10)}, ${await machine()}\n`);

const runtimes = await runtimeContenders(workspace);
if (chosen.includes("runtime")) {
  console.log(table("runtime run, busybox true", await interleave(runtimes, rounds), "runc"));
}
if (chosen.includes("runtime-exec")) {
  console.log(
    table("runtime exec, busybox true", await interleave(await runtimeExecContenders(workspace), rounds), "runc"),
  );
}
if (chosen.includes("runtime-verbs")) {
  for (const [verb, results] of await measureVerbs(workspace, rounds))
    console.log(table(`runtime ${verb}`, results, "runc"));
}
if (chosen.some((name) => !name.startsWith("runtime"))) await engineScenarios();

async function engineScenarios(): Promise<void> {
  // What makes many files needs a disk that nobody else writes to.
  if (chosen.some((name) => ["images", "copy-up", "copy", "logs"].includes(name)))
    await mountDisk(workspace, ["d", "docker", "podman", "copy"]);
  const engines: Engine[] = [];
  for (const name of values.engines.split(",")) {
    const start = { tsd: startTsd, docker: startDocker, podman: startPodman }[name];
    if (start === undefined) throw new Error(`no engine ${name}: tsd, docker, podman`);
    const engine = await start(workspace);
    if (engine !== undefined) engines.push(engine);
  }
  const runWith = (network: string): Contender[] =>
    engines.map(({ name, prefix, env, runFlags, image }) => ({
      name,
      env,
      argv: [...prefix, "run", "--rm", ...runFlags, "--network", network, image, "true"],
    }));
  if (chosen.includes("run")) {
    const bare = runtimes.filter(({ name }) => name === "runc");
    const contenders = [...runWith("none"), ...bare];
    console.log(table("run --rm --network none, busybox true", await interleave(contenders, rounds), "docker"));
  }
  if (chosen.includes("bridge")) {
    console.log(
      table("run --rm --network bridge, busybox true", await interleave(runWith("bridge"), rounds), "docker"),
    );
  }
  if (chosen.includes("exec")) {
    for (const engine of engines) {
      await startSleeping(engine, "bench");
    }
    const contenders = engines.map(({ name, prefix, env }) => ({
      name,
      env,
      argv: [...prefix, "exec", "bench", "true"],
    }));
    console.log(table("exec, busybox true", await interleave(contenders, rounds), "docker"));
    for (const { prefix, env } of engines) await succeed([...prefix, "rm", "-f", "bench"], { env });
  }
  if (chosen.includes("api")) await measureApi(engines, rounds);
  if (chosen.includes("userns")) {
    console.log(table("run of 1 GiB", await measureUserNamespaces(workspace, engines, rounds), "tsd"));
  }
  if (chosen.includes("network")) await measureNetwork(workspace, engines, rounds);
  if (chosen.includes("images")) await measureImages(workspace, engines, rounds);
  if (chosen.includes("copy-up")) await measureCopyUp(workspace, engines, rounds);
  if (chosen.includes("logs")) await measureLogs(engines, rounds);
  if (chosen.includes("copy")) await measureCopies(workspace, engines, rounds);
  if (chosen.includes("sequence")) await measureSequence(engines, rounds);
  if (chosen.includes("burst")) await measureBurst(engines, rounds);
  if (chosen.includes("many")) await measureMany(engines, values.containers.split(",").map(Number), rounds);
  if (chosen.includes("memory")) for (const engine of engines) console.log(await memoryOf(engine));
}

function startSleeping({ prefix, env, runFlags, image }: Engine, name: string): Promise<string> {
  const flags = ["-d", ...runFlags, "--name", name, "--network", "none"];
  return succeed([...prefix, "run", ...flags, image, "sleep", "86400"], { env });
}

/** Memory of the engine's own processes, with 20 containers running. */
async function memoryOf(engine: Engine): Promise<string> {
  const { name, prefix, env, daemonPids, shimPattern } = engine;
  const count = 20;
  const names = Array.from({ length: count }, (_, index) => `bench-${index}`);
  for (const container of names) await startSleeping(engine, container);
  const shims = processesMatching(shimPattern);
  const sum = (pids: number[], of: (pid: number) => number) => pids.reduce((total, pid) => total + of(pid), 0);
  const daemons = await daemonPids();
  const text = [
    `### memory of ${name} with ${count} containers`,
    "",
    `- daemon: PSS ${formatBytesBinary(sum(daemons, pssBytes))} in ${daemons.length} processes`,
    `- shims: ${shims.length} processes, each PSS ${formatBytesBinary(sum(shims, pssBytes) / shims.length)}, private ${formatBytesBinary(sum(shims, privateBytes) / shims.length)}`,
    "",
  ].join("\n");
  await succeed([...prefix, "rm", "-f", ...names], { env, timeoutMs: 120_000 });
  return text;
}

async function machine(): Promise<string> {
  const cores = navigator.hardwareConcurrency;
  const kernel = (await succeed(["uname", "-r"])).split("-")[0];
  const versions: string[] = [];
  for (const argv of [
    ["dockerd", "--version"],
    ["podman", "--version"],
    ["runc", "--version"],
    ["crun", "--version"],
  ]) {
    if (!existsSync(`/usr/bin/${argv[0]}`) && !existsSync(`/usr/sbin/${argv[0]}`)) continue;
    versions.push((await command(argv)).stdout.split("\n")[0]!.replace(/, build .*/, ""));
  }
  return `${cores} cores, Linux ${kernel}; ${versions.join("; ")}`;
}
