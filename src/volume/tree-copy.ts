/**
 * Copies a directory's content with everything that makes a file what it is: owner, mode, times, extended
 * attributes, hard links, symlinks, device nodes, names that are not UTF-8. By descriptor throughout: no path
 * of the source is ever looked up from the host's root.
 */
import { O_CREAT, O_DIRECTORY, O_EXCL, O_NOFOLLOW, O_RDONLY, O_WRONLY } from "../../ffi/constants/open.ts";
import type { Fd } from "../../ffi/fd.ts";
import {
  copy_file_range,
  fchmod,
  fchmodat,
  fchown,
  fchownat,
  linkat,
  makeDevice,
  mkdirat,
  mknodat,
  openat,
  read,
  readDirectory,
  readlinkat,
  symlinkat,
  utimensat,
  write,
} from "../../ffi/files.ts";
import {
  type FileStatus,
  getXattr,
  isDirectory,
  isRegularFile,
  isSymlink,
  listXattr,
  setXattr,
  statx,
} from "../../ffi/stat.ts";
import { isErrno } from "../core/errors.ts";

/** How long the copy may hold the event loop before others have their turn. */
const sliceMs = 8;
const bufferBytes = 1 << 20;

interface Copy {
  /** Where hard links are made from: the destination's root. */
  root: Fd;
  /** `device:inode` of files with several names, to the first name's path below the root. */
  linked: Map<string, Uint8Array>;
  sliceEnds: number;
}

/** Copies what is below `from` into the directory `to`, and gives `to` the attributes of `from`. */
export async function copyTree(from: Fd, to: Fd): Promise<void> {
  const copy: Copy = { root: to, linked: new Map(), sliceEnds: performance.now() + sliceMs };
  await copyContent(copy, from, to, new Uint8Array(0));
  copyAttributes(from, to, statx(from));
}

async function copyContent(copy: Copy, from: Fd, to: Fd, path: Uint8Array): Promise<void> {
  for (const { bytes: name } of readDirectory(from)) {
    if (performance.now() > copy.sliceEnds) {
      await new Promise((resolve) => setImmediate(resolve));
      copy.sliceEnds = performance.now() + sliceMs;
    }
    const status = statx(from, name);
    const here = path.length === 0 ? name : Buffer.concat([path, Buffer.from("/"), name]);
    if (isDirectory(status)) {
      mkdirat(to, name, 0o700);
      using source = openat(from, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
      using target = openat(to, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
      await copyContent(copy, source, target, here);
      copyAttributes(source, target, status);
    } else if (!linkedAlready(copy, status, to, name, here)) {
      copyFile(from, to, name, status);
    }
  }
}

/** A further name of a file that was copied under its first becomes a link to that. */
function linkedAlready(copy: Copy, status: FileStatus, to: Fd, name: Uint8Array, path: Uint8Array): boolean {
  if (status.links < 2) return false;
  const key = `${status.deviceMajor}:${status.deviceMinor}:${status.inode}`;
  const first = copy.linked.get(key);
  if (first === undefined) copy.linked.set(key, path);
  else linkat(copy.root, first, to, name);
  return first !== undefined;
}

function copyFile(from: Fd, to: Fd, name: Uint8Array, status: FileStatus): void {
  if (isRegularFile(status)) {
    using source = openat(from, name, O_RDONLY | O_NOFOLLOW);
    using target = openat(to, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600);
    copyBytes(source, target);
    copyAttributes(source, target, status);
    return;
  }
  if (isSymlink(status)) {
    symlinkat(readlinkat(from, name), to, name);
    fchownat(to, name, status.uid, status.gid);
  } else {
    mknodat(to, name, status.mode, makeDevice(status.specialMajor, status.specialMinor));
    fchownat(to, name, status.uid, status.gid);
    fchmodat(to, name, status.mode & 0o7777);
  }
  utimensat(to, name, status.accessed, status.modified);
}

function copyBytes(source: Fd, target: Fd): void {
  try {
    while (copy_file_range(source, target, 1 << 30) > 0);
  } catch (error) {
    // Between different file systems since Linux 5.19: copy_file_range(2). Nothing has been copied then.
    if (!isErrno(error, "EXDEV", "EINVAL", "EOPNOTSUPP", "ENOSYS")) throw error;
    const buffer = new Uint8Array(bufferBytes);
    for (let length = read(source, buffer); length > 0; length = read(source, buffer)) {
      write(target, buffer.subarray(0, length));
    }
  }
}

/** chown before chmod and before the capabilities in security.capability: it clears both (chown(2), capabilities(7)). */
function copyAttributes(source: Fd, target: Fd, status: FileStatus): void {
  fchown(target, status.uid, status.gid);
  fchmod(target, status.mode & 0o7777);
  for (const name of listXattr(source)) {
    if (/^(trusted|user)\.overlay\./.test(name)) continue;
    const value = getXattr(source, name);
    if (value !== undefined) setXattr(target, name, value);
  }
  utimensat(target, "", status.accessed, status.modified);
}
