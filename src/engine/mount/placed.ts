/**
 * Sources of mounts that are no paths of the host: images, and parts of volumes. They are mounted on places of their
 * own for as long as a runtime, or whoever works on the container's files, needs to bind them; the container's mounts
 * keep what is mounted alive.
 */
import { O_DIRECTORY, O_PATH } from "../../../ffi/constants/open.ts";
import type { Fd } from "../../../ffi/fd.ts";
import { open } from "../../../ffi/files.ts";
import { wrapError } from "../../core/errors.ts";
import { openSubpath } from "../../volume/subpath.ts";
import type { ContainerMount } from "../container/definition.ts";
import type { EngineContext } from "../context.ts";
import { mountImage } from "./image-source.ts";
import { MountPlaces } from "./places.ts";

export interface PlacedMounts extends Disposable {
  /** Undefined for a mount whose source is where its volume is, or on the host. */
  get(mount: ContainerMount): string | undefined;
}

interface Surroundings {
  /** Of volumes that are mounted, by name. */
  directories: ReadonlyMap<string, string>;
  /** The container's own. Absent: files show with the owners that they have on the disk. */
  userNamespace?: Fd | undefined;
}

/** @throws EngineError not_found for what is not there, in docker's words with the mount's name; nothing is left then. */
export function placeMounts(
  context: Pick<EngineContext, "layout" | "snapshots">,
  mounts: readonly ContainerMount[],
  surroundings: Surroundings,
): PlacedMounts {
  const placed = new Map<ContainerMount, string>();
  const needing = mounts.filter(({ Type, subpath }) => Type === "image" || subpath !== undefined);
  if (needing.length === 0) return { get: () => undefined, [Symbol.dispose]: () => undefined };
  using stack = new DisposableStack();
  const places = stack.use(new MountPlaces(context.layout.mountPlaces));
  for (const mount of needing) {
    try {
      placed.set(mount, placeMount(context, mount, { ...surroundings, places }));
    } catch (error) {
      throw wrapError(error, `mount ${mount.Destination}`, { stage: "mount" });
    }
  }
  const kept = stack.move();
  return { get: (mount) => placed.get(mount), [Symbol.dispose]: () => kept.dispose() };
}

function placeMount(
  { snapshots }: Pick<EngineContext, "snapshots">,
  { Name, image, subpath }: ContainerMount,
  { places, directories, userNamespace }: Surroundings & { places: MountPlaces },
): string {
  if (image !== undefined) {
    return mountImage(places, {
      layers: snapshots.layers(image.chainId),
      subpath,
      shown: Name ?? image.id,
      userNamespace,
    });
  }
  const directory = directories.get(Name!)!;
  using root = open(directory, O_PATH | O_DIRECTORY);
  using found = openSubpath(root, subpath!, { kind: "volume", shown: directory });
  return places.attachCopy(found);
}
