/** Reads the bodies of POST /containers/{id}/exec and POST /exec/{id}/start. */
import type * as v from "valibot";
import { parseDetachKeys } from "../../core/detach-keys.ts";
import { EngineError } from "../../core/errors.ts";
import type { ExecCreateRequest, ExecStartRequest } from "./exec.ts";
import { flag, list, optional, read, struct, text, textOrTexts, texts, uint } from "./go-json.ts";

export const execCreateRequest: v.GenericSchema<unknown, ExecCreateRequest> = struct({
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

/** What can be refused before the container is looked for. @throws EngineError invalid_argument in docker's words. */
export function checkExec(request: ExecCreateRequest): void {
  if (!request.Cmd?.length)
    throw new EngineError("invalid_argument", "no exec command specified", { stage: "request" });
  if (request.DetachKeys) parseDetachKeys(request.DetachKeys);
}
