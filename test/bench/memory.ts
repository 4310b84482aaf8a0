import { readdirSync, readFileSync } from "node:fs";

/** Proportional set size in bytes: each page shared by n processes counts as a n-th, proc(5) smaps_rollup. */
export function pssBytes(pid: number): number {
  const rollup = readFileSync(`/proc/${pid}/smaps_rollup`, "utf8");
  return Number(/^Pss:\s+(\d+) kB/m.exec(rollup)![1]) * 1024;
}

/** What a process has for itself alone. */
export function privateBytes(pid: number): number {
  const rollup = readFileSync(`/proc/${pid}/smaps_rollup`, "utf8");
  const dirty = Number(/^Private_Dirty:\s+(\d+) kB/m.exec(rollup)![1]);
  return (dirty + Number(/^Private_Clean:\s+(\d+) kB/m.exec(rollup)![1])) * 1024;
}

export function processesMatching(pattern: RegExp): number[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .filter((pid) => {
      try {
        return pattern.test(readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\0", " "));
      } catch {
        return false; // it ended while it was looked at
      }
    })
    .map(Number);
}

/** The children of a process, and theirs. */
export function descendants(pid: number): number[] {
  let children: number[];
  try {
    const tasks = readdirSync(`/proc/${pid}/task`);
    children = tasks.flatMap((task) =>
      readFileSync(`/proc/${pid}/task/${task}/children`, "utf8").split(" ").filter(Boolean).map(Number),
    );
  } catch {
    return []; // it ended while it was looked at
  }
  return children.flatMap((child) => [child, ...descendants(child)]);
}
