import { writeSync } from "../../ffi/fs.ts";
import { windowSize } from "../../ffi/pty.ts";
import { isErrno } from "../core/errors.ts";

/** Writes to the terminal or pipe at once: process.exit must not cut the last lines off. */
export function printLine(text: string): void {
  writeAll(1, `${text}\n`);
}

export function print(text: string): void {
  writeAll(1, text);
}

export function printError(text: string): void {
  writeAll(2, `${text}\n`);
}

/** One of several failures: the cause in one line and, where there is one, a line of advice. */
export function printFailure({ message, hint }: { message: string; hint?: string | undefined }): void {
  printError(message);
  if (hint) printError(`hint: ${hint}`);
}

/**
 * The size of the terminal at 1 or 2; 80 by 24 where there is none, or one that does not say. Not
 * process.stdout.columns: that loads all of node:stream, which takes as long as the request that `run` sends.
 */
export function terminalSize(descriptor: 1 | 2): { columns: number; rows: number } {
  try {
    const { columns, rows } = windowSize(descriptor);
    return { columns: columns || 80, rows: rows || 24 };
  } catch (error) {
    if (isErrno(error, "ENOTTY", "EINVAL", "EBADF", "EIO")) return { columns: 80, rows: 24 };
    throw error;
  }
}

export function terminalColumns(descriptor: 1 | 2): number {
  return terminalSize(descriptor).columns;
}

/** 128 + SIGPIPE: what a shell shows for a program that wrote to a pipe nobody reads. */
const endedBySigpipe = 141;

/** Nobody reads our output any more, as when `head` has seen enough. The command line then ends like any other program. */
export class OutputClosed extends Error {
  override readonly name = "OutputClosed";
  readonly exitStatus: number;

  /** @param exitStatus another where the message is told. */
  constructor(message: string, exitStatus = endedBySigpipe) {
    super(message);
    this.exitStatus = exitStatus;
  }

  get isTold(): boolean {
    return this.exitStatus !== endedBySigpipe;
  }
}

/**
 * Writes everything, also to a descriptor that another process made non-blocking. Waiting here is what slows the
 * daemon, and in the end the container, down to the speed of our reader.
 * @throws OutputClosed when the reader is gone.
 */
export function writeAll(descriptor: number, data: string | Uint8Array): void {
  let rest = typeof data === "string" ? Buffer.from(data) : data;
  while (rest.length > 0) {
    try {
      rest = rest.subarray(writeSync(descriptor, rest));
    } catch (error) {
      if (isErrno(error, "EPIPE")) throw new OutputClosed("standard output is closed");
      if (!isErrno(error, "EAGAIN")) throw error;
      Bun.sleepSync(1);
    }
  }
}
