import { formatExactJson } from "../../core/exact-json.ts";
import { TemplateError } from "./lex.ts";

/** The functions of a template: Go's own, and those that docker adds. */
export type TemplateFunction = (...args: unknown[]) => unknown;

/** The key of a function that prints an object as Go prints a value of a type of its own. */
export const goString = Symbol("goString");

/** Go's fmt "%v": maps in the order of their keys, lists in brackets. */
export function formatValue(value: unknown, nested = false): string {
  if (value === undefined) return "<no value>";
  if (value === null) return nested ? "<nil>" : "<no value>";
  if (Array.isArray(value)) return `[${value.map((item) => formatValue(item, true)).join(" ")}]`;
  if (typeof value === "object") {
    if (goString in value) return (value[goString] as () => string)();
    const keys = Object.keys(value).sort();
    return `map[${keys.map((key) => `${key}:${formatValue((value as Record<string, unknown>)[key], true)}`).join(" ")}]`;
  }
  return String(value);
}

/** Go's notion of an empty value: false, 0, nil, and anything of length zero. */
export function isTrue(value: unknown): boolean {
  if (value === undefined || value === null) return false;
  if (Array.isArray(value)) return value.length > 0;
  if (typeof value === "object") return Object.keys(value).length > 0;
  return Boolean(value);
}

