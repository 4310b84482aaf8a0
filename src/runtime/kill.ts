import { isAlive, openProcess, pidfd_open, pidfd_send_signal } from "../../ffi/process.ts";
import { EngineError, isErrno } from "../core/errors.ts";
import type { CgroupMembers } from "./cgroup/members.ts";
import { containerCgroup } from "./container-cgroup.ts";
import type { ContainerRecord } from "./record.ts";
import { readConfig, readRecord } from "./store.ts";

const SIGKILL = 9;

/**
 * Sends a signal to a container's first process, or to all its processes.
 *
 * SIGKILL always ends the whole container: without a pid namespace of its own, the end of the first process would
 * leave the others running.
 * @throws EngineError not_found; conflict when the container has stopped.
 */
export function killContainer(root: string, id: string, signal: number, all = false): void {
  const record = readRecord(root, id);
  const cgroup = containerCgroup(record);
  const everybody = cgroup !== undefined && (all || (signal === SIGKILL && !ownsPidNamespace(root, id)));
  // Of a creation too: the program may run, and be heard of, before its creator has written that it does.
  const { init } = record.lifecycle;
  const isRunning = init !== undefined && isAlive(init);
  // A shared pid namespace may hold processes that outlived the first.
  const left = everybody && cgroup.exists() && cgroup.pids().length > 0;
  if (!isRunning && !left) throw notRunning(id);
  if (everybody) signalAll(cgroup, signal);
  else signalInit(record, id, signal);
  // cgroup v1 delivers no signal to frozen processes, not even this one.
  if (signal === SIGKILL && cgroup?.version === 1 && cgroup.frozen()) cgroup.thaw();
}

function signalInit(record: ContainerRecord, id: string, signal: number): void {
  const init = record.lifecycle.init;
  using pidfd = init && openProcess(init);
  if (pidfd === undefined || !pidfd_send_signal(pidfd, signal)) throw notRunning(id);
}

/** Freezes the cgroup meanwhile, so that nothing forks itself out of reach and no pid gets a new owner. */
function signalAll(cgroup: CgroupMembers, signal: number): void {
  if (signal === SIGKILL) {
    cgroup.kill();
    return;
  }
  const wasFrozen = cgroup.frozen();
  if (!wasFrozen) cgroup.freeze();
  try {
    for (const pid of cgroup.pids()) {
      try {
        using pidfd = pidfd_open(pid);
        pidfd_send_signal(pidfd, signal);
      } catch (error) {
        if (!isErrno(error, "ESRCH")) throw error;
      }
    }
  } finally {
    if (!wasFrozen) cgroup.thaw();
  }
}

function ownsPidNamespace(root: string, id: string): boolean {
  const namespaces = readConfig(root, id).linux?.namespaces ?? [];
  return namespaces.some((namespace) => namespace.type === "pid" && !namespace.path);
}

/** Callers of runc look for "container not running". */
function notRunning(id: string): EngineError {
  return new EngineError("conflict", `cannot signal ${id}: container not running`);
}
