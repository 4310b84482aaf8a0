/** What a cgroup counts, read from its files. */
import { readdirSync } from "../../../ffi/fs.ts";
import { parseKeyed, parseNumberList, readNumber, readOptional } from "./files.ts";
import { blockIoStats, blockIoUsage, ioByDevice } from "./io-stats.ts";
import { memoryStats, memoryUsage } from "./memory-stats.ts";
import type { Place, Places } from "./place.ts";
import { readPressure } from "./pressure.ts";
import type { CgroupStats, CpuStats, CpusetStats, HugetlbStats, RdmaCounts } from "./stats-types.ts";

/** cpuacct.stat counts in USER_HZ, which is 100 on every Linux that tsd runs on. */
const tickNs = 1e7;

export function readStats(places: Places): CgroupStats {
  const cpu = cpuStats(places);
  const cpuset = cpusetStats(places.find("cpuset"));
  const memory = memoryStats(places.find("memory"));
  const pids = pidsStats(places.find("pids"));
  const blkio = places.find("blkio");
  const blockIO = blockIoStats(blkio);
  const ioPressure = blkio?.version === 2 ? readPressure(`${blkio.directory}/io.pressure`) : undefined;
  const hugetlb = hugetlbStats(places.find("hugetlb"));
  const rdma = rdmaStats(places.find("rdma"));
  return {
    ...(cpu !== undefined && { cpu }),
    ...(cpuset !== undefined && { cpuset }),
    ...(memory !== undefined && { memory }),
    ...(pids !== undefined && { pids }),
    ...(blockIO !== undefined && { blockIO, io: ioByDevice(blockIO) }),
    ...(ioPressure !== undefined && { ioPressure }),
    ...(hugetlb !== undefined && { hugetlb }),
    ...(rdma !== undefined && { rdma }),
  };
}

/** What is looked at every second while somebody watches: what docker's stats tell, and no more. */
export function readUsage(places: Places): Pick<CgroupStats, "cpu" | "memory" | "pids" | "blockIO"> {
  const cpu = cpuStats(places);
  const memory = memoryUsage(places.find("memory"));
  const pids = pidsStats(places.find("pids"));
  const blockIO = blockIoUsage(places.find("blkio"));
  return {
    ...(cpu !== undefined && { cpu }),
    ...(memory !== undefined && { memory }),
    ...(pids !== undefined && { pids }),
    ...(blockIO !== undefined && { blockIO }),
  };
}

function cpuStats(places: Places): CpuStats | undefined {
  const account = places.find("cpuacct");
  if (account?.version === 1) return cpuStatsV1(account.directory, places.find("cpu"));
  // cpu.stat has its times with or without the controller.
  const unified = places.unified();
  const text = unified && readOptional(`${unified.directory}/cpu.stat`);
  if (text === undefined) return undefined;
  const stat = parseKeyed(text);
  const pressure = readPressure(`${unified!.directory}/cpu.pressure`);
  return {
    usageNs: (stat.usage_usec ?? 0) * 1000,
    userNs: (stat.user_usec ?? 0) * 1000,
    systemNs: (stat.system_usec ?? 0) * 1000,
    periods: stat.nr_periods ?? 0,
    throttledPeriods: stat.nr_throttled ?? 0,
    throttledNs: (stat.throttled_usec ?? 0) * 1000,
    ...(pressure !== undefined && { pressure }),
  };
}

function cpuStatsV1(directory: string, scheduler: Place | undefined): CpuStats | undefined {
  const usage = readOptional(`${directory}/cpuacct.usage`);
  if (usage === undefined) return undefined;
  const stat = parseKeyed(readOptional(`${directory}/cpuacct.stat`) ?? "");
  const throttling = parseKeyed((scheduler && readOptional(`${scheduler.directory}/cpu.stat`)) ?? "");
  // `cpu user system`, a line for each CPU that may be there.
  const all = (readOptional(`${directory}/cpuacct.usage_all`) ?? "").split("\n").slice(1);
  const times = all.filter((line) => line !== "").map((line) => line.split(" ").map(Number));
  const perCpu = (readOptional(`${directory}/cpuacct.usage_percpu`) ?? "").split(" ").filter((word) => word.trim());
  return {
    usageNs: Number(usage),
    userNs: (stat.user ?? 0) * tickNs,
    systemNs: (stat.system ?? 0) * tickNs,
    periods: throttling.nr_periods ?? 0,
    throttledPeriods: throttling.nr_throttled ?? 0,
    throttledNs: throttling.throttled_time ?? 0,
    perCpu: perCpu.map((usageNs, cpu) => ({
      usageNs: Number(usageNs),
      userNs: times[cpu]?.[1] ?? 0,
      systemNs: times[cpu]?.[2] ?? 0,
    })),
  };
}

const cpusetFlags = [
  "cpu_exclusive",
  "mem_hardwall",
  "mem_exclusive",
  "memory_migrate",
  "memory_spread_page",
  "memory_spread_slab",
  "memory_pressure",
  "sched_load_balance",
  "sched_relax_domain_level",
];

