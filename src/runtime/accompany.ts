import { AT_FDCWD } from "../../ffi/constants/open.ts";
import type { Fd } from "../../ffi/fd.ts";
import { readlinkat } from "../../ffi/files.ts";
import { waitsFor } from "../../ffi/plan/builder.ts";
import type { PlanProcess } from "../../ffi/plan/spawn.ts";
import type { Ref } from "../../ffi/plan/values.ts";
import { pidfd_getfd } from "../../ffi/process.ts";
import { isMaster } from "../../ffi/pty.ts";
import { EngineError, wrapError } from "../core/errors.ts";
import type { OciProcess, RuntimeConfig } from "../oci/runtime.ts";
import type { ConsoleReceiver } from "./console.ts";
import { copyUp } from "./copy-up.ts";
import type { CompiledPlan, PlanCheckpoint } from "./plan/context.ts";
import { planError } from "./plan/failure.ts";
import { differentKinds } from "./plan/mount-kinds.ts";
import { keepTrace } from "./plan/trace.ts";
import { unknownUser } from "./unknown-user.ts";
import { unmappable } from "./unmappable.ts";

/** What the parent does while a plan waits for it. */
export interface Companion {
  /** What the plan was compiled of: its explanation, should it fail, says why each call was made. */
  config: object;
  /** The container that is being created; `rootfs` is absolute, on the host. */
  container?: { config: RuntimeConfig; rootfs: string };
  writeUserMaps?: () => void;
  runCreateHooks?: () => void;
  console?: ConsoleReceiver | undefined;
  takeSeccompListener?: (listener: Fd) => void;
}

/**
 * Goes with a process through its plan, until it waits for `start` or has become its program.
 * @throws EngineError with the call that failed; command_not_found and command_not_executable for the program itself.
 */
export function accompany(
  running: PlanProcess,
  compiled: CompiledPlan,
  process: OciProcess,
  companion: Companion,
): void {
  let checkpoint: PlanCheckpoint | undefined;
  try {
    for (;;) {
      checkpoint = running.next() as PlanCheckpoint | undefined;
      if (checkpoint === undefined) break;
      if (checkpoint === "created") return;
      if (checkpoint === "ready" || checkpoint === "cgroup") continue;
      answer(checkpoint, running, compiled, companion);
      running.proceed();
    }
    const error = planError(running, compiled, process);
    if (error !== undefined) throw explained(error, running, companion);
  } catch (error) {
    const { plan } = compiled;
    const failed = checkpoint === undefined ? running.failure()?.record : waitingRecord(compiled, checkpoint);
    keepTrace(error, { plan, config: companion.config, results: running.results(), failed });
    throw error;
  }
}

function explained(error: EngineError, running: PlanProcess, { container }: Companion): EngineError {
  const failure = running.failure();
  const ofMounts = container && (differentKinds(failure, container.config, container.rootfs) ?? unmappable(failure));
  const reason = ofMounts ?? unknownUser(failure);
  return reason === undefined ? error : new EngineError(error.code, `${error.message}: ${reason}`, { cause: error });
}

/** Where the plan waits for an answer that does not come, because its parent has failed. */
function waitingRecord({ plan }: CompiledPlan, checkpoint: PlanCheckpoint): number | undefined {
  const what = waitsFor(checkpoint);
  const index = plan.records.findIndex((record) => record.what === what);
  return index < 0 ? undefined : index;
}

function answer(
  checkpoint: Exclude<PlanCheckpoint, "created" | "ready" | "cgroup">,
  process: PlanProcess,
  compiled: CompiledPlan,
  companion: Companion,
): void {
  if (isCopy(checkpoint)) {
    fillTmpfs(process, compiled, checkpoint);
    return;
  }
  switch (checkpoint) {
    case "user-maps":
      companion.writeUserMaps?.();
      break;
    case "create-runtime":
      companion.runCreateHooks?.();
      break;
    case "terminal":
      companion.console?.deliver(takeMaster(process, compiled.terminal));
      break;
    case "recorded":
      // It was, before anybody went along with the process.
      break;
    case "seccomp-listener":
      companion.takeSeccompListener?.(takeListener(process, compiled.seccompListener));
  }
}

type CopyCheckpoint = PlanCheckpoint & `copy-up.${number}`;

function isCopy(checkpoint: PlanCheckpoint): checkpoint is CopyCheckpoint {
  return checkpoint.startsWith("copy-up.");
}

function fillTmpfs(process: PlanProcess, { copies }: CompiledPlan, checkpoint: CopyCheckpoint): void {
  const copy = copies?.get(checkpoint);
  if (copy === undefined) throw new Error(`the plan waits at ${checkpoint}, which it was not compiled with`);
  using from = descriptorOf(process, copy.from);
  using to = descriptorOf(process, copy.to);
  try {
    copyUp(from, to, copy);
  } catch (error) {
    throw wrapError(error, `${copy.field}: copy ${copy.path} into the tmpfs on it`);
  }
}

/**
 * A process of an exec may have been written to from the container by now: whoever gets the terminal must not get
 * something else that the container has open.
 */
function takeMaster(process: PlanProcess, ref: Ref | undefined): Fd {
  using master = descriptorOf(process, ref);
  if (!isMaster(master)) throw new Error("what the plan announced as its terminal is none");
  return master.move();
}

/** Likewise: it goes to an agent that answers for the kernel. */
function takeListener(process: PlanProcess, ref: Ref | undefined): Fd {
  using listener = descriptorOf(process, ref);
  const kind = readlinkat(AT_FDCWD, `/proc/self/fd/${listener.number}`);
  if (kind !== "anon_inode:seccomp notify")
    throw new Error(`what the plan announced as its seccomp listener is ${kind}`);
  return listener.move();
}

function descriptorOf(process: PlanProcess, ref: Ref | undefined): Fd {
  const number = ref && process.result(ref);
  if (number === undefined || number < 0) throw new Error("the plan announced a descriptor that it does not have");
  return pidfd_getfd(process.pidfd, number);
}
