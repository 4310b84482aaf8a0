/** For tests: networks with all that they stand on, made anew for each test. */
import type { Database } from "bun:sqlite";
import { afterEach, beforeEach } from "bun:test";
import { readdirSync, readlinkSync } from "node:fs";
import { join } from "node:path";
import { openDatabase } from "../core/database.ts";
import { Networks, type NetworksOptions } from "./networks.ts";
import { portsSchema } from "./ports/records.ts";
import { networkSchema } from "./schema.ts";
import { ip, Testbed } from "./testbed.ts";
import { TestCompanions } from "./testing.ts";

/**
 * What networks stand on: a host, a database, and the processes beside a daemon. Made in a block of tests, it is new for
 * each of them, which then begins with `prepare`.
 */
export class Rig {
  bed!: Testbed;
  companions!: TestCompanions;
  database!: Database;
  #databasePath = ":memory:";
  #made: Networks[] = [];

  /** `onDisk`: another process opens the database, too. */
  constructor(prepare: () => void | Promise<void>, { onDisk = false } = {}) {
    beforeEach(() => {
      this.bed = new Testbed();
      this.companions = new TestCompanions();
      if (onDisk) this.#databasePath = join(this.companions.directory, "metadata.db");
      this.database = openDatabase(this.#databasePath, [networkSchema, portsSchema]);
      return prepare();
    });
    afterEach(async () => {
      for (const networks of this.#made.splice(0)) await networks.close();
      this.companions[Symbol.dispose]();
      this.database.close();
      this.bed[Symbol.dispose]();
    });
  }

  /** A daemon's networks, whose default bridge is tsd0. They are closed after the test, if it did not. */
  make(bridge: Partial<NetworksOptions["bridge"]> = {}, rest: Partial<NetworksOptions> = {}): Networks {
    const networks = new Networks({
      database: this.database,
      table: "tsd",
      companions: this.companions.options,
      bridge: { name: "tsd0", ...bridge },
      ...rest,
    });
    this.#made.push(networks);
    return networks;
  }

  /**
   * Another daemon, in a process of its own, with the same database on the disk: it runs the statements, which end with
   * `said = ...;`, and is killed once `use` has seen what it said.
   */
  async inKilledDaemon<Said, T>(statements: string, use: (said: Said) => T): Promise<T> {
    const script = `
      import { openDatabase } from "${import.meta.dir}/../core/database.ts";
      import { Networks } from "${import.meta.dir}/networks.ts";
      import { portsSchema } from "${import.meta.dir}/ports/records.ts";
      import { networkSchema } from "${import.meta.dir}/schema.ts";
      import * as testing from "${import.meta.dir}/testing.ts";
      const database = openDatabase("${this.#databasePath}", [networkSchema, portsSchema]);
      const pids = [];
      const onStarted = (pid) => pids.push(pid);
      const { proxy, resolver } = ${JSON.stringify(this.companions.options)};
      const companions = { proxy: { ...proxy, onStarted }, resolver: { ...resolver, onStarted } };
      const networks = new Networks({ database, table: "tsd", companions, bridge: { name: "tsd0" } });
      let said;
      ${statements}
      console.log(JSON.stringify({ said, pids }));
      await Bun.sleep(60_000);`;
    const child = Bun.spawn([process.execPath, "-e", script], { stdout: "pipe", stderr: "ignore" });
    try {
      const { value } = await child.stdout.getReader().read();
      const { said, pids } = JSON.parse(new TextDecoder().decode(value)) as { said: Said; pids: number[] };
      this.companions.pids.push(...pids);
      return use(said);
    } finally {
      child.kill("SIGKILL");
      await child.exited;
    }
  }

  /** The number of rows in each of these tables. */
  rows(...tables: string[]): number[] {
    return tables.map((name) => this.database.query<{ n: number }, []>(`SELECT count(*) AS n FROM ${name}`).get()!.n);
  }
}

/** Names of the host's interfaces beside those of the testbed. */
export function interfaces(): string[] {
  return ip("link")
    .map((link) => link.ifname as string)
    .filter((name) => name !== "lo" && name !== "eth0");
}

/** How many network namespaces this process holds by descriptors. */
export function heldNamespaces(): number {
  return readdirSync("/proc/self/fd").filter((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`).startsWith("net:[");
    } catch {
      // The descriptor that the directory itself was read with.
      return false;
    }
  }).length;
}
