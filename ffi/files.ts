/**
 * Files by descriptor: the `at` calls, openat2(2) and what Node's fs has no function for.
 *
 * Functions bear the kernel's names. A path is text or, for names that are not UTF-8, its bytes; it is looked up
 * from `directory`, which may be AT_FDCWD. Errors are SyscallErrors that carry the path.
 */
import {
  AT_EMPTY_PATH,
  AT_FDCWD,
  AT_REMOVEDIR,
  AT_SYMLINK_FOLLOW,
  AT_SYMLINK_NOFOLLOW,
  F_SETPIPE_SZ,
  O_CLOEXEC,
  O_CREAT,
  O_DIRECTORY,
  O_EXCL,
  O_NOFOLLOW,
  O_RDONLY,
  RESOLVE_CACHED,
  SEEK_DATA,
  SEEK_HOLE,
  SEEK_SET,
} from "./constants/open.ts";
import { SYS } from "./constants/syscalls.ts";
import { type Descriptor, descriptorNumber, Fd } from "./fd.ts";
import { call, check, cString, fromCString, syscall } from "./syscall.ts";
import { decodeText, encodeText } from "./text.ts";

export type Path = string | Uint8Array;

/** A path for an error message. */
export function shownPath(path: Path): string {
  return typeof path === "string" ? path : decodeText(path);
}

export interface OpenHow {
  /** O_*; O_CLOEXEC is added. */
  flags: number;
  /** Permissions of a file that is created. */
  mode?: number;
  /** RESOLVE_*. */
  resolve?: number;
}

/**
 * openat2(2), and again a bounded number of times on EAGAIN: a rename elsewhere raced with `..` under RESOLVE_IN_ROOT.
 * Under RESOLVE_CACHED it says that a file system would have to be asked.
 */
export function openat2(directory: Descriptor, path: Path, how: OpenHow): Fd {
  const struct = new BigUint64Array([
    BigInt((how.flags | O_CLOEXEC) >>> 0),
    BigInt(how.mode ?? 0),
    BigInt(how.resolve ?? 0),
  ]);
  const bytes = new Uint8Array(struct.buffer);
  const name = cString(path);
  const EAGAIN = 11;
  const EINTR = 4;
  const tries = ((how.resolve ?? 0) & RESOLVE_CACHED) === 0 ? 128 : 1;
  let result = -EAGAIN;
  for (let attempt = 0; attempt < tries && (result === -EAGAIN || result === -EINTR); attempt++) {
    result = syscall(SYS.openat2, descriptorNumber(directory), name, bytes, bytes.length);
  }
  return new Fd(check("openat2", result, path));
}

/** openat(2) with O_CLOEXEC. For paths that somebody else chose use openat2. */
export function openat(directory: Descriptor, path: Path, flags: number, mode = 0): Fd {
  return new Fd(call("openat", path, descriptorNumber(directory), cString(path), flags | O_CLOEXEC, mode));
}

/** A new file of that name, as openat; undefined where something has the name. */
export function createNew(directory: Descriptor, path: Path, flags: number, mode: number): Fd | undefined {
  const [EEXIST, EINTR] = [17, 4];
  const how = flags | O_CREAT | O_EXCL | O_CLOEXEC;
  const name = cString(path);
  for (;;) {
    const result = syscall(SYS.openat, descriptorNumber(directory), name, how, mode);
    if (result === -EEXIST) return undefined;
    if (result !== -EINTR) return new Fd(check("openat", result, path));
  }
}

/** open(2) of a path that is trusted. */
export function open(path: Path, flags: number, mode = 0): Fd {
  return openat(AT_FDCWD, path, flags, mode);
}

export function mkdirat(directory: Descriptor, path: Path, mode: number): void {
  call("mkdirat", path, descriptorNumber(directory), cString(path), mode);
}

/** The kernel's encoding of a device number: makedev(3). */
export function makeDevice(major: number, minor: number): number {
  // Only 12 bits of major and 20 of minor exist in the kernel (MKDEV in linux/kdev_t.h).
  return (minor & 0xff) | ((major & 0xfff) << 8) | ((minor & ~0xff) << 12);
}

