/** Go's types, as far as what templates print and refuse depends on them, and JSON as values of theirs. */

export type Kind =
  | "bool"
  | "int"
  | "uint"
  | "float"
  | "complex"
  | "string"
  | "slice"
  | "array"
  | "map"
  | "struct"
  | "pointer"
  | "interface";

export interface GoType {
  /** As `%T` prints it. */
  readonly name: string;
  /** Of what it is made: that of `strslice.StrSlice` is `[]string`. */
  readonly literal: string;
  readonly kind: Kind;
  readonly isNamed: boolean;
  /** Of slices, arrays, maps and pointers. */
  readonly elem?: GoType;
  readonly key?: GoType;
  /** Of arrays. */
  readonly length?: number;
  readonly fields?: readonly Field[];
  readonly traits: Traits;
  /** Of interfaces: what a number in JSON becomes when nothing says which it is. */
  readonly numbers?: "plain" | "float64" | "json.Number";
}

export interface Field {
  name: string;
  type: GoType;
  /** The name in JSON; "" where it is left out there. */
  json: string;
  omitsEmpty: boolean;
  /** Its fields count as those of the whole. */
  isEmbedded: boolean;
}

/** What a type can do beside being what it is. `data` is that of the value. */
export interface Traits {
  /** Its String method. */
  text?: (data: unknown) => string;
  /** Its MarshalJSON method: the text that it is in JSON. */
  encode?: (data: unknown) => string;
  methods?: Record<string, Method>;
  /** Of what it is when the JSON is null or absent. */
  zero?: unknown;
  /** From what stands in the JSON, where that is not the data itself. */
  read?: (json: unknown) => unknown;
}

export interface Method {
  parameters: GoType[];
  call: (receiver: unknown, args: Value[]) => Value;
}

/**
 * A value of Go's. `data` is a boolean; a number or bigint; a string; an array or null; an object or null, also of a
 * struct, whose fields go by the names that they have in JSON; for a pointer null or the data of what it points to; for
 * an interface null, a Value, or data of any kind.
 */
export class Value {
  readonly type: GoType;
  readonly data: unknown;

  constructor(type: GoType, data: unknown) {
    this.type = type;
    this.data = data;
  }
}

/** What can be called. */
export interface GoFunction {
  parameters: GoType[];
  /** Of each argument behind the parameters, where there may be any number of them. */
  rest?: GoType;
  /** @throws CallError. */
  call: (args: (Value | undefined)[]) => Value | undefined;
}

const none: Traits = {};

function basic(name: string, kind: Kind, traits: Traits = none): GoType {
  return { name, literal: name, kind, isNamed: true, traits };
}

const unsigned = ["uint", "uint8", "uint16", "uint32", "uint64"];

export const boolType = basic("bool", "bool");
export const intType = basic("int", "int");
export const floatType = basic("float64", "float");
export const complexType = basic("complex128", "complex");
export const stringType = basic("string", "string");
export const numberType: GoType = { ...basic("json.Number", "string"), literal: "string", traits: { encode: String } };

function empty(numbers: "plain" | "float64" | "json.Number"): GoType {
  return { name: "interface {}", literal: "interface {}", kind: "interface", isNamed: false, traits: none, numbers };
}

/** JSON that the templates' own commands made: whole numbers are ints. */
export const plainAny = empty("plain");
/** JSON that Go read into an interface. */
export const jsonAny = empty("float64");
/** The same with numbers as they were written, as docker reads what its own types do not fit. */
export const rawAny = empty("json.Number");
/** A parameter that takes the value as it is, and nil for none. */
export const valueType: GoType = basic("reflect.Value", "struct");

export function sliceOf(elem: GoType): GoType {
  const name = `[]${elem.name}`;
  return { name, literal: name, kind: "slice", isNamed: false, traits: none, elem };
}

export function mapOf(elem: GoType, key = stringType): GoType {
  const name = `map[${key.name}]${elem.name}`;
  return { name, literal: name, kind: "map", isNamed: false, traits: none, elem, key };
}

export function pointerTo(elem: GoType): GoType {
  const name = `*${elem.name}`;
  return { name, literal: name, kind: "pointer", isNamed: false, traits: none, elem };
}

export const stringsType = sliceOf(stringType);

const slices = { plain: sliceOf(plainAny), float64: sliceOf(jsonAny), "json.Number": sliceOf(rawAny) };
const maps = { plain: mapOf(plainAny), float64: mapOf(jsonAny), "json.Number": mapOf(rawAny) };

