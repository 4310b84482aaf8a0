import { expect, test } from "bun:test";
import { pathPattern } from "./path-match.ts";

test.each([
  ["busybox", "busybox", true],
  ["busy*", "busybox", true],
  ["*box", "busybox", true],
  ["*", "a/b", false],
  ["*/*", "a/b", true],
  ["a*/b", "a/b", true],
  ["a*/b", "a/c/b", false],
  ["?usybox", "busybox", true],
  ["a?b", "a/b", false],
  ["[a-c]x", "bx", true],
  ["[^a-c]x", "bx", false],
  ["[^a-c]x", "dx", true],
  ["[ab]", "b", true],
  ["[\\-]", "-", true],
  ["[\\]a]", "]", true],
  ["\\*", "*", true],
  ["\\*", "x", false],
  ["a.b", "axb", false],
  ["a(b)+", "a(b)+", true],
  ["127.0.0.1:5000/*", "127.0.0.1:5000/busybox", true],
  ["{a,b}", "a", false],
  ["**", "a/b", false],
  ["[z-a]", "m", false],
  ["", "", true],
])("%j and %j: %j", (pattern, name, expected) => {
  expect(pathPattern(pattern)!(name)).toBe(expected);
});

test.each(["[", "[]", "[]a]", "[^]", "[a", "[-x]", "[x-]", "[a-b-c]", "a\\", "[\\", "[a-"])(
  "%j is malformed",
  (pattern) => {
    expect(pathPattern(pattern)).toBeUndefined();
  },
);
