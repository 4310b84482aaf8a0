import { describe, expect, test } from "bun:test";
import { formatTime, timeNow, wallClock, wallTime } from "./clock.ts";

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
  test("takes no pause between its two looks for a change of the time, and a change for one", () => {
    let [nanoseconds, changeMs, pauseMs] = [5e6, 1000, 0];
    const clock = wallClock(
      () => nanoseconds,
      () => {
        nanoseconds += pauseMs * 1e6;
        pauseMs = 0;
        return Math.floor(nanoseconds / 1e6) + changeMs;
      },
    );
    expect(clock()).toEqual({ milliseconds: 1005, nanoseconds: 0 });
    pauseMs = 20;
    expect(clock()).toEqual({ milliseconds: 1025, nanoseconds: 0 });
    nanoseconds += 7;
    expect(clock()).toEqual({ milliseconds: 1025, nanoseconds: 7 });
    changeMs = 500;
    expect(clock()).toEqual({ milliseconds: 525, nanoseconds: 7 });
  });
  test("is written with as many digits as it needs", () => {
    const milliseconds = Date.UTC(2026, 0, 2, 3, 4, 5, 60);
    expect(formatTime({ milliseconds, nanoseconds: 7 })).toBe("2026-01-02T03:04:05.060000007Z");
    expect(formatTime({ milliseconds, nanoseconds: 0 })).toBe("2026-01-02T03:04:05.06Z");
    expect(formatTime({ milliseconds: milliseconds - 60, nanoseconds: 0 })).toBe("2026-01-02T03:04:05Z");
    expect(timeNow()).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?Z$/);
  });
});
