/**
 * Where mounts of tsd's own lie between being made and being in a container: attached, because a runtime binds paths,
 * and before Linux 6.15 nothing that is attached nowhere can be bound.
 *
 * They lie in a small tmpfs below the state directory. It is private, so that nothing of it shows in another mount
 * namespace, and cannot be bound, so that a container which binds a directory above gets none of it (and holds up
 * nobody who unmounts a volume). One unmount takes it away with everything in it; it never has to be emptied by name.
 */
import { closeSync, mkdirSync, openSync, rmdirSync } from "node:fs";
import { join } from "node:path";
import {
  MNT_DETACH,
  MOUNT_ATTR_NODEV,
  MOUNT_ATTR_NOEXEC,
  MOUNT_ATTR_NOSUID,
  MS_PRIVATE,
  MS_UNBINDABLE,
  OPEN_TREE_CLONE,
  UMOUNT_NOFOLLOW,
} from "../../../ffi/constants/mount.ts";
import { AT_EMPTY_PATH, AT_FDCWD, AT_RECURSIVE } from "../../../ffi/constants/open.ts";
import type { Fd } from "../../../ffi/fd.ts";
import { fsconfig, fsmount, fsopen, mount_setattr, move_mount, open_tree, umount2 } from "../../../ffi/mount.ts";
import { isDirectory, statx } from "../../../ffi/stat.ts";
import { namesIn } from "../../core/directory.ts";
import { isErrno, wrapError } from "../../core/errors.ts";
import { newId } from "../../core/id.ts";
import { log } from "../../core/log.ts";

export class MountPlaces implements Disposable {
  readonly #directory: string;
  #places = 0;

  /** @param parent Layout.mountPlaces. */
  constructor(parent: string) {
    this.#directory = join(parent, newId().slice(0, 12));
    mkdirSync(parent, { recursive: true, mode: 0o700 });
    mkdirSync(this.#directory, { mode: 0o700 });
    try {
      using context = fsopen("tmpfs");
      fsconfig(context, "source", "tsd");
      fsconfig(context, "mode", "0700");
      fsconfig(context, "size", "1m");
      using tmpfs = fsmount(context, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
      move_mount(tmpfs, AT_FDCWD, this.#directory);
      // Below a shared mount it has become shared: what is attached to it would be, too.
      mount_setattr(tmpfs, { propagation: MS_PRIVATE });
      mount_setattr(tmpfs, { propagation: MS_UNBINDABLE });
    } catch (error) {
      discardPlace(this.#directory);
      throw wrapError(error, `mount a tmpfs on ${this.#directory}`, { stage: "mount" });
    }
  }

  /** Something empty to mount on. */
  make(kind: "directory" | "file" = "directory"): string {
    const place = join(this.#directory, String(this.#places++));
    if (kind === "directory") mkdirSync(place, { mode: 0o755 });
    else closeSync(openSync(place, "wx", 0o600));
    return place;
  }

  /** Attaches a mount that is attached nowhere. @returns where. */
  attach(tree: Fd): string {
    const place = this.make(isDirectory(statx(tree)) ? "directory" : "file");
    move_mount(tree, AT_FDCWD, place);
    return place;
  }

  /** Attaches a copy of what the descriptor leads to, with what is mounted below. @returns where. */
  attachCopy(opened: Fd): string {
    using tree = open_tree(opened, "", OPEN_TREE_CLONE | AT_EMPTY_PATH | AT_RECURSIVE);
    // Else the end of the copy would be that of what is mounted below the original, whose peers its mounts still are.
    mount_setattr(tree, { propagation: MS_PRIVATE }, AT_RECURSIVE);
    return this.attach(tree);
  }

  [Symbol.dispose](): void {
    discardPlace(this.#directory);
  }
}

/** What a daemon that was killed has left. Whoever it started had it by then. */
export function removeMountPlaces(parent: string): void {
  for (const name of namesIn(parent)) discardPlace(join(parent, name));
}

/** Never more than a directory that is empty is removed by name: what is mounted may be a volume. */
export function discardPlace(directory: string): void {
  try {
    try {
      umount2(directory, MNT_DETACH | UMOUNT_NOFOLLOW);
    } catch (error) {
      if (!isErrno(error, "EINVAL")) throw error;
    }
    rmdirSync(directory);
  } catch (error) {
    // The next daemon tries again.
    log("error", "could not take away a place for mounts", { directory, error: String(error) });
  }
}
