import { existsSync, readlinkSync } from "../../ffi/fs.ts";
import { capsuleName } from "../../ffi/plan/capsule-name.ts";
import { isAlive, type ProcessIdentity } from "../../ffi/process.ts";
import { isErrno } from "../core/errors.ts";
import type { OciState } from "../oci/runtime.ts";
import { containerCgroup } from "./container-cgroup.ts";
import type { ContainerRecord } from "./record.ts";
import { execFifoPath } from "./store.ts";

/**
 * Where a container is in its life (runtime.md, "State"), found out anew each time from what was recorded and what the
 * kernel says: nobody watches a container whose creator has gone. Only the states that have a first process hold one.
 */
export type ContainerStatus =
  | { status: "creating" }
  | { status: "created"; init: ProcessIdentity }
  | { status: "running"; init: ProcessIdentity }
  | { status: "paused"; init: ProcessIdentity }
  | { status: "stopped" };

export function containerStatus(root: string, record: ContainerRecord): ContainerStatus {
  const { lifecycle } = record;
  if (lifecycle.phase === "creating") {
    const { init } = lifecycle;
    // The program may be heard of before its creator has written that it runs, or was killed.
    if (init !== undefined && isAlive(init) && hasBecomeProgram(init)) return { status: "running", init };
    // A creator that was killed will not go on: what it left can only be deleted.
    return { status: isAlive(lifecycle.creator) ? "creating" : "stopped" };
  }
  const { init } = lifecycle;
  if (!isAlive(init)) return { status: "stopped" };
  // Also one that was never started: `start` would wait for it in vain.
  if (containerCgroup(record)?.frozen()) return { status: "paused", init };
  // `start` removes the fifo once the first process has passed it.
  return { status: existsSync(execFifoPath(root, record.id)) ? "created" : "running", init };
}

/** The process no longer runs its plan, from the capsule or, where that cannot be had, from this executable. */
function hasBecomeProgram({ pid }: ProcessIdentity): boolean {
  try {
    const executable = readlinkSync(`/proc/${pid}/exe`);
    return !executable.startsWith(`/memfd:${capsuleName} `) && executable !== readlinkSync("/proc/self/exe");
  } catch (error) {
    // It ended, or is somebody else's.
    if (isErrno(error, "ENOENT", "ESRCH", "EACCES", "EPERM")) return false;
    throw error;
  }
}

/** The pid as state JSON has it: 0 when there is no process. */
export function statusPid(status: ContainerStatus): number {
  return "init" in status ? status.init.pid : 0;
}

/** What the specification's state JSON says; "paused", which it does not know, is running there. */
export function ociState(record: ContainerRecord, status: ContainerStatus): OciState {
  return {
    ociVersion: record.ociVersion,
    id: record.id,
    status: status.status === "paused" ? "running" : status.status,
    pid: statusPid(status),
    bundle: record.bundle,
    ...(record.annotations && { annotations: record.annotations }),
  };
}
