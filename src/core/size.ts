import { EngineError } from "./errors.ts";

const binaryUnits: Record<string, number> = { "": 1, b: 1, k: 2 ** 10, m: 2 ** 20, g: 2 ** 30, t: 2 ** 40, p: 2 ** 50 };

/**
 * Bytes from what people write for `--memory`: a number with an optional unit, powers of 1024 (`512m`, `1.5GiB`).
 * @throws EngineError invalid_argument with the words of docker's own parser.
 */
export function parseBytes(text: string): number {
  const match = /^(\d+(?:\.\d+)?) ?([bkmgtp]?)(?:i?b)?$/i.exec(text.trim());
  const unit = binaryUnits[match?.[2]?.toLowerCase() ?? "none"];
  if (!match || unit === undefined) throw new EngineError("invalid_argument", `invalid size: '${text}'`);
  return Math.floor(Number(match[1]) * unit);
}

const decimalUnits = Object.fromEntries(["", "k", "m", "g", "t", "p"].map((unit, power) => [unit, 1000 ** power]));

/**
 * Bytes from what people write for the sizes of logs (go-units, FromHumanSize): as parseBytes, with powers of 1000,
 * also where a unit says otherwise (`10MiB`).
 * @throws EngineError invalid_argument with the words of docker's own parser.
 */
export function parseHumanSize(text: string): number {
  const [, number = "", unit = "", rest = ""] = /^(\d+(?:\.\d+)?) ?([kmgtp]?)(.*)$/i.exec(text) ?? [];
  if (number === "") throw new EngineError("invalid_argument", `invalid size: '${text}'`);
  if (!/^(i?b)?$/i.test(rest) || (unit === "" && /^i/i.test(rest))) {
    throw new EngineError("invalid_argument", `invalid suffix: '${unit}${rest}'`);
  }
  return Math.floor(Number(number) * decimalUnits[unit.toLowerCase()]!);
}

/**
 * Bytes for people in decimal units, as docker prints them: with three digits the sizes of images, `4.26MB`, with four
 * progress and what is shared.
 */
export function formatBytesDecimal(bytes: number, digits: 3 | 4 = 3): string {
  return formatWith(bytes, 1000, ["B", "kB", "MB", "GB", "TB", "PB"], digits);
}

/** The same with four digits, as docker prints sums and reclaimed space (go-units, HumanSize): `32.77kB`. */
export function formatHumanSize(bytes: number): string {
  return formatBytesDecimal(bytes, 4);
}

/** Bytes for people in binary units and four digits, as docker prints memory: `1.944GiB`. */
export function formatBytesBinary(bytes: number): string {
  return formatWith(bytes, 1024, ["B", "KiB", "MiB", "GiB", "TiB", "PiB"], 4);
}

function formatWith(bytes: number, base: number, units: string[], digits: number): string {
  let value = bytes;
  let unit = 0;
  while (value >= base && unit < units.length - 1) {
    value /= base;
    unit++;
  }
  return `${Number(value.toPrecision(digits))}${units[unit]}`;
}
