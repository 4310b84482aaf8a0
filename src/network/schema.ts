/** The network's part of the metadata database. */
import type { Schema } from "../core/database.ts";

/**
 * A sandbox is a network namespace; it has an endpoint on each network that it is connected to; an endpoint has an
 * address of each family. A sandbox without a container is a spare, or one being taken down.
 *
 * Step 2: networks that users make, and containers on several of them. `definition` and `request` are JSON: what was
 * asked for, which nobody looks for by value.
 *
 * Step 3: subnets that users chose, and the prefix that IPv6 subnets are made of (one row).
 *
 * Step 4: who has a MAC address on a network is found without a look at all others.
 *
 * Step 5: what was added to bridges of the administrator's.
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
    `ALTER TABLE network RENAME COLUMN bridge TO device;
     ALTER TABLE network ADD COLUMN definition TEXT NOT NULL DEFAULT '{}';
     CREATE TABLE network_subnet_2 (
       network_id TEXT NOT NULL REFERENCES network ON DELETE CASCADE,
       position INTEGER NOT NULL,
       subnet TEXT NOT NULL,
       ip_range TEXT,
       gateway TEXT,
       auxiliary TEXT,
       PRIMARY KEY (network_id, position)
     ) STRICT;
     INSERT INTO network_subnet_2 (network_id, position, subnet, gateway)
       SELECT network_id, 0, subnet, gateway FROM network_subnet;
     DROP TABLE network_subnet;
     ALTER TABLE network_subnet_2 RENAME TO network_subnet;
     ALTER TABLE network_sandbox ADD COLUMN kind TEXT NOT NULL DEFAULT 'networks';
     ALTER TABLE network_sandbox ADD COLUMN request TEXT NOT NULL DEFAULT '{}';
     UPDATE network_sandbox SET kind = 'host' WHERE id IN (
       SELECT sandbox_id FROM network_endpoint e JOIN network n ON n.id = e.network_id WHERE n.driver = 'host');
     UPDATE network_sandbox SET kind = 'none' WHERE id IN (
       SELECT sandbox_id FROM network_endpoint e JOIN network n ON n.id = e.network_id WHERE n.driver = 'null');
     ALTER TABLE network_endpoint ADD COLUMN request TEXT NOT NULL DEFAULT '{}';
     CREATE INDEX network_endpoint_network ON network_endpoint (network_id);`,
    `ALTER TABLE network_subnet ADD COLUMN is_configured INTEGER NOT NULL DEFAULT 0;
     CREATE TABLE network_unique_local (
       prefix TEXT PRIMARY KEY
     ) STRICT;`,
    `DROP INDEX network_endpoint_network;
     CREATE INDEX network_endpoint_network ON network_endpoint (network_id, mac);`,
    `CREATE TABLE network_adoption (
       network_id TEXT PRIMARY KEY REFERENCES network ON DELETE CASCADE,
       adoption TEXT NOT NULL
     ) STRICT;`,
  ],
};
