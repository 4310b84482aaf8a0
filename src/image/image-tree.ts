/** An image's documents as they lie in the store: its index with the manifests that are here, and those that are not. */
import type { Digest } from "../core/digest.ts";
import { EngineError } from "../core/errors.ts";
import {
  type Descriptor,
  type ImageConfig,
  indexDepthMax,
  isIndexMediaType,
  isManifestMediaType,
  mediaTypes,
  type Platform,
  parseImageConfig,
  parseManifest,
} from "../oci/image.ts";
import type { ImageStore } from "./images.ts";
import { normalise } from "./platform.ts";

export interface ContentBlob extends Pick<Descriptor, "digest" | "size" | "mediaType"> {
  isLayer: boolean;
  /** Of a layer: what it is when it is unpacked. */
  diffId?: Digest | undefined;
}

export interface ManifestNode {
  kind: "manifest";
  descriptor: Descriptor;
  bytes: Uint8Array;
  /** Configuration and layers, all of them here. */
  blobs: ContentBlob[];
  /** Undefined for what is no image: a signature, an attestation. */
  platform: Platform | undefined;
}

export interface IndexNode {
  kind: "index";
  descriptor: Descriptor;
  bytes: Uint8Array;
  children: ImageNode[];
}

/** A manifest that is not here, or some of whose content is not. */
export interface MissingNode {
  kind: "missing";
  descriptor: Descriptor;
  /** What it lacks: itself, or blobs of it. */
  lacks: Digest[];
}

export type ImageNode = ManifestNode | IndexNode | MissingNode;

/** @throws EngineError corrupt for documents that are damaged, unsupported for indexes that are nested too deeply. */
export function readImageTree(store: ImageStore, descriptor: Descriptor): ImageNode {
  return readNode(store, descriptor, 0, new Map());
}

/** What tells one child of an index from another: one manifest may be there for several platforms. */
export function descriptorKey({ digest, mediaType, platform }: Descriptor): string {
  return JSON.stringify([digest, mediaType, platform?.os, platform?.architecture, platform?.variant]);
}

/** Each document once, however often indexes name it. */
function readNode(store: ImageStore, descriptor: Descriptor, depth: number, known: Map<string, ImageNode>): ImageNode {
  const key = `${depth} ${descriptorKey(descriptor)}`;
  const node = known.get(key) ?? readDocument(store, descriptor, depth, known);
  known.set(key, node);
  return node;
}

function readDocument(
  store: ImageStore,
  descriptor: Descriptor,
  depth: number,
  known: Map<string, ImageNode>,
): ImageNode {
  const { digest, mediaType } = descriptor;
  const isKnown = isIndexMediaType(mediaType) || isManifestMediaType(mediaType);
  if (!isKnown || !store.content.has(digest)) return { kind: "missing", descriptor, lacks: [digest] };
  const bytes = store.content.read(digest);
  const document = parseManifest(bytes, mediaType, `manifest ${digest}`);
  if (document.kind === "index") {
    if (depth >= indexDepthMax) throw new EngineError("unsupported", `index ${digest}: indexes nested too deeply`);
    const children = new Map(document.index.manifests.map((child) => [descriptorKey(child), child]));
    const nodes = [...children.values()].map((child) => readNode(store, child, depth + 1, known));
    return { kind: "index", descriptor, bytes, children: nodes };
  }
  const { config, layers } = document.manifest;
  const image = imageConfig(store, config);
  const blobs: ContentBlob[] = [
    { ...config, isLayer: false },
    ...layers.map((layer, at) => ({ ...layer, isLayer: true, diffId: image?.rootfs.diff_ids[at] })),
  ];
  const lacks = blobs.filter((blob) => !isHere(store, blob)).map((blob) => blob.digest);
  if (lacks.length > 0) return { kind: "missing", descriptor, lacks };
  return { kind: "manifest", descriptor, bytes, blobs, platform: platformOf(descriptor, image) };
}

/** The bytes of a layer of tsd's own making are made again when they are wanted. */
function isHere(store: ImageStore, { digest, size, diffId }: ContentBlob): boolean {
  if (store.content.has(digest, size)) return true;
  return diffId !== undefined && diffId === digest && store.embedded.has(diffId);
}

function imageConfig(store: ImageStore, { digest, size, mediaType }: Descriptor): ImageConfig | undefined {
  const isConfig = mediaType === mediaTypes.ociConfig || mediaType === mediaTypes.dockerConfig;
  if (!isConfig || !store.content.has(digest, size)) return undefined;
  return parseImageConfig(store.content.read(digest), `configuration ${digest}`);
}

function platformOf({ platform }: Descriptor, config: ImageConfig | undefined): Platform | undefined {
  // Attestations are filed under unknown/unknown.
  if (platform?.os === "unknown" || config === undefined) return undefined;
  const { os, architecture, variant } = platform ?? config;
  return normalise({ os, architecture, variant });
}

/** The image manifests of a tree, in their order. */
export function imageManifests(node: ImageNode): ManifestNode[] {
  if (node.kind === "index") return node.children.flatMap(imageManifests);
  return node.kind === "manifest" && node.platform !== undefined ? [node] : [];
}

export function missingManifests(node: ImageNode): Descriptor[] {
  if (node.kind === "index") return node.children.flatMap(missingManifests);
  return node.kind === "missing" ? [node.descriptor] : [];
}
