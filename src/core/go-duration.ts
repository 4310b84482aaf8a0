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

/** As Go's Duration.String: `1h0m0s`, `1.5s`, `300ms`. */
export function formatGoDuration(nanoseconds: bigint): string {
  if (nanoseconds === 0n) return "0s";
  const sign = nanoseconds < 0n ? "-" : "";
  const size = nanoseconds < 0n ? -nanoseconds : nanoseconds;
  if (size < 1000n) return `${sign}${size}ns`;
  if (size < 1_000_000n) return `${sign}${Number(size) / 1e3}µs`;
  if (size < 1_000_000_000n) return `${sign}${Number(size) / 1e6}ms`;
  const seconds = Number(size % 60_000_000_000n) / 1e9;
  const minutes = size / 60_000_000_000n;
  if (minutes === 0n) return `${sign}${seconds}s`;
  const hours = minutes / 60n;
  return `${sign}${hours === 0n ? "" : `${hours}h`}${minutes % 60n}m${seconds}s`;
}
