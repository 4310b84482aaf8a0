/** Times as people and clients write them where Docker takes one. */
import { parseGoDuration } from "./go-duration.ts";

/**
 * Seconds since the epoch with up to nine decimals, of a Go duration (`10m`: that long ago), a Unix time, or an RFC 3339
 * date, whole or in parts, in local time when it has no zone. @returns undefined for what is none of them.
 */
export function parseTimestamp(text: string, nowMs = Date.now()): string | undefined {
  // A bare 0 is the Unix time, as Docker reads it.
  const durationMs = text === "0" ? undefined : parseGoDuration(text);
  if (durationMs !== undefined) return ((nowMs - durationMs) / 1000).toFixed(9);
  if (/^\d+(?:\.\d{1,9})?$/.test(text)) return text;
  const match = /^(\d{4}-\d\d-\d\d)(?:T(\d\d)(?::(\d\d)(?::(\d\d)(\.\d{1,9})?)?)?)?(Z|[+-]\d\d:\d\d)?$/.exec(text);
  if (!match) return undefined;
  const [, day, hour = "00", minute = "00", second = "00", fraction = "", zone = ""] = match;
  const milliseconds = Date.parse(`${day}T${hour}:${minute}:${second}${zone}`);
  return Number.isNaN(milliseconds) ? undefined : `${milliseconds / 1000}${fraction}`;
}

/** A time as Go writes it in JSON: RFC 3339 in UTC, with as many decimals as it needs. */
export function rfc3339Nano({ seconds, nanoseconds }: { seconds: number; nanoseconds: number }): string {
  const whole = new Date(seconds * 1000).toISOString().replace(/\.\d+Z$/, "");
  const fraction = String(nanoseconds).padStart(9, "0").replace(/0+$/, "");
  return `${whole}${fraction === "" ? "" : `.${fraction}`}Z`;
}

/**
 * A time as Docker writes that of a volume: RFC 3339 to the second, in local time. What is no time is Go's zero time.
 * @param text RFC 3339.
 */
export function rfc3339Seconds(text: string): string {
  const date = new Date(text);
  if (Number.isNaN(date.getTime())) return "0001-01-01T00:00:00Z";
  const eastMinutes = -date.getTimezoneOffset();
  const local = new Date(date.getTime() + eastMinutes * 60_000).toISOString().slice(0, 19);
  if (eastMinutes === 0) return `${local}Z`;
  const [hours, minutes] = [Math.trunc(Math.abs(eastMinutes) / 60), Math.abs(eastMinutes) % 60];
  const zone = `${String(hours).padStart(2, "0")}:${String(minutes).padStart(2, "0")}`;
  return `${local}${eastMinutes < 0 ? "-" : "+"}${zone}`;
}
