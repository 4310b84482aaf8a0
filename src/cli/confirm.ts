/** Questions that a command asks before it does harm. */
import { readSync } from "node:fs";
import { isTerminal } from "../../ffi/pty.ts";
import { isErrno } from "../core/errors.ts";
import { print, printLine } from "./output.ts";

/** As docker asks: `y` is yes; anything else, and the end of the input, is no. */
export function confirm(question: string): boolean {
  print(`${question} [y/N] `);
  const answer = readLine();
  // What the shell prints next begins a line of its own.
  if (answer === undefined && isTerminal(0)) printLine("");
  return answer?.trim().toLowerCase() === "y";
}

/** One line of standard input, and no byte more; undefined at its end. */
function readLine(): string | undefined {
  const bytes: number[] = [];
  const byte = new Uint8Array(1);
  for (;;) {
    let read: number;
    try {
      read = readSync(0, byte);
    } catch (error) {
      if (isErrno(error, "EAGAIN")) {
        Bun.sleepSync(10);
        continue;
      }
      throw error;
    }
    if (read === 0) return bytes.length > 0 ? Buffer.from(bytes).toString() : undefined;
    if (byte[0] === 0x0a) return Buffer.from(bytes).toString();
    bytes.push(byte[0]!);
  }
}
