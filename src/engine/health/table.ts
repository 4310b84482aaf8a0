import type { Database, Statement } from "bun:sqlite";
import { type Schema, withoutSync } from "../../core/database.ts";
import { EngineError, errorMessage } from "../../core/errors.ts";
import type { ContainerHealth } from "./health.ts";

/** A row for each container that was probed, which goes with the container's. */
export const healthSchema: Schema = {
  part: "health",
  steps: [
    `CREATE TABLE container_health (
       container_id TEXT PRIMARY KEY REFERENCES containers (id) ON DELETE CASCADE,
       health TEXT NOT NULL
     ) STRICT`,
  ],
};

/** What is known of containers' health, so that a daemon that follows one that was killed goes on from it. */
export class HealthTable {
  readonly #database: Database;
  readonly #write: Statement;

  constructor(database: Database) {
    this.#database = database;
    // A container may have gone meanwhile.
    this.#write = database.query(
      `INSERT OR REPLACE INTO container_health (container_id, health)
       SELECT ?1, ?2 WHERE EXISTS (SELECT 1 FROM containers WHERE id = ?1)`,
    );
  }

  /** @throws EngineError corrupt, naming the container. */
  all(): Map<string, ContainerHealth> {
    const rows = this.#database
      .query<{ container_id: string; health: string }, []>("SELECT container_id, health FROM container_health")
      .all();
    return new Map(rows.map(({ container_id: id, health }) => [id, stored(id, health)]));
  }

  /** In one transaction. For this boot only, after which no container runs: no need to wait for the disk. */
  store(healths: ReadonlyMap<string, ContainerHealth>): void {
    withoutSync(this.#database, () =>
      this.#database.transaction(() => {
        for (const [id, health] of healths) this.#write.run(id, JSON.stringify(health));
      })(),
    );
  }
}

function stored(id: string, json: string): ContainerHealth {
  try {
    return JSON.parse(json) as ContainerHealth;
  } catch (error) {
    throw new EngineError("corrupt", `container ${id}: stored health: ${errorMessage(error)}`);
  }
}
