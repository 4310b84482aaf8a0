/**
 * What the image has at a volume's target is copied into the volume when the volume is empty, as Docker does.
 *
 * The copy is made in another place of the same file system and then moved in, entry by entry, so that the volume may
 * be in use meanwhile: what others have put there by then stays. A crash leaves `.tsd-copying` (thrown away) or
 * `.tsd-copied` (the move goes on where it stopped), never a volume that is half filled and looks whole.
 */
import { mkdtempSync, rmdirSync } from "node:fs";
import { lstat, mkdir, readdir, rename, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { syncfsInBackground } from "../../ffi/background-sync.ts";
import { MNT_DETACH } from "../../ffi/constants/mount.ts";
import {
  O_DIRECTORY,
  O_NOFOLLOW,
  O_PATH,
  O_RDONLY,
  RENAME_NOREPLACE,
  RESOLVE_IN_ROOT,
  RESOLVE_NO_MAGICLINKS,
} from "../../ffi/constants/open.ts";
import { copyXattrs } from "../../ffi/copy-file.ts";
import type { Fd } from "../../ffi/fd.ts";
import { fchmod, fchown, open, openat2, readDirectory, renameat2, utimensat } from "../../ffi/files.ts";
import { umount2 } from "../../ffi/mount.ts";
import { mountOverlay } from "../../ffi/overlay.ts";
import { statx } from "../../ffi/stat.ts";
import { isErrno, wrapError } from "../core/errors.ts";
import { type CopiedOwners, copyTree, overlayAttributes } from "./tree-copy.ts";

export type { CopiedOwners } from "./tree-copy.ts";

export interface FilledVolume {
  name: string;
  /** Where its files are. */
  path: string;
  /** A directory on the same mount for the copy while it is made: `path` itself where there is no other. */
  staging: string;
}

/** In the staging directory. */
const copyingName = ".tsd-copying";
const copiedName = ".tsd-copied";
/** Containers that have the volume may put a symlink in the place of the copy, if it is made in the volume itself. */
const ownDirectory = O_RDONLY | O_DIRECTORY | O_NOFOLLOW;

/**
 * Whoever calls it does so once at a time for a volume.
 * @param lower the image's directories, topmost first.
 * @param target where the container sees the volume.
 * @param owners whose the copies are; absent: those whose the originals are.
 * @returns whether anything was copied.
 */
export async function copyUp(
  volume: FilledVolume,
  lower: readonly string[],
  target: string,
  owners?: CopiedOwners,
): Promise<boolean> {
  try {
    if (await finishCopyUp(volume)) return true;
    if (!(await isEmpty(volume.path))) return false;
    using root = openImage(lower);
    using source = openBelow(root, target);
    if (source === undefined) return false;
    if (isBeside(volume)) return await copyInto(volume, source, owners);
    const inPlace = { ...volume, staging: volume.path };
    return (await finishCopyUp(inPlace)) || (await copyInto(inPlace, source, owners));
  } catch (error) {
    throw wrapError(error, `copy ${target} of the image into volume ${volume.name}`, { stage: "volume" });
  }
}

/** Not where somebody has mounted something on the volume's directory, or keeps it elsewhere with a symlink to it. */
function isBeside({ path, staging }: FilledVolume): boolean {
  using files = open(path, O_PATH | O_DIRECTORY);
  using place = open(staging, O_PATH | O_DIRECTORY);
  return statx(files).mountId === statx(place).mountId;
}

async function copyInto({ path, staging }: FilledVolume, source: Fd, owners?: CopiedOwners): Promise<boolean> {
  const copying = join(staging, copyingName);
  const copied = join(staging, copiedName);
  try {
    await mkdir(copying, { mode: 0o700 });
    using destination = open(copying, ownDirectory);
    await copyTree(source, destination, owners);
    await syncfsInBackground(destination, copying);
    if (!(await isEmpty(path))) {
      await rm(copying, { recursive: true, force: true });
      return false;
    }
    await rename(copying, copied);
    await moveIn(copied, path);
    return true;
  } catch (error) {
    await rm(copying, { recursive: true, force: true });
    throw error;
  }
}

/** Goes on with what an earlier daemon could not finish. @returns whether anything was there that is now in the volume. */
export async function finishCopyUp({ path, staging }: Omit<FilledVolume, "name">): Promise<boolean> {
  const copied = join(staging, copiedName);
  await rm(join(staging, copyingName), { recursive: true, force: true });
  if (!(await exists(copied))) return false;
  await moveIn(copied, path);
  return true;
}

/** Whether there is anything to copy, so that a volume whose mounting takes work need not be mounted for nothing. */
export function imageHas(lower: readonly string[], target: string): boolean {
  using root = openImage(lower);
  using source = openBelow(root, target);
  return source !== undefined;
}

async function isEmpty(path: string): Promise<boolean> {
  return (await readdir(path)).every((name) => name === copyingName || name === copiedName);
}

async function exists(path: string): Promise<boolean> {
  try {
    return (await lstat(path)).isDirectory();
  } catch (error) {
    if (isErrno(error, "ENOENT")) return false;
    throw error;
  }
}

async function moveIn(copied: string, path: string): Promise<void> {
  using from = open(copied, ownDirectory);
  using to = open(path, O_RDONLY | O_DIRECTORY);
  for (const { bytes: name } of [...readDirectory(from)]) moveEntry(from, to, name);
  const status = statx(from);
  fchown(to, status.uid, status.gid);
  fchmod(to, status.mode & 0o7777);
  copyXattrs(from, to, overlayAttributes);
  utimensat(to, "", status.accessed, status.modified);
  await syncfsInBackground(to, path);
  await rm(copied, { recursive: true });
}

/** What somebody has made there meanwhile stays: then the copy is left behind. */
function moveEntry(from: Fd, to: Fd, name: Uint8Array): void {
  try {
    renameat2(from, name, to, name, RENAME_NOREPLACE);
  } catch (error) {
    if (isErrno(error, "EEXIST")) return;
    // Not all file systems know the flag: rename(2).
    if (!isErrno(error, "EINVAL")) throw error;
    renameat2(from, name, to, name);
  }
}

/** The directory at a path of the image, undefined where there is none; the image's symlinks stay inside the image. */
function openBelow(root: Fd, path: string): Fd | undefined {
  try {
    return openat2(root, path, {
      flags: O_RDONLY | O_DIRECTORY,
      resolve: RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS,
    });
  } catch (error) {
    if (isErrno(error, "ENOENT", "ENOTDIR", "ELOOP")) return undefined;
    throw error;
  }
}

/**
 * The image's files in one tree: an overlay, or the one directory itself. The overlay is mounted for as long as it
 * takes to open it: the descriptor keeps it alive.
 */
function openImage(lower: readonly string[]): Fd {
  if (lower.length === 1) return open(lower[0]!, O_RDONLY | O_DIRECTORY);
  const directory = mkdtempSync(join(tmpdir(), "tsd-copy-up-"));
  try {
    mountOverlay(directory, { lower });
    try {
      return open(directory, O_RDONLY | O_DIRECTORY);
    } finally {
      umount2(directory, MNT_DETACH);
    }
  } finally {
    rmdirSync(directory);
  }
}
