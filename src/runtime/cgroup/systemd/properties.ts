/** linux.resources as properties of a unit: systemd.resource-control(5), org.freedesktop.systemd1(5). */
import { type DbusValue, Variant } from "../../../core/dbus/types.ts";
import { EngineError } from "../../../core/errors.ts";
import type { LinuxResources } from "../../../oci/runtime.ts";
import { weightOfBlkio } from "../block-io.ts";
import { weightOfShares } from "../cpu.ts";
import { swapOnly } from "../memory.ts";

/** Name and value, as StartTransientUnit takes them. */
export type Property = [name: string, value: Variant];

/** What the translation depends on. */
export interface Target {
  cgroupVersion: 1 | 2;
  /** systemd's: properties came over the years, and a unit is refused for one that is not known. */
  systemdVersion: number;
}

/** CGROUP_LIMIT_MAX and USEC_INFINITY. */
const infinity = 2n ** 64n - 1n;
/** Microseconds: the kernel's default. */
const periodDefaultUs = 100_000;

const versions = { quotaPeriod: 242, cpuset: 244, cpuIdle: 252 };

export function property(name: string, signature: string, value: DbusValue): Property {
  return [name, new Variant(signature, value)];
}

/**
 * Limits that systemd knows, so that it does not undo them when it next looks at the unit. The files of the cgroup are
 * written as well: they have more, and say what is wrong. Rules for devices are apart (devices.ts).
 * @throws EngineError invalid_argument with the field.
 */
export function resourceProperties(resources: LinuxResources, target: Target): Property[] {
  const { memory = {}, pids, unified } = resources;
  const v2 = target.cgroupVersion === 2;
  const properties: Property[] = [];
  const limit = (name: string, value: number | undefined): void => {
    // 0 is what clients in Go write for "unset".
    if (value) properties.push(property(name, "t", value < 0 ? infinity : BigInt(value)));
  };
  limit(v2 ? "MemoryMax" : "MemoryLimit", memory.limit);
  if (v2) {
    limit("MemoryLow", memory.reservation);
    const swap = swapOnly(memory);
    if (swap !== undefined) properties.push(property("MemorySwapMax", "t", swap < 0 ? infinity : BigInt(swap)));
  }
  limit("TasksMax", pids?.limit);
  properties.push(...cpuProperties(resources.cpu ?? {}, target), ...ioProperties(resources.blockIO ?? {}, v2));
  if (v2 && unified !== undefined) {
    for (const [file, value] of Object.entries(unified)) properties.push(...unifiedProperties(file, value, target));
  }
  return properties;
}

function cpuProperties(cpu: NonNullable<LinuxResources["cpu"]>, target: Target): Property[] {
  const properties: Property[] = [];
  if (target.cgroupVersion === 1) {
    if (cpu.shares) properties.push(property("CPUShares", "t", BigInt(cpu.shares)));
  } else if (cpu.idle === 1 && target.systemdVersion >= versions.cpuIdle) {
    properties.push(property("CPUWeight", "t", 0n));
  } else if (cpu.shares) {
    properties.push(property("CPUWeight", "t", BigInt(weightOfShares(cpu.shares))));
  }
  properties.push(...quotaProperties(cpu.quota ?? 0, cpu.period ?? 0, target));
  if (target.cgroupVersion === 2) {
    if (cpu.cpus) properties.push(...cpusetProperty("AllowedCPUs", "linux.resources.cpu.cpus", cpu.cpus, target));
    if (cpu.mems)
      properties.push(...cpusetProperty("AllowedMemoryNodes", "linux.resources.cpu.mems", cpu.mems, target));
  }
  return properties;
}

