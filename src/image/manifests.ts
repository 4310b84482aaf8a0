/** What an index names and what of it is here: the manifests of an image with their sizes, as Docker 29 shows them. */
import type { Digest } from "../core/digest.ts";
import { isEngineError } from "../core/errors.ts";
import {
  type Descriptor,
  type ImageConfig,
  type ImageManifest,
  isIndexMediaType,
  isLayerMediaType,
  type Platform,
  parseImageConfig,
  parseManifest,
} from "../oci/image.ts";
import type { Image } from "./image.ts";
import { descriptorKey } from "./image-tree.ts";
import type { ImageStore } from "./images.ts";
import { chainIds } from "./snapshot/layers.ts";

/** How BuildKit marks a manifest that says something about another: its attestation storage. */
const referenceType = "vnd.docker.reference.type";
const referenceDigest = "vnd.docker.reference.digest";

export interface StoredManifest {
  descriptor: Descriptor;
  kind: "image" | "attestation" | "unknown";
  /** Everything below it is here: configuration and layers, these compressed or unpacked. */
  isAvailable: boolean;
  /** Bytes of what of it is in the content store. */
  contentBytes: number;
  /** Bytes of its unpacked layers; 0 where they are not. */
  unpackedBytes: number;
  /** Of an image: the index's word, else the configuration's; undefined where neither is here. */
  platform?: Platform;
  /** Of an attestation: the manifest that it is for. */
  attests?: Digest;
}

/** The manifests that an image consists of, in the order of its index, whether their content is here or not. */
export function storedManifests(
  store: ImageStore,
  image: Pick<Image, "id" | "mediaType" | "documentBytes">,
): StoredManifest[] {
  const root = { mediaType: image.mediaType, digest: image.id, size: image.documentBytes };
  return [...reachable(store, root)].map((descriptor) => describe(store, descriptor));
}

/** The manifest itself, without an index; an index within an index is followed. */
function* reachable(store: ImageStore, descriptor: Descriptor, seen = new Set<string>()): Generator<Descriptor> {
  // An index may name one manifest any number of times, and indexes in it as well.
  const key = descriptorKey(descriptor);
  if (seen.has(key)) return;
  seen.add(key);
  if (!isIndexMediaType(descriptor.mediaType)) {
    yield descriptor;
    return;
  }
  const document = readDocument(store, descriptor);
  if (document?.kind !== "index") return;
  for (const child of document.index.manifests) yield* reachable(store, child, seen);
}

function describe(store: ImageStore, descriptor: Descriptor): StoredManifest {
  const { platform, annotations } = descriptor;
  const document = readDocument(store, descriptor);
  const manifest = document?.kind === "manifest" ? document.manifest : undefined;
  const isAttestation = annotations?.[referenceType] !== undefined;
  const parts = manifest ? [manifest.config, ...manifest.layers] : [];
  const isStored = manifest !== undefined && parts.every(({ digest, size }) => store.content.has(digest, size));
  const here = [descriptor, ...parts].filter(({ digest, size }) => store.content.has(digest, size));
  const contentBytes = here.reduce((sum, { size }) => sum + size, 0);
  const described = { descriptor, isAvailable: isStored, contentBytes, unpackedBytes: 0 };
  if (isAttestation || (manifest && !isImage(manifest))) {
    const attests = annotations?.[referenceDigest] as Digest | undefined;
    return isAttestation && attests
      ? { ...described, kind: "attestation", attests }
      : { ...described, kind: "unknown" };
  }
  const config = manifest && readConfig(store, manifest);
  const unpackedBytes = config && unpacked(store, config);
  const own = config && { os: config.os, architecture: config.architecture, variant: config.variant };
  const shown = platform ?? own;
  return {
    ...described,
    kind: "image",
    isAvailable: isStored || unpackedBytes !== undefined,
    unpackedBytes: unpackedBytes ?? 0,
    ...(shown && { platform: shown }),
  };
}

/** @returns undefined where it is not here. */
function readDocument(store: ImageStore, { digest, mediaType, size }: Descriptor) {
  if (!store.content.has(digest, size)) return undefined;
  return parseManifest(store.content.read(digest), mediaType, `manifest ${digest}`);
}

function readConfig(store: ImageStore, { config }: ImageManifest): ImageConfig | undefined {
  if (!store.content.has(config.digest, config.size)) return undefined;
  try {
    return parseImageConfig(store.content.read(config.digest), `configuration ${config.digest}`);
  } catch (error) {
    // An artifact that says it is an image, with a configuration of its own kind.
    if (isEngineError(error, "invalid_argument")) return undefined;
    throw error;
  }
}

/** Some use an image's manifest for what is none: it has no layer that could be unpacked. */
function isImage({ layers }: ImageManifest): boolean {
  return layers.length === 0 || layers.some(({ mediaType }) => isLayerMediaType(mediaType));
}

/** Bytes of the unpacked layers; undefined where they are not all unpacked. */
function unpacked(store: ImageStore, config: ImageConfig): number | undefined {
  const rows = chainIds(config.rootfs.diff_ids).map((chainId) => store.layers.get(chainId));
  if (rows.includes(undefined)) return undefined;
  return rows.reduce((sum, row) => sum + row!.bytes, 0);
}
