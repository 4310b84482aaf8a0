/** Makes space when images take more than they may: what was used least recently goes first, and only what can be fetched again. */
import { statfs } from "node:fs/promises";
import { digestHex } from "../../core/digest.ts";
import { errorMessage } from "../../core/errors.ts";
import { log } from "../../core/log.ts";
import type { ImageStore } from "../images.ts";
import type { ImageRow } from "../records.ts";
import { removeIf } from "../remove-if.ts";
import type { Collected, CollectionPolicy, CollectOptions, SpaceLimit } from "./collected.ts";
import { isNeeded } from "./needed.ts";
import { collectUnreferenced } from "./unreferenced.ts";
import { Usage } from "./usage.ts";

export interface Space {
  /** Of images: blobs, unpacked layers, downloads. */
  usedBytes: number;
  /** Of the file system, for others than root. */
  freeBytes: number;
  totalBytes: number;
}

export async function collectForBudget(store: ImageStore, options: CollectOptions): Promise<Collected[]> {
  const { maxUsed, minFree, keepForMs, isDryRun, onCollected, signal } = options;
  if (maxUsed === undefined && minFree === undefined) return [];
  let { space, usage } = await measure(store);
  if (lacking(space, options) <= 0) return [];
  const oldest = new Date(Date.now() - keepForMs);
  // First what nobody has finished and come back for, although it would be kept for longer.
  const items = await collectUnreferenced(store, options, oldest);
  const account = async (bytes: number) => {
    if (isDryRun) space = { ...space, usedBytes: space.usedBytes - bytes, freeBytes: space.freeBytes + bytes };
    else {
      await store.settled();
      space = (await measure(store)).space;
    }
  };
  await account(items.reduce((sum, { bytes }) => sum + bytes, 0));
  if (!isDryRun) usage = (await measure(store)).usage;
  for (const row of candidates(store, oldest)) {
    if (lacking(space, options) <= 0) return items;
    signal?.throwIfAborted();
    const item = describe(store, row, usage.remove(row.id), whyOf(space, options));
    try {
      if (!isDryRun && !(await removeIf(store, row.id, (now) => mayGo(store, now, oldest)))) continue;
    } catch (error) {
      item.error = errorMessage(error);
    }
    items.push(item);
    onCollected?.(item);
    if (item.error === undefined) await account(item.bytes);
  }
  const missing = lacking(space, options);
  if (missing > 0) {
    log("warn", "images take more space than they may, and none of them may be removed", { bytes: missing });
  }
  return items;
}

export async function measure(store: ImageStore): Promise<{ space: Space; usage: Usage }> {
  const blobs = await store.content.list();
  const ingests = await store.content.ingests();
  const usage = new Usage(store.options.database, new Map(blobs.map(({ digest, size }) => [digest, size])));
  const { bsize, bavail, blocks } = await statfs(store.options.root);
  const usedBytes = usage.totalBytes + ingests.reduce((sum, { bytes }) => sum + bytes, 0);
  return { space: { usedBytes, freeBytes: bavail * bsize, totalBytes: blocks * bsize }, usage };
}

/** Bytes that have to go; 0 or less when there is space enough. */
export function lacking(space: Space, { maxUsed, minFree }: CollectionPolicy): number {
  const over = maxUsed === undefined ? 0 : space.usedBytes - bytesOf(maxUsed, space);
  const under = minFree === undefined ? 0 : bytesOf(minFree, space) - space.freeBytes;
  return Math.max(over, under);
}

function bytesOf(limit: SpaceLimit, { totalBytes }: Space): number {
  if ("bytes" in limit) return limit.bytes;
  return Math.min(Math.floor((totalBytes / 100) * limit.percent), limit.bytesMax ?? Number.POSITIVE_INFINITY);
}

function whyOf(space: Space, { maxUsed }: CollectionPolicy): string {
  const isOver = maxUsed !== undefined && space.usedBytes > bytesOf(maxUsed, space);
  return isOver ? "images take more space than --gc-max-used" : "less space is free than --gc-min-free";
}

/** Images that can be fetched again and that nobody needs: those without a name first, then the least recently used. */
function candidates(store: ImageStore, oldest: Date): ImageRow[] {
  const rows = store.records.all().filter((row) => mayGo(store, row, oldest));
  const named = new Set(rows.flatMap(({ id }) => (store.records.names(id).length > 0 ? id : [])));
  return rows.sort(
    (a, b) => Number(named.has(a.id)) - Number(named.has(b.id)) || (a.lastUsedAt < b.lastUsedAt ? -1 : 1),
  );
}

/** May an image be removed to make space? */
function mayGo(store: ImageStore, row: ImageRow, oldest: Date): boolean {
  return row.origin === "pull" && Date.parse(row.lastUsedAt) < oldest.getTime() && !isNeeded(store, row.id);
}

function describe(store: ImageStore, row: ImageRow, bytes: number, reason: string): Collected {
  const names = store.records.names(row.id);
  const dangling = names.length === 0 ? ", and it has no name" : "";
  return {
    kind: "image",
    id: row.id,
    names,
    bytes,
    why: `${reason}, and image ${digestHex(row.id).slice(0, 12)} was last used ${row.lastUsedAt}${dangling}`,
  };
}
