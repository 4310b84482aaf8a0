/** Manifests that are read from a registry and written to it without a place in the store: the `manifest` commands. */
import { type Digest, digestOf } from "../../core/digest.ts";
import { EngineError } from "../../core/errors.ts";
import {
  type Descriptor,
  isManifestMediaType,
  manifestBytesMax,
  type Platform,
  parseImageConfig,
  parseManifest,
} from "../../oci/image.ts";
import { familiarReference, parseReference, parseRepository, type Reference } from "../reference.ts";
import { RegistryClient, type RequestOptions } from "./client.ts";
import { uploadManifest } from "./manifest-upload.ts";
import { uploadBlob } from "./upload.ts";

export interface RemoteOptions extends RequestOptions {
  /** By HTTP too, and without a look at the certificate. */
  insecure: boolean;
}

export interface RemoteManifest {
  descriptor: Descriptor;
  bytes: Uint8Array;
}

export interface ManifestDocument {
  mediaType: string;
  bytes: Uint8Array;
}

/** An image of another repository of the same registry, which is to be in this one, too. */
export interface CopiedImage extends ManifestDocument {
  /** `docker.io/library/busybox` */
  repository: string;
}

/** @throws EngineError invalid_argument, not_found, unauthorized, unavailable, corrupt, cancelled. */
export async function readRemoteManifest(
  client: RegistryClient,
  text: string,
  options: RemoteOptions,
): Promise<RemoteManifest> {
  const reference = parseReference(text);
  const trusted = trusting(client, reference, options);
  const { bytes, digest, mediaType } = await trusted.manifest(reference, options);
  const platform = isManifestMediaType(mediaType)
    ? await platformOf(trusted, reference, { mediaType, bytes }, options)
    : undefined;
  return { descriptor: { mediaType, digest, size: bytes.length, ...(platform && { platform }) }, bytes };
}

/**
 * Writes an index, after the images that it names have been copied from the repositories where they are.
 * @returns the index's digest.
 * @throws EngineError as above; corrupt for a document that is not what it is said to be.
 */
export async function pushRemoteIndex(
  client: RegistryClient,
  text: string,
  index: ManifestDocument,
  images: readonly CopiedImage[],
  options: RemoteOptions,
): Promise<Digest> {
  const reference = parseReference(text);
  const trusted = trusting(client, reference, options);
  if (parseManifest(index.bytes, index.mediaType, "manifest list").kind !== "index") {
    throw new EngineError("invalid_argument", `${familiarReference(reference)}: what is pushed is no manifest list`);
  }
  for (const image of images) await copyImage(trusted, reference, image, options);
  const digest = digestOf(index.bytes);
  await uploadManifest(trusted.requests, reference, reference.tag ?? digest, { ...index, digest }, options);
  return digest;
}

/** A client of its own, where this one registry is to be trusted more than the daemon's configuration says. */
function trusting(client: RegistryClient, { registry }: Reference, { insecure }: RemoteOptions): RegistryClient {
  if (!insecure) return client;
  return new RegistryClient({ ...client.options, insecure: [...(client.options.insecure ?? []), registry] });
}

/** @returns undefined for an artifact, whose configuration is of its own kind. */
async function platformOf(
  client: RegistryClient,
  reference: Reference,
  { mediaType, bytes }: ManifestDocument,
  options: RequestOptions,
): Promise<Platform | undefined> {
  const name = `manifest of ${familiarReference(reference)}`;
  const document = parseManifest(bytes, mediaType, name);
  if (document.kind !== "manifest" || !isImageConfig(document.manifest.config.mediaType)) return undefined;
  const { digest, size } = document.manifest.config;
  if (size > manifestBytesMax) {
    throw new EngineError("corrupt", `${name}: configuration of ${size} bytes is larger than ${manifestBytesMax}`);
  }
  const config = await readBlob(client, reference, { digest, size }, options);
  const { architecture, os, variant, ...rest } = parseImageConfig(config, `configuration ${digest}`);
  return {
    architecture,
    os,
    ...(rest["os.version"] && { "os.version": rest["os.version"] }),
    ...(rest["os.features"] && { "os.features": rest["os.features"] }),
    ...(variant && { variant }),
  };
}

function isImageConfig(mediaType: string): boolean {
  return /^application\/vnd\.(?:oci\.image\.config\.v1|docker\.container\.image\.v1)\+json$/.test(mediaType);
}

/** @throws EngineError corrupt when it is not what its digest says. */
async function readBlob(
  client: RegistryClient,
  reference: Reference,
  { digest, size }: Pick<Descriptor, "digest" | "size">,
  options: RequestOptions,
): Promise<Uint8Array> {
  const { body } = await client.blob(reference, digest, 0, options);
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of body) {
    chunks.push(chunk);
    length += chunk.length;
    if (length > size) break;
  }
  const bytes = Buffer.concat(chunks);
  if (length !== size || digestOf(bytes) !== digest) {
    throw new EngineError("corrupt", `blob ${digest} of ${familiarReference(reference)}: the registry sent another`);
  }
  return bytes;
}

/** Mounts what the registry can, and carries over the rest. */
async function copyImage(
  client: RegistryClient,
  target: Reference,
  { repository, mediaType, bytes }: CopiedImage,
  options: RequestOptions,
): Promise<void> {
  const source = parseRepository(repository);
  const name = `manifest of ${repository}`;
  if (source.registry !== target.registry) {
    const registries = `${source.registry} != ${target.registry}`;
    const reason = "cannot use source images from a different registry than the target image";
    throw new EngineError("invalid_argument", `${reason}: ${registries}`);
  }
  const document = parseManifest(bytes, mediaType, name);
  if (document.kind !== "manifest") throw new EngineError("invalid_argument", `${name}: is no image's`);
  for (const { digest, size } of [document.manifest.config, ...document.manifest.layers]) {
    const open = (start: number, end: number) => range(client, source, digest, start, end, options);
    const sources = [source.repository];
    await uploadBlob(client.requests, target, { digest, size, open }, { ...options, sources });
  }
  const digest = digestOf(bytes);
  await uploadManifest(client.requests, target, digest, { bytes, mediaType, digest }, options);
}

async function* range(
  client: RegistryClient,
  source: Reference,
  digest: Digest,
  start: number,
  end: number,
  options: RequestOptions,
): AsyncGenerator<Uint8Array> {
  const blob = await client.blob(source, digest, start, { ...options, end });
  let at = blob.offset;
  for await (const chunk of blob.body) {
    // Where the registry knows no ranges it begins at 0.
    const piece = chunk.subarray(Math.max(0, start - at), Math.max(0, end - at));
    at += chunk.length;
    if (piece.length > 0) yield piece;
    if (at >= end) return;
  }
}
