/**
 * Which volumes plugins have mounted for whom. A plugin counts its users by the ids that it was told, and its mounts
 * outlive the daemon, so each is on record before the plugin is asked for it, and until the plugin said that it is gone.
 */
import type { Database, Statement } from "bun:sqlite";
import type { Schema } from "../../core/database.ts";

export const pluginSchema: Schema = {
  part: "volume-plugin",
  steps: [
    `CREATE TABLE plugin_mounts (
       driver TEXT NOT NULL,
       volume TEXT NOT NULL,
       user TEXT NOT NULL,
       directory TEXT,
       PRIMARY KEY (driver, volume, user)
     ) STRICT`,
  ],
};

export interface PluginMount {
  driver: string;
  volume: string;
  user: string;
  /** Absent while the plugin has not answered. */
  directory?: string;
  /** False: nobody uses it, and the plugin is still to be told. */
  isHeld: boolean;
}

interface Row {
  driver: string;
  volume: string;
  user: string;
  directory: string | null;
}

export class PluginMounts {
  readonly #mounts = new Map<string, PluginMount>();
  readonly #write: Statement;
  readonly #delete: Statement;

  constructor(database: Database) {
    this.#write = database.query(
      "INSERT OR REPLACE INTO plugin_mounts (driver, volume, user, directory) VALUES (?, ?, ?, ?)",
    );
    this.#delete = database.query("DELETE FROM plugin_mounts WHERE driver = ? AND volume = ? AND user = ?");
    for (const { directory, ...row } of database.query<Row, []>("SELECT * FROM plugin_mounts").all()) {
      this.#mounts.set(keyOf(row), { ...row, ...(directory !== null && { directory }), isHeld: false });
    }
  }

  get(driver: string, volume: string, user: string): PluginMount | undefined {
    return this.#mounts.get(keyOf({ driver, volume, user }));
  }

  set(mount: PluginMount): void {
    const { driver, volume, user, directory } = mount;
    this.#write.run(driver, volume, user, directory ?? null);
    this.#mounts.set(keyOf(mount), mount);
  }

  delete({ driver, volume, user }: PluginMount): void {
    this.#delete.run(driver, volume, user);
    this.#mounts.delete(keyOf({ driver, volume, user }));
  }

  /** Those that nobody uses, of all volumes or of one. */
  owed(driver: string, volume?: string): PluginMount[] {
    const all = [...this.#mounts.values()].filter((mount) => mount.driver === driver && !mount.isHeld);
    return volume === undefined ? all : all.filter((mount) => mount.volume === volume);
  }

  /** The plugins that mounts are on record of. */
  drivers(): string[] {
    return [...new Set([...this.#mounts.values()].map(({ driver }) => driver))];
  }
}

function keyOf({ driver, volume, user }: Pick<PluginMount, "driver" | "volume" | "user">): string {
  return `${driver}\0${volume}\0${user}`;
}
