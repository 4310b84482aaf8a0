import { expect, test } from "bun:test";
import { parseGoDuration } from "./go-duration.ts";
import { humanDuration } from "./human-duration.ts";

test("durations are said as docker says them", () => {
  const second = 1000;
  const hour = 3600 * second;
  const day = 24 * hour;
  const cases: [number, string][] = [
    [0, "Less than a second"],
    [-5, "Less than a second"],
    [second, "1 second"],
    [59.9 * second, "59 seconds"],
    [60 * second, "About a minute"],
    [150 * second, "2 minutes"],
    [59.5 * 60 * second, "59 minutes"],
    [hour, "About an hour"],
    [1.6 * hour, "2 hours"],
    [47 * hour, "47 hours"],
    [2 * day, "2 days"],
    [14 * day, "2 weeks"],
    [60 * day, "2 months"],
    [730 * day, "2 years"],
  ];
  for (const [duration, words] of cases) expect(humanDuration(duration)).toBe(words);
});

test("durations are read as Go reads them", () => {
  const cases: [string, number | undefined][] = [
    ["300ms", 300],
    ["1.5h", 5_400_000],
    ["2h45m", 9_900_000],
    ["-1s", -1000],
    [".5s", 500],
    ["0", 0],
    ["1", undefined],
    ["", undefined],
    ["s", undefined],
    ["1s ", undefined],
    ["1d", undefined],
  ];
  for (const [text, durationMs] of cases) expect(parseGoDuration(text)).toBe(durationMs);
});
