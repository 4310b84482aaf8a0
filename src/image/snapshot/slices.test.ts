import { expect, test } from "bun:test";
import { Slices } from "./slices.ts";

test("many names are sorted as they would be at once, and others have their turn meanwhile", async () => {
  const names = Array.from({ length: 100_000 }, (_, index) => `${(index * 7919) % 100_003}\xff`);
  let turns = 0;
  const ticking = setInterval(() => {
    turns++;
  }, 0);
  const slices = new Slices();
  const sorted = await slices.sorted(names);
  clearInterval(ticking);
  expect(sorted).toEqual(names.toSorted());
  expect(turns).toBeGreaterThan(3);
  expect([await slices.sorted([]), await slices.sorted(["b", "a"])]).toEqual([[], ["a", "b"]]);
});
