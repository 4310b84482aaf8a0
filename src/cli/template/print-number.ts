/** How Go's fmt prints numbers: https://pkg.go.dev/fmt#hdr-Printing. */

/** What stands between `%` and the verb. */
export interface Spec {
  plus: boolean;
  minus: boolean;
  sharp: boolean;
  space: boolean;
  zero: boolean;
  width?: number | undefined;
  precision?: number | undefined;
  /** `%+v`: structs with the names of their fields. */
  isNaming?: boolean;
  /** `%#v`: as Go's source. */
  isGo?: boolean;
}

export const plainSpec: Spec = { plus: false, minus: false, sharp: false, space: false, zero: false };

/** Filled up to the width, counted in characters. */
export function pad(text: string, { width, minus, zero }: Spec): string {
  if (width === undefined) return text;
  const missing = width - [...text].length;
  if (missing <= 0) return text;
  if (minus) return text + " ".repeat(missing);
  return (zero ? "0" : " ").repeat(missing) + text;
}

const prefixes: Record<number, string> = { 2: "0b", 8: "0", 16: "0x" };

/** @param verb one of d, v, b, o, O, x and X. */
export function printInteger(value: bigint, verb: string, spec: Spec): string {
  const base = verb === "b" ? 2 : verb === "o" || verb === "O" ? 8 : verb === "x" || verb === "X" ? 16 : 10;
  const isNegative = value < 0n;
  const { precision } = spec;
  if (precision === 0 && value === 0n) return pad("", { ...spec, zero: false });
  let digits = (isNegative ? -value : value).toString(base);
  const sign = isNegative ? "-" : spec.plus ? "+" : spec.space ? " " : "";
  let least = precision ?? 0;
  if (precision === undefined && spec.zero && !spec.minus && spec.width !== undefined) least = spec.width - sign.length;
  digits = digits.padStart(least, "0");
  if (spec.sharp && !(base === 8 && digits.startsWith("0"))) digits = (prefixes[base] ?? "") + digits;
  if (verb === "O") digits = `0o${digits}`;
  if (verb === "X") digits = digits.toUpperCase();
  return pad(sign + digits, { ...spec, zero: false });
}

/** @param verb one of v, e, E, f, F, g, G, x, X and b. */
export function printFloat(value: number, verb: string, spec: Spec): string {
  let text = floatDigits(Math.abs(value), verb, spec);
  if (verb === "E" || verb === "G" || verb === "X") text = text.toUpperCase();
  const isNegative = value < 0 || Object.is(value, -0);
  const sign = isNegative ? "-" : spec.plus ? "+" : spec.space ? " " : "";
  if (!Number.isFinite(value)) {
    return pad(Number.isNaN(value) ? `${spec.plus ? "+" : ""}NaN` : `${sign || "+"}Inf`, { ...spec, zero: false });
  }
  if (spec.zero && !spec.minus && spec.width !== undefined) return sign + text.padStart(spec.width - sign.length, "0");
  return pad(sign + text, spec);
}

function floatDigits(value: number, verb: string, { precision, sharp }: Spec): string {
  switch (verb.toLowerCase()) {
    case "f":
      return rounded((digits) => value.toFixed(digits), precision ?? 6);
    case "e":
      return goExponent(rounded((digits) => value.toExponential(digits), precision ?? 6));
    case "x":
      return hexFloat(value);
    case "b": {
      if (value === 0) return "0p-1074";
      const exponent = Math.floor(Math.log2(value)) - 52;
      return `${BigInt(value / 2 ** exponent)}p${exponent < 0 ? "" : "+"}${exponent}`;
    }
    default:
      return shortest(value, precision, sharp);
  }
}

/** `%g`: the fewest digits that tell the number, with an exponent where that is below -4 or at least the precision. */
function shortest(value: number, precision: number | undefined, keepsZeros: boolean): string {
  const digits = precision === undefined ? undefined : Math.max(precision, 1);
  const scientific =
    digits === undefined ? value.toExponential() : rounded((most) => value.toExponential(most), digits - 1);
  const [mantissa = "", exponentText = "0"] = scientific.split("e");
  const exponent = value === 0 ? 0 : Number(exponentText);
  const bare = keepsZeros || !mantissa.includes(".") ? mantissa : mantissa.replace(/\.?0+$/, "");
  const shown = bare.replace(".", "").length;
  let limit = digits ?? 6;
  if (digits !== undefined && limit > shown && shown >= exponent + 1) limit = shown;
  if (exponent < -4 || exponent >= limit) return goExponent(`${bare}e${exponent}`);
  return value.toFixed(Math.max(0, shown - 1 - exponent));
}

/** What lies in the very middle goes to the even digit, which JavaScript has go up. */
function rounded(print: (digits: number) => string, digits: number): string {
  const shown = Math.min(digits, 100);
  const [exact = ""] = print(Math.min(100, shown + 60)).split("e");
  const point = exact.indexOf(".");
  const kept = point + 1 + shown;
  const isMiddle = point >= 0 && /^50*$/.test(exact.slice(kept));
  const before = exact.slice(0, kept).replace(".", "").at(-1)!;
  if (!isMiddle || Number(before) % 2 === 1) return print(shown);
  const cut = exact.slice(0, shown === 0 ? point : kept);
  return print(shown).replace(/^[^e]*/, cut);
}

/** An exponent has two digits at least. */
function goExponent(text: string): string {
  return text.replace(/e([+-]?)(\d)$/, "e$10$2").replace(/e(\d)/, "e+$1");
}

function hexFloat(value: number): string {
  if (value === 0) return "0x0p+00";
  const exponent = Math.floor(Math.log2(value));
  const fraction = BigInt(Math.round((value / 2 ** exponent - 1) * 2 ** 52))
    .toString(16)
    .padStart(13, "0")
    .replace(/0+$/, "");
  const sign = exponent < 0 ? "-" : "+";
  return `0x1${fraction === "" ? "" : `.${fraction}`}p${sign}${String(Math.abs(exponent)).padStart(2, "0")}`;
}
