/** What a file is: statx(2), statfs(2), extended attributes. */
import { AT_EMPTY_PATH, AT_SYMLINK_NOFOLLOW } from "./constants/open.ts";
import {
  S_IFBLK,
  S_IFCHR,
  S_IFDIR,
  S_IFLNK,
  S_IFMT,
  S_IFREG,
  STATX_BASIC_STATS,
  STATX_MNT_ID,
} from "./constants/stat.ts";
import { SYS } from "./constants/syscalls.ts";
import { type Descriptor, descriptorNumber, type Fd } from "./fd.ts";
import { type FileTime, type Path, shownPath } from "./files.ts";
import { call, cString, syscall } from "./syscall.ts";
import { decodeText, encodeText } from "./text.ts";

export interface FileStatus {
  /** File type and permissions: S_IF* and the twelve bits of chmod. */
  mode: number;
  uid: number;
  gid: number;
  size: number;
  links: number;
  inode: bigint;
  /** Of 512 bytes. */
  blocks: number;
  deviceMajor: number;
  deviceMinor: number;
  /** Of a device node: which device it stands for. */
  specialMajor: number;
  specialMinor: number;
  accessed: FileTime;
  modified: FileTime;
  changed: FileTime;
  /** The number in /proc/self/mountinfo. */
  mountId: bigint;
  /** STATX_ATTR_* that are set. */
  attributes: bigint;
}

/** statx(2) of a path, not following a symlink at its end; an empty path is `directory` itself. */
export function statx(directory: Descriptor, path: Path = "", flags = AT_SYMLINK_NOFOLLOW): FileStatus {
  const name = path.length === 0 ? emptyPath : cString(path);
  const mask = STATX_BASIC_STATS | STATX_MNT_ID;
  call("statx", path, descriptorNumber(directory), name, flags | AT_EMPTY_PATH, mask, statusBytes);
  return parseStatx(statusBytes, statusView);
}

const emptyPath = new Uint8Array(1);
/** What the last statx wrote. */
const statusBytes = new Uint8Array(256);
const statusView = new DataView(statusBytes.buffer);

/** struct statx of linux/stat.h, as the kernel wrote it. */
export function parseStatx(
  bytes: Uint8Array,
  view: DataView = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength),
): FileStatus {
  const u32 = (at: number) => view.getUint32(at, true);
  const u64 = (at: number) => view.getBigUint64(at, true);
  // Exact as far as files go, and without the price of a BigInt.
  const word = (at: number, high: number) => high * 2 ** 32 + u32(at);
  const time = (at: number): FileTime => {
    return { seconds: word(at, view.getInt32(at + 4, true)), nanoseconds: u32(at + 8) };
  };
  return {
    attributes: u64(8),
    links: u32(16),
    uid: u32(20),
    gid: u32(24),
    mode: view.getUint16(28, true),
    inode: u64(32),
    size: word(40, u32(44)),
    blocks: word(48, u32(52)),
    accessed: time(64),
    changed: time(96),
    modified: time(112),
    specialMajor: u32(128),
    specialMinor: u32(132),
    deviceMajor: u32(136),
    deviceMinor: u32(140),
    mountId: u64(144),
  };
}

export function isDirectory(status: FileStatus): boolean {
  return (status.mode & S_IFMT) === S_IFDIR;
}
export function isRegularFile(status: FileStatus): boolean {
  return (status.mode & S_IFMT) === S_IFREG;
}
export function isSymlink(status: FileStatus): boolean {
  return (status.mode & S_IFMT) === S_IFLNK;
}
export function isDevice(status: FileStatus): boolean {
  const type = status.mode & S_IFMT;
  return type === S_IFCHR || type === S_IFBLK;
}

/** Does the device number say that the name below is deleted? (overlayfs.rst, "whiteouts and opaque directories") */
export function isWhiteout({ mode, specialMajor, specialMinor }: FileStatus): boolean {
  return (mode & S_IFMT) === S_IFCHR && specialMajor === 0 && specialMinor === 0;
}

export interface FileSystemStatus {
  /** *_MAGIC. */
  type: number;
  /** Bytes. */
  total: number;
  available: number;
  /** ST_* flags of the mount. */
  flags: number;
}

export function fstatfs(fd: Descriptor): FileSystemStatus {
  const bytes = new Uint8Array(120);
  call("fstatfs", undefined, descriptorNumber(fd), bytes);
  return parseStatfs(bytes);
}

export function statfs(path: Path): FileSystemStatus {
  const bytes = new Uint8Array(120);
  call("statfs", typeof path === "string" ? path : undefined, cString(path), bytes);
  return parseStatfs(bytes);
}