/** mknodat(2); `mode` includes the file type S_IF*, `device` is of makeDevice. */
export function mknodat(directory: Descriptor, path: Path, mode: number, device = 0): void {
  call("mknodat", path, descriptorNumber(directory), cString(path), mode, device);
}

export function symlinkat(target: Path, directory: Descriptor, path: Path): void {
  call("symlinkat", path, cString(target), descriptorNumber(directory), cString(path));
}

/** linkat(2); a symlink at `from` is linked itself, unless AT_SYMLINK_FOLLOW is in `flags`. */
export function linkat(fromDir: Descriptor, from: Path, toDir: Descriptor, to: Path, flags = 0): void {
  const [source, target] = [descriptorNumber(fromDir), descriptorNumber(toDir)];
  call("linkat", to, source, cString(from), target, cString(to), flags);
}

/** Gives a nameless file (O_TMPFILE) its name. */
export function linkDescriptor(fd: Descriptor, directory: Descriptor, path: Path): void {
  linkat(AT_FDCWD, `/proc/self/fd/${descriptorNumber(fd)}`, directory, path, AT_SYMLINK_FOLLOW);
}

/** renameat2(2); `flags` are RENAME_*. */
export function renameat2(fromDir: Descriptor, from: Path, toDir: Descriptor, to: Path, flags = 0): void {
  const [source, target] = [descriptorNumber(fromDir), descriptorNumber(toDir)];
  call("renameat2", `${shownPath(from)} to ${shownPath(to)}`, source, cString(from), target, cString(to), flags);
}

/** Removes a file; an empty directory with AT_REMOVEDIR in `flags`. */
export function unlinkat(directory: Descriptor, path: Path, flags = 0): void {
  call("unlinkat", path, descriptorNumber(directory), cString(path), flags);
}

/** readlinkat(2), for paths that are text. */
export function readlinkat(directory: Descriptor, path: Path): string {
  return fromCString(readlinkBytes(directory, path));
}

/** readlinkat(2): what a symlink says is any bytes, and to be copied as such. */
export function readlinkBytes(directory: Descriptor, path: Path): Uint8Array {
  for (let size = 256; ; size *= 2) {
    const buffer = new Uint8Array(size);
    const name = cString(path);
    const length = call("readlinkat", path, descriptorNumber(directory), name, buffer, size);
    if (length < size) return buffer.subarray(0, length);
  }
}

/** fchownat(2), of a symlink itself where the path is one; an empty path is `directory` itself. */
export function fchownat(directory: Descriptor, path: Path, uid: number, gid: number): void {
  const flags = AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH;
  call("fchownat", path, descriptorNumber(directory), cString(path), uid, gid, flags);
}

export function fchown(fd: Descriptor, uid: number, gid: number): void {
  call("fchown", undefined, descriptorNumber(fd), uid, gid);
}

/** fchmodat(2): follows a symlink, for symlinks have no mode. */
export function fchmodat(directory: Descriptor, path: Path, mode: number): void {
  call("fchmodat", path, descriptorNumber(directory), cString(path), mode);
}

export function fchmod(fd: Descriptor, mode: number): void {
  call("fchmod", undefined, descriptorNumber(fd), mode);
}

/** A time as the kernel has it; `nanoseconds` may be UTIME_NOW or UTIME_OMIT. */
export interface FileTime {
  seconds: number | bigint;
  nanoseconds: number;
}

/** utimensat(2), of a symlink itself; an empty path is `directory` itself. */
export function utimensat(directory: Descriptor, path: Path, accessed: FileTime, modified: FileTime): void {
  putTime(0, accessed);
  putTime(4, modified);
  // AT_EMPTY_PATH needs Linux 5.8; a null path means the descriptor itself on every kernel.
  const name = path.length === 0 ? null : cString(path);
  const flags = name === null ? 0 : AT_SYMLINK_NOFOLLOW;
  call("utimensat", path, descriptorNumber(directory), name, timesBytes, flags);
}

/** Two of struct timespec: words of 64 bits, here as halves, low before high. */
const times = new Int32Array(8);
const timesBytes = new Uint8Array(times.buffer);

