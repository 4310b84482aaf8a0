/** What directories take by themselves, whatever is mounted below them: volumes have other file systems there. */
import { OPEN_TREE_CLONE } from "../../../ffi/constants/mount.ts";
import { AT_FDCWD } from "../../../ffi/constants/open.ts";
import { open_tree } from "../../../ffi/mount.ts";
import { type CountedFiles, countBelow, type DiskUsage } from "../../core/disk-usage.ts";
import { isErrno } from "../../core/errors.ts";

/**
 * As `countBelow`, in a copy of the directory's own mount, in which nothing is mounted: so the files below a mount point
 * count, and those on it do not, not even where they are of the same file system.
 */
export async function ownUsage(directory: string, counted?: CountedFiles): Promise<DiskUsage> {
  using tree = cloneOf(directory);
  return tree === undefined ? { bytes: 0, inodes: 0 } : await countBelow(`/proc/self/fd/${tree.number}`, counted);
}

/** @returns undefined for a directory that is not there. */
function cloneOf(directory: string) {
  try {
    return open_tree(AT_FDCWD, directory, OPEN_TREE_CLONE);
  } catch (error) {
    if (isErrno(error, "ENOENT", "ENOTDIR")) return undefined;
    throw error;
  }
}
