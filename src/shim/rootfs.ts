/** The root file system of a container whose runtime cannot mount it: an overlay on the bundle's directory. */
import { MNT_DETACH, MOUNT_ATTR_RDONLY, UMOUNT_NOFOLLOW } from "../../ffi/constants/mount.ts";
import { AT_FDCWD } from "../../ffi/constants/open.ts";
import type { Fd } from "../../ffi/fd.ts";
import { fsconfig, fsmount, fsopen, move_mount, umount2 } from "../../ffi/mount.ts";
import { isErrno, wrapError } from "../core/errors.ts";
import type { RootfsMount } from "./protocol.ts";

/** Mounts it at `target` in this process's mount namespace. @throws EngineError. */
export function mountRootfs(target: string, rootfs: RootfsMount): void {
  try {
    using context = fsopen("overlay");
    fsconfig(context, "source", "overlay");
    setLowerDirectories(context, rootfs.lower);
    if (rootfs.upper !== undefined) {
      fsconfig(context, "upperdir", rootfs.upper);
      fsconfig(context, "workdir", rootfs.work ?? "");
    }
    using mount = fsmount(context, rootfs.upper === undefined ? MOUNT_ATTR_RDONLY : 0);
    move_mount(mount, AT_FDCWD, target);
  } catch (error) {
    throw wrapError(error, `mount the root file system on ${target}`);
  }
}

/** One parameter a directory (Linux 6.5): the old form, all in one text, is cut off at 256 bytes by fsconfig. */
function setLowerDirectories(context: Fd, lower: string[]): void {
  for (const [index, directory] of lower.entries()) {
    try {
      fsconfig(context, "lowerdir+", directory);
    } catch (error) {
      if (index > 0 || !isErrno(error, "EINVAL")) throw error;
      fsconfig(context, "lowerdir", lower.map((path) => path.replace(/[\\:]/g, "\\$&")).join(":"));
      return;
    }
  }
}

/** Takes the mount away, also while something still uses it. Nothing happens when there is none. */
export function unmountRootfs(target: string): void {
  try {
    umount2(target, MNT_DETACH | UMOUNT_NOFOLLOW);
  } catch (error) {
    if (!isErrno(error, "EINVAL", "ENOENT")) throw wrapError(error, `unmount ${target}`);
  }
}
