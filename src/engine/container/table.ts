import type { Database, Statement } from "bun:sqlite";
import type { Schema } from "../../core/database.ts";
import { EngineError, errorMessage } from "../../core/errors.ts";
import type { ContainerDefinition } from "./definition.ts";
import type { ContainerState } from "./state.ts";

/**
 * One row a container. `created_order` keeps the order of creation when two containers were made in the same
 * millisecond. The definition hardly ever changes, so that a change of state writes a few bytes.
 *
 * Step 2: each container has all its networks among its endpoints; before, there were only those with settings.
 */
export const containerSchema: Schema = {
  part: "container",
  steps: [
    `CREATE TABLE containers (
       created_order INTEGER PRIMARY KEY AUTOINCREMENT,
       id TEXT NOT NULL UNIQUE,
       name TEXT NOT NULL UNIQUE,
       created_at TEXT NOT NULL,
       definition TEXT NOT NULL,
       state TEXT NOT NULL
     ) STRICT`,
    `UPDATE containers SET definition = json_set(
       definition, '$.endpoints', json_object(json_extract(definition, '$.hostConfig.NetworkMode'), json('{}')))
     WHERE json_extract(definition, '$.endpoints') = '{}'
       AND json_extract(definition, '$.hostConfig.NetworkMode') NOT LIKE 'container:%'`,
  ],
};

/** A container as it is stored. */
export interface ContainerRecord {
  id: string;
  /** Without the slash. */
  name: string;
  /** RFC 3339. */
  createdAt: string;
  definition: ContainerDefinition;
  state: ContainerState;
}

interface Row {
  id: string;
  name: string;
  created_at: string;
  definition: string;
  state: string;
}

export class ContainerTable {
  readonly #database: Database;
  readonly #insert: Statement;
  readonly #update: Statement;
  readonly #redefine: Statement;
  readonly #rename: Statement;
  readonly #delete: Statement;

  constructor(database: Database) {
    this.#database = database;
    this.#insert = database.query(
      "INSERT INTO containers (id, name, created_at, definition, state) VALUES (?, ?, ?, ?, ?)",
    );
    this.#update = database.query("UPDATE containers SET state = ? WHERE id = ?");
    this.#redefine = database.query("UPDATE containers SET definition = ? WHERE id = ?");
    this.#rename = database.query("UPDATE containers SET name = ? WHERE id = ?");
    this.#delete = database.query("DELETE FROM containers WHERE id = ?");
  }

  /** All containers in the order of their creation. @throws EngineError corrupt, naming the container. */
  all(): ContainerRecord[] {
    const rows = this.#database
      .query<Row, []>("SELECT id, name, created_at, definition, state FROM containers ORDER BY created_order")
      .all();
    return rows.map((row) => ({
      id: row.id,
      name: row.name,
      createdAt: row.created_at,
      definition: stored<ContainerDefinition>(row, "definition"),
      state: stored<ContainerState>(row, "state"),
    }));
  }

  insert(record: ContainerRecord): void {
    const { id, name, createdAt, definition, state } = record;
    this.#insert.run(id, name, createdAt, JSON.stringify(definition), JSON.stringify(state));
  }

  setState(id: string, state: ContainerState): void {
    const { changes } = this.#update.run(JSON.stringify(state), id);
    if (changes !== 1)
      throw new EngineError("internal", `container ${id}: has no row to store state ${state.status} in`);
  }

  setDefinition(id: string, definition: ContainerDefinition): void {
    const { changes } = this.#redefine.run(JSON.stringify(definition), id);
    if (changes !== 1) throw new EngineError("internal", `container ${id}: has no row to store its definition in`);
  }

  setName(id: string, name: string): void {
    const { changes } = this.#rename.run(name, id);
    if (changes !== 1) throw new EngineError("internal", `container ${id}: has no row to store its name in`);
  }

  delete(id: string): void {
    this.#delete.run(id);
  }
}

function stored<T>(row: Row, column: "definition" | "state"): T {
  try {
    return JSON.parse(row[column]) as T;
  } catch (error) {
    throw new EngineError("corrupt", `container ${row.id}: stored ${column}: ${errorMessage(error)}`);
  }
}
