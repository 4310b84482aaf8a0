/**
 * Copies a directory's content with everything that makes a file what it is: owner, mode, times, extended
 * attributes, hard links, symlinks, device nodes, names that are not UTF-8. By descriptor throughout: no path
 * of the source is ever looked up from the host's root.
 */

import { withoutCapability } from "../../ffi/capability.ts";
import { O_CREAT, O_DIRECTORY, O_EXCL, O_NOFOLLOW, O_RDONLY, O_WRONLY } from "../../ffi/constants/open.ts";
import { copyOwnerAndMode, copyPieces, copySpecialFile, copyTimes, copyXattrs } from "../../ffi/copy-file.ts";
import type { Fd } from "../../ffi/fd.ts";
import { linkat, mkdirat, openat, readDirectory } from "../../ffi/files.ts";
import {
  type FileStatus,
  isDirectory,
  isRegularFile,
  isWhiteout,
  statx,
  type XattrTarget,
  xattrTargetIn,
} from "../../ffi/stat.ts";
import { isErrno } from "../core/errors.ts";

/** How long the copy may hold the event loop before others have their turn. */
const sliceMs = 8;
/** Of a file in one go: it takes about as long. */
const pieceBytes = 8 * 2 ** 20;
/** The kernel's own on overlay layers. */
export const overlayAttributes = /^(trusted|user)\.overlay\./;

/** The owner of a copy by that of its original. */
export interface CopiedOwners {
  uid: (id: number) => number;
  gid: (id: number) => number;
}

const asTheyAre: CopiedOwners = { uid: (id) => id, gid: (id) => id };

interface Copy {
  owners: CopiedOwners;
  /** Where hard links are made from: the destination's root. */
  root: Fd;
  /** `device:inode` of files with several names, to the first name's path below the root. */
  linked: Map<string, Uint8Array>;
  sliceEnds: number;
  /** ext4 lets those who have CAP_SYS_RESOURCE exceed quotas. Undefined while it is others' turn. */
  obeying: Disposable | undefined;
}

/**
 * Copies what is below `from` into the directory `to`, and gives `to` the attributes of `from`. What an overlay would
 * show nobody, because it says what is hidden in layers below, is left out.
 */
export async function copyTree(from: Fd, to: Fd, owners: CopiedOwners = asTheyAre): Promise<void> {
  const copy: Copy = { owners, root: to, linked: new Map(), sliceEnds: 0, obeying: undefined };
  try {
    ownTurn(copy);
    await copyContent(copy, from, to, new Uint8Array(0));
    copyAttributes(from, to, owned(copy, statx(from)));
  } finally {
    copy.obeying?.[Symbol.dispose]();
  }
}

function ownTurn(copy: Copy): void {
  copy.obeying = withoutCapability("CAP_SYS_RESOURCE");
  copy.sliceEnds = performance.now() + sliceMs;
}

async function copyContent(copy: Copy, from: Fd, to: Fd, path: Uint8Array): Promise<void> {
  for (const { bytes: name } of readDirectory(from)) {
    if (performance.now() > copy.sliceEnds) await othersTurn(copy);
    const status = owned(copy, statx(from, name));
    const here = path.length === 0 ? name : Buffer.concat([path, Buffer.from("/"), name]);
    if (isWhiteout(status)) continue;
    if (isDirectory(status)) {
      mkdirat(to, name, 0o700);
      using source = openat(from, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
      using target = openat(to, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
      await copyContent(copy, source, target, here);
      copyAttributes(source, target, status);
    } else if (!linkedAlready(copy, status, to, name, here)) {
      await copyFile(copy, from, to, name, status);
    }
  }
}

async function othersTurn(copy: Copy): Promise<void> {
  copy.obeying?.[Symbol.dispose]();
  copy.obeying = undefined;
  await new Promise((resolve) => setImmediate(resolve));
  ownTurn(copy);
}

function owned({ owners }: Copy, status: FileStatus): FileStatus {
  return { ...status, uid: owners.uid(status.uid), gid: owners.gid(status.gid) };
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

async function copyFile(copy: Copy, from: Fd, to: Fd, name: Uint8Array, status: FileStatus): Promise<void> {
  if (!isRegularFile(status)) {
    copySpecialFile(from, name, to, name, status);
    copyAttributesOf(xattrTargetIn(from, name), xattrTargetIn(to, name));
    return;
  }
  using source = openat(from, name, O_RDONLY | O_NOFOLLOW);
  using target = openat(to, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600);
  for (const _piece of copyPieces(source, target, pieceBytes)) {
    if (performance.now() > copy.sliceEnds) await othersTurn(copy);
  }
  copyAttributes(source, target, status);
}

function copyAttributes(source: Fd, target: Fd, status: FileStatus): void {
  copyOwnerAndMode(target, status);
  copyAttributesOf(source, target);
  copyTimes(target, status);
}

/** As in Docker the volume's file system need not have them all. */
function copyAttributesOf(source: XattrTarget, target: XattrTarget): void {
  try {
    copyXattrs(source, target, overlayAttributes);
  } catch (error) {
    if (!isErrno(error, "EOPNOTSUPP", "EPERM")) throw error;
  }
}
