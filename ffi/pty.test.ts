import { describe, expect, test } from "bun:test";
import { read, write } from "./files.ts";
import { isTerminal, makeRaw, openTerminal, setWindowSize, terminalAttributes, windowSize } from "./pty.ts";
import { socketPair } from "./scm.ts";

function readText(fd: Parameters<typeof read>[0]): string {
  const buffer = new Uint8Array(100);
  return Buffer.from(buffer.subarray(0, read(fd, buffer))).toString();
}

describe("pseudo-terminals", () => {
  test("have two ends and a size that both see", () => {
    const { master, slave } = openTerminal();
    using _master = master;
    using _slave = slave;
    expect(isTerminal(slave)).toBe(true);
    expect(windowSize(slave)).toEqual({ rows: 0, columns: 0 });
    setWindowSize(master, { rows: 24, columns: 132 });
    expect(windowSize(slave)).toEqual({ rows: 24, columns: 132 });
  });
  test("pass every byte as it is in raw mode, and work as before afterwards", () => {
    const { master, slave } = openTerminal();
    using _master = master;
    using _slave = slave;
    const before = terminalAttributes(slave);
    write(slave, "a\n");
    expect(readText(master)).toBe("a\r\n");
    {
      using _raw = makeRaw(slave);
      write(slave, "b\n");
      expect(readText(master)).toBe("b\n");
      write(master, "\x03x");
      expect(readText(slave)).toBe("\x03x");
    }
    expect(terminalAttributes(slave)).toEqual(before);
  });
  test("that have hung up need no attributes back", () => {
    const { master, slave } = openTerminal();
    using _slave = slave;
    const raw = makeRaw(slave);
    master.close();
    expect(() => terminalAttributes(slave)).toThrow("EIO");
    raw[Symbol.dispose]();
  });
  test("are told from other descriptors", () => {
    const [left, right] = socketPair();
    using _left = left;
    using _right = right;
    expect(isTerminal(left)).toBe(false);
    expect(() => windowSize(left)).toThrow("TIOCGWINSZ");
  });
});
