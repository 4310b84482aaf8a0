/** The functions that Go's text/template has by itself: https://pkg.go.dev/text/template#hdr-Functions. */
import { compareValues, equals } from "./compare.ts";
import { CallError } from "./error.ts";
import { printAll, printValue } from "./print.ts";
import { sprintf } from "./printf.ts";
import { isPrintable } from "./quote.ts";
import { isTrue } from "./truth.ts";
import {
  boolType,
  type GoFunction,
  type GoType,
  indirect,
  intType,
  isAssignable,
  jsonAny,
  part,
  stringType,
  Value,
  valueType,
  zeroOf,
} from "./types.ts";

/** One whose arguments have been looked at: it gives a string. */
function textFunction(call: (args: (Value | undefined)[]) => string): GoFunction {
  return { parameters: [], rest: jsonAny, call: (args) => new Value(stringType, call(args)) };
}

function comparison(holds: (a: Value | undefined, b: Value | undefined) => boolean): GoFunction {
  const call = ([a, b]: (Value | undefined)[]) => new Value(boolType, holds(a, b));
  return { parameters: [valueType, valueType], call };
}

/** and, or and call are the template's own affair: not all of their arguments are evaluated, or one is a name. */
export const builtins: Record<string, GoFunction> = {
  and: { parameters: [valueType], rest: valueType, call: (args) => args.at(-1) },
  or: { parameters: [valueType], rest: valueType, call: (args) => args.at(-1) },
  call: {
    parameters: [valueType],
    rest: valueType,
    call: ([name, callee]) => {
      if (callee === undefined) throw new CallError("call of nil");
      throw new CallError(`non-function ${name!.data} of type ${callee.type.name}`);
    },
  },
  not: { parameters: [valueType], call: ([value]) => new Value(boolType, !isTrue(value)) },
  eq: { parameters: [valueType], rest: valueType, call: ([a, ...others]) => new Value(boolType, equals(a, others)) },
  ne: comparison((a, b) => !equals(a, [b])),
  lt: comparison((a, b) => compareValues(a, b) < 0),
  le: comparison((a, b) => compareValues(a, b) < 0 || equals(a, [b])),
  gt: comparison((a, b) => !(compareValues(a, b) < 0 || equals(a, [b]))),
  ge: comparison((a, b) => !(compareValues(a, b) < 0)),
  len: { parameters: [valueType], call: ([value]) => new Value(intType, lengthOf(value)) },
  index: { parameters: [valueType], rest: valueType, call: ([item, ...keys]) => indexed(item, keys) },
  slice: { parameters: [valueType], rest: valueType, call: ([item, ...bounds]) => sliced(item, bounds) },
  print: textFunction(printAll),
  println: textFunction((args) => `${args.map((arg) => printValue(arg)).join(" ")}\n`),
  printf: {
    parameters: [stringType],
    rest: jsonAny,
    call: ([format, ...args]) => new Value(stringType, sprintf(format!.data as string, args)),
  },
  html: textFunction((args) => escapeHtml(shown(args))),
  js: textFunction((args) => escapeScript(shown(args))),
  urlquery: textFunction((args) => queryEscape(shown(args))),
};

/** What Go prints of values: pointers are followed. */
export function printable(value: Value | undefined): Value | undefined {
  return value?.type.kind === "pointer" ? indirect(value).value : value;
}

function shown(args: (Value | undefined)[]): string {
  return printAll(args.map((arg) => (arg === undefined ? new Value(stringType, "<no value>") : printable(arg))));
}

function lengthOf(value: Value | undefined): number {
  if (value === undefined) throw new CallError("reflect: call of reflect.Value.Type on zero Value");
  const { value: item, isNil } = indirect(value);
  if (isNil) throw new CallError("len of nil pointer");
  const length = lengthIn(item);
  if (length === undefined) throw new CallError(`len of type ${item.type.name}`);
  return length;
}

function lengthIn({ type, data }: Value): number | undefined {
  if (type.kind === "string") return Buffer.byteLength(data as string);
  if (type.kind === "slice" || type.kind === "array") return ((data ?? []) as unknown[]).length;
  return type.kind === "map" ? Object.keys(data ?? {}).length : undefined;
}

