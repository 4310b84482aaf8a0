import { EngineError } from "../core/errors.ts";
import { parseTimestamp } from "../core/timestamp.ts";

/**
 * What people write for `--since` and `--until`, as the API wants it: seconds since the epoch with up to nine
 * decimals.
 */
export function apiTime(text: string, flag: string, nowMs = Date.now()): string {
  const time = parseTimestamp(text, nowMs);
  if (time !== undefined) return time;
  throw new EngineError(
    "invalid_argument",
    `invalid value for "${flag}": failed to parse value as time or duration: ${JSON.stringify(text)}`,
  );
}
