/** Finds out what a reference stands for: index, manifest of the platform, configuration; all verified and stored. */
import { advice } from "../core/advice.ts";
import { type Digest, digestHex } from "../core/digest.ts";
import { EngineError, isEngineError } from "../core/errors.ts";
import { log } from "../core/log.ts";
import {
  type Descriptor,
  type ImageConfig,
  type ImageManifest,
  indexDepthMax,
  isIndexMediaType,
  isLayerMediaType,
  isManifestMediaType,
  manifestBytesMax,
  mediaTypes,
  type Platform,
  parseImageConfig,
  parseManifest,
} from "../oci/image.ts";
import type { ContentStore } from "./content/store.ts";
import type { RegistryCredentials } from "./image.ts";
import type { Lease } from "./leases.ts";
import { formatPlatform, normalise, satisfies, selectManifest } from "./platform.ts";
import { familiarReference, type Reference } from "./reference.ts";
import type { RegistryClient } from "./registry/client.ts";

export interface FetchOptions {
  /** What is wanted; `isExplicit` when the user said so. */
  platform: Platform;
  isExplicit: boolean;
  credentials?: RegistryCredentials | undefined;
  signal: AbortSignal;
  /** Holds what is fetched, and what is found here already, until the image is recorded. */
  lease: Lease;
}

export interface FetchedImage {
  id: Digest;
  mediaType: string;
  /** Bytes of the document that `id` is the digest of. */
  size: number;
  manifestDigest: Digest;
  manifest: ImageManifest;
  config: ImageConfig;
  platform: Platform;
  /** Every blob of it but the layers: indexes, manifest, configuration. */
  documents: { digest: Digest; size: number }[];
}

const configTypes = new Set<string>([mediaTypes.ociConfig, mediaTypes.dockerConfig]);

interface Document {
  bytes: Uint8Array;
  digest: Digest;
  mediaType: string;
}

/**
 * @throws EngineError not_found for an unknown image or platform, unsupported for what is no image, corrupt for
 * documents that contradict each other, and what the registry client throws.
 */
export async function fetchImage(
  client: RegistryClient,
  store: ContentStore,
  reference: Reference,
  options: FetchOptions,
): Promise<FetchedImage> {
  const name = familiarReference(reference);
  const documents: FetchedImage["documents"] = [];
  let document = await fetchRoot(client, store, reference, options);
  const root = document;
  for (let depth = 0; ; depth++) {
    documents.push({ digest: document.digest, size: document.bytes.length });
    const parsed = parseManifest(document.bytes, document.mediaType, `manifest of ${name}`);
    if (parsed.kind === "manifest") {
      const config = await fetchConfig(client, store, reference, parsed.manifest, options);
      documents.push({ digest: parsed.manifest.config.digest, size: parsed.manifest.config.size });
      await storeDocuments(store, options.lease, [document]);
      const platform = checkPlatform(config, options, name, depth > 0);
      checkLayers(parsed.manifest, config, name);
      const { digest: id, mediaType, bytes } = root;
      const { manifest } = parsed;
      return {
        id,
        mediaType,
        size: bytes.length,
        manifestDigest: document.digest,
        manifest,
        config,
        platform,
        documents,
      };
    }
    if (depth >= indexDepthMax) throw new EngineError("unsupported", `manifest of ${name}: indexes nested too deeply`);
    await storeDocuments(store, options.lease, [document]);
    const chosen = selectManifest(parsed.index.manifests, options.platform, name);
    document = await fetchChild(client, store, reference, chosen, options);
  }
}

async function fetchRoot(
  client: RegistryClient,
  store: ContentStore,
  reference: Reference,
  options: FetchOptions,
): Promise<Document> {
  // By digest it may be here already; by tag only the registry knows.
  const stored = reference.digest && (await readStored(store, options.lease, reference.digest));
  if (stored) {
    const own = mediaTypeOf(stored);
    if (own !== undefined) return { bytes: stored, digest: reference.digest!, mediaType: own };
  }
  return client.manifest(reference, options);
}

