/** Do the records agree with themselves, and index.json with them? */
import type { Digest } from "../../core/digest.ts";
import type { ImageStore } from "../images.ts";
import { chainIds } from "../snapshot/layers.ts";
import { type Finding, lookAgainMs, withTurns } from "./finding.ts";

export function* checkDatabase(store: ImageStore): Generator<Finding> {
  const { database } = store.options;
  const integrity = () =>
    database
      .query<{ integrity_check: string }, []>("PRAGMA integrity_check(20)")
      .all()
      .map((row) => row.integrity_check)
      .filter((text) => text !== "ok");
  const problems = integrity();
  if (problems.length > 0) {
    yield {
      kind: "database",
      severity: "damage",
      object: "metadata.db",
      message: problems.join("; "),
      repair: async () => {
        database.run("REINDEX");
        const left = integrity();
        if (left.length === 0) return "indexes were made anew";
        throw new Error(`still damaged after its indexes were made anew: ${left.join("; ")}`);
      },
    };
  }
  const violations = database
    .query<{ table: string; rowid: number | null; parent: string }, []>("PRAGMA foreign_key_check")
    .all();
  for (const { table, rowid, parent } of violations) {
    yield {
      kind: "foreign-key",
      severity: "damage",
      object: rowid === null ? table : `${table} row ${rowid}`,
      message: `refers to a row of ${parent} that is not there`,
      ...(rowid !== null && {
        repair: async () => {
          database.run(`DELETE FROM "${table}" WHERE rowid = ?`, [rowid]);
          return "row removed";
        },
      }),
    };
  }
}

/** @param damaged blobs that are told of already. */
export async function* checkImages(store: ImageStore, damaged: ReadonlySet<Digest>): AsyncGenerator<Finding> {
  for await (const { id } of withTurns(store.records.all())) {
    const row = store.records.get(id);
    if (row === undefined) continue; // removed meanwhile
    const { origin, isStored } = row;
    const name = store.records.names(id)[0] ?? id;
    const platforms = store.records.platforms(id);
    for (const { manifestDigest, chainId } of platforms) {
      if (damaged.has(manifestDigest)) continue;
      const documents = store.readable(manifestDigest);
      const problem =
        documents === undefined
          ? `manifest ${manifestDigest} cannot be read`
          : chainIds(documents.config.rootfs.diff_ids).at(-1) !== chainId
            ? `manifest ${manifestDigest} has other layers than its record says`
            : undefined;
      if (problem === undefined) continue;
      yield {
        kind: "image-record",
        severity: "damage",
        object: name,
        message: problem,
        repair: async () => {
          store.records.losePlatform(id, manifestDigest);
          return "forgotten; the next pull records it anew";
        },
      };
    }
    if (origin !== "made" && (platforms.length === 0 || !isStored)) {
      const runs = platforms.length > 0 ? "; containers of it run" : "";
      yield {
        kind: "incomplete-image",
        severity: "notice",
        object: name,
        message: `not all of its content is stored${runs}: pull it again to complete it`,
      };
    }
  }
}

export function* checkLeases(store: ImageStore): Generator<Finding> {
  for (const { id, reason, resources, isLive } of store.leases.all()) {
    if (isLive || resources > 0) continue;
    yield {
      kind: "empty-lease",
      severity: "leftover",
      object: `lease ${id}`,
      message: `"${reason}" holds nothing`,
      repair: async () => {
        store.leases.remove([id]);
        return "removed";
      },
    };
  }
}

export async function* checkIndex(store: ImageStore): AsyncGenerator<Finding> {
  if (store.isPublished()) return;
  // It is written after the rows, which somebody may be changing.
  if (store.isStarted) await Bun.sleep(lookAgainMs);
  if (await store.exclusively(async () => store.isPublished())) return;
  yield {
    kind: "index",
    severity: "damage",
    object: "content/index.json",
    message: "does not say which images there are",
    repair: async () => {
      await store.publish();
      return "written anew";
    },
  };
}
