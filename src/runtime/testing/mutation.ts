/** A valid configuration made wrong in one place, for property tests. */
import * as fc from "fast-check";
import type { RuntimeConfig } from "../../oci/runtime.ts";

export type Path = readonly (string | number)[];

export interface Mutation {
  /** The value that was changed, removed or added to. */
  path: Path;
  /** Source text of config.json. */
  json: string;
  how: string;
}

/** Texts in place of values: JSON.stringify would not write some of them. */
const replacements: readonly string[] = [
  ...["null", "true", "false", "0", "-1", "1.5", "1e400", "-1e400", "4294967296", "9007199254740993"],
  ...["18446744073709551616", "-9223372036854775809", '""', '"\\u0000"', '"a\\u0000b"', '"relative/path"', '"NOPE"'],
  ...['"/"', '".."', '"\\ud800"', "[]", "{}", "[null]", "[[]]", '{"__proto__": 1}', '[""]', '["\\u0000"]', "[1]"],
  JSON.stringify("x".repeat(5000)),
  `[${"1,".repeat(2000)}1]`,
];

/** Every place in a value, the leaves as well as what holds them. */
export function placesOf(value: unknown, path: Path = []): Path[] {
  if (typeof value !== "object" || value === null) return [path];
  const entries = Array.isArray(value) ? value.map((item, index) => [index, item] as const) : Object.entries(value);
  return [path, ...entries.flatMap(([key, item]) => placesOf(item, [...path, key]))];
}

/** `mounts[3].options[1]`, as messages have it. */
export function formatPath(path: Path): string {
  return path.map((key, index) => (typeof key === "number" ? `[${key}]` : `${index > 0 ? "." : ""}${key}`)).join("");
}

/** One mutation of a configuration. */
export function mutationOf(config: RuntimeConfig): fc.Arbitrary<Mutation> {
  const places = placesOf(config).filter((path) => path.length > 0);
  const anywhere = fc.constantFrom(...places);
  const replaced = fc.record({ path: anywhere, text: fc.constantFrom(...replacements) }).map(({ path, text }) => {
    return { path, json: write(config, path, text), how: `${text.slice(0, 40)} in place of it` };
  });
  const removed = anywhere.map((path) => ({ path, json: write(config, path, undefined), how: "removed" }));
  const lists = places.filter((path) => Array.isArray(at(config, path)) && (at(config, path) as unknown[]).length > 0);
  if (lists.length === 0) return fc.oneof(replaced, removed);
  const doubled = fc.constantFrom(...lists).map((path) => {
    const list = at(config, path) as unknown[];
    return { path, json: write(config, path, exact([...list, list[0]])), how: "its first element is there twice" };
  });
  return fc.oneof({ weight: 6, arbitrary: replaced }, { weight: 2, arbitrary: removed }, doubled);
}

function at(value: unknown, path: Path): unknown {
  return path.reduce<unknown>((inner, key) => (inner as Record<string | number, unknown>)[key], value);
}

/** The value as JSON with the text at the path, or without what is there. */
function write(value: unknown, path: Path, text: string | undefined): string {
  const [key, ...rest] = path;
  if (key === undefined) return text!;
  const parts: string[] = [];
  const isList = Array.isArray(value);
  for (const [name, item] of Object.entries(value as object)) {
    const isTarget = name === String(key);
    if (isTarget && rest.length === 0 && text === undefined) continue;
    const written = isTarget ? write(item, rest, text) : exact(item);
    parts.push(isList ? written : `${JSON.stringify(name)}:${written}`);
  }
  return isList ? `[${parts.join()}]` : `{${parts.join()}}`;
}

/** Bigints as the numbers that they are. */
function exact(value: unknown): string {
  return JSON.stringify(value, (_key, part: unknown) => (typeof part === "bigint" ? JSON.rawJSON(String(part)) : part));
}
