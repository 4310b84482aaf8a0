/**
 * Images as one tar archive that is two things at once, as Docker writes it since 25: an OCI layout, and docker's older
 * format, whose manifest.json points to the same blobs. Blobs are written as they are stored, so that their digests
 * stay.
 *
 * What says which blobs there are comes first: who reads the archive as it comes knows at once what each is.
 */
import { open as openFile } from "node:fs/promises";
import { advice } from "../../core/advice.ts";
import { type Digest, digestAlgorithm, digestHex } from "../../core/digest.ts";
import { EngineError } from "../../core/errors.ts";
import { type Descriptor, mediaTypes, type Platform } from "../../oci/image.ts";
import { hostPlatform } from "../../oci/platform.ts";
import { emptyEntry } from "../../tar/tar-entry.ts";
import { endOfArchive, padding, tarHeader } from "../../tar/tar-writer.ts";
import type { ImageStore } from "../images.ts";
import type { Lease } from "../leases.ts";
import { formatPlatform, satisfies } from "../platform.ts";
import { familiarName, familiarReference, parseReference } from "../reference.ts";
import { throwIfAborted } from "../shared-work.ts";
import { type Closure, closureOf, type ManifestHere } from "./closure.ts";
import type { NamedImage } from "./saved-names.ts";

const readBytes = 2 ** 18;

export interface SaveOptions {
  images: readonly NamedImage[];
  /** Empty: all that are here. One: the manifest of that platform itself. Several: the index with these alone. */
  platforms: readonly Platform[];
  signal?: AbortSignal | undefined;
}

interface SavedImage extends Closure {
  /** What index.json refers to. */
  descriptor: Descriptor;
  /** Canonical. */
  name: string | undefined;
}

/** @throws EngineError not_found when an image has not all its content here, or not the platform; corrupt, cancelled. */
export async function* saveImages(
  store: ImageStore,
  { images, platforms, signal }: SaveOptions,
): AsyncGenerator<Uint8Array, void, void> {
  using lease = store.leases.take(`save ${crypto.randomUUID()}`);
  const saved = images.map((image) => select(store, image, platforms, lease));
  const blobs = orderedBlobs(saved);
  yield* document("oci-layout", { imageLayoutVersion: "1.0.0" });
  yield* document("index.json", layoutIndex(saved));
  yield* document("manifest.json", dockerManifest(saved));
  yield* document("repositories", repositories(saved));
  yield tarHeader({ ...emptyEntry, type: "directory", path: "blobs/", mode: 0o755 });
  for (const algorithm of new Set(blobs.map(({ digest }) => digestAlgorithm(digest)))) {
    yield tarHeader({ ...emptyEntry, type: "directory", path: `blobs/${algorithm}/`, mode: 0o755 });
  }
  for (const blob of blobs) {
    throwIfAborted(signal);
    yield tarHeader({ ...emptyEntry, mode: fileMode, path: blobPath(blob.digest), size: blob.size });
    yield* blobBytes(store, blob, saved, signal);
    if (blob.size % 512 !== 0) yield padding(blob.size);
  }
  yield endOfArchive;
}

/** Each once: all documents, then all layers. */
function orderedBlobs(saved: readonly SavedImage[]): Descriptor[] {
  const blobs = new Map(saved.flatMap((image) => image.blobs).map((blob) => [blob.digest, blob]));
  const manifests = saved.flatMap((image) => image.manifests);
  const layers = new Set(manifests.flatMap(({ manifest }) => manifest.layers).map(({ digest }) => digest));
  const isLayer = ({ digest }: Descriptor) => layers.has(digest);
  return [...[...blobs.values()].filter((blob) => !isLayer(blob)), ...[...blobs.values()].filter(isLayer)];
}

function select(store: ImageStore, image: NamedImage, platforms: readonly Platform[], lease: Lease): SavedImage {
  const { id, name, shown } = image;
  const row = store.records.get(id);
  if (!row) throw new EngineError("not_found", `No such image: ${shown}`, { hint: advice.noImage });
  store.touch(id);
  const root: Descriptor = { mediaType: row.mediaType, digest: id, size: row.size };
  const contents = {
    has: ({ digest, size }: Pick<Descriptor, "digest" | "size">) =>
      store.content.has(digest, size) || store.embedded.isArchive(digest),
    read: ({ digest }: Pick<Descriptor, "digest">) => store.content.read(digest),
  };
  const wanted = (platform: Platform) => platforms.some((one) => satisfies(platform, one));
  const closure = absentPlatform(shown, platforms, () =>
    closureOf(contents, root, { name: shown, ...(platforms.length > 0 && { includes: wanted }) }),
  );
  for (const platform of platforms) {
    if (!closure.manifests.some((one) => one.platform && satisfies(one.platform, platform))) {
      throw lacksPlatform(shown, platform);
    }
  }
  lease.add({ content: closure.blobs.map(({ digest }) => digest) });
  if (platforms.length !== 1) return { ...closure, descriptor: root, name };
  const { descriptor } = bestOf(closure.manifests, platforms[0]!)!;
  return { ...closureOf(contents, descriptor, { name: shown }), descriptor, name };
}

