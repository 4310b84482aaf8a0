/** The wall clock with the resolution that logs and records have: nanoseconds. JavaScript's own has milliseconds. */

export interface WallTime {
  /** Milliseconds since the epoch, a whole number. */
  milliseconds: number;
  /** Nanoseconds within that millisecond, below 1,000,000. */
  nanoseconds: number;
}

/**
 * A clock out of two. The monotonic one gives the digits below the millisecond; when the two have come apart by more
 * than that (somebody set the time, the machine slept) the wall clock is right.
 * @param monotonic nanoseconds since any moment. @param wall milliseconds since the epoch.
 */
export function wallClock(monotonic: () => number, wall: () => number): () => WallTime {
  /** The wall clock's milliseconds when the monotonic one stood at zero. */
  let zeroMs = Number.NaN;
  return () => {
    for (;;) {
      const now = monotonic();
      const wallMs = wall();
      const elapsedMs = Math.floor(now / 1e6);
      if (!(Math.abs(zeroMs + elapsedMs - wallMs) <= 1)) {
        // Unless the thread was kept waiting between the two looks, after which they say nothing about each other.
        if (monotonic() - now >= 1e6) continue;
        zeroMs = wallMs - elapsedMs;
      }
      return { milliseconds: zeroMs + elapsedMs, nanoseconds: Math.floor(now % 1e6) };
    }
  };
}

/** The time now. */
export const wallTime = wallClock(Bun.nanoseconds, Date.now);

/** RFC 3339 in UTC with up to nine digits of a second and no trailing zeros, as Go's RFC3339Nano: what docker writes. */
export function formatTime(time: WallTime): string {
  const text = new Date(time.milliseconds).toISOString();
  const fraction = text.slice(20, 23) + String(time.nanoseconds).padStart(6, "0");
  const digits = fraction.replace(/0+$/, "");
  return digits === "" ? `${text.slice(0, 19)}Z` : `${text.slice(0, 19)}.${digits}Z`;
}

/** The time now as records keep it. */
export function timeNow(): string {
  return formatTime(wallTime());
}
