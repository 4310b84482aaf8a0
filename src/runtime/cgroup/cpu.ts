/** linux.resources.cpu: time (cpu controller) and place (cpuset). */
import { EngineError } from "../../core/errors.ts";
import type { LinuxResources } from "../../oci/runtime.ts";
import { readOptional, tryWriteField, writeField } from "./files.ts";
import type { Places } from "./place.ts";

type Cpu = NonNullable<LinuxResources["cpu"]>;
const field = "linux.resources.cpu";

/** MIN_SHARES and MAX_SHARES of the kernel's scheduler. */
const sharesMin = 2;
const sharesMax = 262_144;

/** Microseconds: the kernel's default period. */
const periodDefaultUs = 100_000;

export function applyCpu(cpu: Cpu, places: Places): void {
  const timeFields = ["shares", "quota", "period", "burst", "idle", "realtimePeriod", "realtimeRuntime"] as const;
  const first = timeFields.find(
    (name) => cpu[name] !== undefined && (cpu[name] !== 0 || name === "idle" || name === "burst"),
  );
  if (first !== undefined) {
    const place = places.require("cpu", `${field}.${first}`);
    if (place.version === 2) applyTimeV2(cpu, place.directory);
    else applyTimeV1(cpu, place.directory);
  }
  for (const name of ["cpus", "mems"] as const) {
    const value = cpu[name];
    if (!value) continue;
    const place = places.require("cpuset", `${field}.${name}`);
    writeField(`${field}.${name}`, `${place.directory}/cpuset.${name}`, value);
  }
}

function applyTimeV1(cpu: Cpu, directory: string): void {
  const { shares, quota, period, burst, idle } = cpu;
  // An idle cgroup takes no shares: it has to stop being idle before.
  if (idle === 0) writeField(`${field}.idle`, `${directory}/cpu.idle`, "0");
  if (shares) writeShares(shares, directory);
  const burstPath = `${directory}/cpu.cfs_burst_us`;
  // A burst above the quota is refused, and the quota that is there may be the old one.
  const burstIsSet = burst === undefined || tryWriteField(`${field}.burst`, burstPath, String(burst), "EINVAL");
  const quotaPath = `${directory}/cpu.cfs_quota_us`;
  // Period and quota are checked together, each against the other one that is there.
  const quotaIsSet = !quota || !period || tryWriteField(`${field}.quota`, quotaPath, String(quota), "EINVAL");
  if (period) writeField(`${field}.period`, `${directory}/cpu.cfs_period_us`, String(period));
  if (quota && (!quotaIsSet || !period)) writeField(`${field}.quota`, quotaPath, String(quota));
  if (!burstIsSet) writeField(`${field}.burst`, burstPath, String(burst));
  applyRealtime(cpu, directory);
  if (idle) writeField(`${field}.idle`, `${directory}/cpu.idle`, String(idle));
}

function applyTimeV2(cpu: Cpu, directory: string): void {
  const { shares, quota, period, burst, idle } = cpu;
  if (idle === 0) writeField(`${field}.idle`, `${directory}/cpu.idle`, "0");
  if (shares) writeField(`${field}.shares`, `${directory}/cpu.weight`, String(weightOfShares(shares)));
  const burstPath = `${directory}/cpu.max.burst`;
  const burstIsSet = burst === undefined || tryWriteField(`${field}.burst`, burstPath, String(burst), "EINVAL");
  if (quota || period) {
    const name = quota ? "quota" : "period";
    // "max" with a period alone: config-linux.md has no limit without a quota.
    const limit = quota && quota > 0 ? String(quota) : "max";
    writeField(`${field}.${name}`, `${directory}/cpu.max`, `${limit} ${period || periodDefaultUs}`);
  }
  if (!burstIsSet) writeField(`${field}.burst`, burstPath, String(burst));
  if (idle) writeField(`${field}.idle`, `${directory}/cpu.idle`, String(idle));
  // cgroup v2 has no real-time limits of a cgroup's own (cgroup-v2.rst, "CPU"): these files are not there, and say so.
  applyRealtime(cpu, directory);
}

/** The kernel checks the two against each other: the runtime may have to go down before the period does. */
function applyRealtime({ realtimePeriod, realtimeRuntime }: Cpu, directory: string): void {
  const runtimePath = `${directory}/cpu.rt_runtime_us`;
  const both = Boolean(realtimePeriod && realtimeRuntime);
  const isSet = both && tryWriteField(`${field}.realtimeRuntime`, runtimePath, String(realtimeRuntime), "EINVAL");
  if (realtimePeriod) writeField(`${field}.realtimePeriod`, `${directory}/cpu.rt_period_us`, String(realtimePeriod));
  if (realtimeRuntime && !isSet) writeField(`${field}.realtimeRuntime`, runtimePath, String(realtimeRuntime));
}

/** @throws EngineError: the kernel takes shares that are out of its range for the end of the range. */
function writeShares(shares: number, directory: string): void {
  const path = `${directory}/cpu.shares`;
  if (shares < sharesMin || shares > sharesMax) {
    const message = `${field}.shares: ${shares} is not between ${sharesMin} and ${sharesMax}`;
    throw new EngineError("invalid_argument", message, { path });
  }
  writeField(`${field}.shares`, path, String(shares));
}

/**
 * v1's shares, 2 to 262144 with 1024 as the default, as v2's weight, 1 to 10000 with 100: a curve through the three
 * pairs, which runc and crun have agreed on in 2025. The straight line that was used before gave 39 for the default.
 */
export function weightOfShares(shares: number): number {
  if (shares <= sharesMin) return 1;
  if (shares >= sharesMax) return 10_000;
  const log = Math.log2(shares);
  return Math.ceil(10 ** ((log * log + 125 * log) / 612 - 7 / 34));
}

/** Whether the processes of a new cgroup v1 would have somewhere to run: cpuset(7), "cpus and mems must be set". */
export function fillCpuset(directory: string, mountPoint: string): void {
  if (directory === mountPoint || directory.length < mountPoint.length) return;
  const parent = directory.slice(0, directory.lastIndexOf("/"));
  for (const name of ["cpuset.cpus", "cpuset.mems"]) {
    if (readOptional(`${directory}/${name}`)?.trim() !== "") continue;
    let value = readOptional(`${parent}/${name}`)?.trim();
    if (value === "") {
      fillCpuset(parent, mountPoint);
      value = readOptional(`${parent}/${name}`)?.trim();
    }
    if (value) writeField("linux.cgroupsPath", `${directory}/${name}`, value);
  }
}
