/** How Go's fmt prints values: https://pkg.go.dev/fmt#hdr-Printing. */
import { pad, plainSpec, printFloat, printInteger, type Spec } from "./print-number.ts";
import { canBackquote, isPrintable, quote } from "./quote.ts";
import { concrete, entriesOf, fieldData, part, pointee, Value } from "./types.ts";

/** One value under one verb. */
export function printValue(value: Value | undefined, verb = "v", spec: Spec = plainSpec): string {
  return printInside(value, verb, verb === "v" ? ofValue(spec) : spec, 0);
}

/** @param depth how many values this one is in. */
function printInside(value: Value | undefined, verb: string, spec: Spec, depth: number): string {
  if (value === undefined) {
    return verb === "v" || verb === "T" ? pad("<nil>", spec) : badVerb(undefined, verb, spec);
  }
  if (verb === "T") return pad(value.type.name, spec);
  if (verb === "p") return printPointer(value, verb, spec);
  const own = ownText(value);
  if (own !== undefined && "vsxXq".includes(verb) && !spec.isGo) return printString(own, verb, spec);
  switch (value.type.kind) {
    case "bool":
      return verb === "t" || verb === "v" ? pad(String(value.data), spec) : badVerb(value, verb, spec);
    case "int":
    case "uint":
      return printWhole(value, verb, spec);
    case "float":
      return "veEfFgGxXb".includes(verb) ? printFloat(Number(value.data), verb, spec) : badVerb(value, verb, spec);
    case "complex":
      return printComplex(value, verb, spec);
    case "string":
      return "vsxXq".includes(verb) ? printText(value, verb, spec) : badVerb(value, verb, spec);
    case "interface": {
      const inside = concrete(value);
      if (inside !== undefined) return printInside(inside, verb, spec, depth + 1);
      return spec.isGo ? `${value.type.name}(nil)` : "<nil>";
    }
    case "pointer": {
      const inside = pointee(value);
      const isShown = depth === 0 && inside && ["array", "slice", "struct", "map"].includes(inside.type.kind);
      return isShown ? `&${printInside(inside, verb, spec, depth + 1)}` : printPointer(value, verb, spec);
    }
    default:
      return printParts(value, verb, spec, depth);
  }
}

/** With %v these flags say something else, and nothing of the numbers within. */
function ofValue(spec: Spec): Spec {
  return { ...spec, plus: false, sharp: false, isNaming: spec.plus, isGo: spec.sharp };
}

/** What its own String method says; a nil pointer has nothing to ask. */
function ownText(value: Value): string | undefined {
  const type = value.type.kind === "pointer" ? value.type.elem! : value.type;
  if (type.traits.text === undefined) return undefined;
  return value.data === null ? "<nil>" : type.traits.text(value.data);
}

function printParts(value: Value, verb: string, spec: Spec, depth: number): string {
  const { type, data } = value;
  const { isGo = false } = spec;
  const [gap, open, close] = isGo ? [", ", "{", "}"] : [" ", "[", "]"];
  const inner = (item: Value) => printInside(item, verb, spec, depth + 1);
  if (isGo && data === null) return `${type.name}(nil)`;
  switch (type.kind) {
    case "struct": {
      const isNaming = isGo || spec.isNaming;
      const fields = type.fields!.map((field) => {
        const text = inner(new Value(field.type, fieldData(field, data)));
        return isNaming ? `${field.name}:${text}` : text;
      });
      return `${isGo ? type.name : ""}{${fields.join(gap)}}`;
    }
    case "map": {
      const entries = entriesOf(value).map(([key, item]) => `${inner(key)}:${inner(item)}`);
      return `${isGo ? type.name : "map"}${open}${entries.join(gap)}${close}`;
    }
    default: {
      const items = ((data ?? []) as unknown[]).map((item) => part(type.elem!, item));
      if (type.elem!.name === "uint8" && "sqxX".includes(verb)) {
        return printBytes(Buffer.from(items.map((item) => Number(item.data))), verb, spec);
      }
      return `${isGo ? type.name : ""}${open}${items.map(inner).join(gap)}${close}`;
    }
  }
}

