/**
 * What commands that live for some milliseconds need of node:fs, by its names and with its meaning: a system call or
 * two each. Loading node:fs takes 1.2 ms, a tenth of what `tsd runtime state` takes. Who lives longer takes node:fs.
 *
 * Errors are SyscallErrors, whose `code`, `syscall` and `path` are as node's.
 */
import {
  AT_FDCWD,
  AT_REMOVEDIR,
  O_APPEND,
  O_CREAT,
  O_DIRECTORY,
  O_EXCL,
  O_PATH,
  O_RDONLY,
  O_TRUNC,
  O_WRONLY,
} from "./constants/open.ts";
import { SYS } from "./constants/syscalls.ts";
import { SyscallError } from "./errno.ts";
import { Fd } from "./fd.ts";
import {
  type DirectoryEntry,
  fchmodat,
  mkdirat,
  open,
  read,
  readDirectory,
  readlinkat,
  removeTree,
  renameat2,
  unlinkat,
  write,
  writeSome,
} from "./files.ts";
import { dirname } from "./path.ts";
import { isDirectory, statx } from "./stat.ts";
import { check, cString, syscall } from "./syscall.ts";
import { decodeText } from "./text.ts";

const ENOENT = 2;
const ESRCH = 3;
const EEXIST = 17;

/** A file's bytes, or its text as UTF-8. */
export function readFileSync(path: string): Uint8Array;
export function readFileSync(path: string, encoding: "utf8"): string;
export function readFileSync(path: string, encoding?: "utf8"): Uint8Array | string {
  using file = open(path, O_RDONLY);
  const bytes = readAll(file);
  return encoding === undefined ? bytes : decodeText(bytes);
}

/**
 * The text of a file; undefined where there is none, without the cost of an exception. A file of a process that is
 * reaped between opening and reading is none either: procfs says ESRCH then.
 */
export function readTextIfThere(path: string): string | undefined {
  const result = openToRead(path);
  if (result === -ENOENT || result === -ESRCH) return undefined;
  using file = new Fd(check("openat", result, path));
  try {
    return decodeText(readAll(file));
  } catch (error) {
    if (error instanceof SyscallError && error.errno === "ESRCH") return undefined;
    throw error;
  }
}

function openToRead(path: string): number {
  const O_CLOEXEC = 0o2000000;
  return syscall(SYS.openat, AT_FDCWD, cString(path), O_RDONLY | O_CLOEXEC, 0);
}

/** What a file begins with: of one that somebody else makes as long as he likes. */
export function readStartSync(path: string, bytesMax: number): Uint8Array {
  using file = open(path, O_RDONLY);
  let buffer = new Uint8Array(Math.min(bytesMax, 4096));
  let length = 0;
  for (;;) {
    const count = read(file, buffer.subarray(length));
    length += count;
    if (count === 0 || length === bytesMax) return buffer.subarray(0, length);
    if (length < buffer.length) continue;
    const larger = new Uint8Array(Math.min(bytesMax, buffer.length * 4));
    larger.set(buffer);
    buffer = larger;
  }
}

/** Files of procfs have no size, and tell all at once when the buffer is large enough. */
function readAll(file: Fd): Uint8Array {
  let buffer = new Uint8Array(16384);
  let length = 0;
  for (;;) {
    const count = read(file, buffer.subarray(length));
    if (count === 0) return buffer.subarray(0, length);
    length += count;
    if (length < buffer.length) continue;
    const larger = new Uint8Array(buffer.length * 4);
    larger.set(buffer);
    buffer = larger;
  }
}

/** `flag` "wx": the file must not be there yet. */
export function writeFileSync(
  path: string,
  data: string | Uint8Array,
  { mode = 0o666, flag = "w" }: { mode?: number; flag?: "w" | "wx" } = {},
): void {
  using file = open(path, O_WRONLY | O_CREAT | (flag === "wx" ? O_EXCL : O_TRUNC), mode);
  if (data.length > 0) write(file, data);
}

export function appendFileSync(path: string, data: string, { mode = 0o666 }: { mode?: number } = {}): void {
  using file = open(path, O_WRONLY | O_CREAT | O_APPEND, mode);
  write(file, data);
}

/** One write(2) to a descriptor. @returns the number of bytes that were taken. */
export function writeSync(descriptor: number, data: Uint8Array): number {
  return writeSome(descriptor, data);
}

export function existsSync(path: string): boolean {
  return syscall(SYS.faccessat, AT_FDCWD, cString(path), 0) === 0;
}

export function mkdirSync(
  path: string,
  { recursive = false, mode = 0o777 }: { recursive?: boolean; mode?: number } = {},
): void {
  if (!recursive) {
    mkdirat(AT_FDCWD, path, mode);
    return;
  }
  const result = syscall(SYS.mkdirat, AT_FDCWD, cString(path), mode);
  if (result === -EEXIST && isDirectoryAt(path)) return;
  if (result !== -ENOENT || dirname(path) === path) {
    check("mkdirat", result, path);
    return;
  }
  mkdirSync(dirname(path), { recursive, mode });
  mkdirSync(path, { recursive, mode });
}

export function renameSync(from: string, to: string): void {
  renameat2(AT_FDCWD, from, AT_FDCWD, to);
}

export function rmdirSync(path: string): void {
  unlinkat(AT_FDCWD, path, AT_REMOVEDIR);
}

/** `force`: what is not there is as good as removed. */
export function rmSync(
  path: string,
  { force = false, recursive = false }: { force?: boolean; recursive?: boolean } = {},
): void {
  if (recursive && (!force || existsSync(path))) {
    removeTree(AT_FDCWD, path);
    return;
  }
  const result = syscall(SYS.unlinkat, AT_FDCWD, cString(path), 0);
  if (result !== -ENOENT || !force) check("unlinkat", result, path);
}

/** In spite of the umask; a symlink is followed. */
export function chmodSync(path: string, mode: number): void {
  fchmodat(AT_FDCWD, path, mode);
}

export function readlinkSync(path: string): string {
  return readlinkat(AT_FDCWD, path);
}

/** Without symlinks and `..`. */
export function realpathSync(path: string): string {
  using place = open(path, O_PATH);
  return readlinkSync(`/proc/self/fd/${place.number}`);
}

/** The names in a directory, without `.` and `..`. */
export function readdirSync(path: string): string[];
export function readdirSync(path: string, options: { withFileTypes: true }): { name: string; isDirectory(): boolean }[];
export function readdirSync(
  path: string,
  options?: { withFileTypes: true },
): string[] | { name: string; isDirectory(): boolean }[] {
  using directory = open(path, O_RDONLY | O_DIRECTORY);
  const entries = readDirectory(directory);
  if (options === undefined) return entries.map(({ name }) => name);
  return entries.map((entry) => ({ name: entry.name, isDirectory: () => isDirectoryEntry(path, entry) }));
}

function isDirectoryEntry(path: string, { name, type }: DirectoryEntry): boolean {
  const [DT_UNKNOWN, DT_DIR] = [0, 4];
  return type === DT_DIR || (type === DT_UNKNOWN && isDirectory(statx(AT_FDCWD, `${path}/${name}`)));
}

/** Whether there is a directory at the path, behind a symlink perhaps. */
export function isDirectoryAt(path: string): boolean {
  const result = syscall(SYS.openat, AT_FDCWD, cString(path), O_PATH | O_DIRECTORY, 0);
  const ENOTDIR = 20;
  if (result === -ENOENT || result === -ENOTDIR) return false;
  new Fd(check("openat", result, path)).close();
  return true;
}
