/**
 * What the init of `--init` does, as a plan: process 1 of a container whose own program is not made for that. It starts
 * the program, hands signals on to it, reaps whatever is orphaned, and ends with the program's status, 128 + n after a
 * signal n.
 */
import { cloneFlags } from "../constants/namespace.ts";
import { SIG_SETMASK, SIGCHLD, WNOHANG } from "../constants/process.ts";
import { TIOCSPGRP, ttyRequests } from "../constants/tty.ts";
import { PlanBuilder } from "../plan/builder.ts";
import type { Label, Plan } from "../plan/records.ts";
import {
  type Argument,
  answer,
  at,
  bytes,
  constant,
  flags,
  type Memory,
  memory,
  type Ref,
  str,
  struct,
} from "../plan/values.ts";

/** The program that an init starts. */
export interface InitProgram {
  /** argv[0]. */
  name: string;
  /** The directories of PATH with colons between them, for a name without a slash. */
  path: string;
}

/** What both processes use. */
interface Surroundings {
  argv: Ref;
  envp: Ref;
  /** The signals that were blocked when the init began. */
  former: Memory;
}

/** Of the program's own faults, which cannot be waited for: ILL, TRAP, ABRT, BUS, FPE, SEGV, SYS. */
const faults = [4, 5, 6, 7, 8, 11, 31];

const stderr = 2;
const signalSetSize = 8;
const maskOperation = constant(SIG_SETMASK, { SIG_SETMASK });
/** Of a command that was not found, was found and cannot be executed, and of an init that failed itself: Docker's. */
const [notFoundStatus, notExecutableStatus, failedStatus] = [127, 126, 125];

/** @throws TypeError for a name or a path with a NUL. */
export function initPlan(program: InitProgram): Plan {
  const plan = new PlanBuilder();
  const [noCommand, noProcess] = [plan.label("no command"), plan.label("no process")];
  const child = plan.label("the program");
  const waited = bytes(setOfWaited(), "all signals but those of faults");
  const { argv, envp, former } = takeArguments(plan, noCommand);
  const pid = plan.because("the program's process", () => {
    plan.call("rt_sigprocmask", [maskOperation, waited, former, signalSetSize], { onError: noProcess });
    const bits = flags(SIGCHLD, { ...cloneFlags, SIGCHLD });
    return plan.call("clone", [bits, 0, 0, 0, 0], { fork: true, onZero: child, onError: noProcess, name: "child" });
  });
  waitForever(plan, pid, waited);
  plan.place(child);
  plan.because("job control", () => takeForeground(plan, former));
  plan.because("the program", () => becomeProgram(plan, program, { argv, envp, former }));
  plan.because("nothing was started", () => {
    plan.place(noCommand);
    sayAndEnd(plan, "tsd-init: no command\n", failedStatus);
    plan.place(noProcess);
    sayAndEnd(plan, "tsd-init: cannot make a process\n", failedStatus);
  });
  return plan.build();
}

/** The first record's first argument is the memory that entry.ts fills. */
function takeArguments(plan: PlanBuilder, noCommand: Label): Surroundings {
  return plan.because("the arguments", () => {
    const given = memory(16, "given");
    const argv = plan.load(given, {}, { name: "argv" });
    const envp = plan.load(at(given, 8), {}, { name: "envp" });
    plan.select(argv, { expected: 0n, equal: 0, different: 1 }, { onZero: noCommand });
    return { argv, envp, former: memory(8, "former") };
  });
}

