import { EngineError } from "../core/errors.ts";
import { parseGoDuration } from "./time.ts";

/**
 * What people write for `--since` and `--until`, as the API wants it: seconds since the epoch with up to nine
 * decimals. A Go duration (`10m`) is that long ago; else a Unix time or an RFC 3339 date, whole or in parts, in
 * local time when it has no zone.
 */
export function apiTime(text: string, flag: string, nowMs = Date.now()): string {
  const duration = parseGoDuration(text);
  if (duration !== undefined) return (nowMs / 1000 - duration).toFixed(9);
  if (/^\d+(?:\.\d{1,9})?$/.test(text)) return text;
  const match = /^(\d{4}-\d\d-\d\d)(?:T(\d\d)(?::(\d\d)(?::(\d\d)(\.\d{1,9})?)?)?)?(Z|[+-]\d\d:\d\d)?$/.exec(text);
  if (match) {
    const [, day, hour = "00", minute = "00", second = "00", fraction = "", zone = ""] = match;
    const milliseconds = Date.parse(`${day}T${hour}:${minute}:${second}${zone}`);
    if (!Number.isNaN(milliseconds)) return `${milliseconds / 1000}${fraction}`;
  }
  throw new EngineError(
    "invalid_argument",
    `invalid value for "${flag}": failed to parse ${JSON.stringify(text)} as a time or a duration`,
  );
}
