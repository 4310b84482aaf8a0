/** What `/tsd/registry/manifest` takes and answers: manifests of a registry, not of the daemon's store. */
import type * as v from "valibot";
import { list, optional, read, struct, text } from "./go-json.ts";
import type { OciDescriptor } from "./image.ts";

export interface RegistryManifest {
  /** With the platform of its configuration, where it is an image's. */
  Descriptor: OciDescriptor;
  /** The document as the registry has it, base64. */
  Raw: string;
}

const manifestPush = struct({
  MediaType: text,
  /** The index, base64. */
  Raw: text,
  /** The images that it names and that are in other repositories: they are copied first. */
  Images: optional(
    list(
      struct({
        /** Of the same registry: `docker.io/library/busybox`. */
        Repository: text,
        MediaType: text,
        Raw: text,
      }),
    ),
    [],
  ),
});

export type ManifestPush = v.InferOutput<typeof manifestPush>;

/** @throws EngineError invalid_argument that names the field. */
export function readManifestPush(body: unknown): ManifestPush {
  return read(manifestPush, body);
}

export interface ManifestPushed {
  Digest: string;
}
