/** Nanoseconds, by the names that Go gives them. */
const units: Readonly<Record<string, number>> = {
  ns: 1,
  us: 1e3,
  µs: 1e3,
  μs: 1e3,
  ms: 1e6,
  s: 1e9,
  m: 60e9,
  h: 3600e9,
};
const parts = /(\d+\.?\d*|\.\d+)(ns|us|µs|μs|ms|s|m|h)/y;

/**
 * Milliseconds from what Go's time.ParseDuration reads: `300ms`, `1.5h`, `2h45m`, `-1s`; 0 may stand without a unit.
 * @returns undefined for anything else.
 */
export function parseGoDuration(text: string): number | undefined {
  const [, sign, rest = ""] = /^([+-]?)(.*)$/.exec(text) ?? [];
  if (rest === "0") return 0;
  if (rest === "") return undefined;
  let nanoseconds = 0;
  parts.lastIndex = 0;
  while (parts.lastIndex < rest.length) {
    const match = parts.exec(rest);
    if (match === null) return undefined;
    nanoseconds += Number(match[1]) * units[match[2]!]!;
  }
  return ((sign === "-" ? -1 : 1) * nanoseconds) / 1e6;
}
