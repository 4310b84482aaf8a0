import { openProcess, pidfd_send_signal, waitForEnd } from "../../ffi/process.ts";
import { EngineError, isEngineError } from "../core/errors.ts";
import type { CgroupDriver } from "./cgroup/driver.ts";
import type { CgroupMembers } from "./cgroup/members.ts";
import { containerCgroup } from "./container-cgroup.ts";
import { runHooksToTheEnd } from "./hooks.ts";
import type { ContainerRecord } from "./record.ts";
import { type ContainerStatus, containerStatus, ociState } from "./status.ts";
import { lockContainer, noSuchContainer, readRecord, removeContainerDirectory } from "./store.ts";
import { unitCgroup } from "./systemd.ts";

const SIGKILL = 9;
/** A killed process may need a while to leave the kernel: dirty pages, a hanging NFS server. */
export const endTimeoutMs = 10_000;

export interface DeleteOptions {
  /** Kill a running container first, and take what an interrupted `create` left. An unknown id is no error then. */
  force?: boolean;
  /** Hears of poststop hooks that failed, which do not keep the container from being deleted. */
  warn?: (message: string) => void;
  /** Needed for a container that was made with it (recordedDriver). */
  cgroupDriver?: CgroupDriver;
}

/**
 * Removes all that there is of a container: processes, cgroup, state.
 * @throws EngineError not_found; conflict when it runs and `force` is not set.
 */
export function deleteContainer(root: string, id: string, options: DeleteOptions = {}): void {
  try {
    using _lock = lockContainer(root, id);
    deleteLocked(root, id, options);
  } catch (error) {
    if (!(options.force && isEngineError(error, "not_found"))) throw error;
  }
}

function deleteLocked(root: string, id: string, options: DeleteOptions): void {
  let record: ContainerRecord;
  try {
    record = readRecord(root, id);
  } catch (error) {
    if (!isEngineError(error, "not_found") && !isEngineError(error, "corrupt")) throw error;
    if (!options.force) {
      if (isEngineError(error, "corrupt")) throw error;
      throw new EngineError("not_found", `${noSuchContainer(root, id).message}: its creation was interrupted`, {
        hint: "delete --force removes what is left",
      });
    }
    // Killed before the first record, or after its removal: there is nothing but the directory.
    removeContainerDirectory(root, id);
    return;
  }
  const status = containerStatus(root, record);
  if ((status.status === "running" || status.status === "paused") && !options.force) {
    throw new EngineError("conflict", `cannot delete container ${id} that is not stopped: ${status.status}`, {
      hint: "kill it first, or use --force",
    });
  }
  endProcesses(record, unitCgroup(record, options.cgroupDriver) ?? containerCgroup(record));
  runPoststop(record, options.warn);
  removeContainerDirectory(root, id);
}

/** Kills what is left of a container and removes its cgroup. Safe to repeat, and after an interrupted creation. */
export function endProcesses(record: ContainerRecord, cgroup: CgroupMembers | undefined): void {
  const present = cgroup?.exists() ?? false;
  const { init } = record.lifecycle;
  using pidfd = init && openProcess(init);
  if (pidfd !== undefined) pidfd_send_signal(pidfd, SIGKILL);
  if (present && cgroup !== undefined && cgroup.pids().length > 0) {
    cgroup.kill();
    // A frozen process of cgroup v1 does not even die.
    if (cgroup.version === 1 && cgroup.frozen()) cgroup.thaw();
  }
  if (pidfd !== undefined && !waitForEnd(pidfd, endTimeoutMs)) {
    throw new EngineError("timeout", `container ${record.id}: process ${init?.pid} does not end after SIGKILL`);
  }
  // A unit may be there without its cgroup: it has not come that far, or has failed.
  if (present || record.systemd !== undefined) cgroup?.remove();
}

function runPoststop(record: ContainerRecord, warn: (message: string) => void = () => undefined): void {
  // No process was ever started: no hook saw the container before, and none is owed now (runtime.md, "Lifecycle").
  if (record.lifecycle.phase === "creating") return;
  const stopped: ContainerStatus = { status: "stopped" };
  runHooksToTheEnd("poststop", record.hooks?.poststop, ociState(record, stopped), warn);
}
