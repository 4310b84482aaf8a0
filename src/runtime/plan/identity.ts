/** The common end of init and exec: from a process with all privileges in the container to the container's program. */
import { O_CLOEXEC, O_WRONLY, openFlags } from "../../../ffi/constants/open.ts";
import type { PlanBuilder } from "../../../ffi/plan/builder.ts";
import { planBase, recordSize } from "../../../ffi/plan/records.ts";
import { bytes, flags, type Memory, memory, octal, type Ref, str } from "../../../ffi/plan/values.ts";
import { encodeText } from "../../../ffi/text.ts";
import type { OciHooks, OciProcess } from "../../oci/runtime.ts";
import { closeOnExec, executeCommand, lookUpCommand, unblockSignals } from "./command.ts";
import type { ProcessContext } from "./context.ts";
import {
  becomeUser,
  dropBounding,
  loadSeccomp,
  lowerLimits,
  setCapabilities,
  setNoNewPrivileges,
} from "./credentials.ts";
import { addHooks } from "./hooks.ts";
import { writeProc } from "./proc.ts";
import { setScheduling } from "./scheduling.ts";
import { ownStreams, placeStreams, type Terminal } from "./terminal.ts";

const defaultUmask = 0o022;

export interface IdentityContext extends ProcessContext {
  terminal: Terminal | undefined;
  /** The verified procfs that sets the labels; needed where `usesProc` says so, unless they are set already. */
  proc: Ref | undefined;
  /** Reports the listener of a filter that notifies, once it is there. */
  onListener: (listener: Ref) => void;
}

/**
 * Streams, limits, working directory, user, capabilities. When it is over the process can do nothing that its program
 * could not, except with the descriptors that it still has.
 */
export function assumeIdentity(plan: PlanBuilder, process: OciProcess, context: IdentityContext): void {
  placeStreams(plan, context.terminal);
  ownStreams(plan, process);
  closeOnExec(plan, context.preserveFds ?? 0);
  plan.call("umask", [octal(process.user?.umask ?? defaultUmask)], { why: "process.user.umask" });
  setScheduling(plan, process);
  setNoNewPrivileges(plan, process);
  if (!process.noNewPrivileges) loadFilter(plan, context);
  const where = enterDirectory(plan, process);
  dropBounding(plan, process);
  becomeUser(plan, process);
  enterDirectoryAsUser(plan, process, where);
  setCapabilities(plan, process);
}

/** Without no_new_privs a filter needs CAP_SYS_ADMIN: it comes before that is gone, else as late as can be. */
function loadFilter(plan: PlanBuilder, context: IdentityContext): void {
  if (context.seccomp === undefined) return;
  const listener = loadSeccomp(plan, context.seccomp);
  if (listener !== undefined) context.onListener(listener);
}

const pathMax = 4096;

/** Not every user may enter every directory, and root may not where a user namespace maps it to nobody. */
function enterDirectory(plan: PlanBuilder, process: OciProcess): Memory {
  const where = memory(pathMax, "working directory");
  const later = plan.label("tried again as the user");
  plan.because("process.cwd", () => {
    plan.call("chdir", [str(process.cwd)], { what: process.cwd, onError: later });
    plan.call("getcwd", [where, pathMax], { what: process.cwd });
    plan.place(later);
  });
  return where;
}

/**
 * The directory must lie below the root: getcwd(2) begins with a slash then, and with "(unreachable)" where a
 * descriptor of the host or a symlink in /proc led out (CVE-2024-21626).
 */
function enterDirectoryAsUser(plan: PlanBuilder, process: OciProcess, where: Memory): void {
  const slash = { mask: 0xffn, expected: 0x2fn };
  const EXDEV = 18;
  plan.because("process.cwd", () => {
    const inside = plan.label("the working directory is inside");
    plan.select(where, { ...slash, equal: 0, different: 1 }, { onZero: inside });
    plan.call("chdir", [str(process.cwd)], { what: process.cwd });
    plan.call("getcwd", [where, pathMax], { what: process.cwd });
    plan.select(where, { ...slash, equal: 0, different: -EXDEV }, { what: `${process.cwd} leads out of the root` });
    plan.place(inside);
  });
}

/** Whether the procfs is needed to the end: each descriptor that stays open is one that could be taken. */
export function usesProc({ apparmorProfile, selinuxLabel }: OciProcess, start: "now" | "wait"): boolean {
  return start === "wait" || Boolean(apparmorProfile) || Boolean(selinuxLabel);
}

