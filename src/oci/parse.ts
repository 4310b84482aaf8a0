/** From the text of a file that somebody else wrote to what a schema says of it, or to the field that is wrong. */
import * as v from "valibot";
import { EngineError } from "../core/errors.ts";

/**
 * Checks a text against a schema; `path` names the file in errors.
 * @throws EngineError invalid_argument with the path of the field.
 */
export function parse<Schema extends v.GenericSchema>(
  schema: Schema,
  json: string,
  path: string,
): v.InferOutput<Schema> {
  let value: unknown;
  try {
    value = parseJson(json);
  } catch (error) {
    throw new EngineError("invalid_argument", `${path}: not JSON: ${(error as Error).message}`, { path, cause: error });
  }
  const result = v.safeParse(schema, value, { abortEarly: true });
  if (result.success) {
    if (json.includes("\\u0000")) refuseNul(result.output, path);
    return result.output;
  }
  const issue = result.issues[0];
  const field = fieldPath(issue.path ?? []);
  throw new EngineError("invalid_argument", `${path}: ${field === "" ? "" : `${field}: `}${problem(issue)}`, { path });
}

/** The kernel would take a text for shorter than it is. @throws EngineError with the path of the field. */
function refuseNul(value: unknown, path: string, items: readonly { key: unknown }[] = []): void {
  const refuse = (reason: string) => {
    throw new EngineError("invalid_argument", `${path}: ${fieldPath(items)}: ${reason}`, { path });
  };
  if (typeof value === "string" && value.includes("\0")) refuse("contains a NUL");
  if (typeof value !== "object" || value === null) return;
  for (const [key, item] of Object.entries(value)) {
    // They mean nothing to the kernel.
    if (items.length === 0 && key === "annotations") continue;
    if (key.includes("\0")) refuse("has a name that contains a NUL");
    refuseNul(item, path, [...items, { key: Array.isArray(value) ? Number(key) : key }]);
  }
}

/**
 * Encoders of Go write `null` for an empty list or map: such properties are absent. Integers that a double cannot
 * hold become bigints. Most files have neither, and are spared the reviver.
 */
function parseJson(json: string): unknown {
  if (!/null|\d{16}/.test(json)) return JSON.parse(json);
  return JSON.parse(json, function reviver(this: unknown, _key, value, context?: { source?: string }) {
    if (value === null && !Array.isArray(this)) return undefined;
    const source = context?.source;
    if (typeof value !== "number" || Number.isSafeInteger(value) || !source || !/^-?\d+$/.test(source)) return value;
    return BigInt(source);
  });
}

/** `process.rlimits[0].type` */
function fieldPath(items: readonly { key?: unknown }[]): string {
  let path = "";
  for (const { key } of items) {
    if (typeof key === "number") path += `[${key}]`;
    else path += path === "" ? String(key) : `.${String(key)}`;
  }
  return path;
}

function problem(issue: v.BaseIssue<unknown>): string {
  if (issue.received === "undefined") return "missing";
  const received = issue.received.length > 80 ? `${issue.received.slice(0, 77)}…` : issue.received;
  if (issue.message.startsWith("Invalid ")) return `expected ${issue.expected}, found ${received}`;
  return typeof issue.input === "object" ? issue.message : `${received} is ${issue.message}`;
}
