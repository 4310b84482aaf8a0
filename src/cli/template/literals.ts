/** Go's literals: https://go.dev/ref/spec#Lexical_elements. */
import { CallError } from "./error.ts";
import type { Constant } from "./tree.ts";

const escapes: Record<string, string> = {
  n: "\n",
  t: "\t",
  r: "\r",
  a: "\x07",
  b: "\b",
  f: "\f",
  v: "\v",
  "\\": "\\",
  '"': '"',
  "'": "'",
};

/** A string literal: interpreted, or raw between back quotes. @throws CallError. */
export function unquote(literal: string): string {
  if (literal.startsWith("`")) return literal.slice(1, -1).replaceAll("\r", "");
  const escaped = /\\(?:x([\da-fA-F]{2})|u([\da-fA-F]{4})|U([\da-fA-F]{8})|([0-3][0-7]{2})|([\s\S]))/g;
  const bytes: Buffer[] = [];
  const body = literal.slice(1, -1);
  let from = 0;
  for (const match of body.matchAll(escaped)) {
    const [all, hex, short, long, octal, single] = match;
    bytes.push(Buffer.from(body.slice(from, match.index)));
    from = match.index + all.length;
    if (hex !== undefined) bytes.push(Buffer.from([Number.parseInt(hex, 16)]));
    else if (octal !== undefined) bytes.push(Buffer.from([Number.parseInt(octal, 8)]));
    else if (single !== undefined) bytes.push(Buffer.from(plainEscape(single, literal[0]!)));
    else bytes.push(Buffer.from(String.fromCodePoint(validRune(Number.parseInt((short ?? long)!, 16)))));
  }
  return Buffer.concat([...bytes, Buffer.from(body.slice(from))]).toString();
}

function plainEscape(character: string, quote: string): string {
  const isOtherQuote = (character === "'" || character === '"') && character !== quote;
  const known = Object.hasOwn(escapes, character) && !isOtherQuote ? escapes[character] : undefined;
  if (known === undefined) throw new CallError("invalid syntax");
  return known;
}

function validRune(code: number): number {
  if (code > 0x10ffff || (code >= 0xd800 && code < 0xe000)) throw new CallError("invalid syntax");
  return code;
}

/** `'a'`, as its code point. @throws CallError. */
export function parseRune(literal: string): Constant {
  const [character, ...more] = [...unquote(literal)];
  if (character === undefined || more.length > 0) throw new CallError(`malformed character constant: ${literal}`);
  return { type: "int", value: BigInt(character.codePointAt(0)!) };
}

/** A number of any notation; what is written as an integer is one. @throws CallError. */
export function parseNumber(text: string): Constant {
  if (text.endsWith("i")) return complex(text);
  const digits = text.replace(/^[+-]/, "");
  const sign = text.startsWith("-") ? -1n : 1n;
  if (isInteger(digits)) {
    const value = sign * BigInt(plainInteger(digits));
    if (value > 18_446_744_073_709_551_615n || value < -9_223_372_036_854_775_808n) {
      throw new CallError(`integer overflow: ${JSON.stringify(text)}`);
    }
    return { type: "int", value };
  }
  const value = parseFloat64(digits);
  if (Number.isNaN(value)) throw new CallError(`illegal number syntax: ${JSON.stringify(text)}`);
  if (!/[.eEpP]/.test(text)) throw new CallError(`integer overflow: ${JSON.stringify(text)}`);
  return { type: "float", value: Number(sign) * value };
}

function isInteger(digits: string): boolean {
  return /^(?:0[xX](?:_?[\da-fA-F])+|0[oO](?:_?[0-7])+|0[bB](?:_?[01])+|0(?:_?[0-7])*|[1-9](?:_?\d)*)$/.test(digits);
}

/** In a form that BigInt reads. */
function plainInteger(digits: string): string {
  const bare = digits.replaceAll("_", "");
  return /^0\d/.test(bare) ? `0o${bare.slice(1)}` : bare;
}

function parseFloat64(digits: string): number {
  const hex = /^0[xX]([\da-fA-F_]*)(?:\.([\da-fA-F_]*))?[pP]([+-]?\d+)$/.exec(digits);
  if (hex) {
    const [whole, fraction] = [hex[1]!.replaceAll("_", ""), (hex[2] ?? "").replaceAll("_", "")];
    if (whole + fraction === "") return Number.NaN;
    return Number.parseInt(whole + fraction, 16) * 2 ** (Number(hex[3]) - 4 * fraction.length);
  }
  const isDecimal = /^(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?$/.test(digits);
  return isDecimal ? Number(digits) : Number.NaN;
}

/** `1i`, `1+2i` */
function complex(text: string): Constant {
  const match = /^([+-]?[^+-]*?(?:[eE][+-]?\d+)?)?([+-]?[\d.]+(?:[eE][+-]?\d+)?)i$/.exec(text);
  const real = match?.[1] ? Number(match[1]) : 0;
  const imaginary = match ? Number(match[2]) : Number.NaN;
  if (Number.isNaN(real) || Number.isNaN(imaginary)) {
    throw new CallError(`illegal number syntax: ${JSON.stringify(text)}`);
  }
  return { type: "complex", real, imaginary };
}
