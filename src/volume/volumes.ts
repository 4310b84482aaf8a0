/**
 * The local volume driver: named directories under <root>/volumes/<name>/_data and their rows. A row without a
 * directory gets one when it is used; a directory without a row is a leftover and is removed at start.
 */
import type { Database, Statement } from "bun:sqlite";
import { mkdir, readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import type { Schema } from "../core/database.ts";
import { EngineError, isErrno, wrapError } from "../core/errors.ts";
import { newId } from "../core/id.ts";
import { KeyedLock } from "../core/lock.ts";
import { parseVolumeName } from "./bind-spec.ts";

export const volumeSchema: Schema = {
  part: "volume",
  steps: [
    `CREATE TABLE volumes (
       name TEXT PRIMARY KEY,
       created_at TEXT NOT NULL,
       anonymous INTEGER NOT NULL,
       labels TEXT NOT NULL
     ) STRICT`,
  ],
};

export interface Volume {
  name: string;
  /** RFC 3339. */
  createdAt: string;
  anonymous: boolean;
  labels: Record<string, string>;
  /** The directory that containers see. */
  path: string;
}

interface Row {
  name: string;
  created_at: string;
  anonymous: number;
  labels: string;
}

export class VolumeStore {
  readonly #directory: string;
  readonly #volumes = new Map<string, Volume>();
  readonly #insert: Statement;
  readonly #delete: Statement;
  readonly #locks = new KeyedLock();

  /** @param root the daemon's root: volumes lie in `<root>/volumes`. */
  constructor(root: string, database: Database) {
    this.#directory = join(root, "volumes");
    this.#insert = database.query("INSERT INTO volumes (name, created_at, anonymous, labels) VALUES (?, ?, ?, ?)");
    this.#delete = database.query("DELETE FROM volumes WHERE name = ?");
    const rows = database.query<Row, []>("SELECT name, created_at, anonymous, labels FROM volumes").all();
    for (const row of rows) {
      this.#volumes.set(row.name, {
        name: row.name,
        createdAt: row.created_at,
        anonymous: row.anonymous !== 0,
        labels: JSON.parse(row.labels) as Record<string, string>,
        path: this.#dataPath(row.name),
      });
    }
  }

  /**
   * The volume of that name, made when there is none. Its directory exists and its row is stored.
   * @returns whether it was made now: then the caller may undo it with `remove`.
   */
  ensure(name: string, labels: Record<string, string> = {}): Promise<{ volume: Volume; created: boolean }> {
    return this.#locks.run(parseVolumeName(name), async () => {
      const existing = this.#volumes.get(name);
      const volume = existing ?? this.#describe(name, labels, false);
      await this.#makeDirectory(volume);
      if (existing !== undefined) return { volume, created: false };
      this.store([volume]);
      return { volume, created: true };
    });
  }

  /**
   * A new volume without a name of its own. Only its directory is made: the row is for the caller to `store` in the
   * transaction that stores the container, so that a crash in between leaves a directory without a row, which the
   * next start removes, and never a volume that nobody asked for.
   */
  async makeAnonymous(labels: Record<string, string> = {}): Promise<Volume> {
    const volume = this.#describe(newId(), labels, true);
    await this.#makeDirectory(volume);
    return volume;
  }

  /** Writes the rows of volumes that were made; in the caller's transaction if there is one. */
  store(volumes: readonly Volume[]): void {
    for (const volume of volumes) {
      const { name, createdAt, anonymous, labels } = volume;
      this.#insert.run(name, createdAt, anonymous ? 1 : 0, JSON.stringify(labels));
      this.#volumes.set(name, volume);
    }
  }

  get(name: string): Volume | undefined {
    return this.#volumes.get(name);
  }

  list(): Volume[] {
    return [...this.#volumes.values()];
  }

  /**
   * Removes the row, then the content. `inUse` is asked when it is this call's turn.
   * @returns false when the volume is in use and stays.
   * @throws EngineError not_found.
   */
  remove(name: string, inUse: () => boolean): Promise<boolean> {
    return this.#locks.run(name, async () => {
      if (!this.#volumes.has(name)) throw new EngineError("not_found", `get ${name}: no such volume`);
      if (inUse()) return false;
      this.#delete.run(name);
      this.#volumes.delete(name);
      await this.discard(name);
      return true;
    });
  }

  /** Removes the directory of a volume that was never stored. */
  async discard(name: string): Promise<void> {
    await rm(join(this.#directory, name), { recursive: true, force: true });
  }

  /** Removes directories that have no row: their creation or removal was cut short. @returns their names. */
  async removeLeftovers(): Promise<string[]> {
    const removed: string[] = [];
    for (const name of await listDirectory(this.#directory)) {
      if (this.#volumes.has(name)) continue;
      await this.discard(name);
      removed.push(name);
    }
    return removed;
  }

  #describe(name: string, labels: Record<string, string>, anonymous: boolean): Volume {
    return { name, createdAt: new Date().toISOString(), anonymous, labels, path: this.#dataPath(name) };
  }

  async #makeDirectory(volume: Volume): Promise<void> {
    try {
      await mkdir(this.#directory, { recursive: true, mode: 0o711 });
      await mkdir(join(this.#directory, volume.name), { recursive: true, mode: 0o711 });
      await mkdir(volume.path, { recursive: true, mode: 0o755 });
    } catch (error) {
      throw wrapError(error, `create volume ${volume.name}`, { stage: "volume" });
    }
  }

  #dataPath(name: string): string {
    return join(this.#directory, name, "_data");
  }
}

async function listDirectory(path: string): Promise<string[]> {
  try {
    return await readdir(path);
  } catch (error) {
    if (isErrno(error, "ENOENT")) return [];
    throw error;
  }
}
