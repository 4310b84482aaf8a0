import { describe, expect, test } from "bun:test";
import { weightOfBlkio } from "./block-io.ts";
import { weightOfShares } from "./cpu.ts";
import { swapOnly } from "./memory.ts";

describe("conversions from cgroup v1 to v2", () => {
  test("shares become weights that agree at the least, the default and the most", () => {
    expect([0, 2, 1024, 262_144, 300_000].map(weightOfShares)).toEqual([1, 1, 100, 10_000, 10_000]);
    expect(weightOfShares(512)).toBeLessThan(weightOfShares(513) + 1);
    expect([10, 500, 1000].map(weightOfBlkio)).toEqual([1, 4950, 10_000]);
  });

  test("memory and swap together become swap alone", () => {
    expect(swapOnly({ limit: 100, swap: 250 })).toBe(150);
    expect(swapOnly({ limit: 100, swap: 100 })).toBe(0);
    expect(swapOnly({ limit: 100, swap: -1 })).toBe(-1);
    expect(swapOnly({ limit: 100 })).toBeUndefined();
    expect(swapOnly({ limit: -1 })).toBe(-1);
    expect(swapOnly({ limit: -1, swap: 5 })).toBe(5);
    expect(() => swapOnly({ limit: 100, swap: 50 })).toThrow("linux.resources.memory.swap: 50");
    expect(() => swapOnly({ swap: 50 })).toThrow("needs linux.resources.memory.limit");
  });
});