function cpusetStats(place: Place | undefined): CpusetStats | undefined {
  if (place?.version !== 1) return undefined;
  const cpus = readOptional(`${place.directory}/cpuset.cpus`);
  if (cpus === undefined) return undefined;
  const mems = readOptional(`${place.directory}/cpuset.mems`) ?? "";
  const flags = cpusetFlags.map((name) => [name, readNumber(`${place.directory}/cpuset.${name}`) ?? 0]);
  return { cpus: parseNumberList(cpus), mems: parseNumberList(mems), flags: Object.fromEntries(flags) };
}

function pidsStats(place: Place | undefined): CgroupStats["pids"] {
  const current = place && readNumber(`${place.directory}/pids.current`);
  if (place === undefined || current === undefined) return undefined;
  const limit = readNumber(`${place.directory}/pids.max`);
  return { current, ...(limit !== undefined && { limit }) };
}

/** What is reserved where the kernel counts it (5.7): a page counts when it is mapped, not first when it is touched. */
function hugetlbStats(place: Place | undefined): CgroupStats["hugetlb"] {
  if (place === undefined) return undefined;
  const { version, directory } = place;
  const usageName = version === 2 ? "current" : "usage_in_bytes";
  const sizes = namesIn(directory).flatMap(
    (name) => /^hugetlb\.(\d+[KMG]B)\.(?:current|usage_in_bytes)$/.exec(name)?.[1] ?? [],
  );
  const stats: Record<string, HugetlbStats> = {};
  for (const size of sizes) {
    const prefix = `${directory}/hugetlb.${size}`;
    const reserved = readNumber(`${prefix}.rsvd.${usageName}`);
    const counted = reserved === undefined ? prefix : `${prefix}.rsvd`;
    const usageBytes = reserved ?? readNumber(`${prefix}.${usageName}`);
    if (usageBytes === undefined) continue;
    const maxUsageBytes = version === 1 ? readNumber(`${counted}.max_usage_in_bytes`) : undefined;
    const failures =
      version === 1 ? readNumber(`${counted}.failcnt`) : parseKeyed(readOptional(`${prefix}.events`) ?? "").max;
    stats[size] = { usageBytes, ...(maxUsageBytes !== undefined && { maxUsageBytes }), failures: failures ?? 0 };
  }
  return stats;
}

function namesIn(directory: string): string[] {
  return readOptional(`${directory}/cgroup.procs`) === undefined ? [] : readdirSync(directory);
}

function rdmaStats(place: Place | undefined): CgroupStats["rdma"] {
  if (place === undefined) return undefined;
  const current = parseRdma(readOptional(`${place.directory}/rdma.current`) ?? "");
  const limits = parseRdma(readOptional(`${place.directory}/rdma.max`) ?? "");
  const devices = new Set([...Object.keys(current), ...Object.keys(limits)]);
  return Object.fromEntries(
    [...devices].map((name) => [name, { current: current[name] ?? {}, limit: limits[name] ?? {} }]),
  );
}

/** `mlx4_0 hca_handle=2 hca_object=max`, a line for each device. */
export function parseRdma(text: string): Record<string, RdmaCounts> {
  const counts: Record<string, RdmaCounts> = {};
  for (const line of text.split("\n")) {
    const match = /^(\S+) hca_handle=(\w+) hca_object=(\w+)$/.exec(line.trim());
    if (match === null) continue;
    const [, device = "", handles, objects] = match;
    counts[device] = {
      ...(handles !== "max" && { handles: Number(handles) }),
      ...(objects !== "max" && { objects: Number(objects) }),
    };
  }
  return counts;
}

/** How many processes the OOM killer ended: memory.events in v2, memory.oom_control in v1 since Linux 4.13. */
export function readOomKills(place: Place | undefined): number {
  if (place === undefined) return 0;
  const file = place.version === 2 ? "memory.events" : "memory.oom_control";
  return parseKeyed(readOptional(`${place.directory}/${file}`) ?? "").oom_kill ?? 0;
}

/** What the memory controller said when the kernel had ended something here. */
export interface OomFigures {
  /** How many processes. */
  kills: number;
  limitBytes?: number;
  /** The most that was in use; v2 counts it since Linux 5.19. */
  peakBytes?: number;
}

/** Undefined when the kernel ended nothing. */
export function readOomFigures(place: Place | undefined): OomFigures | undefined {
  const kills = readOomKills(place);
  if (place === undefined || kills === 0) return undefined;
  const [limit, peak] = place.version === 2 ? ["max", "peak"] : ["limit_in_bytes", "max_usage_in_bytes"];
  const limitBytes = readNumber(`${place.directory}/memory.${limit}`);
  const peakBytes = readNumber(`${place.directory}/memory.${peak}`);
  return { kills, ...(limitBytes !== undefined && { limitBytes }), ...(peakBytes !== undefined && { peakBytes }) };
}
