/**
 * The local volume driver: directories under <root>/volumes/<name>/_data. A record without a directory gets one when it
 * is used; a directory without a record is a volume as soon as the daemon starts, unless nothing is in it.
 *
 * What a volume with options is of is mounted on its directory while somebody has it. Whether it is, the kernel is asked
 * each time: a daemon that was killed has left it mounted, and an administrator may have unmounted it.
 */
import { mkdir, readdir, rm, rmdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { namesIn } from "../../core/directory.ts";
import type { DirectoryLimits } from "../../core/directory-limits.ts";
import { EngineError, errorMessage, isErrno, wrapError } from "../../core/errors.ts";
import { log } from "../../core/log.ts";
import { isVolumeName, parseVolumeName } from "../bind-spec.ts";
import { finishCopyUp } from "../copy-up.ts";
import type { DriverVolume, Leftovers, VolumeDriver } from "../driver.ts";
import type { Volume } from "../volumes.ts";
import { mountLocal } from "./mount.ts";
import { isMounted, mountPointsIn, unmountAllIn } from "./mounted.ts";
import { type LocalOptions, parseLocalOptions } from "./options.ts";

export class LocalDriver implements VolumeDriver {
  readonly name = "local";
  readonly scope = "local";
  readonly #directory: string;
  /** Of all volumes that there are. */
  readonly #options = new Map<string, LocalOptions>();
  readonly #limits: DirectoryLimits | undefined;
  /** Users of those that are mounted. */
  readonly #holders = new Map<string, Set<string>>();

  /**
   * @param root the daemon's root: volumes lie in `<root>/volumes`.
   * @param records of all volumes.
   * @param limits what limits those that have a size; absent: nothing does.
   */
  constructor(root: string, records: readonly Volume[], limits?: DirectoryLimits) {
    this.#limits = limits;
    this.#directory = join(root, "volumes");
    for (const { name, driver, options } of records) {
      if (driver === this.name) this.#options.set(name, parseLocalOptions(options ?? {}));
    }
  }

  async create(name: string, options: Record<string, string>): Promise<void> {
    parseVolumeName(name);
    const parsed = parseLocalOptions(options);
    if (parsed.sizeBytes !== undefined) await this.#assertLimits();
    try {
      await this.#makeDirectory(name, parsed.sizeBytes);
    } catch (error) {
      // Somebody may have put something there by hand.
      if (await removeEmpty(join(this.#directory, name))) this.#limits?.release(join(this.#directory, name));
      throw error;
    }
    this.#options.set(name, parsed);
  }

  /** Of volumes that have a size: the directories that are limited. */
  limitedDirectories(): string[] {
    const limited = [...this.#options].filter(([, { sizeBytes }]) => sizeBytes !== undefined);
    return limited.map(([name]) => join(this.#directory, name));
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

  async mount(name: string, userId: string): Promise<string> {
    const { mount, sizeBytes } = this.#options.get(name) ?? {};
    const path = this.#dataPath(name);
    if (mount === undefined) {
      await this.#makeDirectory(name, sizeBytes);
      return path;
    }
    if (!(await isMounted(path))) {
      await this.#makeDirectory(name, sizeBytes);
      try {
        await mountLocal(mount, path);
      } catch (error) {
        throw wrapError(error, `error while mounting volume '${path}'`, { stage: "volume" });
      }
    }
    this.#hold(name, userId);
    return path;
  }

  async unmount(name: string, userId: string): Promise<void> {
    const holders = this.#holders.get(name);
    if (!holders?.delete(userId) || holders.size > 0) return;
    this.#holders.delete(name);
    await unmountAllIn(this.#dataPath(name));
  }

  /** Without a look at it: a server that is down now must not hold up the daemon. */
  async restore(name: string, userId: string): Promise<string> {
    if (this.#options.get(name)?.mount !== undefined) this.#hold(name, userId);
    return this.#dataPath(name);
  }

  /** Not of one that something is mounted on. */
  staging(name: string): string | undefined {
    return this.#options.get(name)?.mount === undefined ? join(this.#directory, name) : undefined;
  }

  async removeLeftovers(recorded: ReadonlySet<string>): Promise<Leftovers> {
    const leftovers: Leftovers = { removed: [], found: [] };
    for (const name of namesIn(this.#directory)) {
      await attempt(name, async () => {
        if (!recorded.has(name)) await this.#judge(name, leftovers);
        await this.#settle(name);
      });
    }
    return leftovers;
  }

  /** What no record speaks of. */
  async #judge(name: string, { removed, found }: Leftovers): Promise<void> {
    const place = join(this.#directory, name);
    // Others keep things here, too: lost+found is one.
    if (!isVolumeName(name)) return;
    if ((await mountPointsIn(place)).length === 0 && (await removeEmpty(place))) {
      this.#limits?.release(place);
      removed.push(name);
    } else if (await isDirectory(this.#dataPath(name))) {
      this.#options.set(name, {});
      found.push({ name, createdAt: (await stat(place)).birthtime.toISOString() });
    }
  }

  /** Finishes what an earlier daemon has begun with a volume: it has been unmounted, or filled. */
  async #settle(name: string): Promise<void> {
    if (!this.#options.has(name)) return;
    const staging = this.staging(name);
    if (staging !== undefined) await finishCopyUp({ path: this.#dataPath(name), staging });
    else if (!this.#holders.has(name)) await unmountAllIn(this.#dataPath(name));
  }

  #hold(name: string, userId: string): void {
    const holders = this.#holders.get(name);
    if (holders === undefined) this.#holders.set(name, new Set([userId]));
    else holders.add(userId);
  }

  /** Never what is mounted there: that is somebody else's. */
  async #discard(name: string): Promise<void> {
    await unmountAllIn(join(this.#directory, name));
    await rm(join(this.#directory, name), { recursive: true, force: true });
    this.#limits?.release(join(this.#directory, name));
  }

  /** @throws EngineError invalid_argument in docker's words. */
  async #assertLimits(): Promise<void> {
    await mkdir(this.#directory, { recursive: true, mode: 0o711 });
    const refusal = this.#limits === undefined ? { reason: "nothing limits it" } : this.#limits.whyNot(this.#directory);
    if (refusal === undefined) return;
    const { reason, hint } = refusal;
    const message = `quota size requested but no quota support: ${reason}`;
    throw new EngineError("invalid_argument", message, hint === undefined ? {} : { hint });
  }

  async #makeDirectory(name: string, sizeBytes: number | undefined): Promise<void> {
    const place = join(this.#directory, name);
    try {
      await mkdir(this.#directory, { recursive: true, mode: 0o711 });
      const isNew = (await mkdir(place, { recursive: true, mode: 0o711 })) !== undefined;
      if (sizeBytes !== undefined) this.#limit(place, sizeBytes, isNew);
      await mkdir(this.#dataPath(name), { recursive: true, mode: 0o755 });
    } catch (error) {
      throw wrapError(error, `make the directory of volume ${name}`, { stage: "volume" });
    }
  }

  /** All that is ever in it: also what is on its way into the volume. */
  #limit(place: string, bytes: number, isNew: boolean): void {
    // Somebody has removed it, and what limited it was something else.
    if (isNew) this.#limits?.release(place);
    if (!this.#limits?.isLimited(place)) this.#limits?.limit(place, bytes);
  }

  #dataPath(name: string): string {
    return join(this.#directory, name, "_data");
  }
}

/** One volume that cannot be put in order does not keep the daemon from its work. */
async function attempt(name: string, work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    log("error", "could not put a volume in order", { volume: name, error: errorMessage(error) });
  }
}

/** The directory of a volume that has nothing in it. @returns false for any other, which stays as it is. */
async function removeEmpty(place: string): Promise<boolean> {
  const data = join(place, "_data");
  try {
    const names = await readdir(place);
    const isEmpty = names.length === 0 || (names.length === 1 && names[0] === "_data");
    if (!isEmpty) return false;
    if (names.length > 0) await rmdir(data);
    await rmdir(place);
    return true;
  } catch (error) {
    if (isErrno(error, "ENOENT", "ENOTDIR", "ENOTEMPTY")) return false;
    throw error;
  }
}

async function isDirectory(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isDirectory();
  } catch (error) {
    if (isErrno(error, "ENOENT", "ENOTDIR", "ELOOP")) return false;
    throw error;
  }
}