function printWhole(value: Value, verb: string, spec: Spec): string {
  const number = BigInt(value.data as number | bigint);
  switch (verb) {
    case "v":
      if (spec.isGo && value.type.kind === "uint") return printInteger(number, "x", { ...spec, sharp: true });
      return printInteger(number, "d", spec);
    case "d":
    case "b":
    case "o":
    case "O":
    case "x":
    case "X":
      return printInteger(number, verb, spec);
    case "c":
      return pad(rune(number), spec);
    case "q":
      return pad(quote(rune(number), spec.plus, "'"), spec);
    case "U": {
      const code = `U+${number
        .toString(16)
        .toUpperCase()
        .padStart(spec.precision ?? 4, "0")}`;
      return pad(spec.sharp && isPrintable(rune(number)) ? `${code} '${rune(number)}'` : code, {
        ...spec,
        zero: false,
      });
    }
    default:
      return badVerb(value, verb, spec);
  }
}

function rune(number: bigint): string {
  const isValid = number >= 0n && number <= 0x10ffffn && !(number >= 0xd800n && number < 0xe000n);
  return isValid ? String.fromCodePoint(Number(number)) : "\ufffd";
}

function printComplex(value: Value, verb: string, spec: Spec): string {
  if (!"veEfFgGxXb".includes(verb)) return badVerb(value, verb, spec);
  const { real, imaginary } = value.data as { real: number; imaginary: number };
  return `(${printFloat(real, verb, spec)}${printFloat(imaginary, verb, { ...spec, plus: true })}i)`;
}

function printText({ data }: Value, verb: string, spec: Spec): string {
  const text = data as string;
  return printString(text, spec.isGo ? "q" : verb, spec);
}

function printString(text: string, verb: string, spec: Spec): string {
  const { precision } = spec;
  if (verb === "x" || verb === "X") return printBytes(Buffer.from(text), verb, spec);
  const cut = precision === undefined ? text : [...text].slice(0, precision).join("");
  if (verb !== "q") return pad(cut, spec);
  return pad(spec.sharp && canBackquote(cut) ? `\`${cut}\`` : quote(cut, spec.plus), spec);
}

function printBytes(bytes: Buffer, verb: string, spec: Spec): string {
  if (verb === "s" || verb === "q") return printString(bytes.toString(), verb, spec);
  const shown = bytes.subarray(0, spec.precision ?? bytes.length);
  const digits = [...shown].map((byte) => byte.toString(16).padStart(2, "0"));
  const prefix = spec.sharp && digits.length > 0 ? "0x" : "";
  const text = spec.space ? digits.map((pair) => prefix + pair).join(" ") : prefix + digits.join("");
  return pad(verb === "X" ? text.toUpperCase() : text, spec);
}

/** Where something is in memory says nothing here, only that it is somewhere. */
const someAddress = "c000010000";

function printPointer(value: Value, verb: string, spec: Spec): string {
  if (!["pointer", "map", "slice"].includes(value.type.kind)) return badVerb(value, verb, spec);
  const isNil = value.data === null;
  if (spec.isGo) return `(${value.type.name})(${isNil ? "nil" : `0x${someAddress}`})`;
  if (verb === "v" && isNil) return pad("<nil>", spec);
  if (verb !== "v" && verb !== "p" && !"bodxX".includes(verb)) return badVerb(value, verb, spec);
  const number = isNil ? 0n : BigInt(`0x${someAddress}`);
  if (verb === "v" || verb === "p") return printInteger(number, "x", { ...spec, sharp: !spec.sharp });
  return printInteger(number, verb, spec);
}

/** `%!d(string=hello)`: the value is printed with the flags that were meant for the verb. */
function badVerb(value: Value | undefined, verb: string, spec: Spec): string {
  return `%!${verb}(${value === undefined ? "<nil>" : `${value.type.name}=${printInside(value, "v", spec, 0)}`})`;
}

/** `string=hello` */
export function typed(value: Value): string {
  return `${value.type.name}=${printValue(value)}`;
}

/** fmt.Sprint: a space between two of which neither is a string. */
export function printAll(values: (Value | undefined)[]): string {
  const isString = (value: Value | undefined) => value?.type.kind === "string";
  return values
    .map((value, index) => {
      const isApart = index > 0 && !isString(value) && !isString(values[index - 1]);
      return (isApart ? " " : "") + printValue(value);
    })
    .join("");
}
