/** The daemon's flags of garbage collection. */
import { parseGoDuration } from "../core/go-duration.ts";
import { parseBytes } from "../core/size.ts";
import type { SpaceLimit } from "../image/collection/collected.ts";

export interface GcOptions {
  isOn: boolean;
  intervalMs: number;
  maxUsed: SpaceLimit | undefined;
  minFree: SpaceLimit | undefined;
  keepForMs: number;
}

/**
 * A file system that is nearly full fails everybody's writes, so images that can be fetched again give way; a large
 * one need not keep 5 % free for that, so the default has an upper bound.
 */
const defaultMinFree: SpaceLimit = { percent: 5, bytesMax: 20 * 2 ** 30 };
const hourMs = 3_600_000;
const intervalMinMs = 1000;

/** @param value the text of a flag, undefined where it was not given. @throws Error with the reason for a wrong one. */
export function readGcOptions(value: (name: string) => string | undefined): GcOptions {
  const isOn = read(value, "gc", (text) => ({ on: true, off: false, true: true, false: false })[text]) ?? true;
  const intervalMs = read(value, "gc-interval", parseGoDuration) ?? hourMs;
  if (intervalMs < intervalMinMs) throw new Error(invalid("gc-interval", value("gc-interval")!, "less than 1s"));
  const keepForMs = read(value, "gc-keep-for", parseGoDuration) ?? 24 * hourMs;
  if (keepForMs < 0) throw new Error(invalid("gc-keep-for", value("gc-keep-for")!, "less than 0"));
  const minFree = read(value, "gc-min-free", parseSpace) ?? defaultMinFree;
  const isNone = "bytes" in minFree ? minFree.bytes === 0 : minFree.percent === 0;
  return {
    isOn,
    intervalMs,
    keepForMs,
    maxUsed: read(value, "gc-max-used", parseSpace),
    minFree: isNone ? undefined : minFree,
  };
}

/** `20GB` and `20gib` are sizes, as those of `--memory`; `80%` is a part of the file system. */
function parseSpace(text: string): SpaceLimit | undefined {
  const percent = /^(\d+(?:\.\d+)?)\s*%$/.exec(text)?.[1];
  if (percent === undefined) return { bytes: parseBytes(text) };
  return Number(percent) <= 100 ? { percent: Number(percent) } : undefined;
}

function read<T>(
  value: (name: string) => string | undefined,
  name: string,
  parse: (text: string) => T | undefined,
): T | undefined {
  const text = value(name);
  if (text === undefined) return undefined;
  let parsed: T | undefined;
  try {
    parsed = parse(text);
  } catch (error) {
    throw new Error(invalid(name, text, (error as Error).message));
  }
  if (parsed === undefined) throw new Error(invalid(name, text));
  return parsed;
}

function invalid(name: string, text: string, reason?: string): string {
  return `invalid argument "${text}" for "--${name}" flag${reason === undefined ? "" : `: ${reason}`}`;
}
