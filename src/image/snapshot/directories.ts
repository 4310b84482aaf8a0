/**
 * The directories below `snapshots/`: made under a temporary name, renamed when whole, renamed into `trash/` and
 * then deleted, so that whatever instant the daemon is killed at, a name either is complete or says that it is not.
 */
import { randomBytes } from "node:crypto";
import { chmodSync, existsSync, mkdirSync, readdirSync, renameSync } from "node:fs";
import { readdir, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { O_DIRECTORY, O_RDONLY } from "../../../ffi/constants/open.ts";
import { open } from "../../../ffi/files.ts";
import { projectOf, setProject } from "../../../ffi/quota.ts";
import { syncDirectory } from "../../core/atomic-file.ts";
import type { DirectoryLimits, LimitRefusal } from "../../core/directory-limits.ts";
import { EngineError, isErrno } from "../../core/errors.ts";
import { log } from "../../core/log.ts";

/** Searchable, not readable: a container in a user namespace has to pass through on the way to its root. */
const directoryMode = 0o711;
const partialPrefix = "partial-";
const trashName = "trash";
const emptyName = "empty";

export class SnapshotDirectories {
  readonly root: string;
  readonly #limits: DirectoryLimits | undefined;
  #emptying: Promise<void> = Promise.resolve();
  #emptyings = 0;
  /** Made by this process, and not on record yet. */
  readonly #unrecorded = new Set<string>();

  /** @param limits what limits writable layers; absent: nothing does. */
  constructor(root: string, limits?: DirectoryLimits) {
    this.root = root;
    this.#limits = limits;
    mkdirSync(root, { recursive: true, mode: directoryMode });
    mkdirSync(join(root, trashName), { recursive: true, mode: 0o700 });
  }

  path(name: string): string {
    return join(this.root, name);
  }

  has(name: string): boolean {
    return existsSync(join(this.root, name, "fs"));
  }

  /** A directory with an empty `fs` in it, which no clean-up takes for finished. @returns its name. */
  makePartial(): string {
    const name = `${partialPrefix}${newName()}`;
    this.#unrecorded.add(name);
    mkdirSync(join(this.root, name), { mode: directoryMode });
    mkdirSync(join(this.root, name, "fs"));
    // Whatever the umask: it is the image's root until the image says otherwise.
    chmodSync(join(this.root, name, "fs"), 0o755);
    return name;
  }

  /**
   * The partial directory is whole: gives it its final name, durably, and has it recorded under that. Until it is, nobody
   * takes it for an orphan; when it cannot be, it is discarded.
   * @param record answers false when nobody wants it any more.
   */
  async finish(partial: string, record: (name: string) => boolean): Promise<void> {
    const name = partial.slice(partialPrefix.length);
    this.#unrecorded.add(name);
    try {
      await rename(join(this.root, partial), join(this.root, name));
      await syncDirectory(this.root);
      if (!record(name)) this.discard(name);
    } catch (error) {
      this.discard(partial);
      this.discard(name);
      throw error;
    } finally {
      this.#unrecorded.delete(partial);
      this.#unrecorded.delete(name);
    }
  }

  /** Why writable layers cannot be limited; undefined where they can. */
  whyNoLimit(): LimitRefusal | undefined {
    return this.#limits === undefined ? { reason: "nothing limits directories here" } : this.#limits.whyNot(this.root);
  }

  /**
   * The directories of a container's own layer: `fs` to write to and overlayfs's `work` beside it.
   * @param limit of what both take together, in bytes; absent: none. @returns the name.
   * @throws EngineError unsupported where there is nothing to limit it by.
   */
  makeWritable(limit?: number): string {
    const name = newName();
    const path = join(this.root, name);
    try {
      mkdirSync(path, { mode: directoryMode });
      // As long as it is empty: what is made in it inherits the limit.
      if (limit !== undefined) this.#limit(path, limit);
      mkdirSync(join(path, "fs"));
      chmodSync(join(path, "fs"), 0o755);
      mkdirSync(join(path, "work"), { mode: 0o700 });
    } catch (error) {
      this.discard(name);
      throw error;
    }
    return name;
  }

  /** To be held while a container's layer is mounted, which may be full. */
  roomToMount(name: string): Disposable {
    return this.#limits?.roomToMount(this.path(name)) ?? { [Symbol.dispose]: () => undefined };
  }

  #limit(path: string, bytes: number): void {
    if (this.#limits === undefined) throw new EngineError("unsupported", `nothing limits ${path}`);
    this.#limits.limit(path, bytes);
  }

  /** A directory with nothing in it, for images without layers. */
  empty(): string {
    const path = join(this.root, emptyName);
    mkdirSync(path, { recursive: true });
    chmodSync(path, 0o755);
    return path;
  }

  /** Is it one that needs no record: the trash, the empty one, one that is being made by this process? */
  isOwn(name: string): boolean {
    return name === trashName || name === emptyName || this.#unrecorded.has(name);
  }

  /** Takes the directory out of sight at once; what is in it is deleted later. A missing one is no error. */
  discard(name: string): void {
    this.#unrecorded.delete(name);
    try {
      this.#moveToTrash(name);
    } catch (error) {
      if (!isErrno(error, "ENOENT")) throw error;
    }
    this.#limits?.release(this.path(name));
    void this.emptyTrash();
  }

  #moveToTrash(name: string): void {
    const [from, to] = [this.path(name), join(this.root, trashName, `${name}-${newName()}`)];
    try {
      renameSync(from, to);
    } catch (error) {
      if (!isErrno(error, "EXDEV")) throw error;
      // Somebody has made everything here a project: nothing of another one may come into a directory of that.
      using directory = open(from, O_RDONLY | O_DIRECTORY);
      using trash = open(join(this.root, trashName), O_RDONLY | O_DIRECTORY);
      setProject(directory, projectOf(trash));
      renameSync(from, to);
    }
  }

  /** Discards every directory that nobody owns: what a killed daemon was in the middle of. */
  discardExcept(known: ReadonlySet<string>): void {
    for (const name of readdirSync(this.root)) {
      if (name !== trashName && name !== emptyName && !known.has(name)) this.discard(name);
    }
    void this.emptyTrash();
  }

  /** Deletes what was discarded, after what is being deleted. */
  async emptyTrash(): Promise<void> {
    this.#emptyings++;
    this.#emptying = this.#emptying.then(() => this.#emptyTrash()).finally(() => this.#emptyings--);
    return this.#emptying;
  }

  get isEmptying(): boolean {
    return this.#emptyings > 0;
  }

  /** When everything discarded so far is gone from the disk. */
  async settled(): Promise<void> {
    await this.#emptying;
  }

  async #emptyTrash(): Promise<void> {
    const trash = join(this.root, trashName);
    for (const name of await readdir(trash)) {
      try {
        await rm(join(trash, name), { recursive: true, force: true });
      } catch (error) {
        // It is out of the way; the next start tries again.
        log("warn", `snapshot ${name}: cannot be deleted`, { error: String(error) });
      }
    }
  }
}

function newName(): string {
  return randomBytes(8).toString("hex");
}
