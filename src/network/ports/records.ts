/** What is published, in the metadata database: a row for each container that has ports. */
import type { Database } from "bun:sqlite";
import { type Schema, withoutSync } from "../../core/database.ts";
import type { PublishTarget } from "./binding.ts";
import type { PublishedPort } from "./port.ts";

export const portsSchema: Schema = {
  part: "ports",
  steps: [
    `CREATE TABLE published_ports (
       container_id TEXT PRIMARY KEY,
       container_name TEXT NOT NULL,
       target TEXT NOT NULL,
       ports TEXT NOT NULL
     ) STRICT;`,
  ],
};

export interface PortsRecord {
  containerId: string;
  containerName: string;
  target: PublishTarget;
  ports: PublishedPort[];
}

interface Row {
  container_id: string;
  container_name: string;
  target: string;
  ports: string;
}

/** Nothing of it waits for the disk: the containers of a machine that has lost its power have lost their ports, too. */
export class PortsRecords {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  all(): PortsRecord[] {
    const rows = this.#database.query<Row, []>("SELECT * FROM published_ports").all();
    return rows.map((row) => ({
      containerId: row.container_id,
      containerName: row.container_name,
      target: JSON.parse(row.target) as PublishTarget,
      ports: JSON.parse(row.ports) as PublishedPort[],
    }));
  }

  put({ containerId, containerName, target, ports }: PortsRecord): void {
    const text =
      "INSERT OR REPLACE INTO published_ports (container_id, container_name, target, ports) VALUES (?, ?, ?, ?)";
    this.#quickly(() => {
      this.#database.query(text).run(containerId, containerName, JSON.stringify(target), JSON.stringify(ports));
    });
  }

  remove(containerId: string): void {
    this.#quickly(() => {
      this.#database.query("DELETE FROM published_ports WHERE container_id = ?").run(containerId);
    });
  }

  #quickly(work: () => void): void {
    // Inside of a transaction the pragma would do nothing.
    if (this.#database.inTransaction) work();
    else withoutSync(this.#database, work);
  }
}
