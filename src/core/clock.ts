/** The wall clock with the resolution that logs and records have: nanoseconds. JavaScript's own has milliseconds. */

export interface WallTime {
  /** Milliseconds since the epoch, a whole number. */
  milliseconds: number;
  /** Nanoseconds within that millisecond, below 1,000,000. */
  nanoseconds: number;
}

/** The wall clock's milliseconds when the monotonic clock stood at zero. */
let zeroMs = Number.NaN;

/**
 * The time now. The monotonic clock gives the digits below the millisecond; when the two clocks have come apart by
 * more than that (somebody set the time, the machine slept) the wall clock is right.
 */
export function wallTime(): WallTime {
  const monotonic = Bun.nanoseconds();
  const wallMs = Date.now();
  const elapsedMs = Math.floor(monotonic / 1e6);
  if (!(Math.abs(zeroMs + elapsedMs - wallMs) <= 1)) zeroMs = wallMs - elapsedMs;
  return { milliseconds: zeroMs + elapsedMs, nanoseconds: Math.floor(monotonic % 1e6) };
}

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
