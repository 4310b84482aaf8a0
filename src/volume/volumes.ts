/** The records of volumes: those that tsd had a driver make, or has used. */
import type { Database, Statement } from "bun:sqlite";
import { type Schema, withoutSync } from "../core/database.ts";

export const volumeSchema: Schema = {
  part: "volume",
  steps: [
    `CREATE TABLE volumes (
       name TEXT PRIMARY KEY,
       created_at TEXT NOT NULL,
       anonymous INTEGER NOT NULL,
       labels TEXT NOT NULL
     ) STRICT`,
    "ALTER TABLE volumes ADD COLUMN driver TEXT NOT NULL DEFAULT 'local'",
    "ALTER TABLE volumes ADD COLUMN options TEXT",
    "ALTER TABLE volumes ADD COLUMN doomed INTEGER NOT NULL DEFAULT 0",
  ],
};

export interface Volume {
  name: string;
  driver: string;
  /** The driver's; null when none were given. */
  options: Record<string, string> | null;
  labels: Record<string, string>;
  /** RFC 3339. */
  createdAt: string;
  /** Made for a container that asked for no name. */
  anonymous: boolean;
}

interface Row {
  name: string;
  driver: string;
  options: string | null;
  labels: string;
  created_at: string;
  anonymous: number;
  doomed: number;
}

export class VolumeStore {
  readonly #volumes = new Map<string, Volume>();
  readonly #database: Database;
  readonly #insert: Statement;
  readonly #delete: Statement;
  readonly #setDoomed: Statement;
  /** Volumes that are to be removed, with their container that is gone. */
  readonly #doomed = new Set<string>();

  constructor(database: Database) {
    this.#database = database;
    this.#insert = database.query(
      "INSERT INTO volumes (name, driver, options, labels, created_at, anonymous) VALUES (?, ?, ?, ?, ?, ?)",
    );
    this.#delete = database.query("DELETE FROM volumes WHERE name = ?");
    this.#setDoomed = database.query("UPDATE volumes SET doomed = ? WHERE name = ?");
    const rows = database.query<Row, []>("SELECT * FROM volumes").all();
    for (const { name, driver, options, labels, created_at, anonymous, doomed } of rows) {
      if (doomed !== 0) this.#doomed.add(name);
      this.#volumes.set(name, {
        name,
        driver,
        options: options === null ? null : (JSON.parse(options) as Record<string, string>),
        labels: JSON.parse(labels) as Record<string, string>,
        createdAt: created_at,
        anonymous: anonymous !== 0,
      });
    }
  }

  /** Writes the rows of volumes that were made; in the caller's transaction if there is one. */
  insert(volumes: readonly Volume[]): void {
    for (const volume of volumes) {
      const { name, driver, options, labels, createdAt, anonymous } = volume;
      const optionText = options === null ? null : JSON.stringify(options);
      this.#insert.run(name, driver, optionText, JSON.stringify(labels), createdAt, anonymous ? 1 : 0);
      this.#volumes.set(name, volume);
    }
  }

  delete(name: string): void {
    // The next start, after a power loss, finds one that is to be removed, and nothing of it.
    if (this.#doomed.has(name)) withoutSync(this.#database, () => this.#delete.run(name));
    else this.#delete.run(name);
    this.#volumes.delete(name);
    this.#doomed.delete(name);
  }

  /**
   * Volumes that go with their container, whose record is deleted in the same transaction: a crash before they are gone
   * leaves no volume that nobody knows of.
   */
  doom(names: readonly string[]): void {
    for (const name of names) {
      if (!this.#volumes.has(name) || this.#doomed.has(name)) continue;
      this.#setDoomed.run(1, name);
      this.#doomed.add(name);
    }
  }

  /**
   * Before it is made: unless it is spared it is one that is to be removed.
   * @param isDurable whether this may wait for the disk, so that not even a power loss leaves it unknown.
   */
  insertDoomed(volume: Volume, { isDurable }: { isDurable: boolean }): void {
    const insert = this.#database.transaction(() => {
      this.insert([volume]);
      this.doom([volume.name]);
    });
    if (isDurable) insert();
    else withoutSync(this.#database, insert);
  }

  /** Somebody else has it by now. */
  spare(name: string): void {
    if (!this.#doomed.delete(name)) return;
    this.#setDoomed.run(0, name);
  }

  doomed(): string[] {
    return [...this.#doomed];
  }

  get(name: string): Volume | undefined {
    return this.#volumes.get(name);
  }

  list(): Volume[] {
    return [...this.#volumes.values()];
  }
}
