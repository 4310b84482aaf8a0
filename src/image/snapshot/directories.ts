/**
 * The directories below `snapshots/`: made under a temporary name, renamed when whole, renamed into `trash/` and
 * then deleted, so that whatever instant the daemon is killed at, a name either is complete or says that it is not.
 */
import { randomBytes } from "node:crypto";
import { chmodSync, existsSync, mkdirSync, readdirSync, renameSync } from "node:fs";
import { readdir, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { syncDirectory } from "../../core/atomic-file.ts";
import { isErrno } from "../../core/errors.ts";
import { log } from "../../core/log.ts";

/** Searchable, not readable: a container in a user namespace has to pass through on the way to its root. */
const directoryMode = 0o711;
const partialPrefix = "partial-";
const trashName = "trash";
const emptyName = "empty";

export class SnapshotDirectories {
  readonly root: string;
  #emptying: Promise<void> = Promise.resolve();

  constructor(root: string) {
    this.root = root;
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
    mkdirSync(join(this.root, name), { mode: directoryMode });
    mkdirSync(join(this.root, name, "fs"));
    // Whatever the umask: it is the image's root until the image says otherwise.
    chmodSync(join(this.root, name, "fs"), 0o755);
    return name;
  }

  /** The partial directory is whole: gives it its final name, durably. @returns that name. */
  async finish(partial: string): Promise<string> {
    const name = partial.slice(partialPrefix.length);
    await rename(join(this.root, partial), join(this.root, name));
    await syncDirectory(this.root);
    return name;
  }

  /** The directories of a container's own layer: `fs` to write to and overlayfs's `work` beside it. @returns the name. */
  makeWritable(): string {
    const name = newName();
    mkdirSync(join(this.root, name), { mode: directoryMode });
    mkdirSync(join(this.root, name, "fs"));
    chmodSync(join(this.root, name, "fs"), 0o755);
    mkdirSync(join(this.root, name, "work"), { mode: 0o700 });
    return name;
  }

  /** A directory with nothing in it, for images without layers. */
  empty(): string {
    const path = join(this.root, emptyName);
    mkdirSync(path, { recursive: true });
    chmodSync(path, 0o755);
    return path;
  }

  /** Takes the directory out of sight at once; what is in it is deleted later. A missing one is no error. */
  discard(name: string): void {
    try {
      renameSync(join(this.root, name), join(this.root, trashName, `${name}-${newName()}`));
    } catch (error) {
      if (!isErrno(error, "ENOENT")) throw error;
    }
    this.#emptying = this.#emptying.then(() => this.#emptyTrash());
  }

  /** Discards every directory that nobody owns: what a killed daemon was in the middle of. */
  discardExcept(known: ReadonlySet<string>): void {
    for (const name of readdirSync(this.root)) {
      if (name !== trashName && name !== emptyName && !known.has(name)) this.discard(name);
    }
    this.#emptying = this.#emptying.then(() => this.#emptyTrash());
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
