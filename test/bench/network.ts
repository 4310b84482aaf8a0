/** The scenario `network`: throughput and the CPU that it takes, time to attach, and what 1,000 published ports cost. */
import { readFileSync } from "node:fs";
import { formatBytesBinary } from "../../src/core/size.ts";
import { command, succeed, until } from "../harness/command.ts";
import type { Workspace } from "../harness/workspace.ts";
import type { Engine } from "./engines.ts";
import { median, summarize, table, timed } from "./measure.ts";
import { descendants, processesMatching, pssBytes } from "./memory.ts";

const transferSeconds = 2;
const iperfPort = 5201;
const publishedPorts = 1000;
/** Of docker, which starts two processes and runs iptables several times for each port. */
const publishTimeoutMs = 900_000;
/** The host's iperf3 and the libraries of the host that it needs: the image has none, and every engine can bind. */
const iperfFlags = [
  ["/usr/bin/iperf3", "/bin/iperf3"],
  ["/usr/lib/x86_64-linux-gnu", "/lib/x86_64-linux-gnu"],
  ["/usr/lib64", "/lib64"],
].flatMap(([from, to]) => ["-v", `${from}:${to}:ro`]);

/** An engine, published ports in one of its ways. */
interface Publisher {
  name: string;
  engine: Engine;
  /** Flags of `run` that publish ports of the host to the same number of ports of the container. */
  publish(host: string, container: string): string[];
  /** The first of the ports on the host that it has for itself. */
  firstPort: number;
}

interface Transfer {
  gbitPerSecond: number;
  /** Of the whole machine, kernel included, for each 10⁹ bytes. */
  cpuSecondsPerGigabyte: number;
}

export async function measureNetwork(workspace: Workspace, engines: readonly Engine[], rounds: number): Promise<void> {
  const publishers = engines.flatMap(publishersOf);
  await measureThroughput(workspace, engines, publishers, Math.ceil(rounds / 6));
  await measureConnect(engines, rounds);
  await measurePorts(publishers);
}

function publishersOf(engine: Engine, index: number): Publisher[] {
  const firstPort = 20_000 + index * 2 * publishedPorts;
  const publish = (host: string, container: string) => ["-p", `${host}:${container}`];
  if (engine.name !== "tsd") return [{ name: engine.name, engine, publish, firstPort }];
  const socket = (host: string, container: string) => ["-p", `published=${host},target=${container},mode=socket`];
  return [
    { name: "tsd, nat", engine, publish, firstPort },
    { name: "tsd, socket", engine, publish: socket, firstPort: firstPort + publishedPorts },
  ];
}

/** Every contender once a round, so that a noisy moment of the machine hits all of them alike. */
async function measureThroughput(
  workspace: Workspace,
  engines: readonly Engine[],
  publishers: readonly Publisher[],
  rounds: number,
): Promise<void> {
  const samples = new Map<string, Map<string, Transfer[]>>();
  const add = (path: string, name: string, transfer: Transfer) => {
    const byName = samples.get(path) ?? new Map<string, Transfer[]>();
    samples.set(path, byName.set(name, [...(byName.get(name) ?? []), transfer]));
  };
  const fromHost = (address: string, port: number) => transfer(workspace.inNetwork(iperf(address, port)), {});
  for (const { engine, name, publish, firstPort } of publishers) {
    await server(engine, containerName(name), publish(String(firstPort), String(iperfPort)));
  }
  for (const engine of engines) await start(engine, "client", iperfFlags, ["sleep", "86400"]);
  // One transfer of each beforehand: what is set up for the first is not measured.
  for (let round = -1; round < rounds; round++) {
    if (round === 0) samples.clear();
    for (const { engine, name, firstPort } of publishers) {
      add("published port on 127.0.0.1", name, await fromHost("127.0.0.1", firstPort));
      if (name !== engine.name && !name.endsWith("nat")) continue;
      const address = await addressOf(engine, containerName(name));
      add("host to container", engine.name, await fromHost(address, iperfPort));
      const between = [...engine.prefix, "exec", "client", ...iperf(address, iperfPort)];
      add("container to container", engine.name, await transfer(between, engine.env));
    }
  }
  for (const { engine, name } of publishers) await remove(engine, containerName(name));
  for (const engine of engines) await remove(engine, "client");
  for (const [path, byName] of samples) console.log(transferTable(path, byName, rounds));
}

function containerName(publisher: string): string {
  return publisher.replaceAll(/\W+/g, "-");
}

function iperf(address: string, port: number): string[] {
  return ["iperf3", "--client", address, "--port", String(port), "--time", String(transferSeconds), "--json"];
}

/** Starts a server, and waits until it listens. */
async function server(engine: Engine, name: string, flags: string[]): Promise<void> {
  await start(engine, name, [...iperfFlags, ...flags], ["iperf3", "--server", "--port", String(iperfPort)]);
  const isListening = [...engine.prefix, "exec", name, "sh", "-c", "netstat -ltn | grep -q :5201"];
  await until(`iperf3 listens in ${name}`, async () => (await command(isListening, { env: engine.env })).status === 0);
}

async function start(engine: Engine, name: string, flags: string[], program: string[]): Promise<void> {
  const argv = [...engine.prefix, "run", "-d", ...engine.runFlags, "--name", name, ...flags, engine.image, ...program];
  await succeed(argv, { env: engine.env, timeoutMs: publishTimeoutMs });
}

async function remove(engine: Engine, name: string): Promise<void> {
  await succeed([...engine.prefix, "rm", "-f", ...(engine.name === "podman" ? ["-t", "0"] : []), name], {
    env: engine.env,
    timeoutMs: publishTimeoutMs,
  });
}

