/**
 * What is done at the daemon's start about whatever a killed one was in the middle of: directories without rows go,
 * layers without directories are unpacked again, images that cannot be made whole are forgotten, so that they are
 * pulled anew. Partial downloads and layers of unfinished pulls stay for a while: the next try continues with them.
 */
import type { Digest } from "../core/digest.ts";
import { errorMessage } from "../core/errors.ts";
import { log } from "../core/log.ts";
import type { ImageStore } from "./images.ts";
import { chainIds, type LayerRow, type LayerSource } from "./snapshot/layers.ts";

/** How long something waits for a pull that continues it. */
const unfinishedKeptMs = 7 * 24 * 3600 * 1000;

export async function reconcileImages(store: ImageStore): Promise<void> {
  store.directories.discardExcept(new Set([...store.layers.directoryNames(), ...store.snapshots.directoryNames()]));
  await restoreLayers(store);
  forgetUnreadable(store);
  const oldest = new Date(Date.now() - unfinishedKeptMs);
  store.layers.collect(store.layers.unused(oldest));
  for (const { digest, changedAtMs } of await store.content.list()) {
    if (changedAtMs < oldest.getTime() && !store.records.isReferenced(digest)) await store.content.remove(digest);
  }
  await store.content.removeStale(unfinishedKeptMs);
}

/** From the bottom up, because a layer is settled over those below it. */
async function restoreLayers(store: ImageStore): Promise<void> {
  const damaged = store.layers.damaged();
  if (damaged.length === 0) return;
  const sources = storedLayers(store);
  const lost = new Set<Digest>();
  for (const row of damaged.sort((a, b) => depth(store, a) - depth(store, b))) {
    const source = sources.get(row.chainId);
    if (store.directories.has(row.directory) && !(row.parent && lost.has(row.parent))) continue;
    try {
      if (!source) throw new Error("its content is not stored");
      await store.layers.restore(row, source);
      log("info", "unpacked a damaged layer again", { layer: row.chainId });
    } catch (error) {
      lost.add(row.chainId);
      log("error", "a layer is damaged and cannot be unpacked again", {
        layer: row.chainId,
        error: errorMessage(error),
      });
    }
  }
  forgetImagesWith(store, lost);
}

/** Chain id → where the layer's content is, of all layers whose content is stored. */
function storedLayers(store: ImageStore): Map<Digest, LayerSource> {
  const sources = new Map<Digest, LayerSource>();
  for (const { id } of store.records.all()) {
    for (const { manifestDigest } of store.records.platforms(id)) {
      const image = tryLoad(store, manifestDigest);
      const diffIds = image?.config.rootfs.diff_ids ?? [];
      for (const [index, chainId] of chainIds(diffIds).entries()) {
        const layer = image!.manifest.layers[index];
        const diffId = diffIds[index]!;
        if (!layer || !store.content.has(layer.digest, layer.size)) continue;
        sources.set(chainId, { diffId, fetch: async () => ({ path: store.content.path(layer.digest) }) });
      }
    }
  }
  return sources;
}

function forgetImagesWith(store: ImageStore, lost: ReadonlySet<Digest>): void {
  if (lost.size === 0) return;
  for (const { id } of store.records.all()) {
    for (const { manifestDigest, chainId } of store.records.platforms(id)) {
      if (chainId === undefined || !store.layers.chain(chainId).some((layer) => lost.has(layer.chainId))) continue;
      log("error", "image cannot be made whole and has to be pulled again", { image: id });
      store.records.removePlatform(id, manifestDigest);
    }
  }
  store.layers.collect(lost);
}

/** Images whose manifest or configuration is gone or damaged. */
function forgetUnreadable(store: ImageStore): void {
  for (const { id } of store.records.all()) {
    for (const { manifestDigest } of store.records.platforms(id)) {
      if (tryLoad(store, manifestDigest)) continue;
      log("error", "image cannot be read and has to be pulled again", { image: id });
      store.records.removePlatform(id, manifestDigest);
    }
  }
}

function tryLoad(store: ImageStore, manifestDigest: Digest) {
  try {
    return store.documents(manifestDigest);
  } catch (error) {
    log("warn", "manifest cannot be read", { manifest: manifestDigest, error: errorMessage(error) });
    return undefined;
  }
}

function depth(store: ImageStore, row: LayerRow): number {
  let below = 0;
  for (let current: LayerRow | undefined = row; current?.parent; current = store.layers.get(current.parent)) below++;
  return below;
}