/** Microseconds. systemd counts a quota in whole percents; rounded up, it never gives less than the file will say. */
function quotaProperties(quota: number, period: number, { systemdVersion }: Target): Property[] {
  if (quota === 0 && period === 0) return [];
  const properties: Property[] = [];
  if (period !== 0 && systemdVersion >= versions.quotaPeriod) {
    properties.push(property("CPUQuotaPeriodUSec", "t", BigInt(period)));
  }
  const percentUs = 10_000n;
  const perSecond = quota > 0 ? (BigInt(quota) * 1_000_000n) / BigInt(period || periodDefaultUs) : infinity;
  const rounded = perSecond === infinity ? infinity : ((perSecond + percentUs - 1n) / percentUs) * percentUs;
  properties.push(property("CPUQuotaPerSecUSec", "t", rounded));
  return properties;
}

function cpusetProperty(name: string, field: string, list: string, { systemdVersion }: Target): Property[] {
  return systemdVersion >= versions.cpuset ? [property(name, "ay", bitmapOf(field, list))] : [];
}

/** `0-2,8` as bits, the lowest first. */
export function bitmapOf(field: string, list: string): Uint8Array {
  // More CPUs than any kernel has (CONFIG_NR_CPUS), in bits.
  const numberMax = 8191;
  const bytes: number[] = [];
  for (const part of list.split(",")) {
    const [, first, last = first] = /^\s*(\d+)(?:-(\d+))?\s*$/.exec(part) ?? [];
    const [low, high] = [Number(first), Number(last)];
    if (first === undefined || low > high || high > numberMax) {
      throw new EngineError("invalid_argument", `${field}: ${JSON.stringify(list)} is no list such as "0-2,8"`);
    }
    for (let bit = low; bit <= high; bit++) {
      while (bytes.length <= bit >> 3) bytes.push(0);
      bytes[bit >> 3]! |= 1 << (bit & 7);
    }
  }
  return Uint8Array.from(bytes);
}

function ioProperties({ weight }: NonNullable<LinuxResources["blockIO"]>, v2: boolean): Property[] {
  if (!weight) return [];
  return [
    v2 ? property("IOWeight", "t", BigInt(weightOfBlkio(weight))) : property("BlockIOWeight", "t", BigInt(weight)),
  ];
}

/** Files of v2 whose value is one number or "max", and what systemd calls them. */
const numericFiles: Readonly<Record<string, string>> = {
  "cpu.weight": "CPUWeight",
  "memory.high": "MemoryHigh",
  "memory.low": "MemoryLow",
  "memory.max": "MemoryMax",
  "memory.min": "MemoryMin",
  "memory.swap.max": "MemorySwapMax",
  "pids.max": "TasksMax",
};

/** Of one file of linux.resources.unified; none where systemd has no word for it. */
function unifiedProperties(file: string, text: string, target: Target): Property[] {
  const field = `linux.resources.unified[${JSON.stringify(file)}]`;
  const value = text.trim();
  const name = numericFiles[file];
  if (name !== undefined) return [property(name, "t", numberOrMax(field, value))];
  switch (file) {
    case "cpu.idle":
      return value === "1" && target.systemdVersion >= versions.cpuIdle ? [property("CPUWeight", "t", 0n)] : [];
    case "cpu.max": {
      const [quota = "", period = String(periodDefaultUs)] = value.split(/\s+/);
      const us = numberOrMax(field, quota);
      return quotaProperties(us === infinity ? -1 : Number(us), Number(numberOrMax(field, period)), target);
    }
    case "cpuset.cpus":
      return cpusetProperty("AllowedCPUs", field, value, target);
    case "cpuset.mems":
      return cpusetProperty("AllowedMemoryNodes", field, value, target);
    case "io.weight": {
      const weight = /^(?:default\s+)?(\d+)$/.exec(value)?.[1];
      return weight === undefined ? [] : [property("IOWeight", "t", BigInt(weight))];
    }
    default:
      return [];
  }
}

function numberOrMax(field: string, value: string): bigint {
  if (value === "max") return infinity;
  if (!/^\d{1,20}$/.test(value)) {
    throw new EngineError("invalid_argument", `${field}: ${JSON.stringify(value)} is neither a number nor "max"`);
  }
  return BigInt(value);
}