function putTime(at: number, { seconds, nanoseconds }: FileTime): void {
  const whole = Number(seconds);
  times[at] = whole % 2 ** 32;
  times[at + 1] = Math.floor(whole / 2 ** 32);
  times[at + 2] = nanoseconds;
}

export function ftruncate(fd: Descriptor, size: number): void {
  call("ftruncate", undefined, descriptorNumber(fd), size);
}

/** read(2) into `buffer`; the number of bytes, 0 at the end. Blocks the thread, unless O_NONBLOCK says EAGAIN. */
export function read(fd: Descriptor, buffer: Uint8Array): number {
  return call("read", undefined, descriptorNumber(fd), buffer, buffer.length);
}

/** write(2) of all bytes. Blocks the thread; for O_NONBLOCK descriptors use writeSome. */
export function write(fd: Descriptor, data: Uint8Array | string): void {
  let rest = typeof data === "string" ? encodeText(data) : data;
  // An empty write is made as well: on some files of procfs it has a meaning, and it reports EBADF.
  do {
    rest = rest.subarray(writeSome(fd, rest));
  } while (rest.length > 0);
}

/** write(2) once; the number of bytes that were taken. */
export function writeSome(fd: Descriptor, data: Uint8Array): number {
  return call("write", undefined, descriptorNumber(fd), data, data.length);
}

/** pread64(2) once, without moving the file's own offset; the number of bytes, 0 at the end. */
export function pread(fd: Descriptor, buffer: Uint8Array, offset: number): number {
  return call("pread64", undefined, descriptorNumber(fd), buffer, buffer.length, offset);
}

/** pwrite64(2) of all bytes at an offset, without moving the file's own. */
export function pwrite(fd: Descriptor, data: Uint8Array, offset: number): void {
  for (let done = 0; done < data.length; ) {
    const rest = data.subarray(done);
    done += call("pwrite64", undefined, descriptorNumber(fd), rest, rest.length, offset + done);
  }
}

/** lseek(2) to an offset from the beginning. */
export function seek(fd: Descriptor, offset: number): void {
  check("lseek", syscall(SYS.lseek, descriptorNumber(fd), offset, SEEK_SET));
}

/** Where the next data at or after `offset` begins (lseek(2), SEEK_DATA); undefined where there is none. */
export function nextData(fd: Descriptor, offset: number): number | undefined {
  return seekTo(fd, offset, SEEK_DATA);
}

/** Where the next hole at or after `offset` begins, the end of the file being one; undefined beyond the end. */
export function nextHole(fd: Descriptor, offset: number): number | undefined {
  return seekTo(fd, offset, SEEK_HOLE);
}

function seekTo(fd: Descriptor, offset: number, whence: number): number | undefined {
  const ENXIO = 6;
  const result = syscall(SYS.lseek, descriptorNumber(fd), offset, whence);
  return result === -ENXIO ? undefined : check("lseek", result);
}

/** Copies bytes between files inside the kernel; the number that was copied, 0 at the end of `from`. */
export function copy_file_range(from: Descriptor, to: Descriptor, length: number): number {
  return call("copy_file_range", undefined, descriptorNumber(from), null, descriptorNumber(to), null, length, 0);
}

/** ioctl(2) with a number or a structure as its argument. `what` names the request in errors. */
export function ioctl(fd: Descriptor, what: string, request: number, argument: number | Uint8Array): number {
  return call("ioctl", what, descriptorNumber(fd), request, argument);
}

/** fcntl(2) with a number as its argument. */
export function fcntl(fd: Descriptor, command: number, argument = 0): number {
  return call("fcntl", undefined, descriptorNumber(fd), command, argument);
}

/** flock(2); false where LOCK_NB is in `operation` and somebody else holds the lock. Without it the thread waits. */
export function flock(fd: Descriptor, operation: number): boolean {
  const EAGAIN = 11;
  const EINTR = 4;
  for (;;) {
    const result = syscall(SYS.flock, descriptorNumber(fd), operation);
    if (result === -EINTR) continue;
    if (result === -EAGAIN) return false;
    check("flock", result);
    return true;
  }
}

