/** Images from an archive: docker's, an OCI layout, or both at once. All of them become visible, or none. */
import type { Digest } from "../../core/digest.ts";
import { EngineError, isEngineError, wrapError } from "../../core/errors.ts";
import { type Descriptor, manifestBytesMax, type Platform } from "../../oci/image.ts";
import { hostPlatform } from "../../oci/platform.ts";
import { TarReader } from "../../tar/tar-reader.ts";
import type { ImageStore } from "../images.ts";
import type { Lease } from "../leases.ts";
import { formatPlatform, satisfies } from "../platform.ts";
import type { ImageRecord } from "../record.ts";
import { familiarReference, parseReference } from "../reference.ts";
import { throwIfAborted } from "../shared-work.ts";
import { chainIds, type LayerSource } from "../snapshot/layers.ts";
import { defaultUnpackLimits } from "../unpack/protocol.ts";
import { giveBack, type Kept } from "./build-image.ts";
import { type Closure, checkLayerTypes, closureOf, type ManifestHere } from "./closure.ts";
import { hostLayers } from "./host-layers.ts";
import { inflated } from "./inflate.ts";
import { findImages, type LoadableImage } from "./loadable.ts";
import { ArchiveSpool } from "./spool.ts";

/** How often it is looked whether an archive that comes has said enough. */
const looksMax = 8;

export interface LoadOptions {
  /** Empty: all that the archive has. */
  platforms: readonly Platform[];
  signal: AbortSignal;
  onProgress?: (progress: { id: string; current: number; total: number }) => void;
}

export interface LoadedImage {
  id: string;
  /** Familiar; empty for an image without a name. */
  names: string[];
}

interface Work {
  store: ImageStore;
  spool: ArchiveSpool;
  lease: Lease;
  kept: Kept;
  options: LoadOptions;
}

interface Gathered {
  image: LoadableImage;
  closure: Closure;
  /** The one that can run here, whose layers are unpacked at once. */
  host: ManifestHere | undefined;
}

/**
 * @throws EngineError invalid_argument, corrupt, unsupported for what the archive is; not_found when it has not all of
 * an image or not the platform; no_space, cancelled. Nothing is left then.
 */
export async function loadImages(
  store: ImageStore,
  archive: AsyncIterable<Uint8Array>,
  options: LoadOptions,
): Promise<LoadedImage[]> {
  const kept: Kept = { content: [], chains: [] };
  try {
    return await load(store, archive, options, kept);
  } catch (error) {
    await giveBack(store, kept);
    throw isEngineError(error) ? error : wrapError(error, "load archive", { stage: "load" });
  }
}

async function load(
  store: ImageStore,
  archive: AsyncIterable<Uint8Array>,
  options: LoadOptions,
  kept: Kept,
): Promise<LoadedImage[]> {
  const { signal, onProgress } = options;
  using lease = store.leases.take(`load ${crypto.randomUUID()}`);
  const tell = (path: string, current: number, total: number) => onProgress?.({ id: shortName(path), current, total });
  let wanted: ReadonlySet<Digest> | undefined;
  let looks = 0;
  const isWanted = (digest: Digest) => {
    // An archive whose documents have not come after some layers has them at its end.
    if (wanted === undefined && looks++ < looksMax) wanted = hostLayers(spool, options.platforms);
    return wanted?.has(digest) ?? true;
  };
  await using spool = new ArchiveSpool(store, { lease, signal, isWanted, onProgress: tell });
  const work: Work = { store, spool, lease, kept, options };
  await readArchive(store, spool, archive, signal);
  const images: Gathered[] = [];
  for (const image of findImages(spool)) {
    images.push(gather(work, image));
    // Each is a piece of work that nobody else should wait for the end of.
    await new Promise((resolve) => setImmediate(resolve));
  }
  await spool.synced();
  for (const image of images) await keepContent(work, image);
  for (const image of images) await unpack(work, image);
  throwIfAborted(signal);
  await store.recordAll(images.flatMap((image) => recordsOf(work, image)));
  return images.map(({ image: { root, names } }) => ({
    id: root.digest,
    names: names.map((name) => familiarReference(parseReference(name))),
  }));
}

async function readArchive(
  store: ImageStore,
  spool: ArchiveSpool,
  archive: AsyncIterable<Uint8Array>,
  signal: AbortSignal,
): Promise<void> {
  const { limits = defaultUnpackLimits } = store.options;
  const reader = new TarReader(spool);
  for await (const piece of inflated(archive, limits.bytesMax)) {
    throwIfAborted(signal);
    reader.write(piece);
    await spool.drain();
  }
  throwIfAborted(signal);
  reader.end();
  if (spool.isEmpty) throw new EngineError("invalid_argument", "archive is empty");
}

