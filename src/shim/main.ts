/** `tsd shim --socket PATH`: the parent of a container's processes, or of a group's. Started by the daemon, which it outlives. */
import { closeSync, openSync, writeSync } from "node:fs";
import { setChildSubreaper } from "../../ffi/process.ts";
import { EngineError, errorMessage } from "../core/errors.ts";
import { type LogLevel, log, logLevels, setLogLevel } from "../core/log.ts";
import { Household } from "./household.ts";
import { openDriver } from "./open-driver.ts";
import { openLog } from "./open-log.ts";
import { Reaper } from "./reaper.ts";

export async function shimMain(args: string[]): Promise<number> {
  try {
    const { socketPath, logLevel } = parseArguments(args);
    setLogLevel(logLevel);
    // Before anything is started, so that no process is ever anybody else's.
    setChildSubreaper(true);
    // Containers inherit it where their configuration says nothing, and docker's is this.
    process.umask(0o022);
    const household = new Household({ reaper: new Reaper(), openDriver, openLog });
    household.open(socketPath);
    heedSignals(household);
    surviveMistakes();
    sayReady();
    await household.done;
    return 0;
  } catch (error) {
    log("error", errorMessage(error));
    return 1;
  }
}

function parseArguments(args: string[]): { socketPath: string; logLevel: LogLevel } {
  let socketPath: string | undefined;
  let logLevel: LogLevel = "info";
  for (let index = 0; index < args.length; index++) {
    const [flag, joined] = splitFlag(args[index]!);
    const value = joined ?? args[++index];
    if (value === undefined) throw new EngineError("invalid_argument", `flag needs an argument: ${flag}`);
    if (flag === "--socket") socketPath = value;
    else if (flag === "--log-level" && (logLevels as readonly string[]).includes(value)) logLevel = value as LogLevel;
    else if (flag === "--log-level") throw new EngineError("invalid_argument", `invalid log level: ${value}`);
    else throw new EngineError("invalid_argument", `unknown flag: ${flag}`);
  }
  if (socketPath === undefined) throw new EngineError("invalid_argument", "tsd shim needs --socket PATH");
  return { socketPath, logLevel };
}

function splitFlag(arg: string): [string, string | undefined] {
  const equals = arg.indexOf("=");
  return equals < 0 ? [arg, undefined] : [arg.slice(0, equals), arg.slice(equals + 1)];
}

/**
 * A shim with a container does not end because somebody asks all of tsd to: the container's exit status and the rest
 * of its output would be lost.
 */
function heedSignals(household: Household): void {
  for (const signal of ["SIGTERM", "SIGINT", "SIGHUP"] as const) {
    process.on(signal, () => {
      if (!household.terminate()) log("warn", `${signal} is not heeded: a container runs`);
    });
  }
}

/** A mistake in one connection's handling must not cost the container its parent: it is logged, and the rest goes on. */
function surviveMistakes(): void {
  const report = (error: unknown) => log("error", errorMessage(error), { stack: (error as Error | undefined)?.stack });
  process.on("uncaughtException", report);
  process.on("unhandledRejection", report);
}

/** The daemon waits for this word on standard output, and for its end. */
function sayReady(): void {
  writeSync(1, "ready\n");
  closeSync(1);
  // The lowest free descriptor, which is 1: nothing else may ever get that number.
  openSync("/dev/null", "w");
}