export const templateFunctions: Record<string, TemplateFunction> = {
  // Go's
  and: (...args) => args.find((arg) => !isTrue(arg)) ?? args.at(-1),
  or: (...args) => args.find(isTrue) ?? args.at(-1),
  not: (arg) => !isTrue(arg),
  eq: (first, ...others) => others.some((other) => other === first),
  ne: (a, b) => a !== b,
  lt: (a, b) => compare(a, b) < 0,
  le: (a, b) => compare(a, b) <= 0,
  gt: (a, b) => compare(a, b) > 0,
  ge: (a, b) => compare(a, b) >= 0,
  len: (value) => lengthOf(value),
  index: (value, ...keys) => keys.reduce(indexed, value),
  slice: (value, from = 0, to) => sliceOf(value, Number(from), to),
  print: (...args) => printed(args),
  println: (...args) => `${args.map((arg) => formatValue(arg)).join(" ")}\n`,
  printf: (format, ...args) => sprintf(String(format), args),
  html: (...args) => escapeWith(printed(args), { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&#34;", "'": "&#39;" }),
  js: (...args) => escapeWith(printed(args), { "\\": "\\\\", "'": "\\'", '"': '\\"', "<": "\\u003C", ">": "\\u003E" }),
  urlquery: (...args) => encodeURIComponent(printed(args)).replace(/%20/g, "+"),
  // docker's
  json: (value) => formatExactJson(value ?? null),
  split: (text, separator) => String(text).split(String(separator)),
  join: (list, separator) => (Array.isArray(list) ? list.map((item) => formatValue(item)).join(String(separator)) : ""),
  title: (text) =>
    String(text).replace(/(^|\s)(\p{L})/gu, (_, space: string, letter: string) => space + letter.toUpperCase()),
  lower: (text) => String(text).toLowerCase(),
  upper: (text) => String(text).toUpperCase(),
  pad: (text, before, after) => " ".repeat(Number(before)) + String(text) + " ".repeat(Number(after)),
  truncate: (text, length) => String(text).slice(0, Number(length)),
};

function compare(a: unknown, b: unknown): number {
  if (typeof a === "number" && typeof b === "number") return a - b;
  if (typeof a === "string" && typeof b === "string") return a < b ? -1 : a > b ? 1 : 0;
  throw new TemplateError("error calling comparison: incompatible types for comparison");
}

function lengthOf(value: unknown): number {
  if (typeof value === "string") return Buffer.byteLength(value);
  if (Array.isArray(value)) return value.length;
  if (typeof value === "object" && value !== null) return Object.keys(value).length;
  throw new TemplateError("error calling len: len of nil pointer or of a type that has no length");
}

function indexed(value: unknown, key: unknown): unknown {
  if (Array.isArray(value) || typeof value === "string") {
    const at = Number(key);
    if (!Number.isInteger(at) || at < 0 || at >= value.length) {
      throw new TemplateError(`error calling index: reflect: slice index out of range: ${formatValue(key)}`);
    }
    return typeof value === "string" ? Buffer.from(value)[at] : value[at];
  }
  if (typeof value === "object" && value !== null) {
    const name = String(key);
    return Object.hasOwn(value, name) ? (value as Record<string, unknown>)[name] : "";
  }
  throw new TemplateError("error calling index: index of untyped nil");
}

function sliceOf(value: unknown, from: number, to: unknown): unknown {
  if (typeof value !== "string" && !Array.isArray(value))
    throw new TemplateError("error calling slice: can't slice item");
  const end = to === undefined ? value.length : Number(to);
  if (from < 0 || end > value.length || from > end) throw new TemplateError("error calling slice: index out of range");
  return value.slice(from, end);
}

/** fmt.Sprint: a space between operands when neither is a string. */
function printed(args: unknown[]): string {
  return args.reduce<string>((text, arg, index) => {
    const spaced = index > 0 && typeof arg !== "string" && typeof args[index - 1] !== "string";
    return text + (spaced ? " " : "") + formatValue(arg);
  }, "");
}

function escapeWith(text: string, table: Record<string, string>): string {
  return [...text].map((character) => table[character] ?? character).join("");
}

/** fmt.Sprintf for the verbs that make sense on JSON values. */
function sprintf(format: string, args: unknown[]): string {
  let next = 0;
  const text = format.replace(
    /%([-+ 0#]*)(\d*)(?:\.(\d+))?([a-zA-Z%])/g,
    (_, flags: string, width: string, precision: string | undefined, verb: string) => {
      if (verb === "%") return "%";
      if (next >= args.length) return `%!${verb}(MISSING)`;
      return padded(formatVerb(verb, args[next++], precision, flags), flags, Number(width || 0));
    },
  );
  const extra = args.slice(next).map((arg) => `${goType(arg)}=${formatValue(arg)}`);
  return extra.length === 0 ? text : `${text}%!(EXTRA ${extra.join(", ")})`;
}

function formatVerb(verb: string, value: unknown, precision: string | undefined, flags: string): string {
  const isNumber = typeof value === "number";
  switch (verb) {
    case "v":
      return formatValue(value);
    case "s":
      return isNumber || typeof value === "boolean"
        ? `%!s(${goType(value)}=${value})`
        : cut(formatValue(value), precision);
    case "q":
      return isNumber ? `'${String.fromCodePoint(value)}'` : JSON.stringify(formatValue(value));
    case "t":
      return typeof value === "boolean" ? String(value) : `%!t(${goType(value)}=${formatValue(value)})`;
    case "d":
      return isNumber && Number.isInteger(value)
        ? signed(String(value), flags)
        : `%!d(${goType(value)}=${formatValue(value)})`;
    case "x":
    case "X": {
      const hex = isNumber ? value.toString(16) : Buffer.from(formatValue(value)).toString("hex");
      return verb === "X" ? hex.toUpperCase() : hex;
    }
    case "o":
      return isNumber ? value.toString(8) : `%!o(${goType(value)}=${formatValue(value)})`;
    case "b":
      return isNumber ? value.toString(2) : `%!b(${goType(value)}=${formatValue(value)})`;
    case "c":
      return isNumber ? String.fromCodePoint(value) : `%!c(${goType(value)}=${formatValue(value)})`;
    case "f":
      return isNumber
        ? signed(value.toFixed(Number(precision ?? 6)), flags)
        : `%!f(${goType(value)}=${formatValue(value)})`;
    case "T":
      return goType(value);
    default:
      return `%!${verb}(${goType(value)}=${formatValue(value)})`;
  }
}

function cut(text: string, precision: string | undefined): string {
  return precision === undefined ? text : text.slice(0, Number(precision));
}

function signed(digits: string, flags: string): string {
  return flags.includes("+") && !digits.startsWith("-") ? `+${digits}` : digits;
}

function padded(text: string, flags: string, width: number): string {
  if (flags.includes("-")) return text.padEnd(width);
  if (flags.includes("0") && /^[+-]?\d/.test(text)) {
    const sign = /^[+-]/.test(text) ? text[0]! : "";
    return sign + text.slice(sign.length).padStart(width - sign.length, "0");
  }
  return text.padStart(width);
}

function goType(value: unknown): string {
  if (value === null || value === undefined) return "<nil>";
  if (Array.isArray(value)) return "[]interface {}";
  if (typeof value === "object") return "map[string]interface {}";
  if (typeof value === "number") return Number.isInteger(value) ? "int" : "float64";
  return typeof value === "boolean" ? "bool" : "string";
}
