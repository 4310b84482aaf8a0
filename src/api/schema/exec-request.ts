/** Reads the bodies of POST /containers/{id}/exec and POST /exec/{id}/start. */
import type { ExecCreateRequest, ExecStartRequest } from "./exec.ts";
import { flag, list, optional, read, struct, text, textOrTexts, texts, uint } from "./go-json.ts";

const execCreateRequest = struct({
  User: optional(text),
  Privileged: optional(flag),
  Tty: optional(flag),
  ConsoleSize: optional(list(uint)),
  AttachStdin: optional(flag),
  AttachStdout: optional(flag),
  AttachStderr: optional(flag),
  DetachKeys: optional(text),
  Env: optional(texts),
  WorkingDir: optional(text),
  Cmd: optional(textOrTexts),
});

const execStartRequest = struct({ Detach: optional(flag), Tty: optional(flag), ConsoleSize: optional(list(uint)) });

/** @throws EngineError invalid_argument that names the field. */
export function readExecCreateRequest(body: unknown): ExecCreateRequest {
  return read(execCreateRequest, body);
}

/** @throws EngineError invalid_argument that names the field. */
export function readExecStartRequest(body: unknown): ExecStartRequest {
  return read(execStartRequest, body);
}
