/**
 * The mount option `tmpcopyup`: a tmpfs begins with what the directory that it covers has. The parent copies while the
 * plan waits, with descriptors that the plan has opened inside the root: no path is looked up here.
 */
import { TMPFS_MAGIC } from "../../ffi/constants/mount.ts";
import { O_CREAT, O_DIRECTORY, O_EXCL, O_NOFOLLOW, O_PATH, O_RDONLY, O_WRONLY } from "../../ffi/constants/open.ts";
import type { Fd } from "../../ffi/fd.ts";
import {
  fchmod,
  fchmodat,
  fchown,
  fchownat,
  makeDevice,
  mkdirat,
  mknodat,
  open,
  openat,
  read,
  readDirectory,
  readlinkat,
  symlinkat,
  utimensat,
  write,
} from "../../ffi/files.ts";
import { type FileStatus, fstatfs, isDirectory, isRegularFile, isSymlink, statx } from "../../ffi/stat.ts";

/**
 * Copies what is below `from` with owners, modes and times. Of extended attributes and hard links there are none in the
 * copy, as with runc and crun.
 * @param to an empty tmpfs; its own mode is left, its owner becomes that of `from` with `owner`.
 * @throws ENOSPC where the tmpfs is smaller than what it has to hold.
 */
export function copyUp(from: Fd, to: Fd, { owner }: { owner: boolean }): void {
  if (fstatfs(to).type !== TMPFS_MAGIC) throw new Error("what the plan announced as its tmpfs is none");
  const status = statx(from);
  if (owner) fchownat(to, ".", status.uid, status.gid);
  using source = openat(from, ".", O_RDONLY | O_DIRECTORY);
  using target = openat(to, ".", O_RDONLY | O_DIRECTORY);
  copyContent(source, target);
}

function copyContent(from: Fd, to: Fd): void {
  for (const { bytes: name } of readDirectory(from)) {
    // Whoever else has the directory can exchange the file at any moment: what was looked at is what is copied.
    using file = openat(from, name, O_PATH | O_NOFOLLOW);
    copyFile(file, to, name, statx(file));
  }
}

function copyFile(file: Fd, to: Fd, name: Uint8Array, status: FileStatus): void {
  if (isDirectory(status)) {
    mkdirat(to, name, 0o700);
    using source = openat(file, ".", O_RDONLY | O_DIRECTORY);
    using target = openat(to, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    copyContent(source, target);
    copyAttributes(target, status);
  } else if (isRegularFile(status)) {
    using source = open(`/proc/self/fd/${file.number}`, O_RDONLY);
    using target = openat(to, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600);
    copyBytes(source, target);
    copyAttributes(target, status);
  } else {
    if (isSymlink(status)) symlinkat(readlinkat(file, ""), to, name);
    else mknodat(to, name, status.mode, makeDevice(status.specialMajor, status.specialMinor));
    fchownat(to, name, status.uid, status.gid);
    if (!isSymlink(status)) fchmodat(to, name, status.mode & 0o7777);
    utimensat(to, name, status.accessed, status.modified);
  }
}

function copyBytes(source: Fd, target: Fd): void {
  const buffer = new Uint8Array(1 << 18);
  for (let length = read(source, buffer); length > 0; length = read(source, buffer)) {
    write(target, buffer.subarray(0, length));
  }
}

/** chown before chmod: it clears the bits of set-user-ID programs (chown(2)). */
function copyAttributes(target: Fd, status: FileStatus): void {
  fchown(target, status.uid, status.gid);
  fchmod(target, status.mode & 0o7777);
  utimensat(target, "", status.accessed, status.modified);
}