function addressOf(engine: Engine, name: string): Promise<string> {
  const template = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}";
  return succeed([...engine.prefix, "inspect", "--format", template, name], { env: engine.env });
}

/** @param argv of an iperf3 client. @throws Error when nothing comes through. */
async function transfer(argv: string[], env: Record<string, string>): Promise<Transfer> {
  const before = busySeconds();
  const { stdout, stderr } = await command(argv, { env });
  const busy = busySeconds() - before;
  const { end, error } = JSON.parse(stdout === "" ? "{}" : stdout) as {
    end?: { sum_received?: { bits_per_second: number; bytes: number } };
    error?: string;
  };
  const received = end?.sum_received;
  if (received === undefined) throw new Error(`${argv.join(" ")}: ${error ?? stderr}`);
  return {
    gbitPerSecond: received.bits_per_second / 1e9,
    cpuSecondsPerGigabyte: busy / (received.bytes / 1e9),
  };
}

/** Seconds of all processors that were not idle, interrupts included: proc_stat(5), in ticks of 10 ms. */
function busySeconds(): number {
  const words = readFileSync("/proc/stat", "utf8").split("\n", 1)[0]!.split(/\s+/).slice(1).map(Number);
  const [user = 0, nice = 0, system = 0, , , interrupts = 0, softInterrupts = 0] = words;
  return (user + nice + system + interrupts + softInterrupts) / 100;
}

function transferTable(path: string, byName: Map<string, Transfer[]>, rounds: number): string {
  const rows = [...byName].map(([name, transfers]) => {
    const rates = transfers.map(({ gbitPerSecond }) => gbitPerSecond);
    const cpu = transfers.map(({ cpuSecondsPerGigabyte }) => cpuSecondsPerGigabyte);
    return `| ${name} | ${median(rates).toFixed(1)} | ${Math.max(...rates).toFixed(1)} | ${median(cpu).toFixed(2)} |`;
  });
  return [
    `### ${path}, iperf3 for ${transferSeconds} s (${rounds} runs each, interleaved)`,
    "",
    "| | median Gbit/s | best Gbit/s | median CPU s per 10⁹ bytes |",
    "|---|---|---|---|",
    ...rows,
    "",
  ].join("\n");
}

/** Puts a running container on a second network, and takes it off again. */
async function measureConnect(engines: readonly Engine[], rounds: number): Promise<void> {
  const samples = { connect: new Map<string, number[]>(), disconnect: new Map<string, number[]>() };
  const network = "bench-second";
  for (const engine of engines) {
    await succeed([...engine.prefix, "network", "create", "bench-first"], { env: engine.env });
    await succeed([...engine.prefix, "network", "create", network], { env: engine.env });
    await start(engine, "connected", ["--network", "bench-first"], ["sleep", "86400"]);
    for (const verb of Object.values(samples)) verb.set(engine.name, []);
  }
  for (let round = -1; round < rounds; round++) {
    for (const { name, prefix, env } of engines) {
      for (const verb of ["connect", "disconnect"] as const) {
        const elapsed = await timed({ name, env, argv: [...prefix, "network", verb, network, "connected"] });
        if (round >= 0) samples[verb].get(name)!.push(elapsed);
      }
    }
  }
  for (const engine of engines) {
    await remove(engine, "connected");
    await succeed([...engine.prefix, "network", "rm", "bench-first", network], { env: engine.env });
  }
  for (const [verb, byName] of Object.entries(samples)) {
    const measured = engines.map(({ name }) => summarize(name, byName.get(name)!));
    console.log(table(`network ${verb} of a running container`, measured, "docker"));
  }
}

/** Once each: docker takes minutes. */
async function measurePorts(publishers: readonly Publisher[]): Promise<void> {
  const rows: string[] = [];
  for (const { engine, name, publish, firstPort } of publishers) {
    const before = memoryOf(engine);
    const range = `${firstPort}-${firstPort + publishedPorts - 1}`;
    const flags = publish(range, range);
    const startMs = await elapsedMs(() => start(engine, "ports", flags, ["sleep", "86400"]));
    const during = memoryOf(engine);
    const removeMs = await elapsedMs(() => remove(engine, "ports"));
    const bareMs = await elapsedMs(() => start(engine, "ports", [], ["sleep", "86400"]));
    const bare = memoryOf(engine);
    await remove(engine, "ports");
    const seconds = [startMs, removeMs, bareMs].map((ms) => (ms / 1000).toFixed(2));
    const processes = during.processes - bare.processes;
    const bytes = formatBytesBinary(Math.max(0, during.bytes - bare.bytes));
    rows.push(`| ${name} | ${seconds.join(" | ")} | ${bytes} | ${processes} | ${formatBytesBinary(before.bytes)} |`);
  }
  const heads = ["run s", "rm s", "run without ports s", "memory for them (PSS)", "more processes", "engine before"];
  console.log(
    [
      `### ${publishedPorts} published ports of one container (once each)`,
      "",
      `| | ${heads.join(" | ")} |`,
      `|---|${heads.map(() => "---|").join("")}`,
      ...rows,
      "",
    ].join("\n"),
  );
}

async function elapsedMs(work: () => Promise<void>): Promise<number> {
  const begun = performance.now();
  await work();
  return performance.now() - begun;
}

/** Of every process of the engine's: daemons, shims, and those that serve ports and names. */
function memoryOf({ ownPattern }: Engine): { bytes: number; processes: number } {
  const roots = processesMatching(ownPattern);
  const pids = new Set([...roots, ...roots.flatMap(descendants)]);
  return { bytes: [...pids].reduce((sum, pid) => sum + pssBytes(pid), 0), processes: pids.size };
}
