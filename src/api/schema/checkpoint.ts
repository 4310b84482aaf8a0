import { EngineError } from "../../core/errors.ts";
import { flag, optional, read, struct, text } from "./go-json.ts";

/** Body of `POST /containers/{id}/checkpoints`. */
export interface CheckpointCreateRequest {
  CheckpointID?: string | undefined;
  /** On the daemon's host; absent or "" for the container's own. */
  CheckpointDir?: string | undefined;
  /** The container ends when it is saved. */
  Exit?: boolean | undefined;
}

/** An element of `GET /containers/{id}/checkpoints`. */
export interface CheckpointSummary {
  Name: string;
}

const createRequest = struct({
  CheckpointID: optional(text),
  CheckpointDir: optional(text),
  Exit: optional(flag),
});

/** @throws EngineError invalid_argument that names the field. */
export function readCheckpointCreateRequest(body: unknown): CheckpointCreateRequest {
  const request = read(createRequest, body);
  if (!request.CheckpointID) {
    throw new EngineError("invalid_argument", "CheckpointID: a checkpoint needs a name", { stage: "request" });
  }
  return request;
}
