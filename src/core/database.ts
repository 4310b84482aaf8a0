import { Database } from "bun:sqlite";
import { EngineError } from "./errors.ts";

/** A part's own tables: `steps[n]` brings schema version n to n + 1. Steps are only ever added. */
export interface Schema {
  part: string;
  steps: string[];
}

/**
 * Opens the metadata database: WAL, and synchronous=FULL so that a committed transaction survives power loss
 * (https://www.sqlite.org/pragma.html#pragma_synchronous). Each part's schema is brought up to date, each
 * step in a transaction of its own; a database that a newer tsd wrote is refused.
 * @throws EngineError unsupported for a newer schema.
 */
export function openDatabase(path: string, schemas: Schema[]): Database {
  const database = new Database(path, { create: true, strict: true });
  database.run("PRAGMA journal_mode = WAL");
  database.run("PRAGMA synchronous = FULL");
  database.run("PRAGMA foreign_keys = ON");
  database.run("PRAGMA busy_timeout = 5000");
  database.run("CREATE TABLE IF NOT EXISTS schema_version (part TEXT PRIMARY KEY, version INTEGER NOT NULL) STRICT");
  for (const schema of schemas) migrate(database, path, schema);
  return database;
}

function migrate(database: Database, path: string, schema: Schema): void {
  const row = database
    .query<{ version: number }, [string]>("SELECT version FROM schema_version WHERE part = ?")
    .get(schema.part);
  const current = row?.version ?? 0;
  if (current > schema.steps.length) {
    throw new EngineError(
      "unsupported",
      `database ${path}: ${schema.part} has schema version ${current}, this tsd knows ${schema.steps.length}`,
      { path, hint: "a newer tsd wrote this root; run that version or choose another --root" },
    );
  }
  for (let version = current; version < schema.steps.length; version++) {
    database.transaction(() => {
      database.run(schema.steps[version]!);
      database.run("INSERT OR REPLACE INTO schema_version (part, version) VALUES (?, ?)", [schema.part, version + 1]);
    })();
  }
}

/**
 * Runs work whose transactions need not each wait for the disk: without a wait of their own they become durable, in
 * their order, with the next transaction that does wait (WAL keeps the order). A crash of the process loses nothing,
 * a power loss whatever came after the last such transaction. For rows that mean nothing without a row that follows.
 */
export function withoutSync<T>(database: Database, work: () => T): T {
  database.run("PRAGMA synchronous = NORMAL");
  try {
    return work();
  } finally {
    database.run("PRAGMA synchronous = FULL");
  }
}
