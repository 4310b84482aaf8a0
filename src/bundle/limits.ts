/**
 * What a container may take of the host, judged before it is made or changed: what is wrong is refused and what this
 * kernel has nothing for is taken away with a warning, both in docker's words (moby, verifyPlatformContainerResources).
 */
import { advice } from "../core/advice.ts";
import { EngineError } from "../core/errors.ts";
import type { HostLimit } from "./host-limits.ts";
import type { BundleHost, BundleHostConfig } from "./input.ts";

type Host = Pick<BundleHost, "limits" | "swapLimit" | "cpuset" | "onlineCpus">;

/** Docker's least memory limit: less cannot start a process. */
const memoryBytesMin = 6 * 2 ** 20;

interface Options {
  /** Of a container that exists: swap may be changed without naming the memory limit again. */
  isUpdate?: boolean;
}

/** @throws EngineError invalid_argument. */
export function settleLimits<T extends BundleHostConfig>(
  hostConfig: T,
  host: Host,
  { isUpdate = false }: Options = {},
): { hostConfig: T; warnings: string[] } {
  const kept = { ...hostConfig };
  const warnings: string[] = [];
  checkRealtime(kept, host);
  settleMemory(kept, host, isUpdate, warnings);
  settleProcesses(kept, host, warnings);
  settleCpu(kept, host, warnings);
  settleCpuset(kept, host, warnings);
  settleBlockIo(kept, host, warnings);
  return { hostConfig: kept, warnings };
}

function checkRealtime({ CpuRealtimePeriod = 0, CpuRealtimeRuntime = 0, CpuShares = 0 }: BundleHostConfig, host: Host) {
  if ((CpuRealtimePeriod !== 0 || CpuRealtimeRuntime !== 0) && !host.limits.has("cpuRealtime")) {
    throw invalid("kernel does not support CPU real-time scheduler");
  }
  if (CpuRealtimePeriod !== 0 && CpuRealtimeRuntime !== 0 && CpuRealtimeRuntime > CpuRealtimePeriod) {
    throw invalid("cpu real-time runtime cannot be higher than cpu real-time period");
  }
  if (CpuShares < 0) throw invalid(`invalid CPU shares (${CpuShares}): value must be a positive integer`);
}

function settleMemory(kept: BundleHostConfig, host: Host, isUpdate: boolean, warnings: string[]): void {
  const { Memory = 0 } = kept;
  if (Memory !== 0 && Memory < memoryBytesMin) throw invalid("Minimum memory limit allowed is 6MB", advice.memory);
  if (Memory > 0 && !host.limits.has("memory")) {
    warnings.push(lacks("memory limit capabilities or the cgroup is not mounted", "Limitation discarded"));
    kept.Memory = 0;
    kept.MemorySwap = -1;
  }
  const { MemorySwap = 0 } = kept;
  if ((kept.Memory ?? 0) > 0 && MemorySwap !== -1 && !host.swapLimit) {
    warnings.push(lacks("swap limit capabilities or the cgroup is not mounted", "Memory limited without swap"));
    kept.MemorySwap = -1;
  }
  settleSwap(kept, isUpdate);
  settleSwappiness(kept, host, warnings);
  settleReservation(kept, host, warnings);
}

function settleSwap({ Memory = 0, MemorySwap = 0 }: BundleHostConfig, isUpdate: boolean): void {
  if (MemorySwap < -1) throw invalid(`invalid memory-swap: ${MemorySwap}: -1 is the only negative value`);
  if (Memory > 0 && MemorySwap > 0 && MemorySwap < Memory) {
    throw invalid("Minimum memoryswap limit should be larger than memory limit, see usage", advice.swap);
  }
  if (Memory === 0 && MemorySwap > 0 && !isUpdate) {
    throw invalid("You should always set the Memory limit when using Memoryswap limit, see usage");
  }
}

