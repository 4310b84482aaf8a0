import { existsSync, readdirSync, readFileSync, readlinkSync } from "node:fs";
import { join } from "node:path";
import { until } from "./command.ts";

/**
 * Everything that a runtime could leave behind on a machine that this process has to itself (isolated.ts): one line for
 * each thing, the same line for the same thing.
 */
export class Inventory {
  readonly #counts = new Map<string, number>();

  /** @param name of the workspace: cgroups and keyrings are the host's, and those that bear it are its. */
  constructor(name: string) {
    const pids = processes();
    const lines = [
      ...mounts("self"),
      ...pids.flatMap(({ pid, line }) => [...line, ...namespaces(pid), ...descriptors(pid), ...deletedMaps(pid)]),
      ...cgroups("/sys/fs/cgroup", name),
      ...["/run", "/tmp", "/var/tmp", "/dev/shm"].flatMap(files),
      ...["msg", "sem", "shm"].flatMap((kind) => table(`/proc/sysvipc/${kind}`).map((line) => `ipc ${kind} ${line}`)),
      ...table("/proc/net/dev").map((line) => `network device ${line.trim().split(":")[0]}`),
      ...table("/proc/net/unix").flatMap((line) => line.split(" ").slice(7).join(" ") || []),
      ...table("/proc/keys").flatMap((line) => (line.includes(name) ? [`key ${line}`] : [])),
      ...loopDevices().filter((line) => line.includes(name)),
    ];
    for (const line of lines) this.#counts.set(line, (this.#counts.get(line) ?? 0) + 1);
  }

  /** No process but those that are there for good, and no key of one. */
  get isQuiet(): boolean {
    return ![...this.#counts.keys()].some((line) => /^(process|key) /.test(line));
  }

  /** What there is more or less of than there was. */
  since(earlier: Inventory): string[] {
    const lines = new Set([...this.#counts.keys(), ...earlier.#counts.keys()]);
    return [...lines].flatMap((line) => {
      const more = (this.#counts.get(line) ?? 0) - (earlier.#counts.get(line) ?? 0);
      return more === 0 ? [] : [`${more > 0 ? "left over" : "missing"}: ${line}`];
    });
  }
}

/**
 * Waits until everything is as it was: the kernel ends processes, and collects keys, in its own time.
 * @throws with every difference.
 */
export async function expectUnchanged(name: string, earlier: Inventory): Promise<void> {
  let differences: string[] = [];
  try {
    await until("all is as before", () => {
      differences = new Inventory(name).since(earlier);
      return differences.length === 0;
    });
  } catch (error) {
    throw new Error(`${(error as Error).message}\n${differences.join("\n")}`);
  }
}

/** The process itself and the first one are there for good. */
function processes(): { pid: string; line: string[] }[] {
  const pids = readdirSync("/proc").filter((name) => /^\d+$/.test(name));
  return pids.map((pid) => {
    const isOwn = pid === "1" || Number(pid) === process.pid;
    return { pid, line: isOwn ? [] : [`process ${pid} ${stat(pid)}`] };
  });
}

/** Its name, state and parent. */
function stat(pid: string): string {
  const [, name, rest = ""] = /\((.*)\) (.*)/s.exec(read(`/proc/${pid}/stat`)) ?? [];
  return `${name} ${rest.split(" ").slice(0, 2).join(" ")}`;
}

/** Its mounts, where they are not this process's. */
function namespaces(pid: string): string[] {
  if (link(`/proc/${pid}/ns/mnt`) === link("/proc/self/ns/mnt")) return [];
  return [`mount namespace of process ${pid}`, ...mounts(pid)];
}

function mounts(pid: string): string[] {
  return table(`/proc/${pid}/mountinfo`, 0).map((line) => {
    const words = line.split(" ");
    return `mount of ${pid}: ${words[3]} on ${words[4]}, ${words.slice(words.indexOf("-") + 1, -1).join(" ")}`;
  });
}

/** What each open descriptor is; pipes and the like without their numbers. Memfds and deleted files show here. */
function descriptors(pid: string): string[] {
  return entries(`/proc/${pid}/fd`).flatMap((fd) => {
    const target = link(`/proc/${pid}/fd/${fd}`);
    // The directory that is being read.
    if (target === "" || target === `/proc/${pid}/fd`) return [];
    return [`descriptor of ${pid}: ${target.replace(/:\[\d+\]$/, "")}`];
  });
}

function deletedMaps(pid: string): string[] {
  const paths = table(`/proc/${pid}/maps`, 0).flatMap((line) => /\S+ \(deleted\)$/.exec(line)?.[0] ?? []);
  return [...new Set(paths)].map((path) => `mapped by ${pid}: ${path}`);
}

function cgroups(directory: string, name: string): string[] {
  return readDirectories(directory).flatMap((child) => {
    const path = join(directory, child);
    // The workspace's own parent is there for good, as soon as it was needed.
    const own = path.includes(name) && child !== name ? [`cgroup ${path}`] : [];
    return [...own, ...cgroups(path, name)];
  });
}

/** What the runtime keeps for later commands has a known number of files with known names (see `isKept`). */
function files(directory: string): string[] {
  return readdirSync(directory, { withFileTypes: true }).flatMap((entry) => {
    const path = join(directory, entry.name);
    if (isKept(path)) return [];
    return [`file ${path}`, ...(entry.isDirectory() ? files(path) : [])];
  });
}

/** Compiled filters, and reports of the newest failures: anything else beside them is left over. */
function isKept(path: string): boolean {
  return /\/\.seccomp(\/[0-9a-f]{64})?$/.test(path) || /\/\.failures(\/[0-9a-f]{32}\.json)?$/.test(path);
}

function loopDevices(): string[] {
  return entries("/sys/block").flatMap((device) => {
    const path = `/sys/block/${device}/loop/backing_file`;
    return existsSync(path) ? [`loop device ${device} ${read(path)}`] : [];
  });
}

/** The lines of a file of procfs, without its head. */
function table(path: string, head = 1): string[] {
  return read(path).split("\n").slice(head).filter(Boolean);
}

function read(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return ""; // the process has ended meanwhile
  }
}

function link(path: string): string {
  try {
    return readlinkSync(path);
  } catch {
    return ""; // it was closed meanwhile
  }
}

function entries(path: string): string[] {
  try {
    return readdirSync(path);
  } catch {
    return []; // the process has ended meanwhile
  }
}

function readDirectories(path: string): string[] {
  try {
    const found = readdirSync(path, { withFileTypes: true });
    return found.flatMap((entry) => (entry.isDirectory() ? [entry.name] : []));
  } catch {
    return []; // somebody else's cgroup, removed meanwhile
  }
}
