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

/** Of one image; each has to be parsed. */
const [documentsMax, documentBytesMax] = [10_000, 64 * 2 ** 20];

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
 * @throws EngineError not_found when the image itself or all children of it are incomplete; corrupt, also for more
 * documents than an image has.
 */
export function closureOf(contents: Contents, root: Descriptor, options: ClosureOptions): Closure {
  const found = new Gathering(contents, options).find(root, 0);
  if (typeof found === "string") throw new EngineError("not_found", `${options.name}: content ${found} is not here`);
  return { blobs: [...found.blobs.values()], manifests: [...found.manifests.values()] };
}

/** What belongs to one document. */
interface Found {
  blobs: Map<Digest, Descriptor>;
  manifests: Map<Digest, ManifestHere>;
}

/** Looks at each document once, however often indexes name it: else a small archive could take hours. */
class Gathering {
  readonly #contents: Contents;
  readonly #options: ClosureOptions;
  readonly #known = new Map<string, Found | Digest>();
  #bytes = 0;

  constructor(contents: Contents, options: ClosureOptions) {
    this.#contents = contents;
    this.#options = options;
  }

  /** @returns the first blob that is not here, of a document that is to be left out. */
  find(descriptor: Descriptor, depth: number): Found | Digest {
    const { digest, mediaType, size } = descriptor;
    const { name } = this.#options;
    if (!this.#contents.has(descriptor)) return digest;
    if (depth > indexDepthMax) throw new EngineError("corrupt", `${name}: an index in an index in an index`);
    const key = `${mediaType} ${digest}`;
    const known = this.#known.get(key);
    if (known !== undefined) return known;
    this.#bytes += size;
    if (this.#known.size >= documentsMax || this.#bytes > documentBytesMax) {
      const limit = `${documentsMax} indexes and manifests, or ${documentBytesMax} bytes of them`;
      throw new EngineError("corrupt", `${name}: more than ${limit}`);
    }
    const document = parseManifest(this.#contents.read(descriptor), mediaType, `${name}: manifest ${digest}`);
    const found =
      document.kind === "manifest"
        ? this.#manifest(descriptor, document.manifest)
        : this.#index(descriptor, document.index, depth);
    this.#known.set(key, found);
    return found;
  }

  #index(descriptor: Descriptor, index: ImageIndex, depth: number): Found | Digest {
    const found: Found = { blobs: new Map([[descriptor.digest, descriptor]]), manifests: new Map() };
    let missing: Digest | undefined;
    const seen = new Set<string>();
    for (const child of index.manifests) {
      const { mediaType, digest, size } = child;
      if (!isIndexMediaType(mediaType) && !isManifestMediaType(mediaType)) continue;
      const key = `${mediaType} ${digest} ${size}`;
      if (seen.has(key)) continue;
      seen.add(key);
      const below = this.find(child, depth + 1);
      if (typeof below === "string") missing ??= below;
      else addTo(found, below);
    }
    dropUnrelated(descriptor, index, found);
    const isImage = [...found.manifests.values()].some(({ config }) => config !== undefined);
    return isImage ? found : (missing ?? descriptor.digest);
  }

  #manifest(descriptor: Descriptor, manifest: ImageManifest): Found | Digest {
    const { includes, name } = this.#options;
    const blobs = new Map(blobsOf(descriptor, manifest).map((blob) => [blob.digest, blob]));
    const missing = blobsOf(descriptor, manifest).find((blob) => !this.#contents.has(blob));
    if (missing) return missing.digest;
    const config = imageConfig(this.#contents, manifest, name);
    const platform = config && normalise({ os: config.os, architecture: config.architecture, variant: config.variant });
    if (platform && includes && !includes(platform)) return descriptor.digest;
    return { blobs, manifests: new Map([[descriptor.digest, { descriptor, manifest, config, platform }]]) };
  }
}

function addTo(found: Found, { blobs, manifests }: Found): void {
  for (const [digest, blob] of blobs) if (!found.blobs.has(digest)) found.blobs.set(digest, blob);
  for (const [digest, manifest] of manifests) if (!found.manifests.has(digest)) found.manifests.set(digest, manifest);
}

/** What is said about an image that is not taken (an attestation) is not taken either. */
function dropUnrelated(self: Descriptor, index: ImageIndex, found: Found): void {
  const about = new Map(
    index.manifests.map(({ digest, annotations }) => [digest, annotations?.["vnd.docker.reference.digest"]]),
  );
  const dropped = [...found.manifests].filter(([digest, { config }]) => {
    const subject = about.get(digest);
    return config === undefined && subject !== undefined && !found.manifests.has(subject as Digest);
  });
  if (dropped.length === 0) return;
  for (const [digest] of dropped) found.manifests.delete(digest);
  const kept = new Set(
    [...found.manifests.values()]
      .flatMap(({ descriptor, manifest }) => blobsOf(descriptor, manifest))
      .map(({ digest }) => digest),
  );
  for (const [digest, { mediaType }] of found.blobs) {
    if (digest !== self.digest && !kept.has(digest) && !isIndexMediaType(mediaType)) found.blobs.delete(digest);
  }
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
