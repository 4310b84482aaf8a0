import type { Fd } from "../../ffi/fd.ts";
import { connectUnix, sendDescriptors } from "../../ffi/scm.ts";
import { EngineError, wrapError } from "../core/errors.ts";
import type { ContainerStdio } from "./options.ts";

/** Where the master of a process' pseudo-terminal goes. */
export interface ConsoleReceiver extends Disposable {
  /** Takes the master over. */
  deliver(master: Fd): void;
}

/**
 * Finds out who gets the terminal, and connects to a console socket, before anything is started: an unreachable one
 * then has nothing to undo.
 * @returns undefined when the process gets no terminal.
 * @throws EngineError invalid_argument when `stdio` and `process.terminal` do not fit together.
 */
export function openConsole(terminal: boolean, stdio: ContainerStdio): ConsoleReceiver | undefined {
  if ("stdin" in stdio) {
    if (!terminal) return undefined;
    throw new EngineError("invalid_argument", "process.terminal is set, but nothing takes the terminal", {
      hint: "give a console socket, or run it in the foreground",
    });
  }
  if (!terminal) {
    throw new EngineError("invalid_argument", "a console is given, but process.terminal is not set");
  }
  if ("onConsole" in stdio) return { deliver: stdio.onConsole, [Symbol.dispose]: () => undefined };
  return consoleSocket(stdio.consoleSocket);
}

function consoleSocket(path: string): ConsoleReceiver {
  let socket: Fd;
  try {
    socket = connectUnix(path);
  } catch (error) {
    throw wrapError(error, "console socket");
  }
  return {
    deliver(sent) {
      using master = sent;
      // The receiver may show the name; runc sends this one.
      sendDescriptors(socket, "/dev/ptmx", [master]);
    },
    [Symbol.dispose]: () => socket.close(),
  };
}
