/** What `stats` shows of a container, as docker's client counts it. */
import type { ContainerStats, CpuStats, MemoryStats } from "../../api/schema/stats.ts";
import { shortId } from "../../core/id.ts";
import { formatBytesBinary, formatBytesDecimal } from "../../core/size.ts";
import type { Column } from "../format.ts";

export interface StatsEntry {
  /** As it was asked for; the id where it was not asked for by name. */
  container: string;
  /** Absent while nothing is known, or not any more. */
  numbers?: StatsNumbers;
  /** What is still said of it then. */
  id: string;
  /** With its slash. */
  name: string;
}

export interface StatsNumbers {
  cpuPercent: number;
  memoryBytes: number;
  memoryLimit: number;
  received: number;
  sent: number;
  read: number;
  written: number;
  pids: number;
}

export function numbersOf(stats: ContainerStats): StatsNumbers {
  const interfaces = Object.values(stats.networks ?? {});
  return {
    cpuPercent: cpuPercent(stats.precpu_stats, stats.cpu_stats),
    memoryBytes: usedMemory(stats.memory_stats),
    memoryLimit: stats.memory_stats.limit ?? 0,
    received: interfaces.reduce((sum, { rx_bytes }) => sum + rx_bytes, 0),
    sent: interfaces.reduce((sum, { tx_bytes }) => sum + tx_bytes, 0),
    read: transferred(stats, "r"),
    written: transferred(stats, "w"),
    pids: stats.pids_stats.current ?? 0,
  };
}

/** 100 is one CPU. */
function cpuPercent(before: CpuStats, now: CpuStats): number {
  const own = now.cpu_usage.total_usage - before.cpu_usage.total_usage;
  const all = (now.system_cpu_usage ?? 0) - (before.system_cpu_usage ?? 0);
  const online = now.online_cpus || (now.cpu_usage.percpu_usage?.length ?? 0);
  return own > 0 && all > 0 ? (own / all) * online * 100 : 0;
}

/** Without the page cache that could be dropped at once. */
function usedMemory({ usage = 0, stats = {} }: MemoryStats): number {
  const droppable = Number(stats.total_inactive_file ?? stats.inactive_file ?? 0);
  return droppable < usage ? usage - droppable : usage;
}

function transferred({ blkio_stats }: ContainerStats, letter: "r" | "w"): number {
  const entries = blkio_stats.io_service_bytes_recursive ?? [];
  return entries.filter(({ op }) => op[0]?.toLowerCase() === letter).reduce((sum, { value }) => sum + value, 0);
}

export function statsColumns(truncate: boolean): Column<StatsEntry>[] {
  const shown =
    (text: (numbers: StatsNumbers) => string, unknown = "--") =>
    ({ numbers }: StatsEntry): string =>
      numbers === undefined ? unknown : text(numbers);
  const percent = (value: number): string => `${value.toFixed(2)}%`;
  const pair = (a: number, b: number): string => `${formatBytesDecimal(a)} / ${formatBytesDecimal(b)}`;
  return [
    {
      name: "Container",
      header: "CONTAINER",
      value: ({ container, id }) => (truncate && container === id ? shortId(id) : container),
    },
    { name: "ID", header: "CONTAINER ID", value: ({ id }) => (truncate ? shortId(id) : id) },
    { name: "Name", header: "NAME", value: ({ name }) => name.slice(1) || "--" },
    { name: "CPUPerc", header: "CPU %", value: shown(({ cpuPercent }) => percent(cpuPercent)) },
    {
      name: "MemUsage",
      header: "MEM USAGE / LIMIT",
      value: shown(
        ({ memoryBytes, memoryLimit }) => `${formatBytesBinary(memoryBytes)} / ${formatBytesBinary(memoryLimit)}`,
        "-- / --",
      ),
    },
    {
      name: "MemPerc",
      header: "MEM %",
      value: shown(({ memoryBytes, memoryLimit }) =>
        percent(memoryLimit === 0 ? 0 : (memoryBytes / memoryLimit) * 100),
      ),
    },
    { name: "NetIO", header: "NET I/O", value: shown(({ received, sent }) => pair(received, sent)) },
    { name: "BlockIO", header: "BLOCK I/O", value: shown(({ read, written }) => pair(read, written)) },
    { name: "PIDs", header: "PIDS", value: shown(({ pids }) => String(pids)) },
  ];
}

/** The columns of the plain table. */
export const plainColumns: string[] = ["ID", "Name", "CPUPerc", "MemUsage", "MemPerc", "NetIO", "BlockIO", "PIDs"];
