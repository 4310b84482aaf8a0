/**
 * An overlay whose files have the container's own owners on the disk, although its root is nobody on the host: of
 * layers on ID-mapped mounts (overlayfs.rst, since Linux 5.19). Nothing has to be chowned, however large the image.
 */
import { MS_REC, MS_SLAVE, mountFlags } from "../../../ffi/constants/mount.ts";
import { CLONE_NEWNS, cloneFlags } from "../../../ffi/constants/namespace.ts";
import { O_CLOEXEC, O_DIRECTORY, O_PATH, openFlags } from "../../../ffi/constants/open.ts";
import { PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP, secureBits } from "../../../ffi/constants/process.ts";
import { directoryOfLayers, layersOneByOne, takesDetachedLayers, takesMappedLayers } from "../../../ffi/overlay.ts";
import type { PlanBuilder } from "../../../ffi/plan/builder.ts";
import { flags, type Ref, str } from "../../../ffi/plan/values.ts";
import type { OverlayMount } from "../options.ts";
import { attachAtPath, cloneTree } from "./attributes.ts";
import { prctl } from "./credentials.ts";
import { here, unsupported } from "./emit.ts";
import type { Mappings } from "./mappings.ts";
import { detachedOverlay, newOverlay } from "./overlay.ts";

/** What the kernel can. */
export interface MappedLayers {
  mapped: boolean;
  detached: boolean;
}

/**
 * The overlay, attached nowhere. For a process that is still in the host's user namespace.
 *
 * The directory that all layers are in gets a mapped copy: one mount, whatever their number.
 */
export function mappedOverlay(
  plan: PlanBuilder,
  overlay: OverlayMount,
  path: string,
  mappings: Mappings,
  kernel: MappedLayers = { mapped: takesMappedLayers(), detached: takesDetachedLayers() },
): Ref {
  if (!kernel.mapped) throw unsupported("root.path", "layers with mapped owners need Linux 5.19 or newer");
  const directory = directoryOfLayers(overlay);
  const layers = (): Ref => {
    const tree = cloneTree(plan, here, directory, false, { what: directory });
    mappings.mapRoot(plan, tree, directory);
    return tree;
  };
  return kernel.detached
    ? ofDescriptors(plan, overlay, path, mappings, layers())
    : ofPaths(plan, overlay, path, mappings, layers);
}

function ofDescriptors(plan: PlanBuilder, overlay: OverlayMount, path: string, mappings: Mappings, tree: Ref): Ref {
  const { length } = directoryOfLayers(overlay);
  const bits = flags(O_PATH | O_DIRECTORY | O_CLOEXEC, openFlags);
  const opened: Ref[] = [];
  const data = layersOneByOne(overlay).map(([key, value]) => {
    if (!value.startsWith("/")) return [key, value] as const;
    const layer = plan.call("openat", [tree, str(value.slice(length)), bits, 0], { what: value, name: "layer" });
    opened.push(layer);
    return [key, layer] as const;
  });
  const root = asOwner(plan, mappings, () => newOverlay(plan, data, path));
  for (const layer of [...opened, tree]) plan.close(layer);
  return root;
}

/**
 * By paths overlayfs finds its layers in the mount namespace, so that in one of its own, which no other process has,
 * this one covers the directory with the mapped copy.
 */
function ofPaths(plan: PlanBuilder, overlay: OverlayMount, path: string, mappings: Mappings, mapped: () => Ref): Ref {
  plan.call("unshare", [flags(CLONE_NEWNS, cloneFlags)], { what: "mount namespace" });
  plan.call("mount", [null, str("/"), null, flags(MS_SLAVE | MS_REC, mountFlags), null], { what: "propagation of /" });
  const tree = mapped();
  attachAtPath(plan, tree, directoryOfLayers(overlay));
  const root = asOwner(plan, mappings, () => detachedOverlay(plan, overlay, path));
  plan.close(tree);
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