function settleSwappiness(kept: BundleHostConfig, host: Host, warnings: string[]): void {
  // -1 is what clients send for "not set".
  const { MemorySwappiness = -1 } = kept;
  if (MemorySwappiness === -1) {
    delete kept.MemorySwappiness;
  } else if (!host.limits.has("memorySwappiness")) {
    warnings.push(lacks("memory swappiness capabilities or the cgroup is not mounted", "Memory swappiness discarded"));
    delete kept.MemorySwappiness;
  } else if (MemorySwappiness < 0 || MemorySwappiness > 100) {
    throw invalid(`Invalid value: ${MemorySwappiness}, valid memory swappiness range is 0-100`);
  }
}

function settleReservation(kept: BundleHostConfig, host: Host, warnings: string[]): void {
  const { Memory = 0, MemoryReservation = 0 } = kept;
  if (MemoryReservation > 0 && !host.limits.has("memoryReservation")) {
    warnings.push(lacks("memory soft limit capabilities or the cgroup is not mounted", "Limitation discarded"));
    kept.MemoryReservation = 0;
    return;
  }
  if (MemoryReservation !== 0 && MemoryReservation < memoryBytesMin) {
    throw invalid("Minimum memory reservation allowed is 6MB");
  }
  if (MemoryReservation > 0 && Memory > 0 && Memory < MemoryReservation) {
    throw invalid("Minimum memory limit can not be less than memory reservation limit, see usage");
  }
}

function settleProcesses(kept: BundleHostConfig, host: Host, warnings: string[]): void {
  if (kept.OomKillDisable !== undefined && !host.limits.has("oomKillDisable")) {
    if (kept.OomKillDisable) warnings.push(lacks("OomKillDisable", "OomKillDisable discarded"));
    delete kept.OomKillDisable;
  }
  if (kept.OomKillDisable && !kept.Memory) {
    warnings.push(
      "OOM killer is disabled for the container, but no memory limit is set, this can result in the system running out of resources.",
    );
  }
  if (kept.PidsLimit !== undefined && !host.limits.has("pids")) {
    if (kept.PidsLimit > 0) {
      warnings.push(lacks("PIDs limit capabilities or the cgroup is not mounted", "PIDs limit discarded"));
    }
    delete kept.PidsLimit;
  }
}

function settleCpu(kept: BundleHostConfig, host: Host, warnings: string[]): void {
  const { NanoCpus = 0, CpuPeriod = 0, CpuQuota = 0, CpuShares = 0 } = kept;
  const conflict = (other: string) => invalid(`Conflicting options: Nano CPUs and ${other} cannot both be set`);
  if (NanoCpus > 0 && CpuPeriod > 0) throw conflict("CPU Period");
  if (NanoCpus > 0 && CpuQuota > 0) throw conflict("CPU Quota");
  if (NanoCpus > 0 && !host.limits.has("cpuCfs")) {
    throw invalid(
      "NanoCPUs can not be set, as your kernel does not support CPU CFS scheduler or the cgroup is not mounted",
    );
  }
  if (NanoCpus < 0 || NanoCpus > host.onlineCpus * 1e9) {
    const range = `from 0.01 to ${host.onlineCpus.toFixed(2)}`;
    throw invalid(`range of CPUs is ${range}, as there are only ${host.onlineCpus} CPUs available`);
  }
  if (CpuShares > 0 && !host.limits.has("cpuShares")) {
    warnings.push(lacks("CPU shares or the cgroup is not mounted", "Shares discarded"));
    kept.CpuShares = 0;
  }
  if ((CpuPeriod !== 0 || CpuQuota !== 0) && !host.limits.has("cpuCfs")) {
    warnings.push(lacks("CPU CFS scheduler", "CPU period/quota discarded"));
    kept.CpuPeriod = 0;
    kept.CpuQuota = 0;
    return;
  }
  if (CpuPeriod !== 0 && (CpuPeriod < 1000 || CpuPeriod > 1_000_000)) {
    throw invalid("CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)");
  }
  if (CpuQuota > 0 && CpuQuota < 1000) throw invalid("CPU cfs quota can not be less than 1ms (i.e. 1000)");
}

