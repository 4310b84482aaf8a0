/** What a registry has under a name, without pulling it. */
import { digestOf } from "../core/digest.ts";
import { EngineError } from "../core/errors.ts";
import {
  type Descriptor,
  manifestBytesMax,
  mediaTypes,
  type Platform,
  parseImageConfig,
  parseManifest,
} from "../oci/image.ts";
import { familiarReference, type Reference } from "./reference.ts";
import type { RegistryClient, RequestOptions } from "./registry/client.ts";

export interface RemoteImage {
  descriptor: Pick<Descriptor, "mediaType" | "digest" | "size">;
  platforms: Platform[];
}

/** @throws EngineError not_found, unauthorized, unavailable, unsupported, corrupt, cancelled. */
export async function describeRemote(
  client: RegistryClient,
  reference: Reference,
  options: RequestOptions,
): Promise<RemoteImage> {
  const { bytes, digest, mediaType } = await client.manifest(reference, options);
  const name = familiarReference(reference);
  const document = parseManifest(bytes, mediaType, `manifest of ${name}`);
  const descriptor = { mediaType, digest, size: bytes.length };
  if (document.kind === "index") {
    const platforms = document.index.manifests.flatMap(({ platform }) => (platform ? [platform] : []));
    return { descriptor, platforms };
  }
  const { config } = document.manifest;
  if (config.mediaType !== mediaTypes.ociConfig && config.mediaType !== mediaTypes.dockerConfig) {
    return { descriptor, platforms: [] };
  }
  const { os, architecture, variant } = parseImageConfig(
    await readBlob(client, reference, config, options),
    `configuration of ${name}`,
  );
  return { descriptor, platforms: [{ os, architecture, ...(variant && { variant }) }] };
}

async function readBlob(
  client: RegistryClient,
  reference: Reference,
  { digest, size }: Descriptor,
  options: RequestOptions,
): Promise<Uint8Array> {
  const { body } = await client.blob(reference, digest, 0, options);
  const pieces: Uint8Array[] = [];
  let received = 0;
  for await (const piece of body) {
    received += piece.length;
    if (received > Math.min(size, manifestBytesMax)) break;
    pieces.push(piece);
  }
  const bytes = Buffer.concat(pieces);
  if (received === size && digestOf(bytes, digest.split(":")[0]) === digest) return bytes;
  throw new EngineError(
    "corrupt",
    `configuration ${digest}: got other bytes than the ${size} that its descriptor says`,
  );
}
