/** Limits of a container that runs, changed: what has to be written of them. */
import type { LinuxResources } from "../oci/runtime.ts";
import type { BundleHost, BundleHostConfig } from "./input.ts";
import { containerResources } from "./resources.ts";

type BlockIo = NonNullable<LinuxResources["blockIO"]>;
type DeviceList = Exclude<keyof BlockIo, "weight" | "leafWeight">;

const deviceLists = {
  BlkioWeightDevice: "weightDevice",
  BlkioDeviceReadBps: "throttleReadBpsDevice",
  BlkioDeviceWriteBps: "throttleWriteBpsDevice",
  BlkioDeviceReadIOps: "throttleReadIOPSDevice",
  BlkioDeviceWriteIOps: "throttleWriteIOPSDevice",
} as const satisfies Partial<Record<keyof BundleHostConfig, DeviceList>>;

/**
 * @param asked what the update speaks of: of these the limits are written, as they are in `after`. What the kernel takes
 *   together is written together.
 * @throws EngineError invalid_argument for a device that the host lacks.
 */
export function updateResources(
  asked: BundleHostConfig,
  before: BundleHostConfig,
  after: BundleHostConfig,
  host: BundleHost,
): LinuxResources {
  const has = (...fields: (keyof BundleHostConfig)[]) => fields.some((field) => asked[field]);
  const { memory = {}, cpu = {}, pids, blockIO = {} } = containerResources(after, host, []);
  const limits = {
    memory: {
      ...(has("Memory", "MemorySwap") && pick(memory, "limit", "swap")),
      ...(has("MemoryReservation") && pick(memory, "reservation")),
    },
    cpu: {
      ...(has("CpuShares") && pick(cpu, "shares")),
      ...(has("NanoCpus", "CpuPeriod", "CpuQuota") && pick(cpu, "period", "quota")),
      ...(has("CpusetCpus") && pick(cpu, "cpus")),
      ...(has("CpusetMems") && pick(cpu, "mems")),
      ...(has("CpuRealtimePeriod") && pick(cpu, "realtimePeriod")),
      ...(has("CpuRealtimeRuntime") && pick(cpu, "realtimeRuntime")),
    },
    blockIO: {
      ...(has("BlkioWeight") && pick(blockIO, "weight")),
      ...devices(asked, containerResources(before, host, []).blockIO ?? {}, blockIO),
    },
    ...(asked.PidsLimit !== undefined && pids !== undefined && { pids }),
  };
  return Object.fromEntries(Object.entries(limits).filter(([, part]) => Object.keys(part).length > 0));
}

/** A list takes the place of the one before: devices that are in it no more lose their limits, which is what 0 says. */
function devices(asked: BundleHostConfig, before: BlockIo, after: BlockIo): BlockIo {
  const changed: BlockIo = {};
  for (const [field, name] of Object.entries(deviceLists) as [keyof typeof deviceLists, DeviceList][]) {
    if (asked[field] === undefined) continue;
    const wanted = after[name] ?? [];
    const gone = (before[name] ?? []).filter(
      ({ major, minor }) => !wanted.some((entry) => entry.major === major && entry.minor === minor),
    );
    const zero = name === "weightDevice" ? { weight: 0 } : { rate: 0 };
    const entries = [...gone.map(({ major, minor }) => ({ major, minor, ...zero })), ...wanted];
    if (entries.length > 0) Object.assign(changed, { [name]: entries });
  }
  return changed;
}

function pick<T extends object, K extends keyof T>(from: T, ...names: K[]): Pick<T, K> {
  return Object.fromEntries(names.flatMap((name) => (from[name] === undefined ? [] : [[name, from[name]]]))) as Pick<
    T,
    K
  >;
}
