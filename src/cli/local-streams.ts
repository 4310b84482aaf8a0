import { isTerminal, makeRaw, windowSize } from "../../ffi/pty.ts";
import { catchableSignals } from "../../ffi/signal.ts";
import type { DetachScanner } from "../core/detach-keys.ts";
import { EngineError } from "../core/errors.ts";
import { signalName } from "../core/signals.ts";
import { FlagError } from "./flags.ts";

/** What goes from here to the container's process. */
export interface ProcessChannel {
  /** Resolves when more may be sent. */
  input(chunk: Uint8Array): Promise<void>;
  endInput(): void | Promise<void>;
  resize(size: { h: number; w: number }): void;
  signal(name: string): void;
  detach(): void;
}

export interface LocalStreamOptions {
  /** The process has a terminal of its own. */
  tty: boolean;
  /** Pass standard input on. */
  stdin: boolean;
  /** Pass the signals that this process gets on to the container's. */
  proxySignals: boolean;
  /** Looked for in what is typed at a terminal. */
  detachKeys: DetachScanner;
}

/** SIGCHLD is ours; a terminal's stop signals are for the shell that started us; the rest of Docker's exceptions. */
const notProxied = new Set(["SIGCHLD", "SIGPIPE", "SIGURG", "SIGWINCH", "SIGTSTP", "SIGTTIN", "SIGTTOU", "SIGCONT"]);

/**
 * Connects this process's terminal, standard input and signals to a container's process until disposed, which
 * gives the terminal back as it was.
 */
export function connectLocalStreams(channel: ProcessChannel, options: LocalStreamOptions): Disposable {
  const stack = new DisposableStack();
  if (options.tty) followWindowSize(channel, stack);
  if (options.proxySignals) forwardSignals(channel, stack);
  if (options.stdin) {
    if (options.tty && isTerminal(0)) {
      const raw = stack.use(makeRaw(0));
      if (!options.proxySignals) restoreBeforeEnd(raw, stack);
    }
    const stop = new AbortController();
    stack.defer(() => stop.abort());
    // Keys are typed at a terminal; without one the same bytes are data.
    void pumpInput(channel, options.tty ? options.detachKeys : undefined, stop.signal);
  }
  return stack;
}

/**
 * The terminal's size for a request that starts a process at it, so that its first screen is right.
 * @returns rows and columns, or nothing where there is no terminal.
 */
export function consoleSize(tty: boolean): { ConsoleSize?: [rows: number, columns: number] } {
  if (!tty || !isTerminal(1)) return {};
  const { rows, columns } = windowSize(1);
  return rows > 0 && columns > 0 ? { ConsoleSize: [rows, columns] } : {};
}

/** A shell that thinks it is at a terminal, fed by a pipe, helps nobody: docker's own refusal. */
export function refuseTerminalWithoutOne(flags: { tty: boolean }, stdin: boolean): void {
  if (flags.tty && stdin && !isTerminal(0)) {
    throw new FlagError("the input device is not a TTY", 1, "leave out -t when the input is a pipe or a file");
  }
}

/** What docker's attach and exec say, with status 1, when their user has left: run and start say nothing. */
export function detachedByKeys(): EngineError {
  return new EngineError("cancelled", "read escape sequence");
}

function followWindowSize(channel: ProcessChannel, stack: DisposableStack): void {
  if (!isTerminal(1)) return;
  const send = () => {
    const { rows, columns } = windowSize(1);
    channel.resize({ h: rows, w: columns });
  };
  send();
  process.on("SIGWINCH", send);
  stack.defer(() => process.off("SIGWINCH", send));
}

/** A signal that ends this process leaves no raw terminal to whoever has it next. */
function restoreBeforeEnd(raw: Disposable, stack: DisposableStack): void {
  for (const name of ["SIGHUP", "SIGINT", "SIGQUIT", "SIGTERM"] as const) {
    const end = () => {
      raw[Symbol.dispose]();
      process.off(name, end);
      process.kill(process.pid, name);
    };
    process.on(name, end);
    stack.defer(() => process.off(name, end));
  }
}

function forwardSignals(channel: ProcessChannel, stack: DisposableStack): void {
  for (const number of catchableSignals) {
    const name = signalName(number) as NodeJS.Signals;
    if (notProxied.has(name) || name.startsWith("SIGRT")) continue;
    const forward = () => channel.signal(name);
    process.on(name, forward);
    stack.defer(() => process.off(name, forward));
  }
}

async function pumpInput(
  channel: ProcessChannel,
  detachKeys: DetachScanner | undefined,
  stop: AbortSignal,
): Promise<void> {
  try {
    for await (const chunk of Bun.stdin.stream()) {
      if (stop.aborted) return;
      if (detachKeys === undefined) {
        await channel.input(chunk);
        continue;
      }
      const { pass, detached } = detachKeys.scan(chunk);
      if (pass.byteLength > 0) await channel.input(pass);
      if (detached) {
        channel.detach();
        return;
      }
    }
  } catch (error) {
    // A terminal that was taken away (EIO) ends the input; the process behind is told just that.
    if (stop.aborted) return;
    const { log } = await import("../core/log.ts");
    log("debug", "standard input ended", { reason: String(error) });
  }
  if (stop.aborted) return;
  const held = detachKeys?.rest();
  if (held?.byteLength) await channel.input(held);
  await channel.endInput();
}
