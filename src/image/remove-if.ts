/** Removing an image that nobody has asked to be removed by name. */
import type { Digest } from "../core/digest.ts";
import type { RemoveResult } from "./image.ts";
import type { ImageStore } from "./images.ts";
import type { ImageRow } from "./records.ts";
import { planRemoval } from "./removal.ts";

/** Removes an image with its names, if it may go at this moment. @returns what went; undefined when it stays. */
export async function removeIf(
  store: ImageStore,
  id: Digest,
  mayGo: (row: ImageRow) => boolean,
): Promise<RemoveResult[] | undefined> {
  return store.exclusively(async () => {
    const row = store.records.get(id);
    if (!row || !mayGo(row)) return undefined;
    const names = store.records.names(id);
    const { results } = planRemoval({ id, names, users: [], force: true, reference: undefined });
    await store.free(store.records.remove(id));
    await store.publish();
    return results;
  });
}