async function fetchChild(
  client: RegistryClient,
  store: ContentStore,
  reference: Reference,
  descriptor: Descriptor,
  options: FetchOptions,
): Promise<Document> {
  const { digest, size, mediaType } = descriptor;
  if (!isIndexMediaType(mediaType) && !isManifestMediaType(mediaType)) {
    throw new EngineError("unsupported", `manifest ${digest}: unsupported media type ${JSON.stringify(mediaType)}`);
  }
  if (size > manifestBytesMax) {
    throw new EngineError("corrupt", `manifest ${digest}: ${size} bytes are more than the ${manifestBytesMax} allowed`);
  }
  const stored = await readStored(store, options.lease, digest, size);
  if (stored) return { bytes: stored, digest, mediaType };
  const fetched = await client.manifest(reference, options, digest);
  if (fetched.bytes.length !== size) {
    throw new EngineError(
      "corrupt",
      `manifest ${digest}: has ${fetched.bytes.length} bytes, its descriptor says ${size}`,
    );
  }
  return { bytes: fetched.bytes, digest, mediaType };
}

async function fetchConfig(
  client: RegistryClient,
  store: ContentStore,
  reference: Reference,
  manifest: ImageManifest,
  options: FetchOptions,
): Promise<ImageConfig> {
  const { digest, size, mediaType } = manifest.config;
  const name = familiarReference(reference);
  if (!configTypes.has(mediaType)) {
    const what = manifest.artifactType ?? mediaType;
    throw new EngineError("unsupported", `${name} is no image but an artifact of type ${JSON.stringify(what)}`);
  }
  if (size > manifestBytesMax) {
    throw new EngineError(
      "corrupt",
      `configuration ${digest}: ${size} bytes are more than the ${manifestBytesMax} allowed`,
    );
  }
  let bytes = await readStored(store, options.lease, digest, size);
  if (bytes === undefined) {
    const { body } = await client.blob(reference, digest, 0, options);
    const pieces: Uint8Array[] = [];
    let received = 0;
    for await (const piece of body) {
      received += piece.length;
      if (received > size) break;
      pieces.push(piece);
    }
    if (received !== size) {
      throw new EngineError(
        "corrupt",
        `configuration ${digest}: ${received > size ? "more" : "less"} than ${size} bytes`,
      );
    }
    bytes = Buffer.concat(pieces);
    await store.write(bytes, digest);
  }
  return parseImageConfig(bytes, `configuration of ${name}`);
}

/** What an earlier pull fetched, held from now on. A damaged document is removed, to be fetched again. */
async function readStored(
  store: ContentStore,
  lease: Lease,
  digest: Digest,
  size?: number,
): Promise<Uint8Array | undefined> {
  lease.add({ content: [digest] });
  const stored = store.size(digest);
  // Larger than any document is a layer: of an image that is named by a layer's digest nothing is here.
  if (stored === undefined || stored > manifestBytesMax || (size !== undefined && stored !== size)) return undefined;
  try {
    return store.read(digest);
  } catch (error) {
    if (!isEngineError(error, "corrupt")) throw error;
    log("warn", "a damaged document is fetched again", { error: error.message });
    await store.remove(digest);
    return undefined;
  }
}

async function storeDocuments(store: ContentStore, lease: Lease, documents: readonly Document[]): Promise<void> {
  lease.add({ content: documents.map(({ digest }) => digest) });
  for (const { bytes, digest } of documents) await store.write(bytes, digest);
}

function checkPlatform(config: ImageConfig, options: FetchOptions, name: string, isFromIndex: boolean): Platform {
  const actual = normalise({ os: config.os, architecture: config.architecture, variant: config.variant });
  // An index has been asked already; a lone manifest is taken as it is, unless the user insists.
  if (!isFromIndex && options.isExplicit && !satisfies(actual, options.platform)) {
    throw new EngineError(
      "not_found",
      `image with reference ${name} was found but its platform (${formatPlatform(actual)}) does not match the specified platform (${formatPlatform(options.platform)})`,
      { hint: advice.platformless },
    );
  }
  return actual;
}

function checkLayers(manifest: ImageManifest, config: ImageConfig, name: string): void {
  for (const { mediaType, digest } of manifest.layers) {
    if (!isLayerMediaType(mediaType)) {
      throw new EngineError(
        "unsupported",
        `layer ${digestHex(digest).slice(0, 12)} of ${name}: unsupported media type ${JSON.stringify(mediaType)}`,
      );
    }
  }
  const [layers, diffIds] = [manifest.layers.length, config.rootfs.diff_ids.length];
  if (layers !== diffIds) {
    throw new EngineError("corrupt", `${name}: the manifest has ${layers} layers, the configuration ${diffIds}`);
  }
}

/** Undefined for what does not say, and for what is no document at all: a layer. */
function mediaTypeOf(bytes: Uint8Array): string | undefined {
  try {
    const { mediaType } = JSON.parse(Buffer.from(bytes).toString()) as { mediaType?: unknown };
    return typeof mediaType === "string" ? mediaType : undefined;
  } catch {
    return undefined;
  }
}
