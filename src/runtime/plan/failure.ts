/** What a plan's failure means to whoever asked for the container. */
import type { PlanFailure } from "../../../ffi/plan/failure.ts";
import type { PlanProcess } from "../../../ffi/plan/spawn.ts";
import { advice } from "../../core/advice.ts";
import { EngineError, isErrno } from "../../core/errors.ts";
import { signalName } from "../../core/signals.ts";
import type { OciProcess } from "../../oci/runtime.ts";
import { commandField } from "./command.ts";
import type { CompiledPlan } from "./context.ts";
import { cannotExecute } from "./hooks.ts";

/** What a plan has come to, as far as it is known. */
export type PlanOutcome = Pick<PlanProcess, "failure" | "result" | "memory">;

const EACCES = 13;

/**
 * Why a plan ended without becoming its program; undefined when it has become it. Call it when PlanProcess.next has
 * returned undefined.
 *
 * @returns command_not_found or command_not_executable in the words that callers of runc know, no_space, unsupported, or
 * with the field of config.json, the call and its errno, `mounts[1]: fsmount proc on /proc: EPERM (…)`, invalid_argument
 * where the kernel refuses what that field says, and internal.
 */
export function planError(running: PlanOutcome, compiled: CompiledPlan, process: OciProcess): EngineError | undefined {
  const failure = running.failure();
  if (failure === undefined) return undefined;
  if (failure.why === commandField) {
    const error = commandError(running, compiled, process, failure.errno ?? "");
    if (error !== undefined) return error;
  }
  if (failure.why?.startsWith("hooks.")) {
    const error = hookError(running, compiled, failure);
    if (error !== undefined) return error;
  }
  const field = failure.why === undefined ? "" : `${failure.why}: `;
  const details = { stage: "init", cause: failure.error };
  const message = `${field}${failure.error.message}${kindsOf(failure)}`;
  if (isErrno(failure.error, "ENOSPC", "EDQUOT")) return new EngineError("no_space", message, details);
  // The youngest calls that every plan makes are mount_setattr and close_range with CLOSE_RANGE_CLOEXEC.
  const hint = "containers need Linux 5.12 or newer";
  if (isErrno(failure.error, "ENOSYS")) return new EngineError("unsupported", message, { ...details, hint });
  if (isErrno(failure.error, "E2BIG")) {
    return new EngineError("invalid_argument", message, { ...details, hint: advice.shortened });
  }
  return new EngineError(isAskedTooMuch(failure) ? "invalid_argument" : "internal", message, details);
}

/** Fields whose value the kernel alone can judge, and its words for one that cannot be. */
const judgements: readonly [field: RegExp, calls: RegExp, errnos: string[]][] = [
  [/^process\.cwd$/, /^chdir$/, ["ENOENT", "ENOTDIR", "EACCES", "ELOOP"]],
  [/^process\.rlimits\b/, /^prlimit64$/, ["EINVAL", "EPERM"]],
  [/^linux\.sysctl\b/, /^(openat2?|write|verify)$/, ["ENOENT", "EINVAL", "ERANGE", "EACCES", "EPERM"]],
  [/^mounts\b/, /^(move_mount|verify)$/, ["EINVAL", "ENOTDIR"]],
  [/^mounts\b/, /^(fsopen|fsconfig)$/, ["EINVAL", "ENODEV"]],
];

function isAskedTooMuch({ why = "", call, errno = "" }: PlanFailure): boolean {
  return judgements.some(([field, calls, errnos]) => field.test(why) && calls.test(call) && errnos.includes(errno));
}

/** The kernel has one errno for all that is wrong with a mount; this is what it is in nearly all cases. */
function kindsOf({ call, errno }: PlanFailure): string {
  if (call !== "move_mount" || errno !== "EINVAL") return "";
  return (
    ": Are you trying to mount a directory onto a file (or vice-versa)? " +
    "Check if the specified host path exists and is the expected type"
  );
}

function commandError(
  running: PlanOutcome,
  { plan }: CompiledPlan,
  process: OciProcess,
  errno: string,
): EngineError | undefined {
  const command = process.args?.[0] ?? "";
  // A search goes on after a program that may not be executed, and tells of it only when there is no other.
  const denied = plan.records.some(
    (record, index) =>
      (record.call === "execve" || record.call === "faccessat") &&
      record.why === commandField &&
      running.result({ kind: "result", record: index, name: undefined }) === -EACCES,
  );
  const details = { stage: "exec", errno, path: command };
  if (denied || errno === "EACCES" || errno === "EPERM") {
    const message = `exec: "${command}": permission denied`;
    return new EngineError("command_not_executable", message, {
      ...details,
      errno: denied ? "EACCES" : errno,
      hint: advice.notExecutable,
    });
  }
  const reasons: Record<string, string> = {
    ENOEXEC: "exec format error",
    ENOTDIR: "not a directory",
    EISDIR: "is a directory",
    ETXTBSY: "text file busy",
    ELOOP: "too many levels of symbolic links",
    ENAMETOOLONG: "file name too long",
  };
  if (errno === "ENOENT") {
    const reason = command.includes("/")
      ? `stat ${command}: no such file or directory`
      : "executable file not found in $PATH";
    return new EngineError("command_not_found", `exec: "${command}": ${reason}`, {
      ...details,
      hint: command.includes("/") ? advice.noScript : advice.noProgram,
    });
  }
  const reason = reasons[errno];
  return reason === undefined
    ? undefined
    : new EngineError("command_not_executable", `exec: "${command}": ${reason}`, {
        ...details,
        hint: advice.notExecutable,
      });
}

/** The comparison of a hook's status with 0: the status itself says how the hook ended. */
function hookError(running: PlanOutcome, { plan }: CompiledPlan, failure: PlanFailure): EngineError | undefined {
  const [status] = plan.records[failure.record]?.args ?? [];
  const name = `${failure.why} ${failure.what}`;
  const error = (reason: string) => new EngineError("internal", `${name}: ${reason}`, { stage: "hook" });
  if (failure.errno === "ETIMEDOUT") return new EngineError("internal", name, { stage: "hook" });
  if (failure.call !== "verify" || typeof status !== "object" || status?.kind !== "memory") return undefined;
  const word = new DataView(running.memory(status).buffer).getUint32(0, true);
  const signal = word & 0x7f;
  if (signal !== 0) return error(`killed by ${signalName(signal)}`);
  return error(word >> 8 === cannotExecute ? "cannot be executed" : `exit status ${word >> 8}`);
}
