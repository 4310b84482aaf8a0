/**
 * Writes an archive's files below a directory that is in use: a container's, which changes it meanwhile, or the user's
 * own. What has another kind than the entry of its name is in the way, and replaced or an error; directories are merged.
 */
import { AT_FDCWD, O_DIRECTORY, O_NOFOLLOW, O_PATH, O_RDONLY, O_TRUNC, O_WRONLY } from "../../ffi/constants/open.ts";
import { S_IFBLK, S_IFCHR, S_IFIFO, STATX_ATTR_MOUNT_ROOT } from "../../ffi/constants/stat.ts";
import type { Fd } from "../../ffi/fd.ts";
import {
  createNew,
  fchmod,
  fchmodat,
  fchown,
  fchownat,
  ftruncate,
  linkat,
  makeDevice,
  mkdirat,
  mknodat,
  openat,
  pread,
  pwrite,
  removeTree,
  symlinkat,
  unlinkat,
  utimensat,
  write,
} from "../../ffi/files.ts";
import { type FileStatus, isDirectory, isRegularFile, isSymlink, statx } from "../../ffi/stat.ts";
import { EngineError, isErrno, wrapError } from "../core/errors.ts";
import { Directories } from "./directories.ts";
import { cleanEntryPath, join, nameOf, parentOf } from "./entry-path.ts";
import { PendingFile } from "./pending-file.ts";
import { printable, type TarEntry, type TarSink } from "./tar-entry.ts";
import { XattrWriter } from "./xattrs.ts";

export interface TreeWriterOptions {
  /** Where below the root the archive's names begin: a clean path of a directory that is there. A byte string. */
  at?: string;
  /** What the root is called in errors; "" for `/`. */
  rootName: string;
  /** A directory in the place of anything else, and the reverse, is an error; else what is there is removed for it. */
  keepsKinds: boolean;
  /** Of what is written: as the archive says, who writes it, or one for all. */
  owner: "archive" | "writer" | { uid: number; gid: number };
  /** True for what is left as it is, with all below it. */
  isLeftOut?: (thing: Fd) => boolean;
}

/** A container may put something into the way again and again. */
const attemptsMax = 16;
/** The size from which it is asked beforehand whether a file may be where it is to be. */
const largeBytes = 2 ** 20;
const copyBytes = 2 ** 20;
const noBytes = new Uint8Array();
/** Needed to put something into a directory: it gets the rest of its mode last. */
const writableMode = 0o700;

export class TreeWriter implements TarSink, Disposable {
  readonly #options: TreeWriterOptions;
  readonly #at: string;
  readonly #directories: Directories;
  readonly #xattrs: XattrWriter;
  /** Described by the archive: their times, and modes that keep out whoever writes, are set last of all. */
  readonly #described = new Map<string, Pick<TarEntry, "mode" | "mtime">>();
  readonly #leftOut = new WeakMap<Fd, boolean>();
  #file: WrittenFile | undefined;
  entries = 0;

