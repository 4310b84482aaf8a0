/** Reads the bodies of the volume routes. */
import type * as v from "valibot";
import { optional, read, struct, text, textMap } from "./go-json.ts";
import type { VolumeCreateRequest } from "./volume.ts";

const createRequest: v.GenericSchema<unknown, VolumeCreateRequest> = struct({
  Name: optional(text),
  Driver: optional(text),
  DriverOpts: optional(textMap),
  Labels: optional(textMap),
  ClusterVolumeSpec: optional(struct({})),
});

/** @throws EngineError invalid_argument that names the field. */
export function readVolumeCreateRequest(body: unknown): VolumeCreateRequest {
  return read(createRequest, body);
}