/**
 * The last steps: the parent hears of it, the process waits if it is to wait for `start`, and becomes its program. A
 * filter that is loaded here has only its own reading of the checkpoint, and execve, to let through.
 */
export function becomeCommand(
  plan: PlanBuilder,
  process: OciProcess,
  context: IdentityContext,
  start: "now" | "wait",
  hooks?: OciHooks,
): void {
  if (start === "wait") {
    const fifo = waitForStart(plan, process, context.proc);
    reportToStart(plan, fifo, () => finishCommand(plan, process, context, hooks));
    return;
  }
  plan.because("progress", () => plan.checkpoint("ready"));
  finishCommand(plan, process, context, hooks, unblockSignals);
}

function finishCommand(
  plan: PlanBuilder,
  process: OciProcess,
  context: IdentityContext,
  hooks: OciHooks | undefined,
  unblock: (plan: PlanBuilder) => void = () => undefined,
): void {
  if (context.proc !== undefined) addHooks(plan, hooks, "startContainer", context.proc);
  lowerLimits(plan, process);
  const { proc } = context;
  if (proc !== undefined) {
    setLabels(plan, process, proc);
    plan.because("procfs", () => plan.close(proc));
  }
  unblock(plan);
  if (process.noNewPrivileges) loadFilter(plan, context);
  executeCommand(plan, process);
}

/**
 * open(2) of the fifo for writing waits for the reader, which is `start`; the byte says that it was not in vain.
 * @returns the fifo.
 */
function waitForStart(plan: PlanBuilder, process: OciProcess, proc: Ref | undefined): Ref {
  lookUpCommand(plan, process);
  // Whoever kills a container that waits must not have to wait for its start.
  unblockSignals(plan);
  plan.because("progress", () => plan.checkpoint("created"));
  return plan.because("exec.fifo", () => {
    const bits = flags(O_WRONLY | O_CLOEXEC, openFlags);
    const path = plan.descriptorPath("self/fd/", "execFifo");
    const retry = { errnos: ["EINTR"], times: 1_000_000 } as const;
    const fifo = plan.call("openat", [proc ?? -1, path, bits, 0], { what: "exec.fifo", name: "fifo", retry });
    plan.call("write", [fifo, bytes(encodeText("0"), '"0"'), 1], { what: "exec.fifo" });
    return fifo;
  });
}

/**
 * After its parent has gone the process can tell nobody but `start` of a failure: it writes the records since then,
 * with their results, into the fifo. On success execve closes it.
 */
function reportToStart(plan: PlanBuilder, fifo: Ref, add: () => void): void {
  const failed = plan.label("failed after the start", true);
  const first = plan.position;
  plan.failingTo(failed, add);
  const count = plan.position - first;
  plan.defer(() => {
    plan.place(failed);
    plan.because(reportField, () => {
      const place = planBase + first * recordSize;
      plan.call("write", [fifo, place, count * recordSize], { what: "exec.fifo" });
      plan.call("exit_group", [statusOfFailure]);
    });
  });
}

/** Why the records are there that report a failure to `start`. */
export const reportField = "exec.fifo report";
const statusOfFailure = 255;

/** What the security modules are to make of the program: attributes that wait for the execve. */
export function setLabels(plan: PlanBuilder, { apparmorProfile, selinuxLabel }: OciProcess, proc: Ref): void {
  if (apparmorProfile !== undefined && apparmorProfile !== "") {
    plan.because("process.apparmorProfile", () => setProfile(plan, proc, apparmorProfile));
  }
  if (selinuxLabel !== undefined && selinuxLabel !== "") {
    plan.because("process.selinuxLabel", () => {
      writeProc(plan, proc, "self/attr/exec", selinuxLabel, { what: `SELinux label ${selinuxLabel}` });
    });
  }
}

/** AppArmor has a directory of its own since Linux 5.8; before, it used the one that all modules share. */
function setProfile(plan: PlanBuilder, proc: Ref, profile: string): void {
  const [shared, done] = [plan.label("the shared attribute"), plan.label("the profile is set")];
  const text = `exec ${profile}`;
  const what = `AppArmor profile ${profile}`;
  writeProc(plan, proc, "self/attr/apparmor/exec", text, { what, onError: shared });
  plan.place(done);
  plan.defer(() => {
    plan.place(shared);
    writeProc(plan, proc, "self/attr/exec", text, { what });
    plan.jump(done);
  });
}
