/** The records of volumes: those that tsd had a driver make, or has used. */
import type { Database, Statement } from "bun:sqlite";
import type { Schema } from "../core/database.ts";

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
}

export class VolumeStore {
  readonly #volumes = new Map<string, Volume>();
  readonly #insert: Statement;
  readonly #delete: Statement;

  constructor(database: Database) {
    this.#insert = database.query(
      "INSERT INTO volumes (name, driver, options, labels, created_at, anonymous) VALUES (?, ?, ?, ?, ?, ?)",
    );
    this.#delete = database.query("DELETE FROM volumes WHERE name = ?");
    const rows = database.query<Row, []>("SELECT * FROM volumes").all();
    for (const { name, driver, options, labels, created_at, anonymous } of rows) {
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
    this.#delete.run(name);
    this.#volumes.delete(name);
  }

  get(name: string): Volume | undefined {
    return this.#volumes.get(name);
  }

  list(): Volume[] {
    return [...this.#volumes.values()];
  }
}
