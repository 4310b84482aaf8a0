import { expect, test } from "bun:test";
import { parseTimestamp } from "./timestamp.ts";

test("a time is a duration ago, a Unix time or a date", () => {
  const nowMs = 1_000_000_000;
  const cases: [text: string, seconds: string | undefined][] = [
    ["1h30m", "994600.000000000"],
    ["500ms", "999999.500000000"],
    [".5s", "999999.500000000"],
    ["-10s", "1000010.000000000"],
    ["0s", "1000000.000000000"],
    ["0", "0"],
    ["1700000000.000000001", "1700000000.000000001"],
    ["2026-01-02T03:04:05.5Z", "1767323045.5"],
    ["2026-01-02T03:04:05+01:00", "1767319445"],
    ["", undefined],
    ["h", undefined],
    ["1x", undefined],
    ["2026-13-01", undefined],
  ];
  for (const [text, seconds] of cases) expect(parseTimestamp(text, nowMs)).toBe(seconds);
});
