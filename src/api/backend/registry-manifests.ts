import type { AuthConfig } from "../schema/image.ts";
import type { ManifestPush, ManifestPushed, RegistryManifest } from "../schema/registry-manifest.ts";

export interface RegistryManifestOptions {
  auth?: AuthConfig;
  /** The registry may be talked to by HTTP, and its certificate is not verified. */
  insecure: boolean;
}

/** A registry's manifests, for the `manifest` commands: they keep nothing in the daemon's store. */
export interface RegistryManifestBackend {
  /** @throws EngineError not_found, unauthorized, unavailable. */
  read(reference: string, options: RegistryManifestOptions, signal: AbortSignal): Promise<RegistryManifest>;
  /** Copies the images, then writes the index under the reference's name. */
  push(
    reference: string,
    request: ManifestPush,
    options: RegistryManifestOptions,
    signal: AbortSignal,
  ): Promise<ManifestPushed>;
}
