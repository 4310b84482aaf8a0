/**
 * The mount option `tmpcopyup`: a tmpfs begins with what the directory that it covers has. The parent copies while the
 * plan waits, with descriptors that the plan has opened inside the root: no path is looked up here.
 */

import { TMPFS_MAGIC } from "../../ffi/constants/mount.ts";
import { O_DIRECTORY, O_NOFOLLOW, O_PATH, O_RDONLY } from "../../ffi/constants/open.ts";
import { copyOwnerAndMode, copyRegularFile, copySpecialFile, copyTimes } from "../../ffi/copy-file.ts";
import type { Fd } from "../../ffi/fd.ts";
import { fchownat, mkdirat, open, openat, readDirectory } from "../../ffi/files.ts";
import { type FileStatus, fstatfs, isDirectory, isRegularFile, statx } from "../../ffi/stat.ts";

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
    using target = copyRegularFile(source, to, name);
    copyAttributes(target, status);
  } else copySpecialFile(file, new Uint8Array(0), to, name, status);
}

function copyAttributes(target: Fd, status: FileStatus): void {
  copyOwnerAndMode(target, status);
  copyTimes(target, status);
}
