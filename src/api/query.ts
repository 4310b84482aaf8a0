/** Query parameters as Docker's daemon reads them. */

import type { TerminalSize } from "./backend/containers.ts";
import { invalid } from "./errors.ts";
import { parsePlatform } from "./platform.ts";
import type { Filters } from "./schema/filters.ts";
import type { ApiContext } from "./transport.ts";

/** False for absent, empty, `0`, `no`, `false` and `none`; true for all else. */
export function queryFlag(c: ApiContext, name: string, absent = false): boolean {
  const value = c.req.query(name);
  if (value === undefined) return absent;
  return !["", "0", "no", "false", "none"].includes(value.trim().toLowerCase());
}

/** @throws EngineError invalid_argument when it is there and no whole number. */
export function queryInteger(c: ApiContext, name: string): number | undefined {
  const value = c.req.query(name);
  if (value === undefined || value === "") return undefined;
  const number = Number(value);
  if (!/^[+-]?\d+$/.test(value) || !Number.isSafeInteger(number))
    throw invalid(`invalid ${name} ${JSON.stringify(value)}`);
  return number;
}

/** What a terminal's size has room for (ioctl_tty(2), struct winsize). */
const terminalSizeMax = 0xffff;

/** `h` and `w`, both needed. @throws EngineError invalid_argument in Docker's words. */
export function querySize(c: ApiContext): TerminalSize {
  return { rows: queryLength(c, "h", "height"), columns: queryLength(c, "w", "width") };
}

function queryLength(c: ApiContext, name: string, what: string): number {
  const value = c.req.query(name) ?? "";
  const wrong = (why: string) => invalid(`invalid resize ${what} ${JSON.stringify(value)}: ${why}`);
  if (!/^-?\d+$/.test(value)) throw wrong("invalid syntax");
  if (value.startsWith("-") || Number(value) > 0xffff_ffff) throw wrong("value out of range");
  return Math.min(Number(value), terminalSizeMax);
}

/**
 * Nanoseconds from `seconds[.fraction]` since the epoch, which is what clients make of the dates and durations that
 * people write. 0 and absent are none.
 */
export function queryInstant(c: ApiContext, name: string): bigint | undefined {
  const value = c.req.query(name);
  if (value === undefined || value === "" || value === "0") return undefined;
  const match = /^(-?\d{1,12})(?:\.(\d{1,9})\d*)?$/.exec(value);
  if (!match) throw invalid(`invalid ${name} ${JSON.stringify(value)}: not a Unix time in seconds`);
  const fraction = BigInt((match[2] ?? "").padEnd(9, "0"));
  const seconds = BigInt(match[1]!) * 1_000_000_000n;
  return match[1]!.startsWith("-") ? seconds - fraction : seconds + fraction;
}

/** @returns the text as it was sent, checked. */
export function queryPlatform(c: ApiContext): string | undefined {
  const value = c.req.query("platform");
  if (value === undefined || value === "") return undefined;
  parsePlatform(value);
  return value;
}

/**
 * The `filters` parameter: `{"name": ["a", "b"]}`, or `{"name": {"a": true}}` as clients since API 1.22 write it.
 * @throws EngineError invalid_argument for a name that is not in `allowed`.
 */
export function queryFilters(c: ApiContext, allowed: readonly string[]): Filters {
  const value = c.req.query("filters");
  if (value === undefined || value === "") return {};
  const filters: Filters = {};
  for (const [name, values] of Object.entries(parseObject(value))) {
    if (!allowed.includes(name)) throw invalid(`invalid filter '${name}'`);
    filters[name] = filterValues(name, values);
  }
  return filters;
}

function parseObject(text: string): object {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch (error) {
    throw invalid(`invalid filters: ${(error as Error).message}`);
  }
  if (typeof parsed !== "object" || parsed === null || Array.isArray(parsed))
    throw invalid("invalid filters: no object");
  return parsed;
}

function filterValues(name: string, values: unknown): string[] {
  if (Array.isArray(values) && values.every((value) => typeof value === "string")) return values;
  if (typeof values === "object" && values !== null && !Array.isArray(values)) {
    return Object.entries(values).flatMap(([value, wanted]) => (wanted === true ? [value] : []));
  }
  throw invalid(`invalid filter '${name}': neither a list nor a set of strings`);
}

/** A filter that is a boolean. @throws EngineError invalid_argument in Docker's words for what is none. */
export function filterFlag(filters: Filters, name: string): boolean | undefined {
  const values = filters[name];
  if (values === undefined || values.length === 0) return undefined;
  const [value] = values;
  if (values.length === 1 && (value === "1" || value === "true")) return true;
  if (values.length === 1 && (value === "0" || value === "false")) return false;
  throw invalid(`invalid filter '${name}=[${values.join(" ")}]'`);
}

/** As Go writes a list that was never begun. */
export function orNull<T>(list: T[] | null): T[] | null {
  return list?.length ? list : null;
}
