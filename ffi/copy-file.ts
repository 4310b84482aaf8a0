/**
 * Copies one file by descriptor with what makes it what it is: bytes, owner, mode, times, extended attributes. Who
 * walks a tree decides what is copied and when others have their turn.
 */
import { O_CREAT, O_EXCL, O_NOFOLLOW, O_WRONLY } from "./constants/open.ts";
import { SyscallError } from "./errno.ts";
import type { Fd } from "./fd.ts";
import {
  copy_file_range,
  fchmod,
  fchmodat,
  fchown,
  fchownat,
  ftruncate,
  makeDevice,
  mknodat,
  nextData,
  nextHole,
  openat,
  read,
  readlinkBytes,
  seek,
  symlinkat,
  utimensat,
  write,
} from "./files.ts";
import { type FileStatus, getXattr, isSymlink, listXattr, setXattr, statx, type XattrTarget } from "./stat.ts";

const bufferBytes = 1 << 20;
/** Of which a file's blocks are counted: stat(2). */
const sectorBytes = 512;
/** No copying between these file systems, or by this kernel: copy_file_range(2), "ERRORS". */
const notBetween = new Set(["EXDEV", "EINVAL", "EOPNOTSUPP", "ENOSYS"]);

/**
 * Copies a file that was just opened to one that is new, inside the kernel where it can. Holes stay holes: an image's
 * file of a few bytes may say that it is larger than the disk.
 * @yields the bytes of each piece, of `pieceBytes` at most.
 * @throws SyscallError
 */
export function* copyPieces(source: Fd, target: Fd, pieceBytes: number): Generator<number, void, void> {
  const { size, blocks } = statx(source);
  if (blocks * sectorBytes < size) {
    let end = 0;
    for (let at = nextData(source, 0); at !== undefined; at = nextData(source, end)) {
      end = nextHole(source, at) ?? size;
      seek(source, at);
      seek(target, at);
      yield* copyRun(source, target, { bytes: end - at, pieceBytes });
    }
    ftruncate(target, Math.max(size, end));
  } else {
    yield* copyRun(source, target, { bytes: Number.POSITIVE_INFINITY, pieceBytes });
  }
}

/** From both files' positions on, so many bytes or to the end of `source`. */
function* copyRun(
  source: Fd,
  target: Fd,
  { bytes, pieceBytes }: { bytes: number; pieceBytes: number },
): Generator<number, void, void> {
  let left = bytes;
  try {
    while (left > 0) {
      const length = copy_file_range(source, target, Math.min(pieceBytes, left));
      if (length === 0) break;
      left -= length;
      yield length;
    }
    if (left < bytes) return;
  } catch (error) {
    if (!(error instanceof SyscallError) || !notBetween.has(error.errno)) throw error;
  }
  // Of procfs and its like copy_file_range copies nothing, and says so without an error.
  const buffer = new Uint8Array(Math.min(bufferBytes, pieceBytes));
  while (left > 0) {
    const length = read(source, buffer.subarray(0, Math.min(buffer.length, left)));
    if (length === 0) return;
    write(target, buffer.subarray(0, length));
    left -= length;
    yield length;
  }
}

/** A new regular file `name` in `to` with what `source` has to the end; its owner, mode and times are the caller's. */
export function copyRegularFile(source: Fd, to: Fd, name: Uint8Array): Fd {
  using target = openat(to, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600);
  for (const _piece of copyPieces(source, target, 1 << 30));
  return target.move();
}

/** chown before chmod and before security.capability: it clears set-user-ID bits and capabilities (chown(2)). */
export function copyOwnerAndMode(target: Fd, status: FileStatus): void {
  fchown(target, status.uid, status.gid);
  fchmod(target, status.mode & 0o7777);
}

/** Times last: whatever else is changed changes them. */
export function copyTimes(target: Fd, status: FileStatus): void {
  utimensat(target, "", status.accessed, status.modified);
}

/**
 * A symlink, device, fifo or socket `name` of `from` (or with an empty name `from` itself), anew as `newName` in `to`,
 * with owner, mode and times.
 */
export function copySpecialFile(from: Fd, name: Uint8Array, to: Fd, newName: Uint8Array, status: FileStatus): void {
  if (isSymlink(status)) symlinkat(readlinkBytes(from, name), to, newName);
  else mknodat(to, newName, status.mode, makeDevice(status.specialMajor, status.specialMinor));
  fchownat(to, newName, status.uid, status.gid);
  if (!isSymlink(status)) fchmodat(to, newName, status.mode & 0o7777);
  utimensat(to, newName, status.accessed, status.modified);
}

/** @param skip attributes that belong to the place where the file lies, and not to the file. */
export function copyXattrs(source: XattrTarget, target: XattrTarget, skip: RegExp): void {
  for (const name of listXattr(source)) {
    if (skip.test(name)) continue;
    const value = getXattr(source, name);
    if (value !== undefined) setXattr(target, name, value);
  }
}
