/** The container's root: made or taken, attached in the mount namespace, and entered for good. */

import {
  MNT_DETACH,
  MOUNT_ATTR_RDONLY,
  MS_MOVE,
  MS_PRIVATE,
  MS_REC,
  MS_SHARED,
  MS_SLAVE,
  MS_UNBINDABLE,
  mountFlags,
  umountFlags,
} from "../../../ffi/constants/mount.ts";
import { O_CLOEXEC, O_DIRECTORY, O_PATH, openFlags } from "../../../ffi/constants/open.ts";
import { isAbsolute, join } from "../../../ffi/path.ts";
import type { PlanBuilder } from "../../../ffi/plan/builder.ts";
import { flags, type Ref, str } from "../../../ffi/plan/values.ts";
import type { RuntimeConfig } from "../../oci/runtime.ts";
import type { OverlayMount } from "../options.ts";
import { attachAtPath, cloneTree, setAttributes } from "./attributes.ts";
import { here, invalid } from "./emit.ts";
import { mappedOverlay } from "./mapped-overlay.ts";
import type { Mappings } from "./mappings.ts";
import { detachedOverlay, mountOverlay } from "./overlay.ts";

const propagations: Readonly<Record<string, number>> = {
  private: MS_PRIVATE,
  shared: MS_SHARED,
  slave: MS_SLAVE,
  unbindable: MS_UNBINDABLE,
};

/** MS_* of linux.rootfsPropagation; undefined when the field says nothing. */
function rootPropagation(config: RuntimeConfig): number | undefined {
  const name = config.linux?.rootfsPropagation;
  if (name === undefined || name === "") return undefined;
  const recursive = name.startsWith("r") ? MS_REC : 0;
  return propagations[recursive === 0 ? name : name.slice(1)]! | recursive;
}

/** Whether binds of shared mounts stay peers of the host's: what the container mounts there is to show on the host. */
export function keepsPeers(config: RuntimeConfig): boolean {
  return ((rootPropagation(config) ?? 0) & MS_SHARED) !== 0;
}

/** The absolute path of the root file system on the host. */
export function rootfsPath(config: RuntimeConfig, bundle: string): string {
  const path = config.root?.path;
  if (path === undefined) throw invalid("root", "missing");
  return isAbsolute(path) ? path : join(bundle, path);
}

/**
 * Cuts the mount namespace off: mounts of the container must not show on the host. Those that the host makes later
 * still arrive, unless the root is to be private.
 */
export function isolateMounts(plan: PlanBuilder, config: RuntimeConfig): void {
  const wanted = rootPropagation(config) ?? MS_SLAVE;
  const type = (wanted & MS_PRIVATE) !== 0 ? MS_PRIVATE : MS_SLAVE;
  plan.because("linux.rootfsPropagation", () => {
    plan.call("mount", [null, str("/"), null, flags(type | MS_REC, mountFlags), null], { what: "propagation of /" });
  });
}

/**
 * The root as a mount, and attached: at its own path, or on the host's root where a user namespace cannot reach that
 * path. The descriptor that results is where every later walk starts.
 */
export function openRoot(
  plan: PlanBuilder,
  config: RuntimeConfig,
  context: { bundle: string; rootfsMount?: OverlayMount },
): Ref {
  const path = rootfsPath(config, context.bundle);
  return plan.because("root.path", () => {
    const { rootfsMount } = context;
    if (rootfsMount?.mapped) throw invalid("root", "mapped owners need a user namespace of the container's own");
    if (rootfsMount !== undefined)
      return mountOverlay(plan, rootfsMount, path, (root) => attachAtPath(plan, root, path));
    const root = cloneTree(plan, here, path, true, { what: path, name: "root" });
    attachAtPath(plan, root, path);
    return root;
  });
}

/** The root made by the process that still has the host's user namespace; attachAtPath follows in the new one. */
export function prepareRoot(
  plan: PlanBuilder,
  config: RuntimeConfig,
  context: { bundle: string; rootfsMount?: OverlayMount; mappings: Mappings },
): Ref {
  const path = rootfsPath(config, context.bundle);
  return plan.because("root.path", () => {
    const { rootfsMount, mappings } = context;
    const root =
      rootfsMount === undefined
        ? cloneTree(plan, here, path, true, { what: path, name: "root" })
        : rootfsMount.mapped
          ? mappedOverlay(plan, rootfsMount, path, mappings)
          : detachedOverlay(plan, rootfsMount, path);
    // Still a peer of the host's mounts: what the container mounts below it must not arrive there.
    setAttributes(plan, root, { propagation: MS_SLAVE, recursive: true }, { what: path });
    return root;
  });
}

/** Makes the container's root the root of the mount namespace and lets go of the host's, pivot_root(2). */
export function enterRoot(plan: PlanBuilder, root: Ref, noPivot: boolean): void {
  plan.because("root.path", () => {
    if (noPivot) moveRoot(plan, root);
    else pivotRoot(plan, root);
    plan.call("chdir", [str("/")]);
  });
}

function pivotRoot(plan: PlanBuilder, root: Ref): void {
  const bits = flags(O_PATH | O_DIRECTORY | O_CLOEXEC, openFlags);
  const host = plan.call("openat", [here, str("/"), bits, 0], { name: "host" });
  plan.call("fchdir", [root]);
  plan.call("pivot_root", [str("."), str(".")], { what: "the container's root" });
  // The host's root now lies on top of the container's. It is a slave already, unless it could not be told so.
  plan.call("fchdir", [host]);
  plan.call("mount", [null, str("."), null, flags(MS_SLAVE | MS_REC, mountFlags), null], { what: "the host's root" });
  plan.call("umount2", [str("."), flags(MNT_DETACH, umountFlags)], { what: "the host's root" });
  plan.close(host);
}

/** For a host root that cannot be pivoted (initramfs). The host's mounts stay below, out of reach of paths alone. */
function moveRoot(plan: PlanBuilder, root: Ref): void {
  plan.call("fchdir", [root]);
  plan.call("mount", [str("."), str("/"), null, flags(MS_MOVE, mountFlags), null], { what: "the container's root" });
  plan.call("chroot", [str(".")]);
}

/**
 * What can only be said about the root once it is "/": its propagation, and that it is read-only. The propagation is
 * the root's alone (config-linux.md, "Rootfs Mount Propagation"): each mount below has options that say its own.
 */
export function finishRoot(plan: PlanBuilder, config: RuntimeConfig, root: Ref): void {
  const type = (rootPropagation(config) ?? MS_PRIVATE) & ~MS_REC;
  if (type !== MS_PRIVATE) {
    plan.because("linux.rootfsPropagation", () => {
      plan.call("mount", [null, str("/"), null, flags(type, mountFlags), null], { what: "propagation of /" });
    });
  }
  if (config.root?.readonly) {
    plan.because("root.readonly", () => {
      setAttributes(plan, root, { set: MOUNT_ATTR_RDONLY }, { what: "the container's root" });
    });
  }
}
