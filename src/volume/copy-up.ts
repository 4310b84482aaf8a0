/**
 * What the image has at a volume's target is copied into the volume when the volume is empty, as Docker does.
 *
 * The copy is made beside the volume and then moved in, entry by entry, so that the volume may be in use meanwhile.
 * A crash leaves `.copying` (thrown away) or `.copied` (the move goes on where it stopped), never a volume that
 * is half filled and looks whole.
 */
import { mkdtempSync, rmdirSync } from "node:fs";
import { mkdir, readdir, rename, rm, rmdir } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { MNT_DETACH } from "../../ffi/constants/mount.ts";
import { O_DIRECTORY, O_RDONLY, RESOLVE_IN_ROOT, RESOLVE_NO_MAGICLINKS } from "../../ffi/constants/open.ts";
import type { Fd } from "../../ffi/fd.ts";
import { fchmod, fchown, open, openat2, syncfs, utimensat } from "../../ffi/files.ts";
import { umount2 } from "../../ffi/mount.ts";
import { mountOverlay } from "../../ffi/overlay.ts";
import { statx } from "../../ffi/stat.ts";
import { isErrno, wrapError } from "../core/errors.ts";
import { type CopiedOwners, copyTree } from "./tree-copy.ts";

export type { CopiedOwners } from "./tree-copy.ts";

interface FilledVolume {
  name: string;
  /** Where its files are. The directory that this is in belongs to it too. */
  path: string;
}

/**
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
  const copying = join(volume.path, "..", ".copying");
  const copied = join(volume.path, "..", ".copied");
  try {
    await rm(copying, { recursive: true, force: true });
    if (await exists(copied)) {
      await moveIn(copied, volume.path);
      return true;
    }
    if ((await readdir(volume.path)).length > 0) return false;
    using root = openImage(lower);
    using source = openBelow(root, target);
    if (source === undefined) return false;
    await mkdir(copying, { mode: 0o700 });
    using destination = open(copying, O_RDONLY | O_DIRECTORY);
    await copyTree(source, destination, owners);
    syncfs(destination);
    await rename(copying, copied);
    await moveIn(copied, volume.path);
    return true;
  } catch (error) {
    await rm(copying, { recursive: true, force: true });
    throw wrapError(error, `copy ${target} of the image into volume ${volume.name}`, { stage: "volume" });
  }
}

async function exists(path: string): Promise<boolean> {
  try {
    await readdir(path);
    return true;
  } catch (error) {
    if (isErrno(error, "ENOENT")) return false;
    throw error;
  }
}

async function moveIn(copied: string, path: string): Promise<void> {
  for (const name of await readdir(copied, { encoding: "buffer" })) {
    await rename(beneath(copied, name), beneath(path, name));
  }
  using from = open(copied, O_RDONLY | O_DIRECTORY);
  using to = open(path, O_RDONLY | O_DIRECTORY);
  const status = statx(from);
  fchown(to, status.uid, status.gid);
  fchmod(to, status.mode & 0o7777);
  utimensat(to, "", status.accessed, status.modified);
  syncfs(to);
  await rmdir(copied);
}

function beneath(directory: string, name: Uint8Array): Buffer {
  return Buffer.concat([Buffer.from(`${directory}/`), name]);
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
