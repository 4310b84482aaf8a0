/** The processes of a cgroup: who they are, stopping them, ending them. */

import { AT_FDCWD } from "../../../ffi/constants/open.ts";
import { SYS } from "../../../ffi/constants/syscalls.ts";
import { errnoName, SyscallError } from "../../../ffi/errno.ts";
import { readdirSync, rmdirSync } from "../../../ffi/fs.ts";
import { statx } from "../../../ffi/stat.ts";
import { syscall } from "../../../ffi/syscall.ts";
import { EngineError, isErrno } from "../../core/errors.ts";
import { parseKeyed, readCgroupFile, readOptional, writeCgroupFile } from "./files.ts";
import type { Place } from "./place.ts";

const SIGKILL = 9;

/** How long the kernel may take to stop all processes: one in the middle of a disk's work has to finish that first. */
const freezeTimeoutMs = 2_000;

/** Every process of the cgroup and of those below; none when there is no such cgroup. */
export function processesOf(directory: string): number[] {
  const text = readOptional(`${directory}/cgroup.procs`) ?? "";
  const pids: number[] = [];
  for (const line of text.split("\n")) if (line !== "") pids.push(Number(line));
  for (const child of childrenOf(directory)) pids.push(...processesOf(child));
  return pids;
}

function childrenOf(directory: string): string[] {
  try {
    // Each child links to its parent, as in every directory: most have none, and thirty files that need no look.
    if (statx(AT_FDCWD, directory).links === 2) return [];
    const entries = readdirSync(directory, { withFileTypes: true });
    return entries.filter((entry) => entry.isDirectory()).map((entry) => `${directory}/${entry.name}`);
  } catch (error) {
    if (isErrno(error, "ENOENT", "ENODEV")) return [];
    throw error;
  }
}

/**
 * Stops or lets go on all processes, and waits until the kernel says so.
 * @throws EngineError timeout when some do not stop.
 */
export function setFrozen(place: Place, frozen: boolean): void {
  if (place.version === 2) setFrozenV2(place.directory, frozen);
  else setFrozenV1(place.directory, frozen);
}

export function isFrozen({ version, directory }: Place): boolean {
  // v1 says FREEZING while it is not done: such a cgroup does not run either.
  if (version === 1) return readOptional(`${directory}/freezer.self_freezing`)?.trim() === "1";
  return readOptional(`${directory}/cgroup.freeze`)?.trim() === "1";
}

function setFrozenV2(directory: string, frozen: boolean): void {
  writeCgroupFile(`${directory}/cgroup.freeze`, frozen ? "1" : "0");
  const wanted = frozen ? 1 : 0;
  const done = waitFor(freezeTimeoutMs, () => {
    return parseKeyed(readCgroupFile(`${directory}/cgroup.events`)).frozen === wanted;
  });
  if (done) return;
  // None may be left stopped by a call that failed.
  if (frozen) writeCgroupFile(`${directory}/cgroup.freeze`, "0");
  throw notFrozen(directory, frozen);
}

/**
 * A process that forks while it is being frozen keeps v1 at FREEZING; freezing again catches the child (which is
 * what the kernel's documentation says to do, freezer-subsystem.rst). Where that does not help, thawing for a moment
 * lets tasks leave the place in the kernel where they cannot stop.
 */
function setFrozenV1(directory: string, frozen: boolean): void {
  const path = `${directory}/freezer.state`;
  const wanted = frozen ? "FROZEN" : "THAWED";
  writeCgroupFile(path, wanted);
  let attempts = 0;
  const done = waitFor(freezeTimeoutMs, () => {
    if (readCgroupFile(path).trim() === wanted) return true;
    if (frozen && ++attempts % 25 === 0) writeCgroupFile(path, "THAWED");
    writeCgroupFile(path, wanted);
    return false;
  });
  if (done) return;
  writeCgroupFile(path, "THAWED");
  throw notFrozen(directory, frozen);
}

