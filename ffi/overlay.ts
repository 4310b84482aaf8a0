/** Mounting overlays on old and new kernels: overlayfs.rst. */
import { MOUNT_ATTR_RDONLY, MS_RDONLY } from "./constants/mount.ts";
import { AT_FDCWD } from "./constants/open.ts";
import { readFileSync } from "./fs.ts";
import { fsconfig, fsmount, fsopen, mount, move_mount } from "./mount.ts";
import { byteLength } from "./text.ts";

export interface OverlayDirectories {
  /** Topmost first; absolute, as the others. */
  lower: readonly string[];
  /** Absent, with `work`: the overlay is read-only. */
  upper?: string;
  work?: string;
}

/** The longest value that fsconfig(2) takes, without its NUL. */
export const parameterMax = 255;
/** One page holds all options of mount(2), which cuts off the rest. */
export const optionsMax = 4095;

export type OverlayParameters = readonly (readonly [key: string, value: string])[];

/**
 * Since Linux 6.8 fsconfig(2) takes layers one by one. It cannot be tried: before 6.5 overlayfs takes every parameter
 * and refuses when all are there, without a word. A kernel with the feature and a lower number loses nothing.
 */
export function takesLayersOneByOne(): boolean {
  return isKernel(6, 8);
}

/** Since Linux 5.19 layers may be on ID-mapped mounts; before, the kernel refuses them with a bare EINVAL. */
export function takesMappedLayers(): boolean {
  return isKernel(5, 19);
}

/** Since Linux 6.15 layers may be descriptors, opened with O_PATH, of mounts that are attached nowhere. */
export function takesDetachedLayers(): boolean {
  return isKernel(6, 15);
}

function isKernel(...least: [major: number, minor: number]): boolean {
  const [major = 0, minor = 0] = readFileSync("/proc/sys/kernel/osrelease", "utf8").split(".").map(Number);
  return major > least[0] || (major === least[0] && minor >= least[1]);
}

/** Whether fsconfig(2) can be told every directory by its whole path. */
export function fitsOneByOne(overlay: OverlayDirectories): boolean {
  return layersOneByOne(overlay).every(([, directory]) => byteLength(directory) <= parameterMax);
}

export function layersOneByOne({ lower, upper, work }: OverlayDirectories): OverlayParameters {
  const layers = lower.map((directory) => ["lowerdir+", directory] as const);
  return [...layers, ...writable(upper, work)];
}

/**
 * Whatever the host's defaults are, what is written is a layer by itself: a renamed directory or a changed mode that
 * only says where in the layers below the rest is (overlayfs.rst, "redirect_dir", "Metadata only copy up") could not be
 * committed. rename(2) of a lower directory is EXDEV then, and programs copy.
 */
function writable(upper: string | undefined, work: string | undefined): OverlayParameters {
  if (upper === undefined || work === undefined) return [];
  return [
    ["upperdir", upper],
    ["workdir", work],
    ["redirect_dir", "off"],
    ["metacopy", "off"],
  ];
}

/**
 * All layers in one parameter. It is short when the directories are named relative to one that they share, so that has
 * to be the working directory then.
 */
export function relativeParameters(overlay: OverlayDirectories): { shared: string; parameters: OverlayParameters } {
  const { lower, upper, work } = overlay;
  const shared = directoryOfLayers(overlay);
  const relative = (directory: string) => directory.slice(shared.length).replaceAll("\\", "\\\\");
  const layers = lower.map((directory) => relative(directory).replaceAll(":", "\\:")).join(":");
  return { shared, parameters: [["lowerdir", layers], ...writable(upper && relative(upper), work && relative(work))] };
}

/** The options of mount(2), for a process in the directory `shared`. They may be longer than optionsMax. */
export function relativeOptions(overlay: OverlayDirectories): { shared: string; options: string } {
  const { shared, parameters } = relativeParameters(overlay);
  const options = parameters.map(([key, value]) => `${key}=${value.replaceAll(",", "\\,")}`).join(",");
  return { shared, options };
}

/**
 * Mounts the overlay on a directory.
 * @param oneByOne whether the kernel takes layers one by one.
 * @throws SyscallError; RangeError when the layers are more than the kernel can be told of.
 */
export function mountOverlay(target: string, overlay: OverlayDirectories, oneByOne = takesLayersOneByOne()): void {
  const readOnly = overlay.upper === undefined;
  if (oneByOne && fitsOneByOne(overlay)) {
    using context = fsopen("overlay");
    fsconfig(context, "source", "overlay");
    for (const [key, directory] of layersOneByOne(overlay)) fsconfig(context, key, directory);
    using mounted = fsmount(context, readOnly ? MOUNT_ATTR_RDONLY : 0);
    move_mount(mounted, AT_FDCWD, target);
    return;
  }
  const { shared, options } = relativeOptions(overlay);
  if (byteLength(options) > optionsMax) {
    throw new RangeError(`the overlay's ${overlay.lower.length} layers do not fit into one page of options`);
  }
  const before = process.cwd();
  process.chdir(shared);
  try {
    mount("overlay", target, "overlay", readOnly ? MS_RDONLY : 0, options);
  } finally {
    process.chdir(before);
  }
}

/** The deepest directory, with a final slash, that all of the overlay's are in. */
export function directoryOfLayers({ lower, upper, work }: OverlayDirectories): string {
  return sharedDirectory([...lower, ...(upper === undefined ? [] : [upper]), ...(work === undefined ? [] : [work])]);
}

/** The longest directory, with its final slash, that all paths lie in. */
function sharedDirectory(paths: readonly string[]): string {
  let shared = paths[0]!.slice(0, paths[0]!.lastIndexOf("/") + 1);
  while (!paths.every((path) => path.startsWith(shared))) {
    shared = shared.slice(0, shared.lastIndexOf("/", shared.length - 2) + 1);
  }
  return shared;
}
