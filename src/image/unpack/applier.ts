/**
 * Turns a layer's archive into files below one directory (image specification, layer.md).
 *
 * Two forms of the same layer: as overlayfs wants it (a whiteout is a character device 0/0, layers lie side by
 * side), or applied to the directory that already holds the layers below it (a whiteout removes).
 */
import {
  AT_REMOVEDIR,
  O_CREAT,
  O_DIRECTORY,
  O_EXCL,
  O_NOFOLLOW,
  O_RDONLY,
  O_WRONLY,
} from "../../../ffi/constants/open.ts";
import { S_IFBLK, S_IFCHR, S_IFIFO, S_ISGID } from "../../../ffi/constants/stat.ts";
import type { Fd } from "../../../ffi/fd.ts";
import {
  type FileTime,
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
  pwrite,
  readDirectory,
  removeTree,
  symlinkat,
  unlinkat,
  utimensat,
  write,
} from "../../../ffi/files.ts";
import { type FileStatus, isDirectory, isWhiteout, statx } from "../../../ffi/stat.ts";
import { EngineError, isErrno, wrapError } from "../../core/errors.ts";
import { Directories } from "../../tar/directories.ts";
import { cleanEntryPath, isWithin, join, nameOf, parentOf } from "../../tar/entry-path.ts";
import { printable, type TarEntry, type TarSink } from "../../tar/tar-entry.ts";
import { XattrWriter } from "../../tar/xattrs.ts";

export type WhiteoutForm = "overlay" | "remove";

export interface ApplyLimits {
  /** Sizes of all files together. */
  bytesMax: number;
  entriesMax: number;
}

/** A hard link whose target the layer does not have itself. Byte strings. */
export interface LowerLink {
  path: string;
  target: string;
}

/** What the layer holds, and what is left to do for whoever may set trusted attributes and sees the lower layers. */
export interface ApplyReport {
  entries: number;
  /** Sizes of all files together. */
  bytes: number;
  /** Directories that no entry described: byte strings. They are to look as in the layers below. */
  implicit: string[];
  /** Directories that hide what the layers below have there: trusted.overlay.opaque. */
  opaque: string[];
  /** Hard links to files of the layers below, in their order. Of form "remove" there is none: those files are there. */
  lowerLinks: LowerLink[];
  /** Names of extended attributes that this file system or kernel does not take. */
  skippedXattrs: string[];
}

const whiteoutPrefix = ".wh.";
const opaqueMarker = ".wh..wh..opq";

export class LayerApplier implements TarSink, Disposable {
  readonly #root: Fd;
  readonly #form: WhiteoutForm;
  readonly #limits: ApplyLimits;
  readonly #directories: Directories;
  readonly #xattrs: XattrWriter;
  readonly #implicit = new Set<string>();
  readonly #opaque = new Set<string>();
  /** Opaque because what is below was deleted first: such a directory is a new one. */
  readonly #deleted = new Set<string>();
  /** Path → target of hard links that wait for the layers below. */
  readonly #lowerLinks = new Map<string, string>();
  /** Set last of all: making a file changes its directory's time. */
  readonly #times = new Map<string, FileTime>();
  /** Of form "remove": what this layer made itself, which its own whiteouts leave alone. */
  readonly #made = new Set<string>();
  /**
   * A new file is root's and has the mode that it is created with. Not so where a umask takes some of it, and below
   * directories that give on their group (set-gid, or another one on file systems mounted with grpid) or default ACLs.
   */
  #createsPlainly: boolean;
  #entries = 0;
  #bytes = 0;
  #file: { fd: Fd; entry: TarEntry } | undefined;

