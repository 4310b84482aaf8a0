import { cgroupHost } from "./cgroup/hierarchy.ts";
import { type CgroupMembers, HostCgroupMembers } from "./cgroup/members.ts";
import type { ContainerRecord } from "./record.ts";

/** What a record says of a cgroup, so that later verbs find it without looking for the host's hierarchies. */
export function cgroupRecord({ path }: CgroupMembers): Pick<ContainerRecord, "cgroupPath" | "cgroupHost"> {
  return { cgroupPath: path, cgroupHost: cgroupHost() };
}

/** A container's cgroup as a group of processes; undefined for one that has none of its own. */
export function containerCgroup({ cgroupPath, cgroupHost: host }: ContainerRecord): CgroupMembers | undefined {
  return cgroupPath === undefined ? undefined : new HostCgroupMembers(cgroupPath, host ?? cgroupHost());
}
