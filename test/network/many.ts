/** Many containers on one network, one after another, and all of them removed: what is left, and the time of each. */
import { readdirSync, readFileSync } from "node:fs";
import { median } from "../bench/measure.ts";
import { processesMatching } from "../bench/memory.ts";
import { expectSameInventory, takeSettledInventory } from "./inventory.ts";
import { NetworkScene } from "./scene.ts";

/**
 * @throws Error when the last tenth takes more than twice as long as the first, in the median, or when anything is left.
 */
export function playMany(count: number): Promise<void> {
  return NetworkScene.play((scene) => leadMany(scene, count));
}

async function leadMany(scene: NetworkScene, count: number): Promise<void> {
  // What is made once stays: the spare namespace, what tells names.
  await scene.ok("network", "create", "many");
  await scene.ok("run", "--rm", "--network", "many", scene.engine.busybox, "true");
  await scene.ok("run", "--rm", scene.engine.busybox, "true");
  const before = await takeSettledInventory(scene.engine);
  const names = Array.from({ length: count }, (_, index) => `many-${index}`);
  const started = await each(scene, names, (name) => start(scene, name));
  await everyOneIsThere(scene, names);
  const removed = await each(scene, names, (name) => scene.ok("rm", "-f", name));
  report("to start", started);
  report("to remove", removed);
  await expectSameInventory(scene.engine, before);
  expectSteady("to start", started);
  expectSteady("to remove", removed);
  await scene.ok("network", "rm", "many");
}

/** What one of many has taken. */
interface Cost {
  ms: number;
  /** Of the daemon and what serves names and ports, kernel included. */
  cpuMs: number;
}

async function each(
  scene: NetworkScene,
  names: readonly string[],
  work: (name: string) => Promise<unknown>,
): Promise<Cost[]> {
  const costs: Cost[] = [];
  for (const name of names) {
    const [begun, cpuBefore] = [performance.now(), cpuMs(scene)];
    await work(name);
    costs.push({ ms: performance.now() - begun, cpuMs: cpuMs(scene) - cpuBefore });
  }
  return costs;
}

/** On a processor so far, by /proc/PID/task/TID/schedstat: its first number is in nanoseconds. */
function cpuMs({ engine }: NetworkScene): number {
  const pids = processesMatching(new RegExp(`tsd (daemon|proxy|resolver) .*${engine.workspace.name}`));
  const tasks = pids.flatMap((pid) => readdirSync(`/proc/${pid}/task`).map((task) => `/proc/${pid}/task/${task}`));
  return tasks.reduce((sum, task) => sum + nanosecondsOf(task), 0) / 1e6;
}

function start(scene: NetworkScene, name: string): Promise<string> {
  return scene.ok("run", "-d", "--network", "many", "--name", name, scene.engine.busybox, "sleep", "86400");
}

function nanosecondsOf(task: string): number {
  try {
    return Number(readFileSync(`${task}/schedstat`, "utf8").split(" ")[0]);
  } catch {
    return 0; // the thread has ended meanwhile
  }
}

/** Each has addresses of its own, and the last finds the first by its name. */
async function everyOneIsThere(scene: NetworkScene, names: readonly string[]): Promise<void> {
  const template = "{{range .Containers}}{{.Name}} {{.IPv4Address}} {{.IPv6Address}}\n{{end}}";
  const rows = (await scene.ok("network", "inspect", "--format", template, "many")).trim().split("\n");
  for (const column of [0, 1, 2]) {
    const found = new Set(rows.map((row) => row.split(" ")[column]));
    if (found.size !== names.length) throw new Error(`${found.size} of ${names.length} in column ${column}:\n${rows}`);
  }
  await scene.ok("exec", names.at(-1)!, "ping", "-c", "1", "-W", "5", names[0]!);
}

function tenths(samples: readonly number[]): number[] {
  const size = Math.ceil(samples.length / 10);
  return Array.from({ length: 10 }, (_, index) => median(samples.slice(index * size, (index + 1) * size)));
}

function report(what: string, costs: readonly Cost[]): void {
  for (const [unit, samples] of [
    ["ms", costs.map(({ ms }) => ms)],
    ["ms of CPU", costs.map((cost) => cost.cpuMs)],
  ] as const) {
    const cells = tenths(samples).map((ms) => ms.toFixed(1));
    console.log(`note: ${unit} ${what} one of ${costs.length}, medians of tenths: ${cells.join(" ")}`);
  }
}

/** By the time on processors, for that on the clock is also that of whatever else runs on the machine. */
function expectSteady(what: string, costs: readonly Cost[]): void {
  const medians = tenths(costs.map((cost) => cost.cpuMs));
  const ratio = medians.at(-1)! / medians[0]!;
  if (ratio >= 2) throw new Error(`the time ${what} one grows ${ratio.toFixed(1)}-fold: ${medians}`);
}
