/** The files of an image as a mount: an overlay of its layers that nobody can write to, whatever he may do with mounts. */
import { join, relative } from "node:path";
import { MNT_DETACH, MOUNT_ATTR_IDMAP, MS_PRIVATE, OPEN_TREE_CLONE } from "../../../ffi/constants/mount.ts";
import { AT_FDCWD, O_DIRECTORY, O_PATH } from "../../../ffi/constants/open.ts";
import type { Fd } from "../../../ffi/fd.ts";
import { open } from "../../../ffi/files.ts";
import { fsconfig, fsmount, fsopen, mount_setattr, open_tree, umount2 } from "../../../ffi/mount.ts";
import { directoryOfLayers, mountOverlay } from "../../../ffi/overlay.ts";
import { openSubpath } from "../../volume/subpath.ts";
import type { MountPlaces } from "./places.ts";

export interface ImageSource {
  /** Directories of one directory, topmost first: two at least, or none. */
  layers: readonly string[];
  /** Only what is there. */
  subpath?: string | undefined;
  /** What the image is called. */
  shown: string;
  /** Of the container, which sees the image's owners; absent: the host's. */
  userNamespace?: Fd | undefined;
}

/** @returns where it is mounted. @throws EngineError not_found when there is nothing at the subpath; the kernel's. */
export function mountImage(places: MountPlaces, { layers, subpath, shown, userNamespace }: ImageSource): string {
  const whole = mountLayers(places, layers, userNamespace);
  if (subpath === undefined) return whole;
  using root = open(whole, O_PATH | O_DIRECTORY);
  using found = openSubpath(root, subpath, { kind: "image", shown });
  return places.attachCopy(found);
}

function mountLayers(places: MountPlaces, lower: readonly string[], userNamespace: Fd | undefined): string {
  if (lower.length === 0) return mountNothing(places);
  const place = places.make();
  if (userNamespace === undefined) {
    mountOverlay(place, { lower });
    return place;
  }
  // One mapped mount of the directory that all layers are in, however many they are; the overlay keeps copies of it.
  const directory = directoryOfLayers({ lower });
  using tree = open_tree(AT_FDCWD, directory, OPEN_TREE_CLONE);
  mount_setattr(tree, { set: MOUNT_ATTR_IDMAP, propagation: MS_PRIVATE, userNamespace });
  const mapped = places.attach(tree);
  mountOverlay(place, { lower: lower.map((path) => join(mapped, relative(directory, path))) });
  umount2(mapped, MNT_DETACH);
  return place;
}

/** An image without layers is an empty directory. */
function mountNothing(places: MountPlaces): string {
  using context = fsopen("tmpfs");
  fsconfig(context, "source", "tmpfs");
  fsconfig(context, "mode", "0755");
  fsconfig(context, "ro", true);
  using tree = fsmount(context);
  return places.attach(tree);
}
