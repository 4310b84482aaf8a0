/**
 * An overlay whose files have the container's own owners on the disk, although its root is nobody on the host: of layers
 * on ID-mapped mounts (overlayfs.rst, since Linux 5.19). Nothing has to be chowned, however large the image.
 */
import { MNT_DETACH, MS_REC, MS_SLAVE, mountFlags, umountFlags } from "../../../ffi/constants/mount.ts";
import { CLONE_NEWNS, cloneFlags } from "../../../ffi/constants/namespace.ts";
import { PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP, secureBits } from "../../../ffi/constants/process.ts";
import { directoryOfLayers, takesMappedLayers } from "../../../ffi/overlay.ts";
import type { PlanBuilder } from "../../../ffi/plan/builder.ts";
import { flags, type Ref, str } from "../../../ffi/plan/values.ts";
import type { OverlayMount } from "../options.ts";
import { attachAtPath, cloneTree } from "./attributes.ts";
import { prctl } from "./credentials.ts";
import { here, unsupported } from "./emit.ts";
import type { Mappings } from "./mappings.ts";
import { detachedOverlay } from "./overlay.ts";

/**
 * The overlay, attached nowhere. For a process that is still in the host's user namespace.
 *
 * overlayfs finds its layers by paths of the mount namespace, so that in one of its own this process covers the directory
 * that they are all in with a mapped copy of itself: one mount, whatever the number of layers. It is gone again
 * when the overlay, which keeps copies of it, is there.
 */
export function mappedOverlay(
  plan: PlanBuilder,
  overlay: OverlayMount,
  path: string,
  mappings: Mappings,
  takesMapped = takesMappedLayers(),
): Ref {
  if (!takesMapped) throw unsupported("root.path", "layers with mapped owners need Linux 5.19 or newer");
  const directory = directoryOfLayers(overlay);
  plan.call("unshare", [flags(CLONE_NEWNS, cloneFlags)], { what: "mount namespace" });
  plan.call("mount", [null, str("/"), null, flags(MS_SLAVE | MS_REC, mountFlags), null], { what: "propagation of /" });
  const layers = cloneTree(plan, here, directory, false, { what: directory });
  mappings.mapRoot(plan, layers, directory);
  attachAtPath(plan, layers, directory);
  const root = asOwner(plan, mappings, () => detachedOverlay(plan, overlay, path));
  plan.call("umount2", [str(directory), flags(MNT_DETACH, umountFlags)], { what: directory });
  plan.close(layers);
  return root;
}

/**
 * overlayfs makes its own files (below `work`, whiteouts) as whoever mounts it. Host's root is nobody in a mapped
 * directory (EOVERFLOW), so that must be the container's, for files alone, with all capabilities.
 */
function asOwner<T>(plan: PlanBuilder, { rootOwner }: Mappings, mount: () => T): T {
  prctl(plan, PR_SET_SECUREBITS, [flags(SECBIT_NO_SETUID_FIXUP, secureBits)]);
  plan.call("setfsgid", [rootOwner.gid], { what: `group ${rootOwner.gid}` });
  plan.call("setfsuid", [rootOwner.uid], { what: `user ${rootOwner.uid}` });
  const result = mount();
  plan.call("setfsuid", [0], { what: "user 0" });
  plan.call("setfsgid", [0], { what: "group 0" });
  prctl(plan, PR_SET_SECUREBITS, [0]);
  return result;
}
