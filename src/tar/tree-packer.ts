/**
 * A directory as a tar archive: every file with owner, mode, time, attributes, hard links and holes, in the order of
 * names. By descriptor throughout, and of a tree that may change meanwhile: what is gone is left out, and a file that
 * shrinks or grows keeps in the archive the size that its header says.
 */
import { O_DIRECTORY, O_NOFOLLOW, O_NONBLOCK, O_PATH, O_RDONLY, RESOLVE_NO_XDEV } from "../../ffi/constants/open.ts";
import { S_IFBLK, S_IFCHR, S_IFDIR, S_IFIFO, S_IFLNK, S_IFMT, S_IFREG } from "../../ffi/constants/stat.ts";
import type { Fd } from "../../ffi/fd.ts";
import { type DirectoryEntry, openat, openat2, pread, readDirectory, readlinkBytes } from "../../ffi/files.ts";
import { type FileStatus, getXattr, isDirectory, isRegularFile, isWhiteout, listXattr, statx } from "../../ffi/stat.ts";
import { EngineError, isErrno, wrapError } from "../core/errors.ts";
import { dataRegions } from "./holes.ts";
import { emptyEntry, printable, type SparseRegion, type TarEntry, type TarType } from "./tar-entry.ts";
import { blockSize } from "./tar-header.ts";
import { endOfArchive, padding, putUsualHeader, tarHeader, usualHeaderMax } from "./tar-writer.ts";

/** Handed on in pieces of about this size. */
const pieceBytes = 2 ** 20;
/** So much room there is for each file that is added in one go. */
const wholeBytes = 2 ** 17;
const DT_REG = 8;
/**
 * So many bytes of a file's holes are written out as zeros in a layer: docker 20.10 and podman 4.3 unpack files with
 * holes rightly, but cannot save such an image again.
 */
const layerHolesMax = 8 * 2 ** 30;
/** Every level holds a descriptor; no file system that people use is as deep. */
export const depthMax = 4096;

const fileFlags = O_RDONLY | O_NOFOLLOW | O_NONBLOCK;

const opaqueMarker = ".wh..wh..opq";

/** The host's own labels, and what the kernel computes: none of the container's. */
const foreignXattrs = /^(trusted\.|user\.overlay\.|security\.(selinux|SMACK64|ima|evm|apparmor)$)/;

/** A whole tree with its holes, or a layer: overlayfs's whiteouts as the image specification writes them. */
export type PackForm = "tree" | "layer";

export interface PackOptions {
  form: PackForm;
  /** Of form "layer": directories that hide what lies below them. Byte strings. */
  opaque?: ReadonlySet<string>;
  /** Left out where they are empty: what a container's mounts lay on. Byte strings. */
  mountPoints?: ReadonlySet<string>;
  /** Describe the root itself. */
  describesRoot?: boolean;
  /** Of what is mounted on something below the first: true for a directory whose content, and for a file that, is left out. */
  isLeftOut?: (thing: Fd) => boolean;
}

interface Level {
  directory: Fd;
  /** With its final slash, "" for the root. A byte string. */
  prefix: string;
  names: DirectoryEntry[];
  mountId: bigint;
}

export class TreePacker {
  readonly #root: Fd;
  readonly #options: PackOptions;
  readonly #gathered: Buffer = Buffer.allocUnsafe(pieceBytes);
  #gatheredBytes = 0;
  /** `device:inode` of files with several names, to the first of them. */
  readonly #linked = new Map<string, string>();
  entries = 0;
  /** Of headers without extensions, of data and of the end: what docker counts. */
  plainBytes = endOfArchive.length;
  /** Sockets, which no archive can hold. */
  skipped = 0;

  /** @param root stays the caller's to close. */
  constructor(root: Fd, options: PackOptions) {
    this.#root = root;
    this.#options = options;
  }

