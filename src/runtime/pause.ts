import { EngineError } from "../core/errors.ts";
import type { CgroupMembers } from "./cgroup/members.ts";
import { containerCgroup } from "./container-cgroup.ts";
import type { ContainerRecord } from "./record.ts";
import { containerStatus } from "./status.ts";
import { lockContainer, readRecord } from "./store.ts";

/**
 * Stops all processes of a container that was created or runs, and returns when they stand.
 * @throws EngineError not_found; conflict when it does not run or is paused already; unsupported without a freezer;
 *   timeout when a process does not stop: then none is left stopped.
 */
export function pauseContainer(root: string, id: string): void {
  using _lock = lockContainer(root, id);
  const record = readRecord(root, id);
  const { status } = containerStatus(root, record);
  if (status !== "running" && status !== "created") {
    // Callers of runc look for "container not running".
    throw new EngineError("conflict", `cannot pause ${id}, which is ${status}: container not running`);
  }
  cgroupOf(record, "paused").freeze();
}

/** Lets the processes of a paused container go on. @throws EngineError not_found; conflict when it is not paused. */
export function resumeContainer(root: string, id: string): void {
  using _lock = lockContainer(root, id);
  const record = readRecord(root, id);
  const { status } = containerStatus(root, record);
  if (status !== "paused") {
    throw new EngineError("conflict", `cannot resume ${id}, which is ${status}: container not paused`);
  }
  cgroupOf(record, "resumed").thaw();
}

function cgroupOf(record: ContainerRecord, verb: string): CgroupMembers {
  const cgroup = containerCgroup(record);
  if (cgroup !== undefined) return cgroup;
  throw new EngineError("unsupported", `container ${record.id} has no cgroup of its own, and cannot be ${verb}`);
}
