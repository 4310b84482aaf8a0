/** Times as people and clients write them where Docker takes one. */

const unitSeconds: Record<string, number> = { ns: 1e-9, us: 1e-6, µs: 1e-6, ms: 1e-3, s: 1, m: 60, h: 3600 };

/** Seconds of a Go duration, `1h30m` or `500ms`; undefined when it is none. */
export function parseGoDuration(text: string): number | undefined {
  if (!/^[+-]?(?:\d+(?:\.\d*)?(?:ns|us|µs|ms|s|m|h))+$/.test(text)) return undefined;
  let seconds = 0;
  for (const [, amount, unit] of text.matchAll(/(\d+(?:\.\d*)?)(ns|us|µs|ms|s|m|h)/g)) {
    seconds += Number(amount) * unitSeconds[unit!]!;
  }
  return text.startsWith("-") ? -seconds : seconds;
}

/**
 * Seconds since the epoch with up to nine decimals, of a Go duration (`10m`: that long ago), a Unix time, or an RFC 3339
 * date, whole or in parts, in local time when it has no zone. @returns undefined for what is none of them.
 */
export function parseTimestamp(text: string, nowMs = Date.now()): string | undefined {
  const duration = parseGoDuration(text);
  if (duration !== undefined) return (nowMs / 1000 - duration).toFixed(9);
  if (/^\d+(?:\.\d{1,9})?$/.test(text)) return text;
  const match = /^(\d{4}-\d\d-\d\d)(?:T(\d\d)(?::(\d\d)(?::(\d\d)(\.\d{1,9})?)?)?)?(Z|[+-]\d\d:\d\d)?$/.exec(text);
  if (!match) return undefined;
  const [, day, hour = "00", minute = "00", second = "00", fraction = "", zone = ""] = match;
  const milliseconds = Date.parse(`${day}T${hour}:${minute}:${second}${zone}`);
  return Number.isNaN(milliseconds) ? undefined : `${milliseconds / 1000}${fraction}`;
}
