/**
 * The hooks that the container's own process runs: createContainer, while the host's root is still there, and
 * startContainer, just before the program. Each is a fork that executes the hook; the process waits for it.
 */
import { CLONE_PIDFD, cloneFlags } from "../../../ffi/constants/namespace.ts";
import { O_CLOEXEC, O_RDONLY, openFlags } from "../../../ffi/constants/open.ts";
import { CLOSE_RANGE_CLOEXEC, closeRangeFlags, SIGKILL } from "../../../ffi/constants/process.ts";
import type { PlanBuilder } from "../../../ffi/plan/builder.ts";
import {
  constant,
  environment,
  flags,
  half,
  memory,
  type Ref,
  str,
  strings,
  struct,
} from "../../../ffi/plan/values.ts";
import type { OciHook, OciHooks } from "../../oci/runtime.ts";
import { unblockSignals } from "./command.ts";

/** The state that hooks of each kind read, by the name of the descriptor that the parent gives. */
export const stateDescriptors = { createContainer: "state.creating", startContainer: "state.created" } as const;

export type InnerHook = keyof typeof stateDescriptors;

/** The status of a child that could not become the hook. */
export const cannotExecute = 126;
const ECANCELED = 125;
const ETIMEDOUT = 110;

/** Adds the hooks of one kind in their order; one that fails ends the plan. */
export function addHooks(plan: PlanBuilder, hooks: OciHooks | undefined, kind: InnerHook, proc: Ref): void {
  (hooks?.[kind] ?? []).forEach((hook, index) => {
    plan.because(`hooks.${kind}[${index}]`, () => addHook(plan, hook, stateDescriptors[kind], proc));
  });
}

function addHook(plan: PlanBuilder, hook: OciHook, state: string, proc: Ref): void {
  const inside = plan.label(`hook ${hook.path}`);
  const SIGCHLD = 17;
  const pidfdPlace = memory(8, "pidfd");
  const bits = flags(CLONE_PIDFD | SIGCHLD, { ...cloneFlags, SIGCHLD });
  const child = plan.call("clone", [bits, 0, pidfdPlace, 0, 0], {
    fork: true,
    onZero: inside,
    what: hook.path,
    name: "hook",
  });
  const pidfd = plan.load(pidfdPlace, { mask: 0x7fffffffn }, { name: "pidfd" });
  if (hook.timeout !== undefined) waitBounded(plan, hook, pidfd, hook.timeout);
  const status = memory(8, "status");
  plan.call("wait4", [child, status, 0, null], { what: hook.path });
  plan.select(
    status,
    { mask: 0xffffffffn, expected: 0n, equal: 0, different: -ECANCELED },
    {
      what: hook.path,
    },
  );
  plan.close(pidfd);
  plan.defer(() => {
    plan.place(inside);
    executeHook(plan, hook, state, proc);
  });
}

/** Waits until the hook has ended; one that does not in its time is killed, and the plan fails. */
function waitBounded(plan: PlanBuilder, hook: OciHook, pidfd: Ref, timeoutSeconds: number): void {
  const late = plan.label(`${hook.path} is late`, true);
  const POLLIN = 1;
  const time = struct({ seconds: timeoutSeconds, nanoseconds: 0 });
  const descriptors = struct({ "fd, events": half(pidfd, POLLIN) });
  plan.call("ppoll", [descriptors, 1, time, null, 8], { what: hook.path, onZero: late });
  plan.defer(() => {
    plan.place(late);
    plan.call("pidfd_send_signal", [pidfd, constant(SIGKILL, { SIGKILL }), null, 0], { what: hook.path });
    plan.fail(ETIMEDOUT, { what: `${hook.path}: not finished after ${timeoutSeconds} s` });
  });
}

/** The child: the state on its standard input, no descriptor of the plan, no blocked signal. */
function executeHook(plan: PlanBuilder, hook: OciHook, state: string, proc: Ref): void {
  const failed = plan.label(`${hook.path} cannot be executed`);
  const path = plan.descriptorPath("self/fd/", state);
  const options = { onError: failed };
  // Opened anew: each hook reads it from its start.
  const input = plan.call("openat", [proc, path, flags(O_RDONLY | O_CLOEXEC, openFlags), 0], options);
  plan.call("dup3", [input, 0, 0], options);
  plan.call("close_range", [3, 0xffffffff, flags(CLOSE_RANGE_CLOEXEC, closeRangeFlags)], options);
  unblockSignals(plan, options);
  const [argv, variables] = [strings(hook.args ?? [hook.path]), environment(hook.env ?? [])];
  plan.call("execve", [str(hook.path), argv, variables], { what: hook.path, ...options });
  plan.place(failed);
  plan.call("exit_group", [cannotExecute]);
}
