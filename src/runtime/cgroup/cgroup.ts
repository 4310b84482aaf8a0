/** One interface for cgroup v2, v1 and hybrid hosts. */
import type { LinuxDevice, LinuxResources } from "../../oci/runtime.ts";
import { type CgroupHost, cgroupHost, resolveCgroupsPath } from "./hierarchy.ts";
import { applyLimits } from "./limits.ts";
import { makeCgroup } from "./make.ts";
import { type CgroupMembers, HostCgroupMembers } from "./members.ts";
import { type OomFigures, readOomFigures, readStats, readUsage } from "./stats.ts";
import type { CgroupStats } from "./stats-types.ts";

export type { CgroupStats } from "./stats-types.ts";

/**
 * A container's cgroup with its limits and counters. Errors name the field of config.json, the file and the errno:
 * `linux.resources.memory.limit: write 4096 to /sys/fs/cgroup/x/memory.max: EINVAL`.
 */
export interface Cgroup extends CgroupMembers {
  /** Makes the directories; parents get their controllers enabled (v2) or their cpusets filled (v1). */
  create(): void;
  /**
   * Writes limits. A limit whose controller is missing is an error.
   * @param devices given when a container is made, its nodes: then device rules are set in any case, with the
   *   specification's defaults; left out by an update, which changes them only where `resources.devices` is there.
   */
  apply(resources: LinuxResources, devices?: readonly LinuxDevice[]): void;
  /** Of what the kernel's OOM killer did here; undefined when it did nothing. */
  oomFigures(): OomFigures | undefined;
  stats(): CgroupStats;
  /** The part of it that is looked at often. */
  usage(): Pick<CgroupStats, "cpu" | "memory" | "pids" | "blockIO">;
}

/**
 * The cgroup of a cgroupsPath, whether it is there or not: absolute from the mount points, or relative to this
 * process's own (see resolveCgroupsPath).
 * @throws EngineError invalid_argument for the root or an empty path, unsupported on a host without cgroups.
 */
export function openCgroup(cgroupsPath: string, host: CgroupHost = cgroupHost()): Cgroup {
  return new HostCgroup(resolveCgroupsPath(cgroupsPath, host), host);
}

export class HostCgroup extends HostCgroupMembers implements Cgroup {
  create(): void {
    for (const { directory, hierarchy } of this.places.all()) makeCgroup(directory, hierarchy);
  }

  apply(resources: LinuxResources, devices?: readonly LinuxDevice[]): void {
    applyLimits(devices === undefined ? resources : { devices: [], ...resources }, this.places, devices ?? []);
  }

  oomFigures(): OomFigures | undefined {
    return readOomFigures(this.places.find("memory"));
  }

  stats(): CgroupStats {
    return readStats(this.places);
  }

  usage(): Pick<CgroupStats, "cpu" | "memory" | "pids" | "blockIO"> {
    return readUsage(this.places);
  }
}
