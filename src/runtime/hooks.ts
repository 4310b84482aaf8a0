import { EngineError, errorMessage } from "../core/errors.ts";
import type { OciHook, OciState } from "../oci/runtime.ts";

/** The hooks that run in the runtime's own namespaces, config.md "POSIX-platform Hooks". */
export type RuntimeHook = "prestart" | "createRuntime" | "poststart" | "poststop";

const outputShownMax = 1024;

/**
 * Runs hooks in their order, each with the state on its standard input. The thread stands still.
 *
 * A hook gets its own environment and nothing of the runtime's: the variables that a hook needs are in config.json.
 * @throws EngineError at the first hook that cannot be run, fails, or outlives its timeout (it is killed then).
 */
export function runHooks(name: RuntimeHook, hooks: readonly OciHook[] | undefined, state: OciState): void {
  hooks?.forEach((hook, index) => {
    runHook(`hooks.${name}[${index}] ${hook.path}`, hook, state);
  });
}

/** Runs all hooks even when some fail; failures go to `warn`: that is how poststop hooks run. */
export function runHooksToTheEnd(
  name: RuntimeHook,
  hooks: readonly OciHook[] | undefined,
  state: OciState,
  warn: (message: string) => void,
): void {
  hooks?.forEach((hook, index) => {
    try {
      runHook(`hooks.${name}[${index}] ${hook.path}`, hook, state);
    } catch (error) {
      warn(errorMessage(error));
    }
  });
}

function runHook(what: string, hook: OciHook, state: OciState): void {
  let result: Bun.SyncSubprocess<"pipe", "pipe">;
  try {
    const [argv0 = hook.path, ...args] = hook.args ?? [];
    result = Bun.spawnSync([hook.path, ...args], {
      argv0,
      env: environment(hook.env ?? []),
      cwd: state.bundle,
      stdin: Buffer.from(JSON.stringify(state)),
      stdout: "pipe",
      stderr: "pipe",
      ...(hook.timeout !== undefined && { timeout: hook.timeout * 1000, killSignal: "SIGKILL" as const }),
    });
  } catch (error) {
    throw new EngineError("internal", `${what}: ${errorMessage(error)}`, { stage: "hook", cause: error });
  }
  if (result.success) return;
  const reason = result.exitedDueToTimeout
    ? `not finished after ${hook.timeout} s`
    : result.signalCode
      ? `killed by ${result.signalCode}`
      : `exit status ${result.exitCode}`;
  const output = `${result.stderr}${result.stdout}`.trim().slice(0, outputShownMax);
  throw new EngineError("internal", `${what}: ${reason}${output === "" ? "" : `: ${output}`}`, { stage: "hook" });
}

function environment(entries: readonly string[]): Record<string, string> {
  return Object.fromEntries(
    entries.map((entry) => {
      const equals = entry.indexOf("=");
      return equals < 0 ? [entry, ""] : [entry.slice(0, equals), entry.slice(equals + 1)];
    }),
  );
}
