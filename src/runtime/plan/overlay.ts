/** The engine's roots: overlays of an image's layers and the container's own, overlayfs.rst. */
import { release } from "node:os";
import { mountFlags } from "../../../ffi/constants/mount.ts";
import { O_CLOEXEC, O_DIRECTORY, O_PATH, openFlags } from "../../../ffi/constants/open.ts";
import type { PlanBuilder } from "../../../ffi/plan/builder.ts";
import { flags, type Ref, str } from "../../../ffi/plan/values.ts";
import type { OverlayMount } from "../options.ts";
import { newFileSystem } from "./attributes.ts";
import { here, unsupported } from "./emit.ts";

/** The longest value that fsconfig(2) takes, without its NUL. */
const parameterMax = 255;
/** One page holds all options of mount(2). */
const optionsMax = 4095;

/**
 * Since Linux 6.8 fsconfig(2) takes layers one by one. It cannot be tried: before 6.5 overlayfs takes every parameter
 * and refuses when all are there, without a word. A kernel with the feature and a lower number loses nothing.
 */
function takesLayersOneByOne(): boolean {
  const [major = 0, minor = 0] = release().split(".").map(Number);
  return major > 6 || (major === 6 && minor >= 8);
}

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
  if (!oneByOne || !fits(overlay)) return mountByOptions(plan, overlay, path);
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
  if (oneByOne && fits(overlay)) return newOverlay(plan, layersOneByOne(overlay), path);
  const { shared, parameters } = relativeParameters(overlay);
  if (parameters.some(([, value]) => Buffer.byteLength(value) > parameterMax)) {
    throw unsupported("root.path", `${overlay.lower.length} layers in a user namespace need Linux 6.8 or newer`);
  }
  plan.call("chdir", [str(shared)], { what: shared });
  return newOverlay(plan, parameters, path);
}

type Parameters = readonly (readonly [key: string, value: string])[];

function newOverlay(plan: PlanBuilder, data: Parameters, path: string): Ref {
  const what = `overlay on ${path}`;
  return newFileSystem(plan, { type: "overlay", source: "overlay", data, attributes: 0, what, name: "root" });
}

function layersOneByOne({ lower, upper, work }: OverlayMount): Parameters {
  const layers = lower.map((directory) => ["lowerdir+", directory] as const);
  return [...layers, ...own("upperdir", upper), ...own("workdir", work)];
}

function own(key: string, directory: string | undefined): Parameters {
  return directory === undefined ? [] : [[key, directory]];
}

function fits(overlay: OverlayMount): boolean {
  return layersOneByOne(overlay).every(([, directory]) => Buffer.byteLength(directory) <= parameterMax);
}

/**
 * All layers in one parameter. It is short when the directories are named relative to one that they share, so that has
 * to be the working directory then.
 */
function relativeParameters({ lower, upper, work }: OverlayMount): { shared: string; parameters: Parameters } {
  const shared = sharedDirectory([
    ...lower,
    ...(upper === undefined ? [] : [upper]),
    ...(work === undefined ? [] : [work]),
  ]);
  const relative = (directory: string | undefined) => directory?.slice(shared.length).replaceAll("\\", "\\\\");
  const layers = lower.map((directory) => relative(directory)!.replaceAll(":", "\\:")).join(":");
  return {
    shared,
    parameters: [["lowerdir", layers], ...own("upperdir", relative(upper)), ...own("workdir", relative(work))],
  };
}

function mountByOptions(plan: PlanBuilder, overlay: OverlayMount, path: string): Ref {
  const { shared, parameters } = relativeParameters(overlay);
  const options = parameters.map(([key, value]) => `${key}=${value.replaceAll(",", "\\,")}`).join(",");
  if (Buffer.byteLength(options) > optionsMax) {
    throw unsupported("root.path", `the overlay's ${overlay.lower.length} layers do not fit into one page of options`);
  }
  const what = `overlay on ${path}`;
  plan.call("chdir", [str(shared)], { what: shared });
  plan.call("mount", [str("overlay"), str(path), str("overlay"), flags(0, mountFlags), str(options)], { what });
  const bits = flags(O_PATH | O_DIRECTORY | O_CLOEXEC, openFlags);
  return plan.call("openat", [here, str(path), bits, 0], { what: path, name: "root" });
}

/** The longest directory, with its final slash, that all paths lie in. */
function sharedDirectory(paths: readonly string[]): string {
  let shared = paths[0]!.slice(0, paths[0]!.lastIndexOf("/") + 1);
  while (!paths.every((path) => path.startsWith(shared))) {
    shared = shared.slice(0, shared.lastIndexOf("/", shared.length - 2) + 1);
  }
  return shared;
}
