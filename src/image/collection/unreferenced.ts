/** Removes what no image, container or lease needs: layers, blobs, partial downloads, and leases that have expired. */
import type { Database } from "bun:sqlite";
import type { Digest } from "../../core/digest.ts";
import { errorMessage } from "../../core/errors.ts";
import type { ImageStore } from "../images.ts";
import { type LeaseRow, leaseKeptMs } from "../leases.ts";
import type { ImageRow } from "../records.ts";
import { removeIf } from "../remove-if.ts";
import { containerChains } from "../schema.ts";
import type { Collected, CollectOptions } from "./collected.ts";
import { isNeeded } from "./needed.ts";

/**
 * A blob that nothing holds and that changed within this time is passed over: a second line of defence for whoever
 * stores something before it holds it.
 */
const freshMs = 10 * 60_000;

/** @param givenUpBefore unfinished work that nobody touched since then is given up. */
export async function collectUnreferenced(
  store: ImageStore,
  options: CollectOptions,
  givenUpBefore: Date = new Date(Date.now() - leaseKeptMs),
): Promise<Collected[]> {
  const { isDryRun, onCollected, signal } = options;
  const items: Collected[] = [];
  /** @param remove answers false when somebody has come to need the thing meanwhile. */
  const take = async (item: Omit<Collected, "names">, remove: () => Promise<unknown> | unknown) => {
    signal?.throwIfAborted();
    const collected: Collected = { ...item, names: [] };
    try {
      if (!isDryRun && (await remove()) === false) return;
    } catch (error) {
      collected.error = errorMessage(error);
    }
    items.push(collected);
    onCollected?.(collected);
  };
  const expired = store.leases.expired(givenUpBefore);
  for (const { id, reason, touchedAt } of expired) {
    const why = `nobody has come back to "${reason}" since ${touchedAt}`;
    await take({ kind: "lease", id: String(id), bytes: 0, why }, () => store.leases.remove([id]));
  }
  for (const { id } of store.records.all().filter((row) => isForgotten(store, row, givenUpBefore))) {
    const why = "it is damaged and has no name by which it could be pulled again";
    await take({ kind: "image", id, bytes: 0, why }, async () => {
      const removed = await removeIf(store, id, (row) => isForgotten(store, row, givenUpBefore));
      return removed !== undefined;
    });
  }
  for (const { id, bytes } of unusedLayers(store.options.database, expired)) {
    const why = "no image, container or other layer needs it";
    await take({ kind: "layer", id, bytes, why }, () => store.layers.removeUnused(id));
  }
  const needed = neededContent(store.options.database, expired);
  const freshFrom = Date.now() - freshMs;
  for (const { digest, size, changedAtMs } of await store.content.list()) {
    if (changedAtMs > freshFrom || needed.has(digest)) continue;
    await take({ kind: "content", id: digest, bytes: size, why: "no image needs it" }, async () => {
      if (store.isContentNeeded(digest)) return false;
      return store.content.remove(digest);
    });
  }
  for (const { name, digest, bytes, changedAtMs } of await store.content.ingests()) {
    // It came another way, with an archive for example: nobody goes on with what was fetched of it before.
    const isOvertaken = () =>
      digest !== undefined &&
      changedAtMs < freshFrom &&
      store.content.has(digest) &&
      !store.leases.holdsContent(digest);
    const isGivenUp = changedAtMs < givenUpBefore.getTime() && (digest === undefined || !needed.has(digest));
    if (!isGivenUp && !isOvertaken()) continue;
    const why = isGivenUp
      ? `nobody has gone on with this download since ${new Date(changedAtMs).toISOString()}`
      : "the whole blob is in the store";
    await take({ kind: "ingest", id: name, bytes, why }, () => {
      // A pull may have come for it meanwhile.
      const isWanted = digest !== undefined && store.isContentNeeded(digest) && !isOvertaken();
      return isWanted ? false : store.content.removeIngest(name);
    });
  }
  return items;
}

/** An image that lost every platform to damage keeps what is left for a pull; without a name there can be none. */
function isForgotten(store: ImageStore, { id, lastUsedAt }: ImageRow, before: Date): boolean {
  return (
    Date.parse(lastUsedAt) < before.getTime() &&
    store.records.platforms(id).length === 0 &&
    store.records.names(id).length === 0 &&
    !isNeeded(store, id)
  );
}

/** What nothing stands on when these leases are gone; a layer before the one that it stands on. */
export function unusedLayers(database: Database, without: readonly LeaseRow[]): { id: Digest; bytes: number }[] {
  interface Row {
    id: Digest;
    parent: Digest | null;
    bytes: number;
  }
  const rows = new Map(
    database
      .query<Row, []>("SELECT chain_id AS id, parent, bytes FROM layer_snapshots")
      .all()
      .map((row) => [row.id, row]),
  );
  const roots = database
    .query<{ id: Digest }, []>(
      `SELECT chain_id AS id FROM image_platforms WHERE chain_id IS NOT NULL
       UNION ${containerChains}`,
    )
    .all()
    .map(({ id }) => id);
  const used = new Set<Digest>();
  for (const root of [...roots, ...leased(database, "chain", without)]) {
    for (let row = rows.get(root); row && !used.has(row.id); row = rows.get(row.parent!)) used.add(row.id);
  }
  const depth = (row: Row) => {
    let below = 0;
    for (let at: Row | undefined = row; at?.parent; at = rows.get(at.parent)) below++;
    return below;
  };
  return [...rows.values()].filter(({ id }) => !used.has(id)).sort((a, b) => depth(b) - depth(a));
}

function neededContent(database: Database, without: readonly LeaseRow[]): Set<Digest> {
  const held = database.query<{ digest: Digest }, []>("SELECT DISTINCT digest FROM image_content").all();
  return new Set([...held.map(({ digest }) => digest), ...leased(database, "content", without)]);
}

function leased(database: Database, kind: "chain" | "content", without: readonly LeaseRow[]): Digest[] {
  const given = new Set(without.map(({ id }) => id));
  return database
    .query<{ lease_id: number; name: Digest }, [string]>("SELECT lease_id, name FROM lease_resources WHERE kind = ?")
    .all(kind)
    .flatMap(({ lease_id, name }) => (given.has(lease_id) ? [] : name));
}
