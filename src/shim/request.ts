/** Checks what clients send, field by field: a wrong message is answered with the path of the wrong field. */
import { EngineError } from "../core/errors.ts";
import { parseExactJson } from "../core/exact-json.ts";
import { logFilesMax } from "../logging/log-names.ts";
import type { LogTarget } from "../logging/log-target.ts";
import type { Request, RequestName, ShimContainer } from "./protocol.ts";

type Check = (value: unknown, path: string) => void;
type Shape = Record<string, Check>;

function wrong(path: string, wanted: string, value: unknown): EngineError {
  const shown = value === undefined ? "missing" : `is ${JSON.stringify(value)?.slice(0, 60)}`;
  return new EngineError(
    "invalid_argument",
    `shim request: ${path} must be ${wanted}, it is ${shown.replace(/^is /, "")}`,
  );
}

const text: Check = (value, path) => {
  if (typeof value !== "string" || value === "" || value.includes("\0")) throw wrong(path, "a string", value);
};
/** A word of a command line may be empty. */
const word: Check = (value, path) => {
  if (typeof value !== "string" || value.includes("\0")) throw wrong(path, "a string", value);
};
const absolutePath: Check = (value, path) => {
  if (typeof value !== "string" || !value.startsWith("/") || value.includes("\0")) {
    throw wrong(path, "an absolute path", value);
  }
};
const flag: Check = (value, path) => {
  if (typeof value !== "boolean") throw wrong(path, "true or false", value);
};
const integer =
  (min: number, max: number): Check =>
  (value, path) => {
    if (!Number.isInteger(value) || (value as number) < min || (value as number) > max) {
      throw wrong(path, `a whole number from ${min} to ${max}`, value);
    }
  };
const optional =
  (check: Check): Check =>
  (value, path) => {
    if (value !== undefined) check(value, path);
  };
const list =
  (check: Check): Check =>
  (value, path) => {
    if (!Array.isArray(value)) throw wrong(path, "a list", value);
    for (const [index, entry] of value.entries()) check(entry, `${path}[${index}]`);
  };
/** An object: fields that are not in the shape are let pass, a newer client may send them. */
const object =
  (shape: Shape): Check =>
  (value, path) => {
    if (typeof value !== "object" || value === null || Array.isArray(value)) throw wrong(path, "an object", value);
    for (const [name, check] of Object.entries(shape))
      check((value as Record<string, unknown>)[name], `${path}.${name}`);
  };

const dimension = integer(0, 65535);
const consoleSize: Shape = { rows: dimension, columns: dimension };

const size = integer(1, Number.MAX_SAFE_INTEGER);
/** An object whose values are words. */
const words: Check = (value, path) => {
  object({})(value, path);
  for (const [name, entry] of Object.entries(value as object)) word(entry, `${path}.${name}`);
};
const attributes = optional(words);
const logFiles: Shape = {
  path: absolutePath,
  maxSizeBytes: optional(size),
  maxFiles: optional(integer(1, logFilesMax)),
  compress: optional(flag),
};
const delivery: Shape = { bufferBytes: optional(size) };
const remote: Shape = { ...delivery, cache: optional(object({ ...logFiles, attributes })) };
const syslogAddress: Check = (value, path) => {
  object({ kind: text })(value, path);
  const isPath = (value as { kind: string }).kind.startsWith("unix");
  object(isPath ? { path: absolutePath } : { host: text, port: integer(0, 65_535) })(value, path);
};
const logShapes: Record<LogTarget["driver"], Shape> = {
  none: {},
  "json-file": { ...logFiles, ...delivery, attributes },
  local: { ...logFiles, ...delivery, attributes },
  journald: { ...remote, socket: absolutePath, fields: words },
  syslog: {
    ...remote,
    address: optional(syslogAddress),
    facility: integer(0, 23),
    format: text,
    hostname: text,
    tag: word,
    tls: optional(
      object({
        ca: optional(absolutePath),
        certificate: optional(absolutePath),
        key: optional(absolutePath),
        skipVerify: optional(flag),
      }),
    ),
  },
};

const log: Check = (value, path) => {
  object({ driver: text })(value, path);
  const { driver } = value as { driver: string };
  if (!Object.hasOwn(logShapes, driver)) throw wrong(`${path}.driver`, Object.keys(logShapes).join(", "), driver);
  object(logShapes[driver as LogTarget["driver"]])(value, path);
};

const container: Check = object({
  id: text,
  bundle: absolutePath,
  config: optional(object({ process: object({ args: list(word) }) })),
  stateDir: absolutePath,
  runtimeRoot: absolutePath,
  runtime: optional(object({ path: text, args: optional(list(word)) })),
  rootfsMount: optional(
    object({
      lower: list(absolutePath),
      upper: optional(absolutePath),
      work: optional(absolutePath),
      mapped: optional(flag),
    }),
  ),
  terminal: flag,
  consoleSize: optional(object(consoleSize)),
  stdin: object({ open: flag, once: flag }),
  log,
  restore: optional(object({ images: absolutePath, work: absolutePath })),
  noPivot: optional(flag),
  noNewKeyring: optional(flag),
} satisfies Record<keyof ShimContainer, Check>);

const execId = optional(text);

const exec: Shape = {
  execId: text,
  process: object({ args: list(word), cwd: absolutePath }),
  terminal: flag,
  consoleSize: optional(object(consoleSize)),
  stdin: flag,
  keepOrphans: optional(flag),
};

const shapes: Record<RequestName, Shape> = {
  hello: {},
  run: { container },
  attach: { execId, exec: optional(object(exec)), stdin: flag, stdout: flag, stderr: flag, seam: optional(flag) },
  wait: { execId },
  signal: { signal: integer(1, 64), all: optional(flag), execId },
  resize: { ...consoleSize, execId },
  exec,
  endExec: { execId: text, graceMs: integer(0, 2 ** 31 - 1) },
  closeStdin: { execId },
  pause: {},
  resume: {},
  update: { resources: object({}) },
  checkpoint: { images: absolutePath, work: absolutePath, leaveRunning: flag },
  state: { settled: optional(flag) },
  release: { force: optional(flag), reuse: optional(flag) },
  share: { socketPath: absolutePath },
};

/** @throws EngineError invalid_argument when the line is not JSON. */
export function parseLine(line: string): unknown {
  try {
    // Limits in a configuration may need 64 bits.
    return parseExactJson(line);
  } catch {
    throw new EngineError("invalid_argument", "shim request: the line is not JSON");
  }
}

/** Whom to answer, also when the rest of the message is wrong; null when it does not say. */
export function requestId(message: unknown): number | null {
  const id = (message as { id?: unknown } | null)?.id;
  return typeof id === "number" ? id : null;
}

/** @throws EngineError invalid_argument that says what is wrong. */
export function checkRequest(message: unknown): Request {
  object({ id: integer(0, Number.MAX_SAFE_INTEGER), request: text })(message, "request");
  const name = (message as { request: string }).request;
  if (!Object.hasOwn(shapes, name)) {
    throw new EngineError("invalid_argument", `shim request: there is no request ${JSON.stringify(name)}`);
  }
  object(shapes[name as RequestName])(message, name);
  return message as Request;
}
