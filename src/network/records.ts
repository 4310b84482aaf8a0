/** The network's part of the metadata database: networks, their subnets, who is on them, what was changed on the host. */
import type { Database } from "bun:sqlite";
import type { Schema } from "../core/database.ts";

/**
 * A sandbox is a network namespace; it has an endpoint on each network that it is connected to; an endpoint has an
 * address of each family. A sandbox without a container is a spare, or one being taken down.
 */
export const networkSchema: Schema = {
  part: "network",
  steps: [
    `CREATE TABLE network (
       id TEXT PRIMARY KEY,
       name TEXT NOT NULL UNIQUE,
       driver TEXT NOT NULL,
       bridge TEXT,
       created_at TEXT NOT NULL
     ) STRICT;
     CREATE TABLE network_subnet (
       network_id TEXT NOT NULL REFERENCES network ON DELETE CASCADE,
       subnet TEXT NOT NULL,
       gateway TEXT NOT NULL,
       PRIMARY KEY (network_id, subnet)
     ) STRICT;
     CREATE TABLE network_sandbox (
       id TEXT PRIMARY KEY,
       container_id TEXT UNIQUE
     ) STRICT;
     CREATE TABLE network_endpoint (
       id TEXT PRIMARY KEY,
       sandbox_id TEXT NOT NULL REFERENCES network_sandbox ON DELETE CASCADE,
       network_id TEXT NOT NULL REFERENCES network,
       interface TEXT,
       host_interface TEXT,
       mac TEXT
     ) STRICT;
     CREATE INDEX network_endpoint_sandbox ON network_endpoint (sandbox_id);
     CREATE TABLE network_address (
       network_id TEXT NOT NULL REFERENCES network,
       address TEXT NOT NULL,
       prefix_length INTEGER NOT NULL,
       endpoint_id TEXT NOT NULL REFERENCES network_endpoint ON DELETE CASCADE,
       PRIMARY KEY (network_id, address)
     ) STRICT;
     CREATE INDEX network_address_endpoint ON network_address (endpoint_id);
     CREATE TABLE network_host_setting (
       name TEXT PRIMARY KEY,
       previous TEXT NOT NULL
     ) STRICT;`,
  ],
};

export type Driver = "bridge" | "host" | "null";

export interface NetworkRecord {
  id: string;
  name: string;
  driver: Driver;
  bridge: string | null;
  created_at: string;
}

export interface SubnetRecord {
  subnet: string;
  gateway: string;
}

/** An endpoint with its sandbox and its IPv4 address. */
export interface EndpointRecord {
  id: string;
  sandbox_id: string;
  container_id: string | null;
  network_id: string;
  interface: string | null;
  host_interface: string | null;
  mac: string | null;
  address: string | null;
  prefix_length: number | null;
}

const endpointQuery = `SELECT e.id, e.sandbox_id, s.container_id, e.network_id, e.interface, e.host_interface, e.mac,
  a.address, a.prefix_length
  FROM network_endpoint e JOIN network_sandbox s ON s.id = e.sandbox_id
  LEFT JOIN network_address a ON a.endpoint_id = e.id`;

export class NetworkRecords {
  readonly #database: Database;
  readonly #synchronous: number;

  constructor(database: Database) {
    this.#database = database;
    this.#synchronous = database.query<{ synchronous: number }, []>("PRAGMA synchronous").get()!.synchronous;
  }

  network(name: string): NetworkRecord | undefined {
    const query = this.#database.query<NetworkRecord, [string]>("SELECT * FROM network WHERE name = ?");
    return query.get(name) ?? undefined;
  }

  networks(): NetworkRecord[] {
    return this.#database.query<NetworkRecord, []>("SELECT * FROM network ORDER BY name").all();
  }

  addNetwork(network: NetworkRecord): void {
    this.#database.run("INSERT INTO network (id, name, driver, bridge, created_at) VALUES (?, ?, ?, ?, ?)", [
      network.id,
      network.name,
      network.driver,
      network.bridge,
      network.created_at,
    ]);
  }

  setBridge(networkId: string, bridge: string): void {
    this.#database.run("UPDATE network SET bridge = ? WHERE id = ?", [bridge, networkId]);
  }

  subnets(networkId: string): SubnetRecord[] {
    return this.#database
      .query<SubnetRecord, [string]>("SELECT subnet, gateway FROM network_subnet WHERE network_id = ?")
      .all(networkId);
  }

  /** Puts the subnets in the place of those the network had. */
  setSubnets(networkId: string, subnets: readonly SubnetRecord[]): void {
    this.#database.transaction(() => {
      this.#database.run("DELETE FROM network_subnet WHERE network_id = ?", [networkId]);
      for (const { subnet, gateway } of subnets) {
        this.#database.run("INSERT INTO network_subnet (network_id, subnet, gateway) VALUES (?, ?, ?)", [
          networkId,
          subnet,
          gateway,
        ]);
      }
    })();
  }

  endpoints(): EndpointRecord[] {
    return this.#database.query<EndpointRecord, []>(endpointQuery).all();
  }

  endpointOf(containerId: string): EndpointRecord | undefined {
    const query = this.#database.query<EndpointRecord, [string]>(`${endpointQuery} WHERE s.container_id = ?`);
    return query.get(containerId) ?? undefined;
  }

  addEndpoint(endpoint: EndpointRecord): void {
    this.#quickly(() => {
      this.#database
        .query("INSERT INTO network_sandbox (id, container_id) VALUES (?, ?)")
        .run(endpoint.sandbox_id, endpoint.container_id);
      this.#database
        .query(
          `INSERT INTO network_endpoint (id, sandbox_id, network_id, interface, host_interface, mac)
           VALUES (?, ?, ?, ?, ?, ?)`,
        )
        .run(
          endpoint.id,
          endpoint.sandbox_id,
          endpoint.network_id,
          endpoint.interface,
          endpoint.host_interface,
          endpoint.mac,
        );
      if (endpoint.address === null) return;
      this.#database
        .query("INSERT INTO network_address (network_id, address, prefix_length, endpoint_id) VALUES (?, ?, ?, ?)")
        .run(endpoint.network_id, endpoint.address, endpoint.prefix_length, endpoint.id);
    });
  }

  /** Gives a sandbox to a container, or takes it away. */
  setContainer(sandboxId: string, containerId: string | null): void {
    this.#quickly(() => {
      this.#database.query("UPDATE network_sandbox SET container_id = ? WHERE id = ?").run(containerId, sandboxId);
    });
  }

  removeSandbox(sandboxId: string): void {
    this.#quickly(() => {
      this.#database.query("DELETE FROM network_sandbox WHERE id = ?").run(sandboxId);
    });
  }

  hostSettings(): { name: string; previous: string }[] {
    return this.#database.query<{ name: string; previous: string }, []>("SELECT * FROM network_host_setting").all();
  }

  /** Remembers what a setting of the host was before it was changed the first time. */
  rememberHostSetting(name: string, previous: string): void {
    this.#database.run("INSERT OR IGNORE INTO network_host_setting (name, previous) VALUES (?, ?)", [name, previous]);
  }

  /**
   * A transaction that survives the death of this process but not the machine's: what it records lives in the kernel
   * and is gone after a crash as well, so nobody waits for the disk (synchronous=NORMAL in WAL mode).
   */
  #quickly(work: () => void): void {
    if (this.#database.inTransaction) {
      work();
      return;
    }
    this.#database.run("PRAGMA synchronous = NORMAL");
    try {
      this.#database.transaction(work)();
    } finally {
      this.#database.run(`PRAGMA synchronous = ${this.#synchronous}`);
    }
  }
}
