import { type Cgroup, openCgroup } from "./cgroup/cgroup.ts";
import { cgroupHost } from "./cgroup/hierarchy.ts";
import type { ContainerRecord } from "./record.ts";

/** What a record says of a cgroup, so that later verbs find it without looking for the host's hierarchies. */
export function cgroupRecord(cgroup: Cgroup): Pick<ContainerRecord, "cgroupPath" | "cgroupHost"> {
  return { cgroupPath: cgroup.path, cgroupHost: cgroupHost() };
}

/** A container's cgroup; undefined for one that has none of its own. */
export function containerCgroup({ cgroupPath, cgroupHost: host }: ContainerRecord): Cgroup | undefined {
  return cgroupPath === undefined ? undefined : openCgroup(cgroupPath, host);
}