/** pipe2(2), both ends O_CLOEXEC beside `flags`. */
export function pipe2(flags = 0): { reader: Fd; writer: Fd } {
  const pair = new Int32Array(2);
  call("pipe2", undefined, new Uint8Array(pair.buffer), flags | O_CLOEXEC);
  return { reader: new Fd(pair[0]!), writer: new Fd(pair[1]!) };
}

/**
 * Lets a pipe hold more than its 64 KiB (fcntl(2), F_SETPIPE_SZ), so that its two ends wait for each other less often.
 * Where the kernel grants no more (EPERM, pipe(7) "/proc files") it stays as it is.
 */
export function widenPipe(end: Descriptor, bytes: number): void {
  const EPERM = 1;
  const result = syscall(SYS.fcntl, descriptorNumber(end), F_SETPIPE_SZ, bytes);
  if (result !== -EPERM) check("fcntl", result, `a pipe of ${bytes} bytes`);
}

/** Has a pipe hold so many bytes. @returns whether it does: not with more in it (EBUSY), beyond the kernel's limit (EPERM), or without memory for it (ENOMEM). */
export function resizePipe(end: Descriptor, bytes: number): boolean {
  const refusals = [1, 12, 16];
  const result = syscall(SYS.fcntl, descriptorNumber(end), F_SETPIPE_SZ, bytes);
  if (refusals.includes(-Number(result))) return false;
  check("fcntl", result, `a pipe of ${bytes} bytes`);
  return true;
}

/** Waits until a file's data and size are on the disk. */
export function fsync(fd: Descriptor): void {
  call("fsync", undefined, descriptorNumber(fd));
}

/** Waits until everything written to the file system of `fd` is on the disk. */
export function syncfs(fd: Descriptor): void {
  call("syncfs", undefined, descriptorNumber(fd));
}

export interface DirectoryEntry {
  /** Decoded as UTF-8: `bytes` is what names the file when that loses something. */
  name: string;
  bytes: Uint8Array;
  /** DT_*; DT_UNKNOWN (0) on file systems that do not tell. */
  type: number;
}

const dot = 0x2e;

/** Whoever goes by the bytes alone does not pay for the text. */
class NamedEntry implements DirectoryEntry {
  readonly bytes: Uint8Array;
  readonly type: number;

  constructor(bytes: Uint8Array, type: number) {
    this.bytes = bytes;
    this.type = type;
  }

  get name(): string {
    return decodeText(this.bytes);
  }
}

/** The entries of a directory that was opened for reading, without `.` and `..`, in the kernel's order. */
export function readDirectory(directory: Descriptor): DirectoryEntry[] {
  const entries: DirectoryEntry[] = [];
  for (const piece of directoryPieces(directory)) entries.push(...piece);
  return entries;
}

/** The same in pieces of some hundreds: a directory may have millions. */
export function* directoryPieces(directory: Descriptor): Generator<DirectoryEntry[], void, void> {
  const buffer = new Uint8Array(32768);
  const view = new DataView(buffer.buffer);
  for (;;) {
    const length = call("getdents64", undefined, descriptorNumber(directory), buffer, buffer.length);
    if (length === 0) return;
    const entries: DirectoryEntry[] = [];
    // struct linux_dirent64: ino u64, offset i64, record length u16, type u8, name.
    for (let at = 0; at < length; at += view.getUint16(at + 16, true)) {
      const end = buffer.indexOf(0, at + 19);
      const isDots = buffer[at + 19] === dot && (end === at + 20 || (buffer[at + 20] === dot && end === at + 21));
      if (!isDots) entries.push(new NamedEntry(buffer.slice(at + 19, end), buffer[at + 18]!));
    }
    yield entries;
  }
}

/** Removes a name and, where it is a directory, everything below it. A symlink is removed, not followed. */
export function removeTree(directory: Descriptor, path: Path): void {
  const EISDIR = 21;
  const result = syscall(SYS.unlinkat, descriptorNumber(directory), cString(path), 0);
  if (result !== -EISDIR) {
    check("unlinkat", result, path);
    return;
  }
  {
    using opened = openat(directory, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    for (const entry of readDirectory(opened)) removeTree(opened, entry.bytes);
  }
  unlinkat(directory, path, AT_REMOVEDIR);
}
