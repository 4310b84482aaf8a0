/**
 * JSON as Go's encoding/json reads it into Docker's structs, in valibot: null leaves a field alone, keys match without
 * regard to case, unknown keys are accepted and dropped, a wrong type is refused with the path of the field.
 */
import * as v from "valibot";
import { EngineError } from "../../core/errors.ts";
import { record } from "../../oci/record.ts";

type Entries = v.ObjectEntries;

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function typeName(value: unknown): string {
  if (value === null || value === undefined) return "null";
  if (Array.isArray(value)) return "array";
  return typeof value === "boolean" ? "bool" : typeof value;
}

function wants(type: string) {
  return (issue: v.BaseIssue<unknown>) => `${typeName(issue.input)} where ${type} is wanted`;
}

const object = v.custom<Record<string, unknown>>(isObject, wants("object"));

const fieldNames = new Set<string>();

/** As Go compares a key with a field's name: also "ſ" is an S, and the sign of Kelvin a K. */
function folded(key: string): string {
  return key.toUpperCase().toLowerCase();
}

/**
 * The first key that an object has twice, or in two spellings that are the same field. Of those a reader of Go's takes
 * parts of both, others the last, or the one that they know.
 * @param json is JSON.
 */
export function ambiguousKey(json: string): string | undefined {
  const open: (Set<string> | undefined)[] = [];
  const place = /[{}[\]"]/g;
  for (let at = place.exec(json); at !== null; at = place.exec(json)) {
    const [token] = at;
    if (token === "{") open.push(new Set());
    else if (token === "[") open.push(undefined);
    else if (token !== '"') open.pop();
    else {
      place.lastIndex = afterText(json, at.index);
      const keys = open.at(-1);
      if (keys === undefined || !isFollowedByColon(json, place.lastIndex)) continue;
      const name = JSON.parse(json.slice(at.index, place.lastIndex)) as string;
      const field = folded(name);
      const own = fieldNames.has(field) ? field : `=${name}`;
      if (keys.has(own)) return name;
      keys.add(own);
    }
  }
  return undefined;
}

function isFollowedByColon(json: string, at: number): boolean {
  const colon = /\s*:/y;
  colon.lastIndex = at;
  return colon.test(json);
}

/** @returns where the text in quotes that begins at a place has ended. */
function afterText(json: string, start: number): number {
  for (let at = start + 1; at < json.length; at++) {
    if (json[at] === "\\") at++;
    else if (json[at] === '"') return at + 1;
  }
  return json.length;
}

/** A Go struct whose fields are all optional: `absent` instead of null or undefined in what comes out. */
export function struct<const T extends Entries>(entries: T) {
  const known = new Map(Object.keys(entries).map((key) => [folded(key), key]));
  for (const name of known.keys()) fieldNames.add(name);
  const named = (input: Record<string, unknown>) => {
    const output: Record<string, unknown> = {};
    for (const [key, value] of Object.entries(input)) {
      // A computed "__proto__" would set the prototype; no field has that name.
      if (value === null || key === "__proto__") continue;
      output[key in entries ? key : (known.get(folded(key)) ?? key)] = value;
    }
    return output;
  };
  return v.pipe(object, v.transform(named), v.object(entries));
}

export const text = v.string(wants("string"));
export const flag = v.boolean(wants("bool"));
export const int64 = v.pipe(v.number(wants("int64")), v.safeInteger(wants("int64")));
export const uint = v.pipe(
  int64,
  v.minValue(0, (issue) => `${issue.input} where an unsigned integer is wanted`),
);

export function list<const T extends v.GenericSchema>(item: T) {
  return v.array(item, wants("array"));
}

/** Values that are null become Go's zero value of the type. */
export function map<const T extends v.GenericSchema>(value: T, zero: v.InferOutput<T>) {
  const filled = v.pipe(
    v.unknown(),
    v.transform((input) => (input === null ? zero : input)),
    value,
  );
  return v.pipe(object, record(filled));
}

/** `map[string]struct{}`: a set, written as an object of empty objects. */
export const set = map(v.custom<object>(isObject, wants("object")), {});
export const texts = v.pipe(
  list(v.nullable(text)),
  v.transform((items) => items.map((item) => item ?? "")),
);
export const textMap = map(text, "");

/** Docker's strslice: one string stands for a list of one. */
export const textOrTexts = v.pipe(
  v.unknown(),
  v.transform((input) => (typeof input === "string" ? [input] : input)),
  texts,
);

export const optional = v.exactOptional;

/**
 * @param at how the answer names the whole, when the whole is wrong: "body".
 * @throws EngineError invalid_argument with the path of the first field that is wrong, `HostConfig.Memory`.
 */
export function read<const T extends v.GenericSchema>(schema: T, input: unknown, at = "body"): v.InferOutput<T> {
  const result = v.safeParse(schema, input, { abortEarly: true });
  if (result.success) return result.output;
  const issue = result.issues[0];
  const path = v.getDotPath(issue) ?? at;
  throw new EngineError("invalid_argument", `invalid JSON: ${path}: ${issue.message}`, { stage: "request" });
}
