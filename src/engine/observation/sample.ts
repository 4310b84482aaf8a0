/** What a container uses, as docker's stats say it: the keys of cgroup v1 and v2 differ, and so do docker's. */
import type {
  BlockIoStatEntry,
  BlockIoStats,
  ContainerStats,
  Count,
  CpuStats,
  InterfaceStats,
  MemoryStats,
} from "../../api/schema/stats.ts";
import { zeroTime } from "../container/state.ts";
import type { ContainerUsage } from "../parts.ts";
import type { CpuTime } from "./cpu-time.ts";

/** All that is known of a moment; what was before it each stream adds for itself. */
export type Sample = Omit<ContainerStats, "id" | "name" | "os_type" | "preread" | "precpu_stats">;

export interface Measured {
  /** RFC 3339. */
  read: string;
  usage: ContainerUsage;
  cpuTime: CpuTime;
  /** Of the host. */
  cgroupVersion: 1 | 2;
  /** What the machine has. */
  memoryBytes: number;
  /** Absent for a container without a network of its own. */
  interfaces?: ReadonlyMap<string, InterfaceStats>;
}

/** All 64 bits: a limit on processes that v2 does not have. */
const unlimited = 2n ** 64n - 1n;

export const noCpuStats: CpuStats = {
  cpu_usage: { total_usage: 0, usage_in_kernelmode: 0, usage_in_usermode: 0 },
  throttling_data: { periods: 0, throttled_periods: 0, throttled_time: 0 },
};

/** Of a container that does not run. */
export const emptySample: Sample = {
  read: zeroTime,
  cpu_stats: noCpuStats,
  memory_stats: {},
  pids_stats: {},
  blkio_stats: blockIoStats(undefined, 2),
  num_procs: 0,
  storage_stats: {},
};

export function sampleOf(measured: Measured): Sample {
  const { read, usage, cgroupVersion, memoryBytes, interfaces } = measured;
  return {
    read,
    cpu_stats: cpuStats(measured),
    memory_stats: memoryStats(usage.memory, cgroupVersion, memoryBytes),
    ...(interfaces !== undefined &&
      interfaces.size > 0 && { networks: Object.fromEntries([...interfaces].sort(byName)) }),
    pids_stats: pidsStats(usage.pids, cgroupVersion),
    blkio_stats: blockIoStats(usage.blockIO, cgroupVersion),
    num_procs: 0,
    storage_stats: {},
  };
}

const byName = ([a]: [string, unknown], [b]: [string, unknown]): number => (a < b ? -1 : 1);

/** As Go leaves zeros out. */
function unlessZero<K extends string, V extends Count>(key: K, value: V | undefined): { [key in K]?: V } {
  return (value === undefined || value === 0 ? {} : { [key]: value }) as { [key in K]?: V };
}

function cpuStats({ usage: { cpu }, cpuTime }: Measured): CpuStats {
  if (cpu === undefined) return { ...noCpuStats, system_cpu_usage: cpuTime.systemNs, online_cpus: cpuTime.online };
  return {
    cpu_usage: {
      total_usage: cpu.usageNs,
      ...(cpu.perCpu?.length && { percpu_usage: cpu.perCpu.map(({ usageNs }) => usageNs) }),
      usage_in_kernelmode: cpu.systemNs,
      usage_in_usermode: cpu.userNs,
    },
    system_cpu_usage: cpuTime.systemNs,
    online_cpus: cpuTime.online,
    throttling_data: {
      periods: cpu.periods,
      throttled_periods: cpu.throttledPeriods,
      throttled_time: cpu.throttledNs,
    },
  };
}

/** The lines of memory.stat that docker tells of; those that this kernel has not are 0. */
const keysV1 = ["cache", "rss", "rss_huge", "mapped_file", "dirty", "writeback", "pgpgin", "pgpgout", "pgfault"].concat(
  ["pgmajfault", "inactive_anon", "active_anon", "inactive_file", "active_file", "unevictable"],
);
const allKeysV1 = [
  ...keysV1,
  ...keysV1.map((key) => `total_${key}`),
  "hierarchical_memory_limit",
  "hierarchical_memsw_limit",
].sort();

const allKeysV2 = (
  "active_anon active_file anon anon_thp file file_dirty file_mapped file_writeback inactive_anon inactive_file " +
  "kernel_stack pgactivate pgdeactivate pgfault pglazyfree pglazyfreed pgmajfault pgrefill pgscan pgsteal shmem slab " +
  "slab_reclaimable slab_unreclaimable sock thp_collapse_alloc thp_fault_alloc unevictable workingset_activate " +
  "workingset_nodereclaim workingset_refault"
).split(" ");

function memoryStats(memory: ContainerUsage["memory"], version: 1 | 2, memoryBytes: number): MemoryStats {
  if (memory === undefined) return {};
  const { stat, usageBytes, maxUsageBytes, failures, limitBytes, events } = memory;
  const keys = version === 1 ? allKeysV1 : allKeysV2;
  return {
    ...unlessZero("usage", usageBytes),
    ...(version === 1 && unlessZero("max_usage", maxUsageBytes)),
    stats: Object.fromEntries(keys.map((key) => [key, exact(stat[key] ?? 0)])),
    ...unlessZero("failcnt", version === 1 ? failures : events?.oom),
    ...unlessZero("limit", Math.min(limitBytes ?? memoryBytes, memoryBytes)),
  };
}

/** v1's limits are near 2^63, all multiples of a page: a double holds them, but prints fewer digits. */
function exact(value: number): Count {
  return Number.isSafeInteger(value) ? value : BigInt(value);
}

function pidsStats(pids: ContainerUsage["pids"], version: 1 | 2): ContainerStats["pids_stats"] {
  if (pids === undefined) return {};
  const limit: Count = pids.limit ?? (version === 2 ? unlimited : 0);
  return { ...unlessZero("current", pids.current), ...unlessZero("limit", limit) };
}

function blockIoStats(blockIO: ContainerUsage["blockIO"], version: 1 | 2): BlockIoStats {
  // v2's: only bytes, in small letters, and no list where there is nothing in it.
  const v2 = blockIO?.serviceBytes
    .filter(({ op }) => op === "Read" || op === "Write")
    .map((entry) => ({ ...entry, op: entry.op.toLowerCase() }));
  const list = (entries: BlockIoStatEntry[] | undefined) => (version === 1 ? (entries ?? null) : null);
  return {
    io_service_bytes_recursive: version === 1 ? list(blockIO?.serviceBytes) : v2?.length ? v2 : null,
    io_serviced_recursive: list(blockIO?.serviced),
    io_queue_recursive: list(blockIO?.queued),
    io_service_time_recursive: list(blockIO?.serviceTime),
    io_wait_time_recursive: list(blockIO?.waitTime),
    io_merged_recursive: list(blockIO?.merged),
    io_time_recursive: list(blockIO?.time),
    sectors_recursive: list(blockIO?.sectors),
  };
}