function settleCpuset(kept: BundleHostConfig, host: Host, warnings: string[]): void {
  if ((kept.CpusetCpus || kept.CpusetMems) && !host.limits.has("cpuset")) {
    warnings.push(lacks("cpuset or the cgroup is not mounted", "Cpuset discarded"));
    kept.CpusetCpus = "";
    kept.CpusetMems = "";
    return;
  }
  checkCpuset(kept.CpusetCpus, { what: "cpuset cpus", plural: "CPUs", available: host.cpuset.cpus });
  checkCpuset(kept.CpusetMems, { what: "cpuset mems", plural: "memory nodes", available: host.cpuset.mems });
}

function checkCpuset(list: string | undefined, names: { what: string; plural: string; available: string }): void {
  if (!list) return;
  const wanted = rangesOf(list);
  if (wanted === undefined) throw invalid(`Invalid value ${list} for ${names.what}: invalid format: ${list}`);
  const available = rangesOf(names.available);
  // Where nobody knows, the kernel decides.
  if (available === undefined) return;
  const isAvailable = ({ first, last }: Range) => available.some((range) => range.first <= first && last <= range.last);
  if (!wanted.every(isAvailable)) {
    throw invalid(`Requested ${names.plural} are not available - requested ${list}, available: ${names.available}`);
  }
}

interface Range {
  first: number;
  last: number;
}

/**
 * `0-3,7` as docker reads it, sorted, those that touch each other joined; undefined for what is no such list. Nothing
 * has more than 8192. A list may be long: what it takes grows with its length, not with what it names.
 */
function rangesOf(list: string): Range[] | undefined {
  const ranges: Range[] = [];
  for (const part of list.split(",")) {
    const [, first, last = first] = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(part.trim()) ?? [];
    if (first === undefined || Number(last) < Number(first) || Number(last) > 8192) return undefined;
    ranges.push({ first: Number(first), last: Number(last) });
  }
  const joined: Range[] = [];
  for (const range of ranges.sort((a, b) => a.first - b.first)) {
    const before = joined.at(-1);
    if (before === undefined || range.first > before.last + 1) joined.push(range);
    else before.last = Math.max(before.last, range.last);
  }
  return joined;
}

type DeviceList = "BlkioWeightDevice" | `BlkioDevice${"Read" | "Write"}${"Bps" | "IOps"}`;
const deviceLists: [DeviceList, HostLimit, lacking: string, discarded: string][] = [
  ["BlkioWeightDevice", "blkioWeightDevice", "Block I/O weight_device", "Weight-device"],
  ["BlkioDeviceReadBps", "blkioReadBps", "BPS Block I/O read limit", "Block I/O BPS read limit"],
  ["BlkioDeviceWriteBps", "blkioWriteBps", "BPS Block I/O write limit", "Block I/O BPS write limit"],
  ["BlkioDeviceReadIOps", "blkioReadIOps", "IOPS Block read limit", "Block I/O IOPS read limit"],
  ["BlkioDeviceWriteIOps", "blkioWriteIOps", "IOPS Block write limit", "Block I/O IOPS write limit"],
];

function settleBlockIo(kept: BundleHostConfig, host: Host, warnings: string[]): void {
  if (kept.BlkioWeight && !host.limits.has("blkioWeight")) {
    warnings.push(lacks("Block I/O weight or the cgroup is not mounted", "Weight discarded"));
    kept.BlkioWeight = 0;
  }
  const { BlkioWeight = 0 } = kept;
  if (BlkioWeight > 0 && (BlkioWeight < 10 || BlkioWeight > 1000)) {
    throw invalid("Range of blkio weight is from 10 to 1000");
  }
  for (const [field, limit, lacking, discarded] of deviceLists) {
    if (!kept[field]?.length || host.limits.has(limit)) continue;
    warnings.push(lacks(`${lacking} or the cgroup is not mounted`, `${discarded} discarded`));
    kept[field] = [];
  }
}

function lacks(what: string, consequence: string): string {
  return `Your kernel does not support ${what}. ${consequence}.`;
}

function invalid(message: string, hint?: string): EngineError {
  return new EngineError("invalid_argument", message, { stage: "create", ...(hint !== undefined && { hint }) });
}
