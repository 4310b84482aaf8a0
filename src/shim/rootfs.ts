/** The root file system of a container whose runtime cannot mount it: an overlay on the bundle's directory. */
import { MNT_DETACH, UMOUNT_NOFOLLOW } from "../../ffi/constants/mount.ts";
import { umount2 } from "../../ffi/mount.ts";
import { mountOverlay } from "../../ffi/overlay.ts";
import { isErrno, wrapError } from "../core/errors.ts";
import type { RootfsMount } from "./protocol.ts";

/** Mounts it at `target` in this process's mount namespace. @throws EngineError. */
export function mountRootfs(target: string, rootfs: RootfsMount): void {
  try {
    mountOverlay(target, rootfs);
  } catch (error) {
    throw wrapError(error, `mount the root file system on ${target}`);
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
