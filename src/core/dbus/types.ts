/** D-Bus's types: their signatures, and what JavaScript has for each. D-Bus specification, "Type System". */
import { EngineError } from "../errors.ts";

/**
 * | type | value | | type | value |
 * |---|---|---|---|---|
 * | y n q i u d h | number (`h`: the index of a descriptor) | | `a…` | array; `ay` a Uint8Array |
 * | x t | bigint | | `(…)` | array, an element for each field |
 * | b | boolean | | `a{…}` | Map |
 * | s o g | string | | v | Variant |
 */
export type DbusValue =
  | number
  | bigint
  | boolean
  | string
  | Uint8Array
  | DbusValue[]
  | Map<string | number | bigint | boolean, DbusValue>
  | Variant;

/** A value that carries its type. */
export class Variant {
  /** One complete type. */
  readonly signature: string;
  readonly value: DbusValue;

  constructor(signature: string, value: DbusValue) {
    this.signature = signature;
    this.value = value;
  }
}

/** One complete type, taken apart. */
export type DbusType =
  | { code: BasicCode | "v" }
  | { code: "a"; element: DbusType }
  | { code: "("; fields: DbusType[] }
  | { code: "{"; key: DbusType; value: DbusType };

export const basicCodes = ["y", "b", "n", "q", "i", "u", "x", "t", "d", "s", "o", "g", "h"] as const;
export type BasicCode = (typeof basicCodes)[number];

/** In bytes: what a value's offset in the message is a multiple of. */
export const alignments: Readonly<Record<DbusType["code"], number>> = {
  y: 1,
  b: 4,
  n: 2,
  q: 2,
  i: 4,
  u: 4,
  x: 8,
  t: 8,
  d: 8,
  s: 4,
  o: 4,
  g: 1,
  h: 4,
  v: 1,
  a: 4,
  "(": 8,
  "{": 8,
};

/** Of the specification: bytes of a signature, and how deep arrays and structures may be nested, each. */
const signatureBytesMax = 255;
const depthMax = 32;

/**
 * Takes a signature apart: any number of complete types.
 * @throws EngineError corrupt: it is none.
 */
export function parseSignature(signature: string): DbusType[] {
  const types: DbusType[] = [];
  if (signature.length > signatureBytesMax) throw wrong(signature, `longer than ${signatureBytesMax} bytes`);
  for (let at = 0; at < signature.length; ) {
    const { type, end } = parseType(signature, at, { arrays: 0, structures: 0 });
    types.push(type);
    at = end;
  }
  return types;
}

/** @throws EngineError corrupt when it is not exactly one type. */
export function parseSingleType(signature: string): DbusType {
  const types = parseSignature(signature);
  if (types.length !== 1) throw wrong(signature, `${types.length} types where there must be one`);
  return types[0]!;
}

interface Depth {
  arrays: number;
  structures: number;
}

function parseType(signature: string, start: number, depth: Depth): { type: DbusType; end: number } {
  const code = signature[start];
  if (depth.arrays > depthMax || depth.structures > depthMax) throw wrong(signature, "nested too deep");
  if (code === "a") {
    const inner = { ...depth, arrays: depth.arrays + 1 };
    const { type, end } =
      signature[start + 1] === "{" ? parseEntry(signature, start + 1, inner) : parseType(signature, start + 1, inner);
    return { type: { code, element: type }, end };
  }
  if (code === "(") return parseStructure(signature, start, { ...depth, structures: depth.structures + 1 });
  if (code === "v" || isBasic(code)) return { type: { code }, end: start + 1 };
  throw wrong(signature, code === undefined ? "ends too early" : `${JSON.stringify(code)} is no type`);
}

function parseStructure(signature: string, start: number, depth: Depth): { type: DbusType; end: number } {
  const fields: DbusType[] = [];
  let at = start + 1;
  while (signature[at] !== ")") {
    const { type, end } = parseType(signature, at, depth);
    fields.push(type);
    at = end;
  }
  if (fields.length === 0) throw wrong(signature, "a structure without fields");
  return { type: { code: "(", fields }, end: at + 1 };
}

function parseEntry(signature: string, start: number, depth: Depth): { type: DbusType; end: number } {
  const inner = { ...depth, structures: depth.structures + 1 };
  const key = parseType(signature, start + 1, inner);
  if (!isBasic(key.type.code)) throw wrong(signature, "the key of a dictionary is not basic");
  const value = parseType(signature, key.end, inner);
  if (signature[value.end] !== "}") throw wrong(signature, "an entry of a dictionary has a key and a value");
  return { type: { code: "{", key: key.type, value: value.type }, end: value.end + 1 };
}

function isBasic(code: string | undefined): code is BasicCode {
  return basicCodes.some((known) => known === code);
}

/** The signature of a type that was taken apart. */
export function formatType(type: DbusType): string {
  if (type.code === "a") return `a${formatType(type.element)}`;
  if (type.code === "(") return `(${type.fields.map(formatType).join("")})`;
  if (type.code === "{") return `{${formatType(type.key)}${formatType(type.value)}}`;
  return type.code;
}

/** "Valid Object Paths" of the specification. */
export function isObjectPath(text: string): boolean {
  return text === "/" || /^(\/[A-Za-z0-9_]+)+$/.test(text);
}

function wrong(signature: string, reason: string): EngineError {
  return new EngineError("corrupt", `D-Bus signature ${JSON.stringify(signature)}: ${reason}`);
}