function indexed(start: Value | undefined, keys: (Value | undefined)[]): Value | undefined {
  if (start === undefined) throw new CallError("index of untyped nil");
  let item = start;
  for (const key of keys) {
    const { value, isNil } = indirect(item);
    if (isNil) throw new CallError("index of nil pointer");
    item = element(value, key);
  }
  return item;
}

function element(item: Value, key: Value | undefined): Value {
  const { type, data } = item;
  switch (type.kind) {
    case "slice":
    case "array":
    case "string": {
      const length = lengthIn(item)!;
      const at = position(key, length);
      if (at === length) throw new CallError(`reflect: ${type.kind} index out of range`);
      if (type.kind !== "string") return part(type.elem!, (data as unknown[])[at]);
      return new Value(byteType, Buffer.from(data as string)[at]);
    }
    case "map": {
      const name = String(fitting(key, type.key!).data);
      const map = (data ?? {}) as Record<string, unknown>;
      return Object.hasOwn(map, name) ? part(type.elem!, map[name]) : zeroOf(type.elem!);
    }
    default:
      throw new CallError(`can't index item of type ${type.name}`);
  }
}

const byteType: GoType = { ...intType, name: "uint8", literal: "uint8", kind: "uint" };

function fitting(key: Value | undefined, type: GoType): Value {
  if (key === undefined) throw new CallError(`value is nil; should be of type ${type.name}`);
  const areWhole = [key.type.kind, type.kind].every((kind) => kind === "int" || kind === "uint");
  if (isAssignable(key.type, type) || areWhole) return key;
  throw new CallError(`value has type ${key.type.name}; should be ${type.name}`);
}

function position(key: Value | undefined, most: number): number {
  if (key === undefined) throw new CallError("cannot index slice/array with nil");
  if (key.type.kind !== "int" && key.type.kind !== "uint") {
    throw new CallError(`cannot index slice/array with type ${key.type.name}`);
  }
  const at = Number(key.data);
  if (at < 0 || at > most) throw new CallError(`index out of range: ${key.data}`);
  return at;
}

function sliced(start: Value | undefined, bounds: (Value | undefined)[]): Value {
  if (start === undefined) throw new CallError("slice of untyped nil");
  const { type, data } = start;
  if (bounds.length > 3) throw new CallError(`too many slice indexes: ${bounds.length}`);
  if (type.kind !== "string" && type.kind !== "slice" && type.kind !== "array") {
    throw new CallError(`can't slice item of type ${type.name}`);
  }
  if (type.kind === "string" && bounds.length === 3) throw new CallError("cannot 3-index slice a string");
  const length = lengthIn(start)!;
  const [from = 0, to = length, most = length] = bounds.map((bound) => position(bound, length));
  if (from > to) throw new CallError(`invalid slice index: ${from} > ${to}`);
  if (to > most) throw new CallError(`invalid slice index: ${to} > ${most}`);
  if (type.kind === "string")
    return new Value(
      type,
      Buffer.from(data as string)
        .subarray(from, to)
        .toString(),
    );
  return new Value(type, ((data ?? []) as unknown[]).slice(from, to));
}

const htmlEscapes: Record<string, string> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&#34;",
  "'": "&#39;",
  "\0": "\ufffd",
};

function escapeHtml(text: string): string {
  return [...text].map((character) => htmlEscapes[character] ?? character).join("");
}

function escapeScript(text: string): string {
  return [...text]
    .map((character) => {
      if ("\\'\"".includes(character)) return `\\${character}`;
      const code = character.codePointAt(0)!;
      const isSafe = code < 0x80 ? code >= 0x20 && !"<>&=".includes(character) : isPrintable(character);
      return isSafe ? character : `\\u${code.toString(16).toUpperCase().padStart(4, "0")}`;
    })
    .join("");
}

/** As in the query of a URL: all but letters, digits and `-_.~`. */
function queryEscape(text: string): string {
  return encodeURIComponent(text)
    .replace(/[!'()*]/g, (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`)
    .replaceAll("%20", "+");
}
