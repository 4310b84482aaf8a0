/** Reads the bodies of POST /tsd/run and POST /tsd/exec. */
import * as v from "valibot";
import { createRequest } from "./create-request.ts";
import { execCreateRequest } from "./exec-request.ts";
import { flag, optional, read, struct, text } from "./go-json.ts";
import type { ExecRunRequest, RunRequest } from "./run-protocol.ts";

export const pullPolicy = v.picklist(
  ["missing", "always", "never"],
  (issue) => `invalid pull policy: ${issue.received}`,
);

const runRequest = struct({
  create: createRequest,
  name: optional(text),
  platform: optional(text),
  pull: pullPolicy,
  attach: struct({ stdin: flag, stdout: flag, stderr: flag }),
  detach: optional(flag),
});

/** @throws EngineError invalid_argument that names the field. */
export function readRunRequest(body: unknown): RunRequest {
  return read(runRequest, body);
}

const execRunRequest = struct({ container: text, exec: execCreateRequest, detach: optional(flag) });

/** @throws EngineError invalid_argument that names the field. */
export function readExecRunRequest(body: unknown): ExecRunRequest {
  return read(execRunRequest, body);
}
