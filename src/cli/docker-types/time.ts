/** Go's time.Time and time.Duration: https://pkg.go.dev/time. */
import { formatGoDuration } from "../../core/go-duration.ts";
import { boolType, type GoType, intType, type Method, stringType, type Traits, Value } from "../template/types.ts";

const months = "January February March April May June July August September October November December".split(" ");
const days = "Sunday Monday Tuesday Wednesday Thursday Friday Saturday".split(" ");
const zero = "0001-01-01T00:00:00Z";

interface Clock {
  /** In the zone that the text names. */
  local: Date;
  nanoseconds: number;
  /** Minutes east of Greenwich. */
  offset: number;
}

function clockOf(text: string): Clock {
  const match = /^(\d{4,}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d+))?(Z|[+-]\d\d:\d\d)$/.exec(text);
  if (!match) return clockOf(zero);
  const [, instant = "", fraction = "", zone = "Z"] = match;
  const [hours = 0, minutes = 0] = zone === "Z" ? [] : zone.slice(1).split(":").map(Number);
  const offset = (zone[0] === "-" ? -1 : 1) * (hours * 60 + minutes);
  return { local: new Date(`${instant}Z`), nanoseconds: Number(fraction.padEnd(9, "0").slice(0, 9)), offset };
}

const two = (value: number) => String(value).padStart(2, "0");

function zoneText(offset: number, colon: string): string {
  const size = Math.abs(offset);
  return `${offset < 0 ? "-" : "+"}${two(Math.floor(size / 60))}${colon}${two(size % 60)}`;
}

/** Its String method: `2026-01-02 03:04:05.678 +0000 UTC`. */
function timeText(text: string): string {
  const { offset } = clockOf(text);
  return format(text, `2006-01-02 15:04:05.999999999 -0700 ${offset === 0 ? "UTC" : "-0700"}`);
}

type Part = (clock: Clock) => string | number;

const hour12 = ({ local }: Clock) => local.getUTCHours() % 12 || 12;
const zoneOr =
  (colon: string): Part =>
  ({ offset }) =>
    offset === 0 ? "Z" : zoneText(offset, colon);

/** The words of a layout; the longer of those that begin alike comes first. */
const layout: [string, Part][] = [
  ["January", ({ local }) => months[local.getUTCMonth()]!],
  ["Jan", ({ local }) => months[local.getUTCMonth()]!.slice(0, 3)],
  ["Monday", ({ local }) => days[local.getUTCDay()]!],
  ["Mon", ({ local }) => days[local.getUTCDay()]!.slice(0, 3)],
  ["MST", ({ offset }) => (offset === 0 ? "UTC" : zoneText(offset, ""))],
  ["2006", ({ local }) => String(local.getUTCFullYear()).padStart(4, "0")],
  ["Z07:00", zoneOr(":")],
  ["Z0700", zoneOr("")],
  ["-07:00", ({ offset }) => zoneText(offset, ":")],
  ["-0700", ({ offset }) => zoneText(offset, "")],
  ["-07", ({ offset }) => zoneText(offset, "").slice(0, 3)],
  ["002", ({ local }) => String(dayOfYear(local)).padStart(3, "0")],
  ["01", ({ local }) => two(local.getUTCMonth() + 1)],
  ["02", ({ local }) => two(local.getUTCDate())],
  ["03", (clock) => two(hour12(clock))],
  ["04", ({ local }) => two(local.getUTCMinutes())],
  ["05", ({ local }) => two(local.getUTCSeconds())],
  ["06", ({ local }) => two(local.getUTCFullYear() % 100)],
  ["15", ({ local }) => two(local.getUTCHours())],
  ["PM", ({ local }) => (local.getUTCHours() < 12 ? "AM" : "PM")],
  ["pm", ({ local }) => (local.getUTCHours() < 12 ? "am" : "pm")],
  ["_2", ({ local }) => String(local.getUTCDate()).padStart(2)],
  ["1", ({ local }) => local.getUTCMonth() + 1],
  ["2", ({ local }) => local.getUTCDate()],
  ["3", hour12],
  ["4", ({ local }) => local.getUTCMinutes()],
  ["5", ({ local }) => local.getUTCSeconds()],
];

const word = new RegExp(`[.,](?:0+|9+)(?!\\d)|${layout.map(([text]) => text).join("|")}`, "g");
const parts = new Map(layout);

