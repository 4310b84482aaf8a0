/** HostConfig's limits as linux.resources. */
import { EngineError } from "../core/errors.ts";
import type { LinuxDeviceRule, LinuxResources } from "../oci/runtime.ts";
import type { BundleHost, BundleHostConfig } from "./input.ts";

/** Microseconds: the period in which `--cpus` is counted. */
const cpuPeriodUs = 100_000;

/** @throws EngineError invalid_argument for a device that the host lacks. */
export function containerResources(
  hostConfig: BundleHostConfig,
  host: BundleHost,
  devices: LinuxDeviceRule[],
): LinuxResources {
  const memory = memoryResources(hostConfig, host);
  const cpu = cpuResources(hostConfig);
  const blockIO = blockResources(hostConfig, host);
  const { PidsLimit: pids } = hostConfig;
  return {
    devices,
    ...(memory !== undefined && { memory }),
    ...(cpu !== undefined && { cpu }),
    // 0 and below mean "no limit" to Docker, and -1 to the runtime.
    ...(pids !== undefined && { pids: { limit: pids > 0 ? pids : -1 } }),
    ...(blockIO !== undefined && { blockIO }),
  };
}

function memoryResources(hostConfig: BundleHostConfig, host: BundleHost): LinuxResources["memory"] {
  const { Memory = 0, MemoryReservation = 0, MemorySwappiness, OomKillDisable } = hostConfig;
  const swap = swapLimit(hostConfig, host);
  const memory: NonNullable<LinuxResources["memory"]> = {
    ...(Memory > 0 && { limit: Memory }),
    ...(MemoryReservation > 0 && { reservation: MemoryReservation }),
    ...(swap !== undefined && { swap }),
    // Neither exists on v2, where settleLimits has said so.
    ...(host.cgroupVersion === 1 && MemorySwappiness !== undefined && MemorySwappiness >= 0
      ? { swappiness: MemorySwappiness }
      : {}),
    ...(host.cgroupVersion === 1 && OomKillDisable ? { disableOOMKiller: true } : {}),
  };
  return orAbsent(memory);
}

/** Memory and swap together. Docker allows as much swap as memory, unless told otherwise and where it can be limited. */
function swapLimit({ Memory = 0, MemorySwap = 0 }: BundleHostConfig, host: BundleHost): number | undefined {
  if (!host.swapLimit) return undefined;
  if (MemorySwap !== 0) return MemorySwap;
  return Memory > 0 ? Memory * 2 : undefined;
}

function cpuResources(hostConfig: BundleHostConfig): LinuxResources["cpu"] {
  const { NanoCpus = 0, CpuShares = 0, CpuPeriod, CpuQuota, CpusetCpus, CpusetMems } = hostConfig;
  const cpu: NonNullable<LinuxResources["cpu"]> = {
    ...(CpuShares > 0 && { shares: CpuShares }),
    ...(NanoCpus > 0 && { period: cpuPeriodUs, quota: Math.floor((NanoCpus * cpuPeriodUs) / 1e9) }),
    ...(CpuPeriod ? { period: CpuPeriod } : {}),
    ...(CpuQuota ? { quota: CpuQuota } : {}),
    ...(CpusetCpus ? { cpus: CpusetCpus } : {}),
    ...(CpusetMems ? { mems: CpusetMems } : {}),
    ...(hostConfig.CpuRealtimePeriod ? { realtimePeriod: hostConfig.CpuRealtimePeriod } : {}),
    ...(hostConfig.CpuRealtimeRuntime ? { realtimeRuntime: hostConfig.CpuRealtimeRuntime } : {}),
  };
  return orAbsent(cpu);
}

function blockResources(hostConfig: BundleHostConfig, host: BundleHost): LinuxResources["blockIO"] {
  const device = (path: string): { major: number; minor: number } => {
    const found = host.devicesAt(path, { alone: true })[0];
    if (found?.type !== "b") {
      throw new EngineError("invalid_argument", `no block device at ${path}`, { path });
    }
    return { major: found.major, minor: found.minor };
  };
  const throttles = (list: BundleHostConfig["BlkioDeviceReadBps"] = []) =>
    list.map(({ Path, Rate }) => ({ ...device(Path), rate: Rate }));
  const named = {
    throttleReadBpsDevice: throttles(hostConfig.BlkioDeviceReadBps),
    throttleWriteBpsDevice: throttles(hostConfig.BlkioDeviceWriteBps),
    throttleReadIOPSDevice: throttles(hostConfig.BlkioDeviceReadIOps),
    throttleWriteIOPSDevice: throttles(hostConfig.BlkioDeviceWriteIOps),
    weightDevice: (hostConfig.BlkioWeightDevice ?? []).map(({ Path, Weight }) => ({ ...device(Path), weight: Weight })),
  };
  const blockIO: NonNullable<LinuxResources["blockIO"]> = {
    ...(hostConfig.BlkioWeight ? { weight: hostConfig.BlkioWeight } : {}),
    ...Object.fromEntries(Object.entries(named).filter(([, list]) => list.length > 0)),
  };
  return orAbsent(blockIO);
}

function orAbsent<T extends object>(value: T): T | undefined {
  return Object.keys(value).length > 0 ? value : undefined;
}
