import { existsSync } from "../../ffi/fs.ts";
import { isAlive, type ProcessIdentity } from "../../ffi/process.ts";
import type { OciState } from "../oci/runtime.ts";
import { openCgroup } from "./cgroup/cgroup.ts";
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
    // A creator that was killed will not go on: what it left can only be deleted.
    return { status: isAlive(lifecycle.creator) ? "creating" : "stopped" };
  }
  const { init } = lifecycle;
  if (!isAlive(init)) return { status: "stopped" };
  // Also one that was never started: `start` would wait for it in vain.
  if (record.cgroupPath !== undefined && openCgroup(record.cgroupPath).frozen()) return { status: "paused", init };
  // `start` removes the fifo once the first process has passed it.
  return { status: existsSync(execFifoPath(root, record.id)) ? "created" : "running", init };
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
