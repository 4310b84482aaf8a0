/** Questions to whoever sits at the terminal. */
import { readSync } from "node:fs";
import { makeRaw } from "../../ffi/pty.ts";
import { EngineError, isErrno } from "../core/errors.ts";
import { writeAll } from "./output.ts";

/** One line, which the terminal lets be edited. @returns undefined at the end of input. */
export function askLine(question: string): string | undefined {
  writeAll(1, question);
  const bytes: number[] = [];
  for (let byte = readByte(); byte !== 0x0a; byte = readByte()) {
    if (byte === undefined) return bytes.length > 0 ? text(bytes) : undefined;
    bytes.push(byte);
  }
  return text(bytes);
}

const [interrupt, endOfInput, backspace, erase, killLine] = [0x03, 0x04, 0x08, 0x7f, 0x15];

/**
 * One line that nobody gets to see. The terminal is in raw mode meanwhile, so that no signal leaves it without its echo.
 * @throws EngineError cancelled for ctrl-c.
 */
export function askSecret(question: string): string | undefined {
  writeAll(1, question);
  const bytes: number[] = [];
  try {
    using _raw = makeRaw(0);
    for (;;) {
      const byte = readByte();
      if (byte === interrupt) throw new EngineError("cancelled", "cancelled");
      if (byte === undefined || byte === endOfInput) return bytes.length > 0 ? text(bytes) : undefined;
      if (byte === 0x0d || byte === 0x0a) return text(bytes);
      if (byte === backspace || byte === erase) removeCharacter(bytes);
      else if (byte === killLine) bytes.length = 0;
      else bytes.push(byte);
    }
  } finally {
    writeAll(1, "\n");
  }
}

/** All of standard input, without the end of its last line. */
export async function readInput(): Promise<string> {
  return (await Bun.stdin.text()).replace(/\r?\n$/, "");
}

function text(bytes: number[]): string {
  return Buffer.from(bytes).toString().replace(/\r$/, "");
}

function removeCharacter(bytes: number[]): void {
  // The bytes that continue a character of UTF-8 go with its first.
  while (((bytes.pop() ?? 0) & 0xc0) === 0x80);
}

function readByte(): number | undefined {
  const buffer = new Uint8Array(1);
  for (;;) {
    try {
      return readSync(0, buffer) === 0 ? undefined : buffer[0];
    } catch (error) {
      // EIO: the terminal has hung up.
      if (isErrno(error, "EIO", "EOF")) return undefined;
      if (!isErrno(error, "EAGAIN")) throw error;
      Bun.sleepSync(10);
    }
  }
}