function absentPlatform(shown: string, platforms: readonly Platform[], find: () => Closure): Closure {
  try {
    return find();
  } catch (error) {
    if (platforms.length === 0 || !(error instanceof EngineError) || error.code !== "not_found") throw error;
    throw lacksPlatform(shown, platforms[0]!);
  }
}

function lacksPlatform(shown: string, platform: Platform): EngineError {
  return new EngineError(
    "not_found",
    `image with reference ${shown} was found but does not provide the specified platform (${formatPlatform(platform)})`,
  );
}

/** The first that fits; they stand in the order in which the index has them. */
function bestOf(manifests: readonly ManifestHere[], platform: Platform): ManifestHere | undefined {
  return manifests.find((one) => one.platform && satisfies(one.platform, platform));
}

function layoutIndex(saved: readonly SavedImage[]): object {
  const manifests = saved.map(({ descriptor: { mediaType, digest, size, platform }, name }) => ({
    mediaType,
    digest,
    size,
    ...(name !== undefined && { annotations: nameAnnotations(name) }),
    ...(platform && { platform }),
  }));
  return { schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests };
}

/** containerd's own annotation has the whole name, the specification's what containerd writes there: the tag. */
function nameAnnotations(name: string): Record<string, string> {
  const { tag } = parseReference(name);
  return {
    "io.containerd.image.name": name,
    ...(tag !== undefined && { "org.opencontainers.image.ref.name": tag }),
  };
}

/** docker's older format knows one platform: the host's, else the first. */
function shownManifest({ manifests }: SavedImage): ManifestHere {
  return bestOf(manifests, hostPlatform()) ?? manifests.find(({ platform }) => platform !== undefined)!;
}

function dockerManifest(saved: readonly SavedImage[]): object[] {
  const entries = new Map<Digest, { Config: string; RepoTags: string[] | null; Layers: string[] }>();
  for (const image of saved) {
    const { manifest } = shownManifest(image);
    const { digest } = manifest.config;
    const layers = manifest.layers.map((layer) => blobPath(layer.digest));
    const entry = entries.get(digest) ?? { Config: blobPath(digest), RepoTags: null, Layers: layers };
    if (image.name !== undefined)
      entry.RepoTags = [...(entry.RepoTags ?? []), familiarReference(parseReference(image.name))];
    entries.set(digest, entry);
  }
  return [...entries.values()];
}

/** For readers from before manifest.json: repository → tag → the topmost layer. */
function repositories(saved: readonly SavedImage[]): Record<string, Record<string, string>> {
  const found: Record<string, Record<string, string>> = {};
  for (const image of saved) {
    const { tag, ...reference } = image.name === undefined ? { tag: undefined } : parseReference(image.name);
    const top = shownManifest(image).manifest.layers.at(-1);
    if (tag === undefined || !("registry" in reference) || !top) continue;
    const repository = familiarName(reference);
    found[repository] = { ...found[repository], [tag]: digestHex(top.digest) };
  }
  return found;
}

/** Of every file in the archive. */
const fileMode = 0o644;

function blobPath(digest: Digest): string {
  return `blobs/${digestAlgorithm(digest)}/${digestHex(digest)}`;
}

function* document(path: string, json: object): Generator<Uint8Array, void, void> {
  const bytes = Buffer.from(JSON.stringify(json));
  yield tarHeader({ ...emptyEntry, mode: fileMode, path, size: bytes.length });
  yield Buffer.concat([bytes, padding(bytes.length)]);
}

/** Exactly as many as the descriptor says: the header has been written. */
async function* blobBytes(
  store: ImageStore,
  blob: Descriptor,
  saved: readonly SavedImage[],
  signal: AbortSignal | undefined,
): AsyncGenerator<Uint8Array, void, void> {
  const pieces = store.content.has(blob.digest)
    ? fileBytes(store.content.path(blob.digest))
    : store.embedded.archive(diffIdOf(blob.digest, saved));
  if (!pieces) throw new EngineError("not_found", `content ${blob.digest} is not in the store`);
  let bytes = 0;
  for await (const piece of pieces) {
    throwIfAborted(signal);
    bytes += piece.length;
    if (bytes > blob.size) break;
    yield piece;
  }
  if (bytes !== blob.size) {
    throw new EngineError(
      "corrupt",
      `content ${blob.digest} is damaged: it has not the ${blob.size} bytes that it had`,
    );
  }
}

/** The embedded image's layer is stored uncompressed, or would be: digest and diff id are the same. */
function diffIdOf(digest: Digest, saved: readonly SavedImage[]): Digest {
  const isKnown = saved.some(({ manifests }) =>
    manifests.some(({ config }) => config?.rootfs.diff_ids.includes(digest)),
  );
  if (!isKnown) throw new EngineError("not_found", `content ${digest} is not in the store`);
  return digest;
}

async function* fileBytes(path: string): AsyncGenerator<Uint8Array, void, void> {
  const file = await openFile(path, "r");
  try {
    for (;;) {
      const { bytesRead, buffer } = await file.read(Buffer.allocUnsafe(readBytes), 0, readBytes);
      if (bytesRead === 0) return;
      yield buffer.subarray(0, bytesRead);
    }
  } finally {
    await file.close();
  }
}
