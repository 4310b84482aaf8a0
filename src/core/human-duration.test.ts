import { expect, test } from "bun:test";
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
