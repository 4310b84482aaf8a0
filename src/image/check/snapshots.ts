/** Are the directories of layers and containers there, and is there a record of each? */
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import type { ImageStore } from "../images.ts";
import { layerDepth, restoreLayer, storedLayers } from "../reconcile.ts";
import { type Finding, lookAgainMs } from "./finding.ts";

/** Layers whose directory is gone, from the bottom up: each is unpacked over those below. */
export function* checkLayers(store: ImageStore): Generator<Finding> {
  const gone = store.layers.all().filter(({ directory }) => !store.directories.has(directory));
  for (const row of gone.sort((a, b) => layerDepth(store, a) - layerDepth(store, b))) {
    yield {
      kind: "missing-layer",
      severity: "damage",
      object: row.chainId,
      message: `its files in snapshots/${row.directory} are gone`,
      repair: async () => {
        if (store.layers.get(row.chainId) === undefined) return "gone with the layer below it";
        return restoreLayer(store, row, storedLayers(store).get(row.chainId));
      },
    };
  }
}

export function* checkContainers(store: ImageStore): Generator<Finding> {
  for (const { key, directory } of store.snapshots.all()) {
    if (store.directories.has(directory)) continue;
    yield {
      kind: "missing-container-layer",
      severity: "damage",
      object: key,
      message: `what container ${key} wrote, in snapshots/${directory}, is gone: remove the container`,
    };
  }
}

/** Directories of nobody's. What is being made now has no row yet, and is no orphan. */
export async function* checkOrphans(store: ImageStore): AsyncGenerator<Finding> {
  const suspects = await orphans(store);
  const trash = await readdir(join(store.directories.root, "trash"));
  if (suspects.length === 0 && trash.length === 0) return;
  if (store.isStarted) await Bun.sleep(lookAgainMs);
  const left = new Set(await readdir(join(store.directories.root, "trash")));
  const stuck = trash.filter((name) => left.has(name));
  if (stuck.length > 0 && !store.directories.isEmptying) {
    yield {
      kind: "trash",
      severity: "leftover",
      object: "snapshots/trash",
      message: `${stuck.length} directories that were being deleted`,
      repair: async () => {
        await store.directories.emptyTrash();
        return "deleted";
      },
    };
  }
  const still = new Set(await orphans(store));
  for (const name of suspects.filter((suspect) => still.has(suspect))) {
    yield {
      kind: "orphan-snapshot",
      severity: "damage",
      object: `snapshots/${name}`,
      message: "belongs to no layer and no container",
      repair: async () => {
        store.directories.discard(name);
        await store.settled();
        return "removed";
      },
    };
  }
}

async function orphans(store: ImageStore): Promise<string[]> {
  const names = await readdir(store.directories.root);
  const known = new Set([...store.layers.directoryNames(), ...store.snapshots.directoryNames()]);
  return names.filter((name) => !known.has(name) && !store.directories.isOwn(name));
}
