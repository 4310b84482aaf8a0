import { parseBytes } from "../../core/size.ts";
import type { LinuxResources } from "../../oci/runtime.ts";
import type { FlagTable, FlagValues } from "./flags.ts";

export const updateFlags = {
  resources: {
    kind: "text",
    alias: "r",
    usage: "file with the limits as JSON (linux.resources of config.json), or '-' for the standard input",
  },
  "blkio-weight": { kind: "integer", usage: "weight of block I/O, from 10 to 1000" },
  "cpu-period": { kind: "text", usage: "period of the CPU quota, in microseconds" },
  "cpu-quota": { kind: "text", usage: "CPU time allowed in a period, in microseconds; -1 for no limit" },
  "cpu-burst": { kind: "text", usage: "unused CPU time that later periods may use, in microseconds" },
  "cpu-share": { kind: "text", usage: "CPU shares (relative weight vs. other containers)" },
  "cpu-rt-period": { kind: "text", usage: "period of the realtime CPU limit, in microseconds (cgroup v1)" },
  "cpu-rt-runtime": { kind: "text", usage: "realtime CPU time allowed in a period, in microseconds (cgroup v1)" },
  "cpuset-cpus": { kind: "text", usage: "CPU(s) to use" },
  "cpuset-mems": { kind: "text", usage: "memory node(s) to use" },
  memory: { kind: "text", usage: "memory limit, in bytes or with a unit such as 64M; -1 for no limit" },
  "memory-reservation": { kind: "text", usage: "memory reservation or soft limit, likewise" },
  "memory-swap": { kind: "text", usage: "limit of memory and swap together, likewise" },
  "pids-limit": { kind: "integer", usage: "maximum number of processes; -1 for no limit" },
  "cpu-idle": { kind: "text", usage: "1 to run only when no other cgroup wants the CPU, 0 as usual" },
  "l3-cache-schema": { kind: "text", usage: "schema of Intel RDT's L3 cache allocation" },
  "mem-bw-schema": { kind: "text", usage: "schema of Intel RDT's memory bandwidth allocation" },
} as const satisfies FlagTable;
export type UpdateFlagValues = FlagValues<typeof updateFlags>;

/** @throws Error that names the flag. */
export function resourcesOfFlags(flags: UpdateFlagValues): LinuxResources {
  const whole = (name: keyof UpdateFlagValues, min: bigint, max: bigint): number | undefined => {
    const text = flags[name] as string | undefined;
    if (!text) return undefined;
    const value = /^[+-]?\d+$/.test(text) ? BigInt(text) : undefined;
    if (value !== undefined && value >= min && value <= max) return Number(value);
    throw new Error(`invalid value for ${name}: ${text} is not a whole number between ${min} and ${max}`);
  };
  const unsigned = (name: keyof UpdateFlagValues) => whole(name, 0n, 2n ** 64n - 1n);
  const signed = (name: keyof UpdateFlagValues) => whole(name, -(2n ** 63n), 2n ** 63n - 1n);
  const cpu = given({
    period: unsigned("cpu-period"),
    quota: signed("cpu-quota"),
    burst: unsigned("cpu-burst"),
    shares: unsigned("cpu-share"),
    realtimePeriod: unsigned("cpu-rt-period"),
    realtimeRuntime: signed("cpu-rt-runtime"),
    cpus: flags["cpuset-cpus"],
    mems: flags["cpuset-mems"],
    idle: whole("cpu-idle", 0n, 1n),
  });
  const memory = given({
    limit: bytes(flags, "memory"),
    reservation: bytes(flags, "memory-reservation"),
    swap: bytes(flags, "memory-swap"),
  });
  const pids = given({ limit: flags["pids-limit"] });
  const blockIO = given({ weight: weight(flags["blkio-weight"]) });
  return { ...(cpu && { cpu }), ...(memory && { memory }), ...(pids && { pids }), ...(blockIO && { blockIO }) };
}

function bytes(flags: UpdateFlagValues, name: "memory" | "memory-reservation" | "memory-swap"): number | undefined {
  const text = flags[name];
  if (!text) return undefined;
  if (text === "-1") return -1;
  try {
    return parseBytes(text);
  } catch (error) {
    throw new Error(`invalid value for ${name}: ${(error as Error).message}`, { cause: error });
  }
}

function weight(value: number | undefined): number | undefined {
  if (value === undefined || value === 0 || (value >= 10 && value <= 1000)) return value;
  throw new Error(`invalid value for blkio-weight: ${value} is not between 10 and 1000`);
}

/** The fields that have a value; undefined when none has. */
function given<T extends Record<string, number | string | undefined>>(
  fields: T,
): { [Name in keyof T]?: NonNullable<T[Name]> } | undefined {
  const entries = Object.entries(fields).filter(([, value]) => value !== undefined);
  return entries.length === 0 ? undefined : (Object.fromEntries(entries) as never);
}
