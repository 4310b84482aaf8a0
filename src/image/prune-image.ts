/** One image of a `prune`. */
import type { Digest } from "../core/digest.ts";
import { measure } from "./collection/budget.ts";
import { isInUse } from "./collection/needed.ts";
import type { RemoveResult } from "./image.ts";
import type { ImageStore } from "./images.ts";
import { removeIf } from "./remove-if.ts";

/** Removes an image with its names unless a container has it or somebody works with it. @returns undefined when it stays. */
export async function pruneImage(
  store: ImageStore,
  id: Digest,
): Promise<{ results: RemoveResult[]; bytes: number } | undefined> {
  const { usage } = await measure(store);
  const results = await removeIf(store, id, () => !isInUse(store, id));
  return results && { results, bytes: usage.remove(id) };
}
