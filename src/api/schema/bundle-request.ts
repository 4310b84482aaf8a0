/** Reads the body of POST /tsd/bundle. */
import * as v from "valibot";
import { optional, read, struct, text } from "./go-json.ts";
import { pullPolicy } from "./run-request.ts";

const bundleRequest = struct({
  image: text,
  directory: v.pipe(
    text,
    v.startsWith("/", (issue) => `${JSON.stringify(issue.input)} is no absolute path`),
  ),
  platform: optional(text),
  pull: optional(pullPolicy, "missing"),
});

/** @throws EngineError invalid_argument that names the field. */
export function readBundleRequest(body: unknown): v.InferOutput<typeof bundleRequest> {
  return read(bundleRequest, body);
}