function parseStatfs(bytes: Uint8Array): FileSystemStatus {
  // struct statfs of asm-generic/statfs.h: every field is a 64-bit word.
  const word = (index: number) => Number(new DataView(bytes.buffer).getBigUint64(index * 8, true));
  const blockSize = word(1);
  return { type: word(0) % 2 ** 32, total: word(2) * blockSize, available: word(4) * blockSize, flags: word(10) };
}

/** A file for the xattr calls: an open one, or a path whose last symlink is not followed. */
export type XattrTarget = Descriptor | { path: Path };

/** A file by the directory that it is in: there is no lsetxattrat in the kernels that tsd runs on. */
export function xattrTargetIn(directory: Fd, name: Uint8Array): { path: Uint8Array } {
  const prefix = encodeText(`/proc/self/fd/${directory.number}/`);
  const path = new Uint8Array(prefix.length + name.length);
  path.set(prefix);
  path.set(name, prefix.length);
  return { path };
}

function isPath(target: XattrTarget): target is { path: Path } {
  return typeof target === "object" && "path" in target;
}

/** setxattr(2) and its forms; `flags` are XATTR_*. */
export function setXattr(target: XattrTarget, name: Path, value: Uint8Array, flags = 0): void {
  const attribute = cString(name);
  if (isPath(target)) {
    call("lsetxattr", shownXattr(target.path, name), cString(target.path), attribute, value, value.length, flags);
  } else {
    call("fsetxattr", shownXattr("", name), descriptorNumber(target), attribute, value, value.length, flags);
  }
}

/** Of a file that was opened with O_PATH, which fsetxattr(2) refuses. */
export function setXattrOfOpened(file: Fd, name: Path, value: Uint8Array): void {
  const path = `/proc/self/fd/${file.number}`;
  call("setxattr", shownXattr(path, name), cString(path), cString(name), value, value.length, 0);
}

/** The attribute's value, or undefined where the file has no such attribute or the file system no attributes. */
export function getXattr(target: XattrTarget, name: Path): Uint8Array | undefined {
  const attribute = cString(name);
  const get = (buffer: Uint8Array) =>
    isPath(target)
      ? call("lgetxattr", shownXattr(target.path, name), cString(target.path), attribute, buffer, buffer.length)
      : call("fgetxattr", shownXattr("", name), descriptorNumber(target), attribute, buffer, buffer.length);
  return absentAsUndefined(() => growing(get));
}

const listBuffer = new Uint8Array(1024);

/** The names of a file's attributes; none where the file system has no attributes. */
export function listXattr(target: XattrTarget): string[] {
  if (!isPath(target)) {
    // Most files have none, and to hear it costs no more than the call.
    const length = syscall(SYS.flistxattr, descriptorNumber(target), listBuffer, listBuffer.length);
    if (length === 0) return [];
    if (length > 0) return fromNulList(listBuffer.subarray(0, length));
  }
  const list = (buffer: Uint8Array) =>
    isPath(target)
      ? call("llistxattr", shownXattr(target.path, ""), cString(target.path), buffer, buffer.length)
      : call("flistxattr", undefined, descriptorNumber(target), buffer, buffer.length);
  const names = absentAsUndefined(() => growing(list));
  if (names === undefined || names.length === 0) return [];
  return fromNulList(names);
}

export function removeXattr(target: XattrTarget, name: Path): void {
  if (isPath(target)) {
    call("lremovexattr", shownXattr(target.path, name), cString(target.path), cString(name));
  } else {
    call("fremovexattr", shownXattr("", name), descriptorNumber(target), cString(name));
  }
}

function shownXattr(path: Path, name: Path): string {
  return `${shownPath(path)} ${shownPath(name)}`.trim();
}

function fromNulList(names: Uint8Array): string[] {
  return decodeText(names).replace(/\0$/, "").split("\0");
}

/** Calls with a larger buffer as long as the answer is ERANGE: 64 KiB is the kernel's limit (xattr(7)). */
function growing(get: (buffer: Uint8Array) => number): Uint8Array {
  for (let size = 256; ; size *= 16) {
    const buffer = new Uint8Array(size);
    try {
      return buffer.slice(0, get(buffer));
    } catch (error) {
      if (!(error instanceof Error && "errno" in error && error.errno === "ERANGE") || size > 65536) throw error;
    }
  }
}

function absentAsUndefined(get: () => Uint8Array): Uint8Array | undefined {
  try {
    return get();
  } catch (error) {
    const errno = error instanceof Error && "errno" in error ? error.errno : undefined;
    if (errno === "ENODATA" || errno === "EOPNOTSUPP") return undefined;
    throw error;
  }
}
