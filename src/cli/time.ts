/** Times and durations in docker's words. */

/** Seconds as docker says them: "Less than a second", "5 seconds", "About a minute", "2 hours", "3 weeks". */
export function humanDuration(seconds: number): string {
  const whole = Math.floor(seconds);
  if (whole < 1) return "Less than a second";
  if (whole === 1) return "1 second";
  if (whole < 60) return `${whole} seconds`;
  const minutes = Math.floor(seconds / 60);
  if (minutes === 1) return "About a minute";
  if (minutes < 60) return `${minutes} minutes`;
  const hours = Math.round(seconds / 3600);
  if (hours === 1) return "About an hour";
  if (hours < 48) return `${hours} hours`;
  const exactHours = Math.floor(seconds / 3600);
  if (exactHours < 24 * 7 * 2) return `${Math.floor(exactHours / 24)} days`;
  if (exactHours < 24 * 30 * 2) return `${Math.floor(exactHours / 24 / 7)} weeks`;
  if (exactHours < 24 * 365 * 2) return `${Math.floor(exactHours / 24 / 30)} months`;
  return `${Math.floor(exactHours / 24 / 365)} years`;
}

/** "2 minutes ago", for a Unix time in seconds. */
export function ago(unixSeconds: number, nowMs = Date.now()): string {
  return `${humanDuration(nowMs / 1000 - unixSeconds)} ago`;
}

/** Go's time.String() of a Unix time in local time, which `{{.CreatedAt}}` prints: `2026-01-02 03:04:05 +0000 UTC`. */
export function goTime(unixSeconds: number): string {
  const date = new Date(unixSeconds * 1000);
  const two = (value: number) => String(value).padStart(2, "0");
  const offset = -date.getTimezoneOffset();
  const zone = new Intl.DateTimeFormat("en-US", { timeZoneName: "short" })
    .formatToParts(date)
    .find((part) => part.type === "timeZoneName")!.value;
  const day = `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
  const time = `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
  const sign = offset < 0 ? "-" : "+";
  return `${day} ${time} ${sign}${two(Math.floor(Math.abs(offset) / 60))}${two(Math.abs(offset) % 60)} ${zone}`;
}

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