function notFrozen(directory: string, frozen: boolean): EngineError {
  const message = `${frozen ? "freeze" : "thaw"} ${directory}: not done after ${freezeTimeoutMs} ms`;
  return new EngineError("timeout", message, { path: directory });
}

/**
 * Sends SIGKILL to all processes, also to those that appear meanwhile: in one step by cgroup.kill (Linux 5.14), else
 * while they are frozen and cannot fork. v1 delivers the signal when they are thawed, so they are.
 * @param members where the processes are looked for.
 * @param unified the v2 directory. On a hybrid host a privileged process may have left it: the others are asked too.
 * @param freezer where they can be frozen; undefined where nothing can.
 */
export function killAll(members: string, unified: Place | undefined, freezer: Place | undefined): void {
  if (unified !== undefined && killInOneStep(unified.directory) && unified.directory === members) return;
  if (freezer !== undefined) tryFreeze(freezer);
  try {
    // Frozen, one pass catches them all; otherwise those that are forked meanwhile are caught by the next.
    for (let pass = 0; pass < (freezer === undefined ? 10 : 1); pass++) {
      const pids = processesOf(members);
      for (const pid of pids) kill(pid);
      if (pids.length === 0) break;
    }
  } finally {
    if (freezer !== undefined) unlessGone(() => setFrozen(freezer, false));
  }
}

/** Whoever waits for the container may have removed the cgroup since the processes in it ended. */
function unlessGone(act: () => void): void {
  try {
    act();
  } catch (error) {
    if (!isErrno(error, "ENOENT", "ENODEV")) throw error;
  }
}

function killInOneStep(directory: string): boolean {
  try {
    writeCgroupFile(`${directory}/cgroup.kill`, "1");
    return true;
  } catch (error) {
    // ENODEV: systemd has removed it meanwhile. EOPNOTSUPP: a threaded cgroup, whose processes belong to its parent.
    if (isErrno(error, "ENOENT", "ENODEV", "EOPNOTSUPP")) return false;
    throw error;
  }
}

/** A process that cannot be frozen can still be killed. */
function tryFreeze(freezer: Place): void {
  try {
    unlessGone(() => setFrozen(freezer, true));
  } catch (error) {
    if (!(error instanceof EngineError && error.code === "timeout")) throw error;
  }
}

function kill(pid: number): void {
  const result = syscall(SYS.kill, pid, SIGKILL);
  if (result < 0 && errnoName(-result) !== "ESRCH") throw new SyscallError("kill", -result, `process ${pid}`);
}

/**
 * Removes a cgroup and those that were made below it. Killed processes leave it when they are reaped: until then the
 * kernel says EBUSY, and this waits, bounded.
 * @throws EngineError conflict that names who is still there.
 */
export function removeTree(directory: string, timeoutMs: number): void {
  const done = waitFor(timeoutMs, () => tryRemove(directory));
  if (done) return;
  const left = processesOf(directory);
  const who = left.length > 0 ? `processes ${left.slice(0, 10).join(", ")} are still in it` : "it is in use";
  throw new EngineError("conflict", `remove cgroup ${directory}: EBUSY: ${who}`, { path: directory });
}

function tryRemove(directory: string): boolean {
  try {
    rmdirSync(directory);
    return true;
  } catch (error) {
    if (isErrno(error, "ENOENT")) return true;
    if (!isErrno(error, "EBUSY", "ENOTEMPTY")) throw error;
  }
  const children = childrenOf(directory);
  return children.length > 0 && children.map(tryRemove).every(Boolean) && tryRemove(directory);
}

/** Asks again and again, first at once, then in ever longer steps of up to 10 ms. */
function waitFor(timeoutMs: number, condition: () => boolean): boolean {
  const end = performance.now() + timeoutMs;
  for (let pauseMs = 0.1; ; pauseMs = Math.min(pauseMs * 1.5, 10)) {
    if (condition()) return true;
    if (performance.now() > end) return false;
    Bun.sleepSync(pauseMs);
  }
}
