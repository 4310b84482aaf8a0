/** The life of a companion process, whichever it is: `tsd proxy --socket PATH`, `tsd resolver --socket PATH`. */
import { closeSync, openSync, writeSync } from "node:fs";
import { EPOLLIN } from "../../../ffi/constants/socket.ts";
import { SignalPipe } from "../../../ffi/signal.ts";
import { EngineError, errorMessage } from "../../core/errors.ts";
import { type LogLevel, log, logLevels, setLogLevel } from "../../core/log.ts";
import { EventLoop } from "./loop.ts";
import type { CompanionMode } from "./protocol.ts";
import { CompanionServer, type CompanionService } from "./server.ts";

const SIGHUP = 1;
const SIGINT = 2;
const SIGTERM = 15;

export interface CompanionDescription {
  mode: CompanionMode;
  /** Raised with every change of what it is asked or what it answers. */
  protocol: number;
  open(loop: EventLoop): CompanionService;
}

/** Serves until there is nothing left to do, or somebody ends it. @returns the exit status. */
export async function companionMain(description: CompanionDescription, args: readonly string[]): Promise<number> {
  try {
    const { path, logLevel } = parseArguments(description.mode, args);
    setLogLevel(logLevel);
    using loop = new EventLoop();
    const service = description.open(loop);
    const server = new CompanionServer(loop, { ...description, path, service });
    // Not as shims, which do not heed it: what is here can be made again, and a host that shuts down does not wait for it.
    using signals = new SignalPipe([SIGHUP, SIGINT, SIGTERM]);
    loop.watch(signals.reader, EPOLLIN, () => {
      for (const signal of signals.read()) if (signal !== SIGHUP) server.end();
    });
    server.listen();
    sayReady();
    log("info", `tsd ${description.mode} is ready`, { socket: path, pid: process.pid });
    loop.run();
    log("info", `tsd ${description.mode} ends`, { pid: process.pid });
    return 0;
  } catch (error) {
    log("error", `tsd ${description.mode}: ${errorMessage(error)}`);
    return 1;
  }
}

function parseArguments(mode: CompanionMode, args: readonly string[]): { path: string; logLevel: LogLevel } {
  let path: string | undefined;
  let logLevel: LogLevel = "info";
  for (let index = 0; index < args.length; index += 2) {
    const [flag, value] = [args[index]!, args[index + 1]];
    if (value === undefined) throw new EngineError("invalid_argument", `flag needs an argument: ${flag}`);
    if (flag === "--socket") path = value;
    else if (flag === "--log-level" && (logLevels as readonly string[]).includes(value)) logLevel = value as LogLevel;
    else throw new EngineError("invalid_argument", `unknown flag, or wrong value: ${flag} ${value}`);
  }
  if (path === undefined) throw new EngineError("invalid_argument", `tsd ${mode} needs --socket PATH`);
  return { path, logLevel };
}

/** The daemon waits for this word on standard output, and for its end. */
function sayReady(): void {
  writeSync(1, "ready\n");
  closeSync(1);
  // The lowest free descriptor, which is 1: nothing else may ever get that number.
  openSync("/dev/null", "w");
}
