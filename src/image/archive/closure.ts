/** What belongs to an image and is here: every index, manifest, configuration and layer, from the document of its id on. */
import type { Digest } from "../../core/digest.ts";
import { EngineError } from "../../core/errors.ts";
import {
  type Descriptor,
  type ImageConfig,
  type ImageIndex,
  type ImageManifest,
  indexDepthMax,
  isIndexMediaType,
  isLayerMediaType,
  isManifestMediaType,
  mediaTypes,
  type Platform,
  parseImageConfig,
  parseManifest,
} from "../../oci/image.ts";
import { normalise } from "../../oci/platform.ts";

/** Where documents and layers are looked for: a store, or an archive. */
export interface Contents {
  /** Is the blob here, with that many bytes? */
  has(descriptor: Pick<Descriptor, "digest" | "size">): boolean;
  /** A small one, verified. @throws EngineError not_found, corrupt. */
  read(descriptor: Pick<Descriptor, "digest" | "size">): Uint8Array;
}

export interface ManifestHere {
  descriptor: Descriptor;
  manifest: ImageManifest;
  /** Undefined for what is no image: an attestation, for example. */
  config: ImageConfig | undefined;
  platform: Platform | undefined;
}

export interface Closure {
  /** Documents before what they refer to, each once; layers from the bottom up. */
  blobs: Descriptor[];
  /** The manifests all of whose content is here. */
  manifests: ManifestHere[];
}

export interface ClosureOptions {
  /** What to call the image in errors. */
  name: string;
  /** Of an index, take only the images of these platforms. */
  includes?: ((platform: Platform) => boolean) | undefined;
}

/**
 * Children of an index of which something is missing are left out, as those that a pull did not want.
 * @throws EngineError not_found when the image itself or all children of it are incomplete; corrupt.
 */
export function closureOf(contents: Contents, root: Descriptor, options: ClosureOptions): Closure {
  const closure: Closure = { blobs: [], manifests: [] };
  const missing = gather(contents, root, options, closure, 0);
  if (missing !== undefined) {
    throw new EngineError("not_found", `${options.name}: content ${missing} is not here`);
  }
  return closure;
}

/** @returns the first blob that is not here; then nothing is added to the closure. */
function gather(
  contents: Contents,
  descriptor: Descriptor,
  options: ClosureOptions,
  closure: Closure,
  depth: number,
): Digest | undefined {
  const { digest, mediaType } = descriptor;
  if (!contents.has(descriptor)) return digest;
  if (depth > indexDepthMax) throw new EngineError("corrupt", `${options.name}: an index in an index in an index`);
  const document = parseManifest(contents.read(descriptor), mediaType, `${options.name}: manifest ${digest}`);
  if (document.kind === "manifest") return addManifest(contents, descriptor, document.manifest, options, closure);
  return addIndex(contents, descriptor, document.index, options, closure, depth);
}

function addIndex(
  contents: Contents,
  descriptor: Descriptor,
  index: ImageIndex,
  options: ClosureOptions,
  closure: Closure,
  depth: number,
): Digest | undefined {
  const children: Closure = { blobs: [], manifests: [] };
  let missing: Digest | undefined;
  for (const child of index.manifests) {
    if (!isIndexMediaType(child.mediaType) && !isManifestMediaType(child.mediaType)) continue;
    const absent = gather(contents, child, options, children, depth + 1);
    missing ??= absent;
  }
  dropUnrelated(index, children);
  if (children.manifests.every(({ config }) => config === undefined)) return missing ?? descriptor.digest;
  merge(closure, { blobs: [descriptor, ...children.blobs], manifests: children.manifests });
  return undefined;
}

/** What is said about an image that is not taken (an attestation) is not taken either. */
function dropUnrelated(index: ImageIndex, children: Closure): void {
  const taken = new Set(children.manifests.map(({ descriptor }) => descriptor.digest));
  const isAbout = (digest: Digest) =>
    index.manifests.find((child) => child.digest === digest)?.annotations?.["vnd.docker.reference.digest"];
  const dropped = children.manifests.filter(({ descriptor, config }) => {
    const about = isAbout(descriptor.digest);
    return config === undefined && about !== undefined && !taken.has(about as Digest);
  });
  if (dropped.length === 0) return;
  children.manifests = children.manifests.filter((manifest) => !dropped.includes(manifest));
  const kept = new Set(
    children.manifests.flatMap((child) => blobsOf(child.descriptor, child.manifest)).map((blob) => blob.digest),
  );
  children.blobs = children.blobs.filter(({ digest, mediaType }) => kept.has(digest) || isIndexMediaType(mediaType));
}

function addManifest(
  contents: Contents,
  descriptor: Descriptor,
  manifest: ImageManifest,
  options: ClosureOptions,
  closure: Closure,
): Digest | undefined {
  const blobs = blobsOf(descriptor, manifest);
  const missing = blobs.find((blob) => !contents.has(blob));
  if (missing) return missing.digest;
  const config = imageConfig(contents, manifest, options.name);
  const platform = config && normalise({ os: config.os, architecture: config.architecture, variant: config.variant });
  if (platform && options.includes && !options.includes(platform)) return descriptor.digest;
  merge(closure, { blobs, manifests: [{ descriptor, manifest, config, platform }] });
  return undefined;
}

/** A manifest whose configuration is none of an image's belongs to an artifact. */
function imageConfig(contents: Contents, manifest: ImageManifest, name: string): ImageConfig | undefined {
  const { mediaType, digest } = manifest.config;
  if (mediaType !== mediaTypes.ociConfig && mediaType !== mediaTypes.dockerConfig) return undefined;
  const config = parseImageConfig(contents.read(manifest.config), `${name}: configuration ${digest}`);
  // buildkit's attestations have a configuration like an image's, of no platform.
  if (config.os === "unknown") return undefined;
  const [layers, diffIds] = [manifest.layers.length, config.rootfs.diff_ids.length];
  if (layers !== diffIds) {
    throw new EngineError("corrupt", `${name}: the manifest has ${layers} layers, the configuration ${diffIds}`);
  }
  return config;
}

function blobsOf(descriptor: Descriptor, manifest: ImageManifest): Descriptor[] {
  return [descriptor, manifest.config, ...manifest.layers];
}

function merge(closure: Closure, { blobs, manifests }: Closure): void {
  const known = new Set(closure.blobs.map(({ digest }) => digest));
  for (const blob of blobs) {
    if (known.has(blob.digest)) continue;
    known.add(blob.digest);
    closure.blobs.push(blob);
  }
  closure.manifests.push(...manifests);
}

/** @throws EngineError unsupported for layers that tsd cannot unpack. */
export function checkLayerTypes(manifest: ImageManifest, name: string): void {
  for (const { mediaType, digest } of manifest.layers) {
    if (isLayerMediaType(mediaType)) continue;
    throw new EngineError(
      "unsupported",
      `layer ${digest} of ${name}: unsupported media type ${JSON.stringify(mediaType)}`,
    );
  }
}
