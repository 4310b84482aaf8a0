/** A mount of an image: which image that is, when the container is created. */
import { withoutSync } from "../../core/database.ts";
import { wrapError } from "../../core/errors.ts";
import type { Image } from "../../image/image.ts";
import type { ContainerDefinition, ContainerMount } from "../container/definition.ts";
import type { EngineContext } from "../context.ts";
import { resolveImage } from "../image/resolve.ts";
import type { PlannedImage } from "./plan.ts";

export type ImageHolder = Pick<EngineContext, "images" | "snapshots" | "database">;

/**
 * What the name stands for now: the container has that image's files at every start, whatever becomes of the name. Its
 * layers are kept until the container's snapshot is removed.
 * @throws EngineError not_found in docker's words.
 */
export async function realizeImage(
  context: ImageHolder,
  containerId: string,
  mount: PlannedImage,
): Promise<ContainerMount> {
  try {
    const found = resolveImage(context, mount.reference, undefined);
    context.images.touch(found.id);
    const image = found.isUnpacked ? found : await context.images.ensureUnpacked(found);
    holdImage(context, containerId, image);
    return {
      Type: "image",
      Name: mount.reference,
      Source: image.id,
      Destination: mount.target,
      Mode: mount.mode,
      RW: false,
      Propagation: "rprivate",
      image: {
        id: image.id,
        manifestDigest: image.manifestDigest,
        ...(image.chainId !== undefined && { chainId: image.chainId }),
      },
      ...(mount.subpath !== undefined && { subpath: mount.subpath }),
    };
  } catch (error) {
    throw wrapError(error, `mount ${mount.target}`, { stage: "mount" });
  }
}

/** Keeps the image's layers for the container. @throws EngineError corrupt when one is gone. */
export function holdImage(
  { database, snapshots }: ImageHolder,
  containerId: string,
  { chainId }: { chainId?: Image["chainId"] },
): void {
  // As with the container's own layer, its row means nothing without the container's.
  withoutSync(database, () => snapshots.hold(containerId, { chainId }));
}

/** What the container was made of and what it has mounted, by their ids. */
export function imagesOf({ imageId, mounts }: ContainerDefinition): Set<string> {
  return new Set([imageId, ...mounts.flatMap(({ image }) => (image === undefined ? [] : [image.id]))]);
}

export function usesImage(definition: ContainerDefinition, id: string): boolean {
  return definition.imageId === id || imagesOf(definition).has(id);
}
