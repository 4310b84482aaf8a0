import { describe, expect, test } from "bun:test";
import { DetachScanner, defaultDetachKeys, parseDetachKeys } from "./detach-keys.ts";

/** Feeds the text in pieces of the given size. */
function scanned(keys: string, text: string, size: number): { passed: string; detached: boolean } {
  const scanner = new DetachScanner(parseDetachKeys(keys));
  let passed = "";
  for (let at = 0; at < text.length; at += size) {
    const { pass, detached } = scanner.scan(Buffer.from(text.slice(at, at + size)));
    passed += Buffer.from(pass).toString();
    if (detached) return { passed, detached };
  }
  return { passed: passed + Buffer.from(scanner.rest()).toString(), detached: false };
}

describe("detach keys", () => {
  test("are characters and control keys", () => {
    expect([...parseDetachKeys(defaultDetachKeys)]).toEqual([16, 17]);
    expect([...parseDetachKeys("a,ctrl-a,ctrl-@,ctrl-[,ctrl-\\,ctrl-],ctrl-^,ctrl-_")]).toEqual([
      97, 1, 0, 27, 28, 29, 30, 31,
    ]);
    for (const bad of ["", "ctrl-", "ctrl-1", "ctrl-A", "ab", "a,,b", "ü"]) {
      expect(() => parseDetachKeys(bad), bad).toThrow(`Invalid detach keys (${bad}) provided`);
    }
  });

  test("end the input where they are complete, however they were cut", () => {
    const cases: [keys: string, text: string, passed: string, detached: boolean][] = [
      ["ctrl-p,ctrl-q", "abc", "abc", false],
      ["ctrl-p,ctrl-q", "ab\x10\x11cd", "ab", true],
      ["ctrl-p,ctrl-q", "ab\x10c\x11", "ab\x10c\x11", false],
      ["ctrl-p,ctrl-q", "\x10\x10\x11", "\x10", true],
      ["ctrl-p,ctrl-q", "end\x10", "end\x10", false],
      ["a,a,b", "aaab", "a", true],
      ["a,b,a,b,c", "ababababc", "abab", true],
      ["a,b,a,c", "ababd", "ababd", false],
      ["x", "x", "", true],
    ];
    for (const [keys, text, passed, detached] of cases) {
      for (let size = 1; size <= text.length; size++) {
        expect(scanned(keys, text, size), `${keys} in pieces of ${size}`).toEqual({ passed, detached });
      }
    }
  });
});
