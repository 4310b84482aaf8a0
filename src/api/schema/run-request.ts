/** Reads the body of POST /tsd/run. */
import * as v from "valibot";
import { createRequest } from "./create-request.ts";
import { flag, optional, read, struct, text } from "./go-json.ts";
import type { RunRequest } from "./run-protocol.ts";

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
