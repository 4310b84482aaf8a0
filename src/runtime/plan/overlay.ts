/** The engine's roots: overlays of an image's layers and the container's own, overlayfs.rst. */
import { mountFlags } from "../../../ffi/constants/mount.ts";
import { O_CLOEXEC, O_DIRECTORY, O_PATH, openFlags } from "../../../ffi/constants/open.ts";
import {
  fitsOneByOne,
  layersOneByOne,
  optionsMax,
  parameterMax,
  relativeOptions,
  relativeParameters,
  takesLayersOneByOne,
} from "../../../ffi/overlay.ts";
import type { PlanBuilder } from "../../../ffi/plan/builder.ts";
import { flags, type Ref, str } from "../../../ffi/plan/values.ts";
import { byteLength } from "../../../ffi/text.ts";
import type { OverlayMount } from "../options.ts";
import { newFileSystem } from "./attributes.ts";
import { here, unsupported } from "./emit.ts";

/**
 * Mounts the overlay on `path`; `attach` is how a mount that is attached nowhere gets there.
 * @returns its descriptor.
 */
export function mountOverlay(
  plan: PlanBuilder,
  overlay: OverlayMount,
  path: string,
  attach: (root: Ref) => void,
  oneByOne = takesLayersOneByOne(),
): Ref {
  if (!oneByOne || !fitsOneByOne(overlay)) return mountByOptions(plan, overlay, path);
  const root = newOverlay(plan, layersOneByOne(overlay), path);
  attach(root);
  return root;
}

/** The overlay as a mount that is attached nowhere. */
export function detachedOverlay(
  plan: PlanBuilder,
  overlay: OverlayMount,
  path: string,
  oneByOne = takesLayersOneByOne(),
): Ref {
  if (oneByOne && fitsOneByOne(overlay)) return newOverlay(plan, layersOneByOne(overlay), path);
  const { shared, parameters } = relativeParameters(overlay);
  if (parameters.some(([, value]) => byteLength(value) > parameterMax)) {
    throw unsupported("root.path", `${overlay.lower.length} layers in a user namespace need Linux 6.8 or newer`);
  }
  plan.call("chdir", [str(shared)], { what: shared });
  return newOverlay(plan, parameters, path);
}

/** An overlay that is attached nowhere. */
export function newOverlay(
  plan: PlanBuilder,
  data: readonly (readonly [key: string, value: string | Ref])[],
  path: string,
): Ref {
  const what = `overlay on ${path}`;
  return newFileSystem(plan, { type: "overlay", source: "overlay", data, attributes: 0, what, name: "root" });
}

function mountByOptions(plan: PlanBuilder, overlay: OverlayMount, path: string): Ref {
  const { shared, options } = relativeOptions(overlay);
  if (byteLength(options) > optionsMax) {
    throw unsupported("root.path", `the overlay's ${overlay.lower.length} layers do not fit into one page of options`);
  }
  const what = `overlay on ${path}`;
  plan.call("chdir", [str(shared)], { what: shared });
  plan.call("mount", [str("overlay"), str(path), str("overlay"), flags(0, mountFlags), str(options)], { what });
  const bits = flags(O_PATH | O_DIRECTORY | O_CLOEXEC, openFlags);
  return plan.call("openat", [here, str(path), bits, 0], { what: path, name: "root" });
}
