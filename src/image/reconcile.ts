/**
 * What is done at the daemon's start about whatever a killed one was in the middle of: directories without rows go,
 * layers without directories are unpacked again, images that cannot be made whole are incomplete until they are pulled
 * anew. What is collected is collected later (collection/): nothing of that holds up the start.
 */
import type { Digest } from "../core/digest.ts";
import { errorMessage } from "../core/errors.ts";
import { log } from "../core/log.ts";
import { storedLayer } from "./ensure-unpacked.ts";
import type { ImageStore } from "./images.ts";
import { chainIds, type LayerRow, type LayerSource } from "./snapshot/layers.ts";

export async function reconcileImages(store: ImageStore): Promise<void> {
  store.directories.discardExcept(new Set([...store.layers.directoryNames(), ...store.snapshots.directoryNames()]));
  await restoreLayers(store);
  loseUnreadable(store);
  fillInSizes(store);
  await store.content.removeTemporary();
}

/** From the bottom up, because a layer is settled over those below it. */
async function restoreLayers(store: ImageStore): Promise<void> {
  const damaged = store.layers.all().filter(({ directory }) => !store.directories.has(directory));
  if (damaged.length === 0) return;
  const sources = storedLayers(store);
  for (const row of damaged.sort((a, b) => layerDepth(store, a) - layerDepth(store, b))) {
    if (store.layers.get(row.chainId) === undefined) continue; // it went with one below
    try {
      log("info", await restoreLayer(store, row, sources.get(row.chainId)), { layer: row.chainId });
    } catch (error) {
      log("error", errorMessage(error), { layer: row.chainId });
    }
  }
}

/**
 * Unpacks a layer again whose files are gone. @returns what was done.
 * @throws Error when its content is not stored either: images with it are then incomplete.
 */
export async function restoreLayer(store: ImageStore, row: LayerRow, source: LayerSource | undefined): Promise<string> {
  try {
    if (!source) throw new Error("its content is not stored");
    await store.layers.restore(row, source);
    return "unpacked again";
  } catch (error) {
    loseImagesWith(store, row.chainId);
    throw new Error(`cannot be unpacked again: ${errorMessage(error)}`, { cause: error });
  }
}

/** Chain id → where the layer's content is, of all layers whose content is stored. */
export function storedLayers(store: ImageStore): Map<Digest, LayerSource> {
  const sources = new Map<Digest, LayerSource>();
  for (const { id } of store.records.all()) {
    for (const { manifestDigest } of store.records.platforms(id)) {
      const documents = store.readable(manifestDigest);
      if (documents === undefined) continue;
      for (const [index, chainId] of chainIds(documents.config.rootfs.diff_ids).entries()) {
        const layer = documents.manifest.layers[index];
        if (layer && store.content.has(layer.digest, layer.size)) {
          sources.set(chainId, storedLayer(store, { id, ...documents }, index));
        }
      }
    }
  }
  return sources;
}

function loseImagesWith(store: ImageStore, lost: Digest): void {
  for (const { id } of store.records.all()) {
    for (const { manifestDigest, chainId, isUnpacked } of store.records.platforms(id)) {
      if (chainId === undefined || !isUnpacked) continue;
      if (!store.layers.chain(chainId).some((layer) => layer.chainId === lost)) continue;
      log("error", "image is damaged and has to be pulled again", { image: id });
      store.records.losePlatform(id, manifestDigest);
    }
  }
  // Layers above it go first: from the top of every chain that has it.
  const above = store.layers
    .all()
    .filter(({ chainId }) => store.layers.chain(chainId).some((row) => row.chainId === lost));
  const tops = above.sort((a, b) => layerDepth(store, b) - layerDepth(store, a));
  for (const { chainId } of tops) store.layers.removeUnused(chainId);
}

/** Images whose manifest or configuration is gone or damaged. */
function loseUnreadable(store: ImageStore): void {
  for (const { id } of store.records.all()) {
    for (const { manifestDigest } of store.records.platforms(id)) {
      if (store.readable(manifestDigest)) continue;
      log("error", "image cannot be read and has to be pulled again", { image: id });
      store.records.losePlatform(id, manifestDigest);
    }
  }
}

/** Of blobs that were recorded before their sizes were. */
function fillInSizes(store: ImageStore): void {
  if (![...store.records.allContent().values()].includes(undefined)) return;
  for (const { id, size } of store.records.all()) {
    store.records.setSize({ digest: id, size });
    for (const { manifestDigest } of store.records.platforms(id)) {
      const { manifest } = store.documents(manifestDigest);
      for (const { digest, size: bytes } of [manifest.config, ...manifest.layers]) {
        store.records.setSize({ digest, size: bytes });
      }
    }
  }
  // What is left are manifests of an index, and indexes below it, whose descriptors are all in documents of this size.
  for (const [digest, size] of store.records.allContent()) {
    const actual = size === undefined ? store.content.size(digest) : undefined;
    if (actual !== undefined) store.records.setSize({ digest, size: actual });
  }
}

export function layerDepth(store: ImageStore, row: LayerRow): number {
  let below = 0;
  for (let current: LayerRow | undefined = row; current?.parent; current = store.layers.get(current.parent)) below++;
  return below;
}
