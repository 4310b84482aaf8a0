/** The plan of a process that joins a container which runs already. */
import { O_DIRECTORY, O_PATH } from "../../../ffi/constants/open.ts";
import { PR_SET_CHILD_SUBREAPER } from "../../../ffi/constants/process.ts";
import { PlanBuilder } from "../../../ffi/plan/builder.ts";
import type { Ref } from "../../../ffi/plan/values.ts";
import type { OciProcess } from "../../oci/runtime.ts";
import { begin, joinCgroups, setOomScore } from "./begin.ts";
import { checkCommand } from "./command.ts";
import { type CompiledPlan, type ExecContext, preservedDescriptors } from "./context.ts";
import { checkUser, prctl, raiseLimits } from "./credentials.ts";
import { here, openInRoot } from "./emit.ts";
import { assumeIdentity, becomeCommand, type IdentityContext, setLabels } from "./identity.ts";
import { joinNamespaces } from "./namespaces.ts";
import { openProc } from "./proc.ts";
import { joinKeyring } from "./scheduling.ts";
import { giveStreams, openTerminal, startSession, type Terminal } from "./terminal.ts";

/**
 * Compiles the plan of an `exec`.
 *
 * Until its own program runs the process is a danger to the host: whoever can trace it in the container's pid namespace
 * can use what it may do and has open. So it gives up everything first, and only then forks into that namespace.
 *
 * @throws EngineError invalid_argument with the field of process.json.
 */
export function compileExec(process: OciProcess, context: ExecContext): CompiledPlan {
  checkCommand(process);
  checkUser(process);
  const plan = new PlanBuilder();
  const joined = new Set(context.namespaces);
  begin(plan);
  const proc = openProc(plan);
  setOomScore(plan, process, proc);
  joinCgroups(plan, context.cgroupProcs, context.cgroupFallback, context.awaitsAdmission);
  raiseLimits(plan, process);
  const { users } = context;
  if (users !== undefined && !process.terminal && !context.unprivileged) giveStreams(plan, process, users);
  const why = "the container's namespaces";
  joinNamespaces(plan, joined, { why, unprivileged: context.unprivileged ?? false });
  if (joined.has("user")) {
    plan.call("setresgid", [0, 0, 0], { why, what: "group 0 of the user namespace" });
    plan.call("setresuid", [0, 0, 0], { why, what: "user 0 of the user namespace" });
  }
  if (!context.noNewKeyring) joinKeyring(plan, context.id);
  const terminal = process.terminal ? openOwnTerminal(plan, process) : undefined;
  let listener: Ref | undefined;
  const identity: IdentityContext = {
    ...context,
    terminal,
    // The host's, which leads to the host's files: gone before anybody in the container sees this process.
    proc: undefined,
    onListener: (result) => {
      listener = result;
    },
  };
  assumeIdentity(plan, process, identity);
  // What is to count at the execve is kept across the fork.
  setLabels(plan, process, proc);
  plan.because("procfs", () => plan.close(proc));
  if (joined.has("pid")) plan.handOver(0, { why, what: "a process in the container" });
  if (terminal !== undefined) {
    plan.because("process.terminal", () => {
      plan.checkpoint("terminal", true);
      plan.close(terminal.master);
    });
  }
  startSession(plan, terminal);
  if (context.keepOrphans) prctl(plan, PR_SET_CHILD_SUBREAPER, [1], { why: "orphans" });
  becomeCommand(plan, process, identity, "now");
  const built = plan.build();
  return {
    plan: built,
    descriptors: [...built.descriptors, ...preservedDescriptors(context)],
    ...(terminal !== undefined && { terminal: terminal.master }),
    ...(listener !== undefined && { seccompListener: listener }),
  };
}

function openOwnTerminal(plan: PlanBuilder, process: OciProcess): Terminal {
  return plan.because("process.terminal", () => {
    const root = openInRoot(plan, here, "/", O_PATH | O_DIRECTORY);
    const terminal = openTerminal(plan, root, process);
    plan.close(root);
    return terminal;
  });
}
