/** Other processes: pidfds, children and their ends, and how to know a process from the next one with its number. */

import { PR_SET_CHILD_SUBREAPER, WNOHANG } from "./constants/process.ts";
import { SYS } from "./constants/syscalls.ts";
import { type Descriptor, descriptorNumber, Fd } from "./fd.ts";
import { readTextIfThere } from "./fs.ts";
import { POLLIN, waitReady } from "./poll.ts";
import { call, check, syscall } from "./syscall.ts";

const ESRCH = 3;
const EINTR = 4;
const ECHILD = 10;
const EINVAL = 22;

/** pidfd_open(2): a descriptor that means this process for ever, readable (poll) once it has ended. @throws ESRCH. */
export function pidfd_open(pid: number): Fd {
  return new Fd(check("pidfd_open", tryOpen(pid), `process ${pid}`));
}

/**
 * The number of an ended process that its children have as their group or session still exists: Linux says EINVAL
 * there, as it does for a thread. Neither is a process.
 */
function tryOpen(pid: number): number {
  const result = syscall(SYS.pidfd_open, pid, 0);
  return result === -EINVAL && pid > 0 ? -ESRCH : result;
}

/**
 * pidfd_send_signal(2). Signal 0 asks only.
 * @returns false when the process has ended (it may be a zombie: those accept signals and report true).
 */
export function pidfd_send_signal(pidfd: Descriptor, signal: number): boolean {
  const result = syscall(SYS.pidfd_send_signal, descriptorNumber(pidfd), signal, null, 0);
  if (result === -ESRCH) return false;
  check("pidfd_send_signal", result);
  return true;
}

/** pidfd_getfd(2): a duplicate, close-on-exec, of the other process's descriptor `target`. */
export function pidfd_getfd(pidfd: Descriptor, target: number): Fd {
  return new Fd(call("pidfd_getfd", `descriptor ${target}`, descriptorNumber(pidfd), target, 0));
}

/** Waits for a process's end. @returns whether it ended in time; -1 waits for ever. Reaps nothing. */
export function waitForEnd(pidfd: Descriptor, timeoutMs: number): boolean {
  return waitReady(pidfd, POLLIN, timeoutMs);
}

/** How a child ended, wait(2). */
export type ChildExit = { pid: number } & (
  | { kind: "exited"; code: number }
  | { kind: "killed"; signal: number; coreDumped: boolean }
);

/**
 * Reaps a child that has ended; -1 is any child. It does not wait.
 * @returns undefined while it runs, or when there is no such child (any more).
 */
export function reapChild(pid: number): ChildExit | undefined {
  return wait4(pid, WNOHANG);
}

/** Waits for a child's end and reaps it. The thread stands still. */
export function waitForChild(pid: number): ChildExit | undefined {
  return wait4(pid, 0);
}

function wait4(pid: number, options: number): ChildExit | undefined {
  const status = new Uint8Array(4);
  let result: number;
  do {
    result = syscall(SYS.wait4, pid, status, options, null);
  } while (result === -EINTR);
  if (result === 0 || result === -ECHILD) return undefined;
  check("wait4", result, `process ${pid}`);
  const word = status[0]! | (status[1]! << 8);
  const signal = word & 0x7f;
  if (signal === 0) return { pid: result, kind: "exited", code: word >> 8 };
  return { pid: result, kind: "killed", signal, coreDumped: (word & 0x80) !== 0 };
}

/** What a shell makes of it: the code, or 128 and the signal. */
export function exitStatus(exit: ChildExit): number {
  return exit.kind === "exited" ? exit.code : 128 + exit.signal;
}

/** Makes orphans among the descendants children of this process (PR_SET_CHILD_SUBREAPER(2const)), or of init again. */
export function setChildSubreaper(on: boolean): void {
  call("prctl", "PR_SET_CHILD_SUBREAPER", PR_SET_CHILD_SUBREAPER, on ? 1 : 0, 0, 0, 0);
}

/** A process, and not a later one that was given the same number. */
export interface ProcessIdentity {
  pid: number;
  /** Clock ticks from boot to its start. */
  startTime: number;
}

export interface ProcessStat extends ProcessIdentity {
  /** One letter of proc_pid_stat(5): R, S, D, T, Z, X … */
  state: string;
  parent: number;
  /** Its session's leader. */
  session: number;
}

/** /proc/<pid>/stat; undefined when there is no such process. */
export function processStat(pid: number): ProcessStat | undefined {
  const text = readTextIfThere(`/proc/${pid}/stat`);
  if (text === undefined) return undefined;
  // The second field is the program's name in parentheses, which may itself contain them and spaces.
  const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
  return {
    pid,
    state: fields[0]!,
    parent: Number(fields[1]),
    session: Number(fields[3]),
    startTime: Number(fields[19]),
  };
}

/** Whether that very process exists and has not ended: a zombie has. */
export function isAlive(identity: ProcessIdentity): boolean {
  const stat = processStat(identity.pid);
  return stat !== undefined && stat.startTime === identity.startTime && stat.state !== "Z" && stat.state !== "X";
}

/**
 * A pidfd of that very process.
 * @returns undefined when it has ended. The descriptor is opened before the start time is looked at, so that no
 * other process can take the number in between.
 */
export function openProcess(identity: ProcessIdentity): Fd | undefined {
  const result = tryOpen(identity.pid);
  if (result === -ESRCH) return undefined;
  using pidfd = new Fd(check("pidfd_open", result, `process ${identity.pid}`));
  return isAlive(identity) ? pidfd.move() : undefined;
}
