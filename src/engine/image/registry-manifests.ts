/** The service behind `/tsd/registry/manifest`: a registry's manifests in the API's words. */
import type { AuthConfig } from "../../api/schema/image.ts";
import type { ManifestPush, ManifestPushed, RegistryManifest } from "../../api/schema/registry-manifest.ts";
import type { EngineContext } from "../context.ts";
import { registryCredentials } from "./credentials.ts";

interface Options {
  auth?: AuthConfig;
  insecure: boolean;
}

export class RegistryManifestService {
  readonly #context: EngineContext;

  constructor(context: EngineContext) {
    this.#context = context;
  }

  async read(reference: string, options: Options, signal: AbortSignal): Promise<RegistryManifest> {
    const { descriptor, bytes } = await this.#context.images.remoteManifest(reference, remote(options, signal));
    return { Descriptor: descriptor, Raw: Buffer.from(bytes).toString("base64") };
  }

  async push(reference: string, request: ManifestPush, options: Options, signal: AbortSignal): Promise<ManifestPushed> {
    const images = request.Images.map(({ Repository: repository, MediaType: mediaType, Raw }) => {
      return { repository, mediaType, bytes: decoded(Raw) };
    });
    const index = { mediaType: request.MediaType, bytes: decoded(request.Raw) };
    const digest = await this.#context.images.pushRemoteIndex(reference, index, images, remote(options, signal));
    return { Digest: digest };
  }
}

function remote({ auth, insecure }: Options, signal: AbortSignal) {
  const credentials = auth && registryCredentials(auth);
  return { insecure, signal, ...(credentials && { credentials }) };
}

function decoded(base64: string): Uint8Array {
  return new Uint8Array(Buffer.from(base64, "base64"));
}
