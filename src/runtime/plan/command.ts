/** process.args and process.env: finding the program, and becoming it. */
import { CLOSE_RANGE_CLOEXEC, closeRangeFlags, SIG_SETMASK } from "../../../ffi/constants/process.ts";
import type { CallOptions, PlanBuilder } from "../../../ffi/plan/builder.ts";
import { bytes, constant, environment, flags, str, strings } from "../../../ffi/plan/values.ts";
import type { OciProcess } from "../../oci/runtime.ts";
import { here, invalid } from "./emit.ts";

/** The field that failures of finding and executing the program carry; failure.ts looks for it. */
export const commandField = "process.args";

/** Where the program may be: at its path, or in each directory of PATH in turn. */
function candidates(process: OciProcess): string[] {
  const command = process.args![0]!;
  if (command.includes("/")) return [command];
  const path = process.env?.findLast((entry) => entry.startsWith("PATH="))?.slice("PATH=".length) ?? "";
  // An empty entry would be the working directory, from which nothing is executed unasked.
  return path
    .split(":")
    .filter((directory) => directory !== "")
    .map((directory) => `${directory.replace(/\/+$/, "")}/${command}`);
}

/** @throws EngineError invalid_argument for arguments that no program can get. */
export function checkCommand(process: OciProcess): void {
  if (process.args === undefined || process.args.length === 0) throw invalid(commandField, "missing");
  if (process.args[0] === "") throw invalid(`${commandField}[0]`, "empty");
  for (const field of ["args", "env"] as const) {
    (process[field] ?? []).forEach((text, index) => {
      if (text.includes("\0")) throw invalid(`process.${field}[${index}]`, "contains a NUL");
    });
  }
}

const notHere = ["ENOENT", "ENOTDIR", "EACCES"] as const;
const ENOENT = 2;
const EACCES = 13;

/** Makes sure that there is a program, for a process that is going to wait before it becomes it. */
export function lookUpCommand(plan: PlanBuilder, process: OciProcess): void {
  const [F_OK, X_OK] = [0, 1];
  const search = !process.args![0]!.includes("/");
  plan.because(commandField, () => {
    const found = plan.label("the program is found");
    for (const path of candidates(process)) {
      const missing = plan.label(`${path} is not it`);
      plan.call("faccessat", [here, str(path), X_OK], { what: path, onError: missing });
      // A directory may be searched, which X_OK says of it, but not executed.
      plan.call("faccessat", [here, str(`${path}/.`), F_OK], { what: path, onError: found });
      if (!search) plan.fail(EACCES, { what: path });
      plan.place(missing);
    }
    plan.fail(ENOENT, { what: process.args![0]! });
    plan.place(found);
  });
}

/** Whatever is open beyond the streams, and what is preserved, closes on execve; what is opened later says so itself. */
export function closeOnExec(plan: PlanBuilder, preserveFds: number): void {
  const args = [3 + preserveFds, 0xffffffff, flags(CLOSE_RANGE_CLOEXEC, closeRangeFlags)];
  plan.call("close_range", args, { why: "descriptors" });
}

/** Signals arrive again. */
export function unblockSignals(plan: PlanBuilder, options: CallOptions = {}): void {
  const none = bytes(new Uint8Array(8), "no signals");
  plan.call("rt_sigprocmask", [constant(SIG_SETMASK, { SIG_SETMASK }), none, null, 8], {
    why: "signals",
    ...options,
  });
}

/** The last records: the program is tried wherever it may be. */
export function executeCommand(plan: PlanBuilder, process: OciProcess): void {
  plan.finish();
  plan.because(commandField, () => {
    const argv = strings(process.args!);
    const variables = environment(process.env ?? []);
    const paths = candidates(process);
    const search = !process.args![0]!.includes("/");
    for (const path of paths) {
      plan.call("execve", [str(path), argv, variables], { what: path, ignore: search ? notHere : [] });
    }
    if (search) plan.fail(ENOENT, { what: process.args![0]! });
  });
}