  /** The archive in pieces, each valid until the next is asked for. @throws EngineError that names the file. */
  *pack(): Generator<Uint8Array, void, void> {
    if (this.#options.describesRoot) {
      yield* this.#header(entryOf("./", "directory", statx(this.#root), this.#root));
    }
    if (this.#options.opaque?.has("")) yield* this.#marker(opaqueMarker);
    yield* this.#tree(this.#level(openat(this.#root, ".", O_RDONLY | O_DIRECTORY), ""));
    yield* this.#add(endOfArchive);
    yield* this.#flush();
  }

  /**
   * One file or directory, with all that is in it, as an archive in which it has another name.
   * @param parent where it lies; it stays the caller's. @param name of one part. @param path a byte string, "/" for a
   * root.
   * @throws EngineError that names the file; not_found where it is gone.
   */
  *packOne(parent: Fd, name: Uint8Array, path: string): Generator<Uint8Array, void, void> {
    const below = yield* this.#entry(parent, name, path);
    if (this.entries + this.skipped === 0) throw new EngineError("not_found", `${printable(path)} is gone`);
    if (below) yield* this.#tree(below);
    yield* this.#add(endOfArchive);
    yield* this.#flush();
  }

  /** What is in a directory, which it closes. */
  *#tree(top: Level): Generator<Uint8Array, void, void> {
    const levels = [top];
    try {
      for (let level = levels.at(-1); level !== undefined; level = levels.at(-1)) {
        const next = level.names.pop();
        if (next === undefined) {
          level.directory.close();
          levels.pop();
          continue;
        }
        const { bytes: name, type } = next;
        const path = level.prefix + latin1(name);
        if (type === DT_REG) {
          if (pieceBytes - this.#gatheredBytes < wholeBytes) yield* this.#flush();
          if (this.#wholeFile(level.directory, name, path)) continue;
        }
        const below = yield* this.#entry(level.directory, name, path, level.mountId);
        if (below) levels.push(below);
        if (levels.length > depthMax)
          throw new EngineError("unsupported", `${printable(below!.prefix)}: more than ${depthMax} directories deep`);
      }
    } finally {
      for (const { directory } of levels) directory.close();
    }
  }

  /** Names from the last to the first, so that the next is taken from the end. */
  #level(directory: Fd, prefix: string, { mountId } = statx(directory), isLeftOut = false): Level {
    const names = isLeftOut ? [] : readDirectory(directory);
    return { directory, prefix, names: names.sort((a, b) => Buffer.compare(b.bytes, a.bytes)), mountId };
  }

  /**
   * Adds a file of the usual kind to the piece: small, without holes and further names, and not of another mount.
   * @returns false where it is none, and nothing was added.
   */
  #wholeFile(parent: Fd, name: Uint8Array, path: string): boolean {
    try {
      using file = this.#openHere(parent, name);
      const status = statx(file);
      const { size } = status;
      if (!isRegularFile(status) || status.links > 1 || size > wholeBytes / 2) return false;
      if (size === 0 && this.#options.mountPoints?.has(path)) return true;
      if (dataRegions(file, status) !== undefined) return false;
      const entry = entryOf(path, "file", status, file);
      entry.size = size;
      const headerBytes = putUsualHeader(this.#gathered, this.#gatheredBytes, entry);
      if (headerBytes === 0) return false;
      const start = this.#gatheredBytes + headerBytes;
      this.#read(file, start, { offset: 0, size });
      const end = start + size + padding(size).length;
      this.#gathered.fill(0, start + size, end);
      this.#gatheredBytes = end;
      this.#count(entry);
      return true;
    } catch (error) {
      // Something else now, or gone: looked at in the slow way.
      if (isErrno(error, "EXDEV", "ENOENT", "ELOOP", "ENXIO", "ESTALE")) return false;
      throw wrapError(error, printable(path), { stage: "pack" });
    }
  }

  /** @throws SyscallError EXDEV for what is mounted here, where that matters: opening it may have effects. */
  #openHere(parent: Fd, name: Uint8Array): Fd {
    if (this.#options.isLeftOut === undefined) return openat(parent, name, fileFlags);
    return openat2(parent, name, { flags: fileFlags, resolve: RESOLVE_NO_XDEV });
  }

  /** Reads a part of a file that there is room for; zeros where the file was cut off meanwhile. */
  #read(file: Fd, at: number, { offset, size }: SparseRegion): void {
    for (let done = 0; done < size; ) {
      const place = this.#gathered.subarray(at + done, at + size);
      const read = pread(file, place, offset + done);
      if (read === 0) place.fill(0);
      done += read === 0 ? place.length : read;
    }
  }

  /** @param mountId of the mount that the parent is in; absent: of whatever mount, it is wanted. */
  *#entry(
    parent: Fd,
    name: Uint8Array,
    path: string,
    mountId?: bigint,
  ): Generator<Uint8Array, Level | undefined, void> {
    try {
      const status = statx(parent, name);
      if (this.#options.form === "layer" && isWhiteout(status)) {
        yield* this.#marker(whiteoutOf(path));
        return undefined;
      }
      if (isDirectory(status)) return yield* this.#directory(parent, name, path, mountId);
      if (this.#isMountLeftOut(parent, name, status, mountId)) return undefined;
      if (isRegularFile(status)) yield* this.#file(parent, name, path);
      else yield* this.#special(parent, name, path, status);
    } catch (error) {
      // It was removed, or has become something else, since its directory was read.
      if (!isErrno(error, "ENOENT", "ENOTDIR", "ELOOP", "ENXIO", "ESTALE"))
        throw wrapError(error, printable(path), { stage: "pack" });
    }
    return undefined;
  }

  /** Opening it may have effects. */
  #isMountLeftOut(parent: Fd, name: Uint8Array, status: FileStatus, mountId: bigint | undefined): boolean {
    if (this.#options.isLeftOut === undefined || mountId === undefined || status.mountId === mountId) return false;
    using thing = openat(parent, name, O_PATH | O_NOFOLLOW);
    return this.#options.isLeftOut(thing);
  }

  *#directory(
    parent: Fd,
    name: Uint8Array,
    path: string,
    mountId: bigint | undefined,
  ): Generator<Uint8Array, Level | undefined, void> {
    const directory = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    try {
      const status = statx(directory);
      const isMount = mountId !== undefined && status.mountId !== mountId;
      const isLeftOut = isMount && this.#options.isLeftOut?.(directory);
      const level = this.#level(directory, path === "/" ? path : `${path}/`, status, isLeftOut);
      if (level.names.length === 0 && this.#options.mountPoints?.has(path)) {
        directory.close();
        return undefined;
      }
      yield* this.#header(entryOf(level.prefix, "directory", status, directory));
      if (this.#options.opaque?.has(path)) yield* this.#marker(level.prefix + opaqueMarker);
      return level;
    } catch (error) {
      directory.close();
      throw error;
    }
  }

  *#file(parent: Fd, name: Uint8Array, path: string): Generator<Uint8Array, void, void> {
    // Whatever has taken its place meanwhile is not waited for.
    using file = openat(parent, name, fileFlags);
    const status = statx(file);
    if (!isRegularFile(status)) return;
    if (status.size === 0 && this.#options.mountPoints?.has(path)) return;
    if (yield* this.#isLinked(status, path)) return;
    const { size } = status;
    const sparse = this.#sparse(file, status);
    const entry: TarEntry = { ...entryOf(path, "file", status, file), size, sparse };
    yield* this.#header(entry);
    const regions = sparse ?? [{ offset: 0, size }];
    for (const region of regions) yield* this.#bytes(file, region);
    yield* this.#add(padding(regions.reduce((sum, region) => sum + region.size, 0)));
  }

  /** A layer has holes only where they are so large that zeros in their place would fill the disk. */
  #sparse(file: Fd, status: FileStatus): SparseRegion[] | undefined {
    const regions = dataRegions(file, status);
    if (this.#options.form === "tree" || regions === undefined) return regions;
    const holes = status.size - regions.reduce((sum, region) => sum + region.size, 0);
    return holes > layerHolesMax ? regions : undefined;
  }

  *#bytes(file: Fd, region: SparseRegion): Generator<Uint8Array, void, void> {
    for (let done = 0; done < region.size; ) {
      if (this.#gatheredBytes === pieceBytes) yield* this.#flush();
      const wanted = Math.min(pieceBytes - this.#gatheredBytes, region.size - done);
      this.#read(file, this.#gatheredBytes, { offset: region.offset + done, size: wanted });
      this.#gatheredBytes += wanted;
      done += wanted;
    }
  }

  *#special(parent: Fd, name: Uint8Array, path: string, status: FileStatus): Generator<Uint8Array, void, void> {
    const type = specialTypes[status.mode & S_IFMT];
    if (type === undefined) {
      this.skipped++;
      return;
    }
    const linkPath = type === "symlink" ? targetOf(parent, name) : "";
    if (linkPath === undefined) return;
    if (yield* this.#isLinked(status, path)) return;
    const target = { path: Buffer.concat([Buffer.from(`/proc/self/fd/${parent.number}/`), name]) };
    const entry = entryOf(path, type, status, target);
    const isDevice = type === "character" || type === "block";
    const device = { deviceMajor: status.specialMajor, deviceMinor: status.specialMinor };
    yield* this.#header({ ...entry, linkPath, ...(isDevice && device) });
  }

  /** A further name of a file that is in the archive under its first. */
  *#isLinked(status: FileStatus, path: string): Generator<Uint8Array, boolean, void> {
    if (status.links < 2) return false;
    const key = `${status.deviceMajor}:${status.deviceMinor}:${status.inode}`;
    const first = this.#linked.get(key);
    if (first === undefined) {
      this.#linked.set(key, path);
      return false;
    }
    const entry = entryOf(path, "hardlink", status, undefined);
    yield* this.#header({ ...entry, linkPath: first });
    return true;
  }

  *#marker(path: string): Generator<Uint8Array, void, void> {
    const entry = { ...emptyEntry, path };
    yield* this.#header(entry);
  }

  *#header(entry: TarEntry): Generator<Uint8Array, void, void> {
    this.#count(entry);
    if (pieceBytes - this.#gatheredBytes < usualHeaderMax) yield* this.#flush();
    const length = putUsualHeader(this.#gathered, this.#gatheredBytes, entry);
    this.#gatheredBytes += length;
    if (length === 0) yield* this.#add(tarHeader(entry));
  }

  #count({ type, size }: TarEntry): void {
    this.entries++;
    this.plainBytes += blockSize + (type === "file" ? size + padding(size).length : 0);
  }

  *#add(bytes: Uint8Array): Generator<Uint8Array, void, void> {
    let at = 0;
    while (at < bytes.length) {
      if (this.#gatheredBytes === pieceBytes) yield* this.#flush();
      const taken = Math.min(pieceBytes - this.#gatheredBytes, bytes.length - at);
      this.#gathered.set(bytes.subarray(at, at + taken), this.#gatheredBytes);
      this.#gatheredBytes += taken;
      at += taken;
    }
  }

  *#flush(): Generator<Uint8Array, void, void> {
    const bytes = this.#gatheredBytes;
    if (bytes === 0) return;
    yield this.#gathered.subarray(0, bytes);
    this.#gatheredBytes = 0;
  }
}

const specialTypes: Record<number, TarType> = {
  [S_IFREG]: "file",
  [S_IFDIR]: "directory",
  [S_IFLNK]: "symlink",
  [S_IFCHR]: "character",
  [S_IFBLK]: "block",
  [S_IFIFO]: "fifo",
};

/** Undefined where there is no symlink any more. */
function targetOf(parent: Fd, name: Uint8Array): string | undefined {
  try {
    return Buffer.from(readlinkBytes(parent, name)).toString("latin1");
  } catch (error) {
    if (isErrno(error, "EINVAL")) return undefined;
    throw error;
  }
}

function whiteoutOf(path: string): string {
  const name = path.lastIndexOf("/") + 1;
  return `${path.slice(0, name)}.wh.${path.slice(name)}`;
}

function entryOf(
  path: string,
  type: TarType,
  status: FileStatus,
  attributesOf: Parameters<typeof listXattr>[0] | undefined,
): TarEntry {
  const { seconds, nanoseconds } = status.modified;
  return {
    type,
    path,
    linkPath: "",
    mode: status.mode & 0o7777,
    uid: status.uid,
    gid: status.gid,
    size: 0,
    mtime: { seconds: Number(seconds), nanoseconds },
    deviceMajor: 0,
    deviceMinor: 0,
    xattrs: attributesOf === undefined ? emptyEntry.xattrs : xattrsOf(attributesOf),
    sparse: undefined,
  };
}

function latin1(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("latin1");
}

function xattrsOf(target: Parameters<typeof listXattr>[0]): TarEntry["xattrs"] {
  const names = listXattr(target);
  if (names.length === 0) return emptyEntry.xattrs;
  const xattrs = new Map<string, Uint8Array>();
  for (const name of names) {
    const value = foreignXattrs.test(name) ? undefined : getXattr(target, name);
    if (value !== undefined) xattrs.set(Buffer.from(name).toString("latin1"), value);
  }
  return xattrs;
}
