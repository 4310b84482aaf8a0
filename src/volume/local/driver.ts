/**
 * The local volume driver: directories under <root>/volumes/<name>/_data. A record without a directory gets one when it
 * is used; a directory without a record is a leftover and is removed at start.
 */
import { mkdir, readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { EngineError, isErrno, wrapError } from "../../core/errors.ts";
import { parseVolumeName } from "../bind-spec.ts";
import type { DriverVolume, VolumeDriver } from "../driver.ts";
import type { Volume } from "../volumes.ts";

export class LocalDriver implements VolumeDriver {
  readonly name = "local";
  readonly scope = "local";
  readonly #directory: string;
  /** Of all volumes that there are. */
  readonly #options = new Map<string, Record<string, string>>();

  /**
   * @param root the daemon's root: volumes lie in `<root>/volumes`.
   * @param records of all volumes.
   */
  constructor(root: string, records: readonly Volume[]) {
    this.#directory = join(root, "volumes");
    for (const { name, driver, options } of records) {
      if (driver === this.name) this.#options.set(name, options ?? {});
    }
  }

  async create(name: string, options: Record<string, string>): Promise<void> {
    parseVolumeName(name);
    const [option] = Object.keys(options);
    if (option !== undefined) throw new EngineError("invalid_argument", `invalid option: "${option}"`);
    await this.#makeDirectory(name);
    this.#options.set(name, options);
  }

  async remove(name: string): Promise<void> {
    await this.#discard(name);
    this.#options.delete(name);
  }

  async get(name: string): Promise<DriverVolume | undefined> {
    return this.#options.has(name) ? { mountpoint: this.#dataPath(name) } : undefined;
  }

  async list(): Promise<(DriverVolume & { name: string })[]> {
    return [...this.#options.keys()].map((name) => ({ name, mountpoint: this.#dataPath(name) }));
  }

  async mount(name: string): Promise<string> {
    await this.#makeDirectory(name);
    return this.#dataPath(name);
  }

  async unmount(): Promise<void> {
    // A directory needs no mount.
  }

  async removeLeftovers(recorded: ReadonlySet<string>): Promise<string[]> {
    const removed: string[] = [];
    for (const name of await listDirectory(this.#directory)) {
      if (recorded.has(name)) continue;
      await this.#discard(name);
      removed.push(name);
    }
    return removed;
  }

  async #discard(name: string): Promise<void> {
    await rm(join(this.#directory, name), { recursive: true, force: true });
  }

  async #makeDirectory(name: string): Promise<void> {
    try {
      await mkdir(this.#directory, { recursive: true, mode: 0o711 });
      await mkdir(join(this.#directory, name), { recursive: true, mode: 0o711 });
      await mkdir(this.#dataPath(name), { recursive: true, mode: 0o755 });
    } catch (error) {
      throw wrapError(error, `make the directory of volume ${name}`, { stage: "volume" });
    }
  }

  #dataPath(name: string): string {
    return join(this.#directory, name, "_data");
  }
}

async function listDirectory(path: string): Promise<string[]> {
  try {
    return await readdir(path);
  } catch (error) {
    if (isErrno(error, "ENOENT")) return [];
    throw error;
  }
}
