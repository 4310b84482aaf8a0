import { describe, expect, test } from "bun:test";
import { formatTime, timeNow, wallTime } from "./clock.ts";

describe("the clock", () => {
  test("agrees with the system's and does not go back", () => {
    let last = 0;
    for (let round = 0; round < 10_000; round++) {
      const { milliseconds, nanoseconds } = wallTime();
      const now = (milliseconds % 1e9) * 1e6 + nanoseconds;
      expect(now).toBeGreaterThanOrEqual(last);
      last = now;
    }
    expect(Math.abs(wallTime().milliseconds - Date.now())).toBeLessThanOrEqual(2);
  });
  test("is written with as many digits as it needs", () => {
    const milliseconds = Date.UTC(2026, 0, 2, 3, 4, 5, 60);
    expect(formatTime({ milliseconds, nanoseconds: 7 })).toBe("2026-01-02T03:04:05.060000007Z");
    expect(formatTime({ milliseconds, nanoseconds: 0 })).toBe("2026-01-02T03:04:05.06Z");
    expect(formatTime({ milliseconds: milliseconds - 60, nanoseconds: 0 })).toBe("2026-01-02T03:04:05Z");
    expect(timeNow()).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?Z$/);
  });
});
