import { expect, test } from "bun:test";
import { compareNaturally } from "./natural-order.ts";

test("names are ordered by the numbers in them", () => {
  const ordered = [
    "",
    "0",
    "00",
    "1",
    "01",
    "2",
    "10",
    "A",
    "a",
    "a1b",
    "a1c",
    "a01b",
    "a2",
    "a2.9",
    "a2.10",
    "a10",
    "aa",
    "b",
    "é",
  ];
  for (const [at, one] of ordered.entries()) {
    for (const [other, two] of ordered.entries()) {
      expect([one, two, Math.sign(compareNaturally(one, two))]).toEqual([one, two, Math.sign(at - other)]);
    }
  }
});
