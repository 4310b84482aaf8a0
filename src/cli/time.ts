/** Times and durations in docker's words. */
import { humanDuration } from "../core/human-duration.ts";

/** "2 minutes ago", for a Unix time in seconds. */
export function ago(unixSeconds: number, nowMs = Date.now()): string {
  return `${humanDuration(nowMs - unixSeconds * 1000)} ago`;
}

/** RFC 3339 of a Unix time in local time: `2026-01-02T03:04:05Z`, or with the zone's offset. */
export function rfc3339(unixSeconds: number): string {
  const [day, time, offset] = goTime(unixSeconds).split(" ") as [string, string, string];
  return `${day}T${time}${offset === "+0000" ? "Z" : `${offset.slice(0, 3)}:${offset.slice(3)}`}`;
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

/** Go's time.String() of an RFC 3339 time in UTC, with the fraction that it has: `2026-01-02 03:04:05.678 +0000 UTC`. */
export function goTimeOf(text: string): string {
  const [, day, time, fraction = "", zone] = /^([\d-]+)T([\d:]+)(\.\d+)?(.*)$/.exec(text) ?? [];
  if (day === undefined) return text;
  const decimals = fraction.replace(/\.?0+$/, "");
  const offset = zone === "Z" ? "+0000 UTC" : `${zone!.replace(":", "")} ${zone!.replace(":", "")}`;
  return `${day} ${time}${decimals} ${offset}`;
}

/** A time in RFC 3339 as `version` says it (Go's time.ANSIC): `Sun Jan  2 03:04:05 2026`, in the zone of the text. */
export function ansicTime(text: string): string {
  const [, instant] = /^(\d+-\d\d-\d\dT\d\d:\d\d:\d\d)/.exec(text) ?? [];
  if (instant === undefined) return text;
  const [weekday, day, month, year, time] = new Date(`${instant}Z`).toUTCString().replace(",", "").split(" ");
  return `${weekday} ${month} ${String(Number(day)).padStart(2)} ${time} ${year}`;
}