  /** @param root the directory that no name and no symlink leads out of; it stays the caller's to close. */
  constructor(root: Fd, options: TreeWriterOptions) {
    this.#options = options;
    this.#at = options.at ?? "";
    this.#xattrs = new XattrWriter(options.owner === "writer");
    const { owner } = options;
    this.#directories = new Directories(root, {
      onImplicit: () => undefined,
      onMade: (directory) => {
        if (typeof owner === "object") fchown(directory, owner.uid, owner.gid);
      },
      onMissing: (parent) => {
        if (this.#isLeftOut(parent)) throw new LeftOut();
      },
      onObstacle: () => false,
    });
  }

  entry(entry: TarEntry): void {
    this.entries++;
    this.#directories.closeForgotten();
    try {
      this.#apply(entry);
    } catch (error) {
      if (!(error instanceof LeftOut)) throw this.#named(entry, error);
    }
  }

  data(chunk: Uint8Array, offset: number): void {
    const file = this.#file;
    if (!file) return; // of a file that is left out
    try {
      if (file.pending === undefined && chunk.length === file.entry.size && this.#createWhole(file, chunk)) return;
      file.pending ??= PendingFile.open(file.parent);
      if (file.entry.sparse) pwrite(file.pending.fd, chunk, offset);
      else write(file.pending.fd, chunk);
    } catch (error) {
      throw this.#named(file.entry, error);
    }
  }

  entryEnd(): void {
    const ended = this.#file;
    if (!ended) return;
    const { entry, parent } = ended;
    try {
      if (entry.size === 0 && ended.pending === undefined && this.#createWhole(ended, noBytes)) return;
      ended.pending ??= PendingFile.open(parent);
      if (entry.sparse) ftruncate(ended.pending.fd, entry.size);
      this.#describe(ended.pending.fd, entry);
      this.#place(ended.pending, ended);
    } catch (error) {
      throw this.#named(entry, error);
    } finally {
      this.#file = undefined;
      ended.pending?.[Symbol.dispose]();
    }
  }

  /** Gives directories their last modes and their times. To be called once, after the archive's end. */
  finish(): void {
    for (const [path, { mode, mtime }] of [...this.#described].reverse()) {
      const parent = this.#directories.find(parentOf(path));
      if (!parent) continue;
      try {
        using directory = openat(parent, bytes(nameOf(path)), O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
        utimensat(directory, "", mtime, mtime);
        if ((mode & writableMode) !== writableMode) fchmod(directory, mode);
      } catch (error) {
        // It was removed meanwhile, or is something else now.
        if (!isErrno(error, "ENOENT", "ENOTDIR", "ELOOP")) throw wrapError(error, this.#shown(path), { stage: "copy" });
      }
      this.#directories.closeForgotten();
    }
  }

  [Symbol.dispose](): void {
    this.#file?.pending?.[Symbol.dispose]();
    this.#directories[Symbol.dispose]();
  }

  #apply(entry: TarEntry): void {
    const path = cleanEntryPath(entry.path, "path", "archive");
    if (path === "") {
      if (entry.type !== "directory") throw new EngineError("invalid_argument", "it would replace the directory");
      return; // the directory that the user named stays as it is
    }
    const whole = join(this.#at, path);
    const parent = this.#directories.get(parentOf(whole));
    if (this.#isLeftOut(parent)) throw new LeftOut();
    if (entry.type === "directory") this.#directory(parent, whole, entry);
    else if (entry.type === "hardlink") this.#link(parent, whole, entry);
    else if (entry.type === "file") this.#openFile(parent, whole, entry);
    else this.#special(parent, whole, entry);
  }

  #directory(parent: Fd, path: string, entry: TarEntry): void {
    const name = bytes(nameOf(path));
    const there = this.#clear(parent, path, entry, isDirectory);
    if (!there) this.#retrying(parent, path, entry, () => mkdirat(parent, name, writableMode));
    const directory = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    this.#directories.adopt(path, directory);
    if (there && this.#isLeftOut(directory)) throw new LeftOut();
    const owner = this.#ownerOf(entry);
    if (owner !== undefined) this.#give(owner, () => fchown(directory, owner.uid, owner.gid));
    fchmod(directory, entry.mode | writableMode);
    this.#xattrs.set(directory, entry.xattrs);
    this.#described.set(path, entry);
  }

  #openFile(parent: Fd, path: string, entry: TarEntry): void {
    if (entry.size >= largeBytes) this.#assertReplaceable(parent, path, entry);
    this.#file = { pending: undefined, isTaken: false, parent, path, entry };
  }

  /**
   * A file that is here whole needs no other name first, where nobody has its own: it is not complete for some
   * microseconds, in which it is its owner's alone.
   * @returns false where something has the name.
   */
  #createWhole({ parent, path, entry }: WrittenFile, bytesOfFile: Uint8Array): boolean {
    if (entry.sparse) return false;
    const name = bytes(nameOf(path));
    using file = createNew(parent, name, O_WRONLY | O_NOFOLLOW, 0o600);
    if (file === undefined) {
      this.#file!.isTaken = true;
      return false;
    }
    try {
      if (bytesOfFile.length > 0) write(file, bytesOfFile);
      this.#describe(file, entry);
    } catch (error) {
      unlinkat(parent, name);
      throw error;
    }
    this.#file = undefined;
    return true;
  }

  #describe(file: Fd, entry: TarEntry): void {
    const owner = this.#ownerOf(entry);
    if (owner !== undefined) this.#give(owner, () => fchown(file, owner.uid, owner.gid));
    // chown and write clear the set-id bits and security.capability: mode and attributes come after them.
    fchmod(file, entry.mode);
    this.#xattrs.set(file, entry.xattrs);
    utimensat(file, "", entry.mtime, entry.mtime);
  }

  /** Somebody may put something into the way, or take it away, again and again. */
  #place(file: PendingFile, { parent, path, entry, isTaken }: WrittenFile): void {
    const name = bytes(nameOf(path));
    for (let attempt = isTaken ? 2 : 1; ; attempt++) {
      const status = attempt === 1 ? undefined : this.#assertReplaceable(parent, path, entry);
      try {
        // Not renamed over it: ext4 would then write the new file to the disk before it went on.
        if (status !== undefined) this.#remove(parent, path, status);
        file.name(name);
        return;
      } catch (error) {
        if (isErrno(error, "EBUSY") && status !== undefined && isRegularFile(status)) {
          this.#overwrite(file.fd, parent, name, entry);
          return;
        }
        if (!isErrno(error, "EEXIST") || attempt === attemptsMax) throw error;
      }
    }
  }

  /** What something is mounted on cannot be replaced: it is written into, and keeps its name. */
  #overwrite(source: Fd, parent: Fd, name: Uint8Array, entry: TarEntry): void {
    {
      using thing = openat(parent, name, O_PATH | O_NOFOLLOW);
      if (this.#options.isLeftOut?.(thing)) return;
    }
    using target = openat(parent, name, O_WRONLY | O_NOFOLLOW | O_TRUNC);
    const buffer = new Uint8Array(Math.min(copyBytes, entry.size));
    for (let at = 0; at < entry.size; ) {
      const length = pread(source, buffer, at);
      if (length === 0) throw new EngineError("internal", `it has ${at} bytes and not ${entry.size}`);
      write(target, buffer.subarray(0, length));
      at += length;
    }
    this.#describe(target, entry);
  }

  #link(parent: Fd, path: string, entry: TarEntry): void {
    const target = join(this.#at, cleanEntryPath(entry.linkPath, "hard link target", "archive"));
    const directory = this.#directories.find(parentOf(target));
    const first = directory && look(directory, target);
    if (!directory || !first) {
      throw new EngineError("invalid_argument", `hard link target ${this.#shown(target)} is not there`);
    }
    const there = look(parent, path);
    // By another way it may be the same name: that must not be removed for itself.
    if (there && isSameFile(there, first)) return;
    this.#clear(parent, path, entry, () => false);
    this.#retrying(parent, path, entry, () => linkat(directory, bytes(nameOf(target)), parent, bytes(nameOf(path))));
  }

  #special(parent: Fd, path: string, entry: TarEntry): void {
    const name = bytes(nameOf(path));
    this.#clear(parent, path, entry, () => false);
    this.#retrying(parent, path, entry, () => {
      if (entry.type === "symlink") return symlinkat(bytes(entry.linkPath), parent, name);
      if (entry.type === "fifo") return mknodat(parent, name, S_IFIFO | 0o600);
      const type = entry.type === "block" ? S_IFBLK : S_IFCHR;
      return mknodat(parent, name, type | 0o600, makeDevice(entry.deviceMajor, entry.deviceMinor));
    });
    const owner = this.#ownerOf(entry);
    if (owner !== undefined) this.#give(owner, () => fchownat(parent, name, owner.uid, owner.gid));
    if (entry.type !== "symlink") chmodAt(parent, name, entry.mode);
    this.#xattrs.setByName(parent, name, entry.xattrs);
    utimensat(parent, name, entry.mtime, entry.mtime);
  }

  /**
   * Removes what is at the path, unless it may stay.
   * @param mayStay what the entry is merged with.
   * @returns true where something stays. @throws EngineError where its kind may not change.
   */
  #clear(parent: Fd, path: string, entry: TarEntry, mayStay: (status: FileStatus) => boolean): boolean {
    const status = look(parent, path);
    if (status === undefined) return false;
    if (mayStay(status)) return true;
    this.#assertKind(path, status, entry);
    this.#remove(parent, path, status);
    return false;
  }

  #remove(parent: Fd, path: string, status: FileStatus): void {
    // It would lose what is in it, and stay.
    if (isMountedDirectory(status)) {
      throw new EngineError("invalid_argument", `${this.#shown(path)} is a mount, and cannot be replaced`);
    }
    try {
      removeTree(parent, bytes(nameOf(path)));
    } catch (error) {
      if (!isErrno(error, "ENOENT")) throw error;
    }
    if (isDirectory(status)) this.#directories.forget();
  }

  #assertReplaceable(parent: Fd, path: string, entry: TarEntry): FileStatus | undefined {
    const status = look(parent, path);
    if (status !== undefined) this.#assertKind(path, status, entry);
    return status;
  }

  #assertKind(path: string, status: FileStatus, entry: TarEntry): void {
    if (this.#options.keepsKinds && isDirectory(status) !== (entry.type === "directory")) {
      throw this.#otherKind(path, isDirectory(status));
    }
  }

  #isLeftOut(directory: Fd): boolean {
    const { isLeftOut } = this.#options;
    if (isLeftOut === undefined) return false;
    const known = this.#leftOut.get(directory) ?? isLeftOut(directory);
    this.#leftOut.set(directory, known);
    return known;
  }

  #otherKind(path: string, isDirectoryNow: boolean): EngineError {
    const [there, given] = isDirectoryNow ? ["directory", "non-directory"] : ["non-directory", "directory"];
    const [name, target] = [path, this.#at].map((each) => JSON.stringify(this.#shown(each)));
    return new EngineError("invalid_argument", `cannot overwrite ${there} ${name} with ${given} ${target}`);
  }

  /** Once more where somebody has made the same name meanwhile. */
  #retrying<T>(parent: Fd, path: string, entry: TarEntry, make: () => T): T {
    for (let attempt = 1; ; attempt++) {
      try {
        return make();
      } catch (error) {
        if (!isErrno(error, "EEXIST") || attempt === attemptsMax) throw error;
        this.#clear(parent, path, entry, () => false);
      }
    }
  }

  #give(owner: { uid: number; gid: number }, chown: () => void): void {
    try {
      chown();
    } catch (error) {
      if (!isErrno(error, "EINVAL")) throw error;
      const reason = `its owner ${owner.uid}:${owner.gid} is not in the container's user namespace`;
      throw new EngineError("internal", reason, { cause: error });
    }
  }

  #ownerOf(entry: TarEntry): { uid: number; gid: number } | undefined {
    const { owner } = this.#options;
    if (owner === "writer") return undefined;
    return owner === "archive" ? entry : owner;
  }

  #shown(path: string): string {
    return `${this.#options.rootName}/${printable(path)}`;
  }

  /** What is refused has words of its own; what the kernel refuses gets the entry's name. */
  #named(entry: TarEntry, error: unknown): unknown {
    if (error instanceof EngineError && error.code === "invalid_argument") return error;
    return wrapError(error, `archive entry ${printable(entry.path)}`, { stage: "copy" });
  }
}

