/** Containers' own writable layers, over an image's unpacked ones: what overlayfs is mounted of. */
import type { Database } from "bun:sqlite";
import { chmodSync, chownSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Digest } from "../../core/digest.ts";
import type { LimitRefusal } from "../../core/directory-limits.ts";
import { countBelow, type DiskUsage } from "../../core/disk-usage.ts";
import { EngineError } from "../../core/errors.ts";
import type { Image, OverlayMount } from "../image.ts";
import type { SnapshotDirectories } from "./directories.ts";
import type { Layers } from "./layers.ts";

interface SnapshotRow {
  chain_id: Digest | null;
  directory: string;
}

export class SnapshotStore {
  readonly #database: Database;
  readonly #directories: SnapshotDirectories;
  readonly #layers: Layers;

  constructor(database: Database, directories: SnapshotDirectories, layers: Layers) {
    this.#database = database;
    this.#directories = directories;
    this.#layers = layers;
  }

  /**
   * Makes the writable layer of a container. Synchronous, so that it can be part of the transaction that records the
   * container: if that is rolled back or the daemon killed, the directory has no row and the next start removes it.
   * @param key the container's id. @param limit what it may write, in bytes; absent: no limit.
   * @throws EngineError already_exists, corrupt when a layer of the image is missing, unsupported for a limit that the
   * file system cannot have.
   */
  prepare(key: string, image: Pick<Image, "chainId">, limit?: number): OverlayMount {
    if (this.#row(key)) throw new EngineError("already_exists", `snapshot of container ${key} exists already`);
    const lower = this.#lower(image.chainId);
    const directory = this.#directories.makeWritable(limit);
    try {
      const upper = join(this.#directories.path(directory), "fs");
      // The merged root has the attributes of the topmost directory, which is this one.
      const root = statSync(lower[0]!);
      chownSync(upper, root.uid, root.gid);
      chmodSync(upper, root.mode & 0o7777);
      // By this, and nothing else, do many programs know that they are in a container.
      writeFileSync(join(upper, ".dockerenv"), "");
      chmodSync(join(upper, ".dockerenv"), 0o755);
      this.#database.run("INSERT INTO container_snapshots (key, chain_id, directory, created_at) VALUES (?, ?, ?, ?)", [
        key,
        image.chainId ?? null,
        directory,
        new Date().toISOString(),
      ]);
    } catch (error) {
      this.#directories.discard(directory);
      throw error;
    }
    return this.mounts(key);
  }

  /**
   * Keeps the layers of an image that is mounted in a container, until the container's own go. Nothing is made, so that
   * it may be part of a transaction.
   * @throws EngineError corrupt when a layer of the image is missing.
   */
  hold(key: string, { chainId }: Pick<Image, "chainId">): void {
    if (chainId === undefined) return;
    this.#layers.chain(chainId);
    this.#database.run("INSERT OR IGNORE INTO mounted_layers (key, chain_id) VALUES (?, ?)", [key, chainId]);
  }

  /**
   * An image's files as the directories of an overlay that is only read, topmost first; none of one without layers.
   * @throws EngineError corrupt when one is missing.
   */
  layers(chainId: Digest | undefined): string[] {
    if (chainId === undefined) return [];
    const paths = this.#layers.paths(chainId);
    // overlayfs wants two of them, on one file system, or its files would not be on the one that its directories are on.
    return paths.length > 1 ? paths : [...paths, this.#directories.empty()];
  }

  /** Why what containers write cannot be limited; undefined where it can. */
  whyNoLimit(): LimitRefusal | undefined {
    return this.#directories.whyNoLimit();
  }

  /** The directories of all containers: those that may be limited. */
  paths(): string[] {
    return this.directoryNames().map((name) => this.#directories.path(name));
  }

  /** @throws EngineError not_found; corrupt when its directory or a layer is missing. */
  mounts(key: string): OverlayMount {
    const row = this.#row(key);
    if (!row) throw new EngineError("not_found", `container ${key} has no snapshot`);
    if (!this.#directories.has(row.directory)) {
      throw new EngineError(
        "corrupt",
        `container ${key}: its files in ${this.#directories.path(row.directory)} are gone`,
      );
    }
    const path = this.#directories.path(row.directory);
    return { lower: this.#lower(row.chain_id ?? undefined), upper: join(path, "fs"), work: join(path, "work") };
  }

  /** To be held while it is mounted to be written to: what is limited may be full. */
  roomToMount(key: string): Disposable {
    return this.#directories.roomToMount(this.#row(key)?.directory ?? key);
  }

  /** Removes a container's layer; the image's go too when this was the last to need them. A missing one is no error. */
  remove(key: string): void {
    const held = this.#database
      .query<{ chain_id: Digest }, [string]>("DELETE FROM mounted_layers WHERE key = ? RETURNING chain_id")
      .all(key)
      .map(({ chain_id }) => chain_id);
    const row = this.#row(key);
    if (row) {
      this.#database.run("DELETE FROM container_snapshots WHERE key = ?", [key]);
      this.#directories.discard(row.directory);
      if (row.chain_id !== null) held.push(row.chain_id);
    }
    this.#layers.collect(held);
  }

  /** What a container wrote. @throws EngineError not_found. */
  async usage(key: string): Promise<DiskUsage> {
    const row = this.#row(key);
    if (!row) throw new EngineError("not_found", `container ${key} has no snapshot`);
    return countBelow(join(this.#directories.path(row.directory), "fs"));
  }

  /** By container id, with the name of the directory. */
  all(): { key: string; directory: string }[] {
    return this.#database
      .query<{ key: string; directory: string }, []>("SELECT key, directory FROM container_snapshots")
      .all();
  }

  keys(): string[] {
    return this.all().map(({ key }) => key);
  }

  /** Removes the layers of containers that are not in the set: those of a create that was killed half-way. */
  retain(keys: ReadonlySet<string>): void {
    const holders = this.#database.query<{ key: string }, []>("SELECT DISTINCT key FROM mounted_layers").all();
    for (const key of new Set([...this.keys(), ...holders.map((row) => row.key)])) if (!keys.has(key)) this.remove(key);
  }

  directoryNames(): string[] {
    return this.all().map(({ directory }) => directory);
  }

  /** overlayfs wants one lower directory at least: an image without layers gets an empty one. */
  #lower(chainId: Digest | undefined): string[] {
    return chainId === undefined ? [this.#directories.empty()] : this.#layers.paths(chainId);
  }

  #row(key: string): SnapshotRow | undefined {
    return (
      this.#database
        .query<SnapshotRow, [string]>("SELECT chain_id, directory FROM container_snapshots WHERE key = ?")
        .get(key) ?? undefined
    );
  }
}