/** What is in an interface; undefined when nothing is. */
export function dynamicValue(data: unknown, numbers: "plain" | "float64" | "json.Number"): Value | undefined {
  if (data === null || data === undefined) return undefined;
  if (data instanceof Value) return data;
  switch (typeof data) {
    case "string":
      return new Value(stringType, data);
    case "boolean":
      return new Value(boolType, data);
    case "number":
    case "bigint":
      if (numbers === "json.Number") return new Value(numberType, String(data));
      if (numbers === "float64") return new Value(floatType, Number(data));
      return new Value(typeof data === "bigint" || Number.isInteger(data) ? intType : floatType, data);
    default:
      return new Value(Array.isArray(data) ? slices[numbers] : maps[numbers], data);
  }
}

/** Data that came with no type; `undefined` is no value at all. */
export function plainValue(data: unknown): Value | undefined {
  return dynamicValue(data, "plain");
}

/** What a type's data is in JSON, or its zero. */
export function read(type: GoType, json: unknown): unknown {
  if (type.traits.read) return type.traits.read(json ?? undefined);
  if (json !== null && json !== undefined) return json;
  if (type.traits.zero !== undefined) return type.traits.zero;
  switch (type.kind) {
    case "bool":
      return false;
    case "int":
    case "uint":
    case "float":
      return 0;
    case "string":
      return "";
    case "struct":
      return {};
    case "array":
      return Array.from({ length: type.length! }, () => undefined);
    default:
      return null;
  }
}

export function zeroOf(type: GoType): Value {
  return new Value(type, read(type, undefined));
}

/** What a pointer points to; undefined for a nil one. */
export function pointee({ type, data }: Value): Value | undefined {
  return data === null ? undefined : new Value(type.elem!, data);
}

/** What is inside of an interface, or the value itself. */
export function concrete(value: Value | undefined): Value | undefined {
  return value?.type.kind === "interface" ? dynamicValue(value.data, value.type.numbers ?? "plain") : value;
}

/** A value of a field, key or index, as the type of the whole has it. */
export function part(type: GoType, json: unknown): Value {
  return new Value(type, read(type, json));
}

/** Follows pointers and interfaces to what they lead to. `isNil` when they lead nowhere: then it is the last of them. */
export function indirect(start: Value): { value: Value; isNil: boolean } {
  let value = start;
  while (value.type.kind === "pointer" || value.type.kind === "interface") {
    const next = value.type.kind === "pointer" ? pointee(value) : concrete(value);
    if (next === undefined) return { value, isNil: true };
    value = next;
  }
  return { value, isNil: false };
}

/** A field of a struct or of what is embedded in it, the outermost first. */
export function findField(type: GoType, name: string): Field | undefined {
  const own = type.fields!.find((field) => field.name === name);
  if (own !== undefined) return own;
  for (const field of type.fields!) {
    if (!field.isEmbedded) continue;
    const inner = findField(structOf(field.type), name);
    if (inner !== undefined) return inner;
  }
  return undefined;
}

export function structOf(type: GoType): GoType {
  return type.kind === "pointer" ? type.elem! : type;
}

/** Its data: that of what is embedded is that of the whole. */
export function fieldData(field: Field, data: unknown): unknown {
  return read(field.type, field.isEmbedded ? data : (data as Record<string, unknown>)[field.json || field.name]);
}

export function entriesOf(value: Value): [Value, Value][] {
  const { key, elem } = value.type;
  return Object.entries((value.data ?? {}) as Record<string, unknown>)
    .map(([name, item]): [Value, Value] => [keyValue(key!, name), part(elem!, item)])
    .sort(([a], [b]) => compareKeys(a.data, b.data));
}

function keyValue(type: GoType, name: string): Value {
  return new Value(type, type.kind === "int" || type.kind === "uint" ? Number(name) : name);
}

function compareKeys(a: unknown, b: unknown): number {
  if (typeof a === "string" && typeof b === "string") return Buffer.compare(Buffer.from(a), Buffer.from(b));
  return Number(a) - Number(b);
}

export function isUnsigned(name: string): boolean {
  return unsigned.includes(name);
}

/** Can a value of one type be passed as the other? (The Go Programming Language Specification, "Assignability".) */
export function isAssignable(from: GoType, to: GoType): boolean {
  if (to.kind === "interface") return true;
  if (from.name === to.name) return true;
  return from.literal === to.literal && (!from.isNamed || !to.isNamed);
}