interface WrittenFile {
  /** Opened when it is clear that the file needs one. */
  pending: PendingFile | undefined;
  /** Something had its name. */
  isTaken: boolean;
  parent: Fd;
  path: string;
  entry: TarEntry;
}

/** The entry has no place that may be written to. */
class LeftOut extends Error {}

function isMountedDirectory(status: FileStatus): boolean {
  return isDirectory(status) && (status.attributes & BigInt(STATX_ATTR_MOUNT_ROOT)) !== 0n;
}

function isSameFile(a: FileStatus, b: FileStatus): boolean {
  return a.inode === b.inode && a.deviceMajor === b.deviceMajor && a.deviceMinor === b.deviceMinor;
}

function look(parent: Fd, path: string): FileStatus | undefined {
  try {
    return statx(parent, bytes(nameOf(path)));
  } catch (error) {
    if (isErrno(error, "ENOENT")) return undefined;
    throw error;
  }
}

/** fchmodat(2) follows symlinks, and somebody may have put one there meanwhile. */
function chmodAt(parent: Fd, name: Uint8Array, mode: number): void {
  using node = openat(parent, name, O_PATH | O_NOFOLLOW);
  if (!isSymlink(statx(node))) fchmodat(AT_FDCWD, `/proc/self/fd/${node.number}`, mode);
}

function bytes(path: string): Uint8Array {
  return Buffer.from(path, "latin1");
}
