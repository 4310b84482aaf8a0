/** Taking back what was written to a cgroup's files when the next limit is refused. */
import { basename } from "node:path";
import { errorMessage } from "../../core/errors.ts";
import { observeWrites, readCgroupFile, writeCgroupFile } from "./files.ts";

interface Undo {
  path: string;
  value: string;
}

/**
 * Applies limits all or not at all: when `work` throws, every file that it has written gets back what stood in it, the
 * last one first, for the kernel checks a limit against its neighbours. Device rules are not among them.
 * @throws what `work` throws; its message tells of what could not be put back.
 */
export function allOrNothing<T>(work: () => T): T {
  const done: Undo[] = [];
  observeWrites((path, value) => {
    const undo = undoOf(path, value);
    if (undo !== undefined) done.push({ path, value: undo });
  });
  try {
    return work();
  } catch (error) {
    observeWrites(undefined);
    const problems = done.reverse().flatMap(putBack);
    if (problems.length > 0 && error instanceof Error) error.message += ` (and then: ${problems.join("; ")})`;
    throw error;
  } finally {
    observeWrites(undefined);
  }
}

function putBack({ path, value }: Undo): string[] {
  try {
    writeCgroupFile(path, value);
    return [];
  } catch (error) {
    return [`put ${value.trim()} back into ${path}: ${errorMessage(error)}`];
  }
}

function undoOf(path: string, written: string): string | undefined {
  let before: string;
  try {
    before = readCgroupFile(path);
  } catch {
    // Not there, or for writing only: the write itself will say so, or cannot be taken back.
    return undefined;
  }
  return previousValue(basename(path), before, written);
}

/** What a device has in a file where it does not stand yet, by the beginning of the file's name. */
const withoutLimit: [name: RegExp, value: string][] = [
  [/^blkio\.throttle\./, "0"],
  [/^io\.max$/, "rbps=max wbps=max riops=max wiops=max"],
  [/^(?:io|blkio)\.(?:bfq\.)?(?:leaf_)?weight/, "default"],
  [/^rdma\.max$/, "hca_handle=max hca_object=max"],
  [/^net_prio\.ifpriomap$/, "0"],
];

/**
 * The value that undoes a write.
 * @param name of the file.
 * @param before what the file said.
 * @param written one value, or a device and its values in a file with a line for each device.
 */
export function previousValue(name: string, before: string, written: string): string {
  if (name === "memory.oom_control") return /^oom_kill_disable (\d)/m.exec(before)?.[1] ?? "0";
  const [key = "", ...rest] = written.trim().split(" ");
  const lines = before.split("\n");
  const empty = withoutLimit.find(([pattern]) => pattern.test(name))?.[1];
  if (rest.length > 0 && empty !== undefined)
    return lines.find((line) => line.startsWith(`${key} `)) ?? `${key} ${empty}`;
  const standard = lines.find((line) => line.startsWith("default "));
  if (standard !== undefined) return standard;
  // An empty list of CPUs is written as an empty line: nothing at all would not reach the kernel.
  return before.trim() === "" ? "\n" : before.trim();
}