  /** @param root the directory to unpack into; it stays the caller's to close. */
  constructor(root: Fd, form: WhiteoutForm, limits: ApplyLimits) {
    this.#root = root;
    this.#form = form;
    this.#limits = limits;
    this.#xattrs = new XattrWriter();
    const { uid, gid, mode } = statx(root);
    const isOwn = uid === 0 && process.geteuid?.() === 0 && process.umask() === 0;
    this.#createsPlainly = form === "overlay" && isOwn && !givesOn(gid, mode);
    // The root of a layer is a directory like any other: in overlayfs the topmost one's attributes count.
    if (form === "overlay") this.#implicit.add("");
    this.#directories = new Directories(root, {
      onImplicit: (path) => {
        this.#implicit.add(path);
        this.#noteMade(path);
      },
      onObstacle: (parent, path, status) =>
        this.#replaceWhiteout(parent, path, status) || this.#replaceLowerFile(parent, path),
    });
  }

  entry(entry: TarEntry): void {
    this.#entries++;
    this.#bytes += entry.size;
    this.#checkLimits();
    this.#directories.closeForgotten();
    try {
      this.#apply(entry);
    } catch (error) {
      throw failed(entry, error);
    }
  }

  data(chunk: Uint8Array, offset: number): void {
    const file = this.#file;
    if (!file) throw new EngineError("internal", "layer data without a file");
    try {
      if (file.entry.sparse) pwrite(file.fd, chunk, offset);
      else write(file.fd, chunk);
    } catch (error) {
      throw failed(file.entry, error);
    }
  }

  entryEnd(): void {
    if (!this.#file) return;
    const { fd, entry } = this.#file;
    this.#file = undefined;
    using _closing = fd;
    try {
      if (entry.sparse) ftruncate(fd, entry.size);
      const isPlain = this.#createsPlainly && entry.uid === 0 && entry.gid === 0;
      // It has them already, and most files of most images are so.
      if (!isPlain) fchown(fd, entry.uid, entry.gid);
      // chown and write clear the set-id bits and security.capability: mode and attributes come after them.
      if (!isPlain || entry.mode > 0o777) fchmod(fd, entry.mode);
      this.#xattrs.set(fd, entry.xattrs);
      utimensat(fd, "", entry.mtime, entry.mtime);
    } catch (error) {
      throw failed(entry, error);
    }
  }

  /** Sets the directories' times. To be called once, after the archive's end. */
  finish(): ApplyReport {
    for (const [path, time] of this.#times) {
      if (path === "") utimensat(this.#root, "", time, time);
      else utimensat(this.#directories.get(parentOf(path)), bytes(nameOf(path)), time, time);
    }
    return {
      entries: this.#entries,
      bytes: this.#bytes,
      implicit: [...this.#implicit].filter((path) => !this.#deleted.has(path)),
      opaque: [...this.#opaque],
      lowerLinks: [...this.#lowerLinks].map(([path, target]) => ({ path, target })),
      skippedXattrs: this.#xattrs.skipped,
    };
  }

  [Symbol.dispose](): void {
    this.#file?.fd.close();
    this.#directories[Symbol.dispose]();
  }

  #checkLimits(): void {
    const { bytesMax, entriesMax } = this.#limits;
    if (this.#bytes > bytesMax) {
      throw new EngineError("invalid_argument", `layer unpacks to ${tooManyBytes(bytesMax)}`);
    }
    // A path makes a directory of each of its parts, described or not.
    const implicit = this.#implicit.size - Number(this.#implicit.has(""));
    if (this.#entries + implicit > entriesMax) {
      throw new EngineError(
        "invalid_argument",
        `layer has more than ${entriesMax} entries, which the daemon's --max-layer-files does not allow`,
      );
    }
  }

  #apply(entry: TarEntry): void {
    const path = cleanEntryPath(entry.path, "path");
    if (path === "") {
      if (entry.type !== "directory") throw new EngineError("invalid_argument", "the root must be a directory");
      this.#describeDirectory(this.#root, path, entry);
      return;
    }
    const name = nameOf(path);
    if (name.startsWith(whiteoutPrefix)) {
      this.#applyWhiteout(parentOf(path), name);
      return;
    }
    const parent = this.#directories.get(parentOf(path));
    this.#lowerLinks.delete(path);
    this.#create(parent, path, entry);
    this.#noteMade(path);
  }

  #create(parent: Fd, path: string, entry: TarEntry): void {
    const name = bytes(nameOf(path));
    switch (entry.type) {
      case "directory":
        this.#describeDirectory(this.#makeDirectory(parent, path), path, entry);
        return;
      case "file": {
        const flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW;
        const mode = this.#createsPlainly ? entry.mode & 0o777 : 0o600;
        this.#file = { fd: this.#replacing(parent, path, () => openat(parent, name, flags, mode)), entry };
        return;
      }
      case "hardlink":
        this.#link(parent, path, entry);
        return; // the inode's attributes came with its first name
      case "symlink":
        this.#replacing(parent, path, () => symlinkat(bytes(entry.linkPath), parent, name));
        break;
      case "fifo":
        this.#replacing(parent, path, () => mknodat(parent, name, S_IFIFO | 0o600));
        break;
      case "character":
      case "block": {
        const type = entry.type === "block" ? S_IFBLK : S_IFCHR;
        const device = makeDevice(entry.deviceMajor, entry.deviceMinor);
        this.#replacing(parent, path, () => mknodat(parent, name, type | 0o600, device));
      }
    }
    fchownat(parent, name, entry.uid, entry.gid);
    if (entry.type !== "symlink") fchmodat(parent, name, entry.mode);
    this.#xattrs.setByName(parent, name, entry.xattrs);
    utimensat(parent, name, entry.mtime, entry.mtime);
  }

  /** The directory at `path`, new or as it was; it is kept open, for what lies in it comes next. */
  #makeDirectory(parent: Fd, path: string): Fd {
    const name = bytes(nameOf(path));
    try {
      mkdirat(parent, name, 0o700);
    } catch (error) {
      if (!isErrno(error, "EEXIST")) throw error;
      const status = statx(parent, name);
      if (!isDirectory(status)) {
        if (!this.#replaceWhiteout(parent, path, status)) this.#remove(parent, path);
        mkdirat(parent, name, 0o700);
      }
    }
    const directory = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    this.#directories.adopt(path, directory);
    return directory;
  }

  #describeDirectory(directory: Fd, path: string, entry: TarEntry): void {
    this.#implicit.delete(path);
    if (givesOn(entry.gid, entry.mode) || entry.xattrs.size > 0) this.#createsPlainly = false;
    fchown(directory, entry.uid, entry.gid);
    fchmod(directory, entry.mode);
    this.#xattrs.set(directory, entry.xattrs);
    this.#times.set(path, entry.mtime);
  }

  #link(parent: Fd, path: string, entry: TarEntry): void {
    const target = cleanEntryPath(entry.linkPath, "hard link target");
    if (target === path) return;
    const waiting = this.#lowerLinks.get(target);
    if (waiting !== undefined) {
      this.#linkLater(parent, path, waiting);
      return;
    }
    const targetDirectory = this.#directories.get(parentOf(target));
    const targetName = bytes(nameOf(target));
    try {
      if (this.#form === "overlay" && isWhiteout(statx(targetDirectory, targetName))) throw deletedTarget(target);
      this.#replacing(parent, path, () => linkat(targetDirectory, targetName, parent, bytes(nameOf(path))));
    } catch (error) {
      if (!isErrno(error, "ENOENT")) throw error;
      if (this.#form === "overlay") this.#linkLater(parent, path, target);
      else throw new EngineError("invalid_argument", `hard link target ${printable(target)} is not there`);
    }
  }

  /** Whether a layer below has the target, this process cannot see. Nothing of this layer is to stand in the way. */
  #linkLater(parent: Fd, path: string, target: string): void {
    try {
      this.#remove(parent, path);
    } catch (error) {
      if (!isErrno(error, "ENOENT")) throw error;
    }
    this.#lowerLinks.set(path, target);
  }

  /** Does it, and once more after removing what was in the way: a later entry of the same name replaces an earlier one. */
  #replacing<T>(parent: Fd, path: string, make: () => T): T {
    try {
      return make();
    } catch (error) {
      if (!isErrno(error, "EEXIST")) throw error;
      this.#remove(parent, path);
      return make();
    }
  }

  #remove(parent: Fd, path: string): void {
    removeTree(parent, bytes(nameOf(path)));
    this.#directories.forget();
    for (const paths of [this.#implicit, this.#opaque, this.#deleted, this.#made, this.#times, this.#lowerLinks]) {
      for (const known of paths.keys()) if (isWithin(known, path)) paths.delete(known);
    }
  }

  /** A whiteout and then a directory of that name: what is below stays hidden, so the directory is opaque. */
  #replaceWhiteout(parent: Fd, path: string, status: FileStatus): boolean {
    if (this.#form !== "overlay" || !isWhiteout(status)) return false;
    unlinkat(parent, bytes(nameOf(path)));
    this.#replaceLower(path);
    return true;
  }

  /** Of form "remove": this layer has a directory where a lower one has a file. */
  #replaceLowerFile(parent: Fd, path: string): boolean {
    if (this.#form !== "remove" || this.#made.has(path)) return false;
    unlinkat(parent, bytes(nameOf(path)));
    return true;
  }

  #applyWhiteout(directory: string, marker: string): void {
    const parent = this.#directories.get(directory);
    this.#noteMade(directory);
    if (marker === opaqueMarker) {
      if (this.#form === "overlay") this.#opaque.add(directory);
      else this.#removeLower(parent, directory);
      return;
    }
    // What else begins so is AUFS's own book-keeping, which no container sees.
    if (marker.startsWith(`${whiteoutPrefix}${whiteoutPrefix}`)) return;
    const name = marker.slice(whiteoutPrefix.length);
    if (name === "" || name === "." || name === "..") throw new EngineError("invalid_argument", "invalid whiteout");
    const path = join(directory, name);
    if (this.#form === "overlay") this.#whiteOut(parent, path);
    else this.#removeName(parent, path);
  }

  #whiteOut(parent: Fd, path: string): void {
    try {
      mknodat(parent, bytes(nameOf(path)), S_IFCHR, 0);
    } catch (error) {
      if (!isErrno(error, "EEXIST")) throw error;
      // This layer has the name itself. A file hides what is below anyway, a directory must be told to.
      if (isDirectory(statx(parent, bytes(nameOf(path))))) this.#replaceLower(path);
    }
  }

  #replaceLower(path: string): void {
    this.#opaque.add(path);
    this.#deleted.add(path);
  }

  /** Of form "remove": removes what lower layers left at `path`; what this layer made stays. */
  #removeName(parent: Fd, path: string): void {
    const name = bytes(nameOf(path));
    let status: FileStatus;
    try {
      status = statx(parent, name);
    } catch (error) {
      if (isErrno(error, "ENOENT")) return;
      throw error;
    }
    if (isDirectory(status)) {
      {
        using directory = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
        this.#removeLower(directory, path);
      }
      if (this.#made.has(path)) return;
      try {
        unlinkat(parent, name, AT_REMOVEDIR);
      } catch (error) {
        if (!isErrno(error, "ENOTEMPTY")) throw error;
      }
      this.#directories.forget();
    } else if (!this.#made.has(path)) {
      unlinkat(parent, name);
      this.#directories.forget();
    }
  }

  #removeLower(directory: Fd, path: string): void {
    // Kept open elsewhere and perhaps read before: a second description starts at the beginning.
    using opened = openat(directory, ".", O_RDONLY | O_DIRECTORY);
    for (const entry of readDirectory(opened)) {
      this.#removeName(opened, join(path, Buffer.from(entry.bytes).toString("latin1")));
    }
  }

  /** With the directories above it: a layer that has something in a directory has the directory. */
  #noteMade(path: string): void {
    if (this.#form !== "remove") return;
    for (let at = path; at !== "" && !this.#made.has(at); at = parentOf(at)) this.#made.add(at);
  }
}

/** Of an archive that may have been made to fill the disk. */
export function tooManyBytes(limit: number): string {
  return `more than ${limit} bytes, which the daemon's --max-layer-size does not allow`;
}

/** May a file in such a directory have another group than its creator's? */
function givesOn(gid: number, mode: number): boolean {
  return gid !== 0 || (mode & S_ISGID) !== 0;
}

function deletedTarget(target: string): EngineError {
  return new EngineError("invalid_argument", `hard link target ${printable(target)} is deleted by the layer`);
}

function bytes(path: string): Uint8Array {
  return Buffer.from(path, "latin1");
}

function failed(entry: TarEntry, error: unknown): EngineError {
  return wrapError(error, `layer entry ${printable(entry.path)}`, { stage: "unpack" });
}