/** What belongs to the image, of the archive and of what is here already; nothing is given its name yet. */
function gather({ store, spool, lease, options: { platforms } }: Work, image: LoadableImage): Gathered {
  const { root, made } = image;
  const name = image.names[0] ?? root.digest;
  const has = ({ digest, size }: Pick<Descriptor, "digest" | "size">) => {
    if (made && digest === root.digest) return true;
    const file = spool.byDigest(digest);
    if (file && file.size !== size) {
      throw new EngineError(
        "corrupt",
        `${name}: content ${digest} has ${file.size} bytes, its descriptor says ${size}`,
      );
    }
    lease.add({ content: [digest] });
    return file !== undefined || store.content.has(digest, size);
  };
  const read = ({ digest }: Pick<Descriptor, "digest">) => {
    if (made && digest === root.digest) return made;
    const file = spool.byDigest(digest);
    return file ? spool.read(file, manifestBytesMax) : store.content.read(digest);
  };
  const includes =
    platforms.length > 0 ? (one: Platform) => platforms.some((asked) => satisfies(one, asked)) : undefined;
  const closure = withoutPlatform(name, platforms, () => closureOf({ has, read }, root, { name, includes }));
  const able = closure.manifests.filter(({ platform }) => platform !== undefined);
  if (able.length === 0) throw new EngineError("unsupported", `${name} is no image but an artifact`);
  for (const { manifest } of able) checkLayerTypes(manifest, name);
  return { image, closure, host: able.find(({ platform }) => satisfies(platform!, hostPlatform())) };
}

function withoutPlatform(name: string, platforms: readonly Platform[], find: () => Closure): Closure {
  try {
    return find();
  } catch (error) {
    if (platforms.length === 0 || !isEngineError(error, "not_found")) throw error;
    const asked = platforms.map(formatPlatform).join(", ");
    throw new EngineError(
      "not_found",
      `image ${name} was found but does not provide the specified platform (${asked})`,
      { cause: error },
    );
  }
}

async function keepContent({ store, spool, lease, kept }: Work, { image, closure }: Gathered): Promise<void> {
  for (const { digest } of closure.blobs) {
    const file = spool.byDigest(digest);
    kept.content.push(digest);
    if (file) await spool.keep(file);
    else if (image.made && digest === image.root.digest) {
      lease.add({ content: [digest] });
      await store.content.write(image.made, digest);
    }
  }
}

/** @throws EngineError corrupt for a layer that is not what the configuration says. */
async function unpack(work: Work, { closure, host }: Gathered): Promise<void> {
  for (const { manifest, config } of closure.manifests) {
    for (const [index, layer] of (config ? manifest.layers : []).entries()) {
      const ahead = await work.spool.byDigest(layer.digest)?.ahead;
      checkDiffId(layer, ahead?.report.diffId, config!.rootfs.diff_ids[index]!);
    }
  }
  if (!host?.config || host.manifest.layers.length === 0) return;
  const { store, lease, kept, options, spool } = work;
  const diffIds = host.config.rootfs.diff_ids;
  const chains = chainIds(diffIds);
  lease.add({ chains });
  kept.chains.push(chains.at(-1)!);
  const sources: LayerSource[] = [];
  for (const [index, layer] of host.manifest.layers.entries()) {
    sources.push({
      diffId: diffIds[index]!,
      ahead: await spool.takeAhead(layer.digest),
      fetch: async () => ({ path: store.content.path(layer.digest) }),
    });
  }
  const ended = await Promise.allSettled(
    sources.map((_, index) => store.layers.ensure(sources.slice(0, index + 1), { signal: options.signal })),
  );
  for (const [index, one] of ended.entries()) {
    if (one.status === "rejected") throw wrapError(one.reason, `layer ${host.manifest.layers[index]!.digest}`);
  }
}

function checkDiffId(layer: Descriptor, actual: Digest | undefined, expected: Digest): void {
  if (actual === undefined || actual === expected) return;
  throw new EngineError("corrupt", `layer ${layer.digest} has diff id ${actual}, the configuration says ${expected}`);
}

function recordsOf({ store, lease }: Work, { image, closure, host }: Gathered): ImageRecord[] {
  const { digest: id, mediaType, size } = image.root;
  const content = closure.blobs.map((blob) => ({ digest: blob.digest, size: blob.size }));
  const platforms = closure.manifests.flatMap(({ descriptor, config, platform }) => {
    if (!config || !platform) return [];
    const diffIds = config.rootfs.diff_ids;
    const chains = chainIds(diffIds);
    const top = chains.at(-1);
    // What another image of these layers had unpacked stays until the record says that this one has it too.
    lease.add({ chains });
    const isUnpacked = descriptor === host?.descriptor || top === undefined || store.layers.get(top) !== undefined;
    return [{ manifestDigest: descriptor.digest, platform, diffIds, isUnpacked }];
  });
  const names = image.names.length > 0 ? image.names : [undefined];
  return names.map((name) => ({ id, mediaType, size, name, content, platforms, origin: "load" }));
}

/** Twelve digits of a blob's or a layer's own name, as docker shows it. */
function shortName(path: string): string {
  const [hex] = /[0-9a-f]{12}/.exec(path) ?? [];
  return hex ?? path.slice(-40);
}
