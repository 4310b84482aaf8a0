import { readFileSync } from "node:fs";

/** USER_HZ, in which proc_stat(5) counts, is 100 on every Linux that tsd runs on. */
const tickNs = 1e7;

export interface CpuTime {
  /** Nanoseconds of all CPUs together since boot, idle ones too. */
  systemNs: number;
  online: number;
}

/** What all CPUs have done: the first line of proc_stat(5) without what guests used, which users' time has in it. */
export function readCpuTime(text: string = readFileSync("/proc/stat", "utf8")): CpuTime {
  const lines = text.split("\n").filter((line) => line.startsWith("cpu"));
  const [, ...ticks] = (lines[0] ?? "").split(/\s+/).map(Number);
  const systemNs = ticks.slice(0, 7).reduce((sum, value) => sum + value, 0) * tickNs;
  return { systemNs, online: lines.length - 1 };
}
