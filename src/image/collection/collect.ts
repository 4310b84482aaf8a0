/** Garbage collection: what nothing refers to goes, and images when there is too little space. Never containers, never volumes. */
import type { ImageStore } from "../images.ts";
import { collectForBudget } from "./budget.ts";
import type { Collected, CollectOptions } from "./collected.ts";
import { collectUnreferenced } from "./unreferenced.ts";

/**
 * A thing that cannot be removed is reported with its error and does not keep the others.
 * @throws the signal's reason when it aborts; what went until then has been told to `onCollected`.
 */
export async function collect(store: ImageStore, options: CollectOptions): Promise<Collected[]> {
  if (!options.isDryRun) store.leases.touchLive();
  const unreferenced = await collectUnreferenced(store, options);
  const seen = new Set(unreferenced.map(key));
  // What would be removed already is not removed once more.
  const forBudget = (await collectForBudget(store, options)).filter((item) => !seen.has(key(item)));
  return [...unreferenced, ...forBudget];
}

function key({ kind, id }: Collected): string {
  return `${kind} ${id}`;
}