/** One signal at a time: SIGCHLD for the children that have ended, any other for the program. */
function waitForever(plan: PlanBuilder, child: Ref, waited: Argument): void {
  const [wait, reap, ended] = [plan.label("wait"), plan.label("reap"), plan.label("the program has ended")];
  // A word at its second byte is read too.
  const status = memory(16, "status");
  plan.because("signals", () => {
    plan.place(wait);
    const signal = plan.call("rt_sigtimedwait", [waited, null, null, signalSetSize], { onError: reap, name: "signal" });
    const isChild = { expected: constant(SIGCHLD, { SIGCHLD }), equal: 0, different: 1 };
    plan.select(answer(signal), isChild, { onZero: reap });
    // It may not be there any more, or belong to another user.
    plan.call("kill", [child, signal], { onError: reap });
  });
  plan.because("orphans", () => {
    plan.place(reap);
    const options = constant(WNOHANG, { WNOHANG });
    const pid = plan.call("wait4", [-1, status, options, null], { onZero: wait, onError: wait, name: "pid" });
    plan.select(answer(pid), { expected: child, equal: 0, different: 1 }, { onZero: ended, next: reap });
  });
  plan.because("the status", () => {
    const exited = plan.label("it was not a signal");
    plan.place(ended);
    plan.select(status, { mask: 0x7fn, expected: 0n, equal: 0, different: 1 }, { onZero: exited });
    plan.call("exit_group", [plan.load(status, { mask: 0x7fn, plus: 128 }, { name: "128 + n" })]);
    plan.place(exited);
    plan.call("exit_group", [plan.load(at(status, 1), { mask: 0xffn }, { name: "code" })]);
  });
}

/** A process group of its own, in the terminal's foreground if there is one: job control and ^C work as without init. */
function takeForeground(plan: PlanBuilder, former: Memory): void {
  const [grouped, noTerminal] = [plan.label("in a group"), plan.label("no terminal")];
  plan.call("setpgid", [0, 0], { onError: grouped });
  plan.place(grouped);
  const group = struct({ group: plan.call("getpid", [], { name: "group" }) });
  // Blocked signals, SIGTTOU among them, let a group of the background do that.
  plan.call("ioctl", [0, constant(TIOCSPGRP, ttyRequests), group], { onError: noTerminal });
  plan.place(noTerminal);
  plan.call("rt_sigprocmask", [maskOperation, former, null, signalSetSize]);
}

/** As execvp(3), but for scripts without a #! line. */
function becomeProgram(plan: PlanBuilder, program: InitProgram, { argv, envp }: Surroundings): void {
  const { name } = program;
  const [refused, failed] = [plan.label("not permitted"), plan.label("not executable")];
  const attempts = candidates(program).map((path) =>
    plan.call("execve", [str(path), argv, envp], {
      ignore: ["ENOENT", "ENOTDIR", "EACCES", "ENAMETOOLONG"],
      onError: failed,
    }),
  );
  const isRefused = { expected: constant(-13, { "-EACCES": -13 }), equal: 0, different: 1 };
  for (const attempt of attempts) plan.select(answer(attempt), isRefused, { onZero: refused });
  sayAndEnd(plan, `tsd-init: cannot execute ${name}: not found\n`, notFoundStatus);
  plan.place(refused);
  sayAndEnd(plan, `tsd-init: cannot execute ${name}: permission denied\n`, notExecutableStatus);
  plan.place(failed);
  sayAndEnd(plan, `tsd-init: cannot execute ${name}\n`, notExecutableStatus);
}

/** Where the program may be; an empty directory is the working directory. */
function candidates({ name, path }: InitProgram): string[] {
  if (name.includes("/")) return [name];
  return path.split(":").map((directory) => `${directory || "."}/${name}`);
}

function sayAndEnd(plan: PlanBuilder, message: string, status: number): void {
  const said = plan.label(`status ${status}`);
  plan.call("write", [stderr, str(message), Buffer.byteLength(message)], { onError: said });
  plan.place(said);
  plan.call("exit_group", [status]);
}

/** A set as rt_sigprocmask(2) takes it: bit n - 1 for signal n. */
function setOfWaited(): Uint8Array {
  const set = new Uint8Array(signalSetSize).fill(0xff);
  for (const signal of faults) set[(signal - 1) >> 3]! &= ~(1 << ((signal - 1) & 7));
  return set;
}
