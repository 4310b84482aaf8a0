/**
 * Leases: what is being made, and nothing refers to yet, is not collected. A lease is in the database, so that what a
 * killed daemon had fetched for an unfinished pull waits there for the next one; it expires some days after it was
 * last touched. Who takes a lease for the same reason takes over what the unfinished one held.
 */
import type { Database } from "bun:sqlite";
import { withoutSync } from "../core/database.ts";
import type { Digest } from "../core/digest.ts";
import { errorMessage, wrapError } from "../core/errors.ts";
import { log } from "../core/log.ts";

/** How long an unfinished pull's content waits for somebody who continues it, in ms. */
export const leaseKeptMs = 7 * 24 * 3600 * 1000;

/** How the reasons of work begin that the next try continues. */
const resumablePrefix = "pull ";

export interface LeasedResources {
  /** Blobs, whether they are here already or not. */
  content?: Iterable<Digest>;
  /** Chain ids of layers, unpacked already or not. */
  chains?: Iterable<Digest>;
}

export interface LeaseRow {
  id: number;
  reason: string;
  /** ISO 8601. */
  createdAt: string;
  touchedAt: string;
  /** Somebody in this daemon works under it. */
  isLive: boolean;
  resources: number;
}

/** Disposing of it lets go of what it holds. */
export interface Lease extends Disposable {
  /** To be called before one looks whether the thing is here: from then on it stays. @throws EngineError no_space. */
  add(resources: LeasedResources): void;
  /** The work failed and may be tried again: what it holds is kept until the lease expires. */
  keep(): void;
}

type Kind = "content" | "chain";

export class Leases {
  readonly #database: Database;
  readonly #live = new Set<number>();

  constructor(database: Database) {
    this.#database = database;
  }

  /** @param reason what is being done to which object: `pull docker.io/library/busybox:latest`. */
  take(reason: string): Lease {
    const ids = this.#unfinished(reason);
    for (const id of ids) this.#live.add(id);
    let isEnded = false;
    const end = (finish: () => void) => {
      if (isEnded) return;
      isEnded = true;
      for (const id of ids) this.#live.delete(id);
      try {
        finish();
      } catch (error) {
        // The disk is full, for one: the lease expires, and what was being done has an outcome of its own.
        log("warn", `lease "${reason}" could not be ended`, { error: errorMessage(error) });
      }
    };
    return {
      add: (resources) => {
        try {
          if (ids.length === 0) ids.push(this.#insert(reason));
          this.#add(ids[0]!, resources);
        } catch (error) {
          throw wrapError(error, "lease in metadata.db");
        }
      },
      keep: () => end(() => this.#touch(ids)),
      [Symbol.dispose]: () => end(() => this.remove(ids)),
    };
  }

  holdsContent(digest: Digest): boolean {
    return this.#holds("content", digest);
  }

  /** Does somebody in this daemon work with it? Not so what waits for the next try of a pull that failed. */
  isInWork(digest: Digest): boolean {
    return this.#database
      .query<{ lease_id: number }, [string]>("SELECT lease_id FROM lease_resources WHERE kind = 'content' AND name = ?")
      .all(digest)
      .some(({ lease_id }) => this.#live.has(lease_id));
  }

  holdsChain(chainId: Digest): boolean {
    return this.#holds("chain", chainId);
  }

  all(): LeaseRow[] {
    interface Row {
      id: number;
      reason: string;
      created_at: string;
      touched_at: string;
      resources: number;
    }
    return this.#database
      .query<Row, []>(
        `SELECT leases.*, (SELECT count(*) FROM lease_resources WHERE lease_id = leases.id) AS resources
         FROM leases ORDER BY id`,
      )
      .all()
      .map((row) => ({
        id: row.id,
        reason: row.reason,
        createdAt: row.created_at,
        touchedAt: row.touched_at,
        isLive: this.#live.has(row.id),
        resources: row.resources,
      }));
  }

  resources(id: number): { kind: Kind; name: Digest }[] {
    return this.#database
      .query<{ kind: Kind; name: Digest }, [number]>("SELECT kind, name FROM lease_resources WHERE lease_id = ?")
      .all(id);
  }

  /** Says that those under which work goes on are still wanted; to be called now and then. */
  touchLive(): void {
    this.#touch([...this.#live]);
  }

  /**
   * What a killed daemon was at and nobody can go on with: a pull continues where it was, a load or a commit begins
   * anew. To be called before anybody takes a lease.
   */
  dropUnresumable(): void {
    this.remove(this.all().flatMap(({ id, reason }) => (reason.startsWith(resumablePrefix) ? [] : id)));
  }

  /** Those that nobody works under and that were touched last before that time. */
  expired(before: Date): LeaseRow[] {
    return this.all().filter(({ isLive, touchedAt }) => !isLive && Date.parse(touchedAt) < before.getTime());
  }

  /** Lets go of what they hold, without deleting it. */
  remove(ids: readonly number[]): void {
    // Lost with a power failure, it expires: no need to wait for the disk.
    withoutSync(this.#database, () => {
      for (const id of ids) this.#database.run("DELETE FROM leases WHERE id = ?", [id]);
    });
  }

  #insert(reason: string): number {
    const now = new Date().toISOString();
    const id = withoutSync(this.#database, () =>
      Number(
        this.#database.run("INSERT INTO leases (reason, created_at, touched_at) VALUES (?, ?, ?)", [reason, now, now])
          .lastInsertRowid,
      ),
    );
    this.#live.add(id);
    return id;
  }

  /**
   * Does not wait for the disk: the rows are durable with the next transaction that does, the first unpacked layer's at
   * the latest, and a killed daemon's are so at once.
   */
  #add(id: number, { content = [], chains = [] }: LeasedResources): void {
    const insert = this.#database.query(
      "INSERT OR IGNORE INTO lease_resources (lease_id, kind, name) VALUES (?, ?, ?)",
    );
    withoutSync(this.#database, () =>
      this.#database.transaction(() => {
        for (const digest of content) insert.run(id, "content", digest);
        for (const chainId of chains) insert.run(id, "chain", chainId);
        this.#database.run("UPDATE leases SET touched_at = ? WHERE id = ?", [new Date().toISOString(), id]);
      })(),
    );
  }

  #touch(ids: readonly number[]): void {
    if (ids.length === 0) return;
    const now = new Date().toISOString();
    withoutSync(this.#database, () => {
      for (const id of ids) this.#database.run("UPDATE leases SET touched_at = ? WHERE id = ?", [now, id]);
    });
  }

  #unfinished(reason: string): number[] {
    return this.#database
      .query<{ id: number }, [string]>("SELECT id FROM leases WHERE reason = ? ORDER BY id")
      .all(reason)
      .flatMap(({ id }) => (this.#live.has(id) ? [] : id));
  }

  #holds(kind: Kind, name: Digest): boolean {
    const query = this.#database.query<unknown, [string, string]>(
      "SELECT 1 FROM lease_resources WHERE kind = ? AND name = ? LIMIT 1",
    );
    return query.get(kind, name) !== null;
  }
}