/** Its Format method. */
function format(text: string, wanted: string): string {
  const clock = clockOf(text);
  return wanted.replace(word, (found) => {
    const part = parts.get(found);
    if (part !== undefined) return String(part(clock));
    const digits = String(clock.nanoseconds)
      .padStart(9, "0")
      .slice(0, found.length - 1);
    if (found[1] === "0") return found[0] + digits;
    const bare = digits.replace(/0+$/, "");
    return bare === "" ? "" : found[0] + bare;
  });
}

function dayOfYear(date: Date): number {
  return Math.floor((date.getTime() - Date.UTC(date.getUTCFullYear(), 0, 0)) / 86_400_000);
}

function unixSeconds({ local, offset }: Clock): number {
  return Math.floor(local.getTime() / 1000) - offset * 60;
}

function named(name: string, names: string[], first: number): GoType {
  return { ...intType, name, traits: { text: (data) => names[Number(data) - first]! } };
}

const monthType = named("time.Month", months, 1);
const weekdayType = named("time.Weekday", days, 0);
const int64Type: GoType = { ...intType, name: "int64", literal: "int64" };

function getter(type: GoType, get: (clock: Clock) => number | bigint): Method {
  return { parameters: [], call: (text) => new Value(type, get(clockOf(text as string))) };
}

const nanoseconds = (clock: Clock) => BigInt(unixSeconds(clock)) * 1_000_000_000n + BigInt(clock.nanoseconds);

/** @param self the type itself, which UTC gives. */
function timeMethods(self: () => GoType): Record<string, Method> {
  return {
    Format: {
      parameters: [stringType],
      call: (text, [wanted]) => new Value(stringType, format(text as string, wanted!.data as string)),
    },
    String: { parameters: [], call: (text) => new Value(stringType, timeText(text as string)) },
    IsZero: { parameters: [], call: (text) => new Value(boolType, timeText(text as string) === timeText(zero)) },
    UTC: {
      parameters: [],
      call: (text) => {
        const clock = clockOf(text as string);
        const instant = new Date(unixSeconds(clock) * 1000).toISOString().slice(0, 19);
        return new Value(self(), `${instant}.${String(clock.nanoseconds).padStart(9, "0")}Z`);
      },
    },
    Unix: getter(int64Type, unixSeconds),
    UnixMilli: getter(int64Type, (clock) => nanoseconds(clock) / 1_000_000n),
    UnixNano: getter(int64Type, nanoseconds),
    Year: getter(intType, ({ local }) => local.getUTCFullYear()),
    Month: getter(monthType, ({ local }) => local.getUTCMonth() + 1),
    Day: getter(intType, ({ local }) => local.getUTCDate()),
    YearDay: getter(intType, ({ local }) => dayOfYear(local)),
    Weekday: getter(weekdayType, ({ local }) => local.getUTCDay()),
    Hour: getter(intType, ({ local }) => local.getUTCHours()),
    Minute: getter(intType, ({ local }) => local.getUTCMinutes()),
    Second: getter(intType, ({ local }) => local.getUTCSeconds()),
    Nanosecond: getter(intType, (clock) => clock.nanoseconds),
  };
}

export function timeTraits(self: () => GoType): Traits {
  return {
    read: (json) => (typeof json === "string" ? json : zero),
    text: (data) => timeText(data as string),
    encode: (data) => JSON.stringify(format(data as string, "2006-01-02T15:04:05.999999999Z07:00")),
    methods: timeMethods(self),
  };
}

function durationText(data: unknown): string {
  return formatGoDuration(BigInt(data as number));
}

const floatType: GoType = { ...intType, name: "float64", literal: "float64", kind: "float" };

function inUnits(nanosecondsEach: number): Method {
  return { parameters: [], call: (data) => new Value(floatType, Number(data) / nanosecondsEach) };
}

export const durationTraits: Traits = {
  text: durationText,
  methods: {
    String: { parameters: [], call: (data) => new Value(stringType, durationText(data)) },
    Hours: inUnits(3.6e12),
    Minutes: inUnits(6e10),
    Seconds: inUnits(1e9),
    Milliseconds: { parameters: [], call: (data) => new Value(int64Type, Math.trunc(Number(data) / 1e6)) },
    Nanoseconds: { parameters: [], call: (data) => new Value(int64Type, data) },
  },
};
