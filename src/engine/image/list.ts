/** `images`: the list as the Engine API has it. */
import type { ImageSummary } from "../../api/schema/image.ts";
import { advice } from "../../core/advice.ts";
import { EngineError } from "../../core/errors.ts";
import { inKeyOrder } from "../../core/key-order.ts";
import type { ImageSummary as StoredSummary } from "../../image/image.ts";
import type { EngineContext } from "../context.ts";
import { imagesOf } from "../mount/image-mount.ts";
import { filterImages, type ImageFilters } from "./filter.ts";
import { manifestSummaries } from "./manifests.ts";

export interface ListOptions {
  filters: ImageFilters;
  sharedSize: boolean;
  manifests: boolean;
  /** Where each image came from; only with its manifests. */
  identity: boolean;
}

/** The newest first. @throws EngineError invalid_argument, and not_found for a filter by an image that is not here. */
export function listImages(context: EngineContext, options: ListOptions): ImageSummary[] {
  const { images } = context;
  const all = images.list();
  const shown = filterImages(all, options.filters, (reference) => {
    const image = images.resolve(reference);
    if (image === undefined)
      throw new EngineError("not_found", `No such image: ${reference}`, { hint: advice.noImage });
    return image.createdAt;
  });
  const users = new Map<string, number>();
  for (const { definition } of context.containers.all()) {
    for (const id of imagesOf(definition)) users.set(id, (users.get(id) ?? 0) + 1);
  }
  const shared = options.sharedSize ? sharedSizes(all) : undefined;
  return shown
    .map((image) => ({
      ...summarize(image, users.get(image.id) ?? 0, shared?.get(image.id)),
      ...(options.manifests && {
        Manifests: manifestSummaries(context, image, { identity: options.identity }),
      }),
    }))
    .sort((a, b) => b.Created - a.Created);
}

function summarize(image: StoredSummary, containers: number, sharedSize: number | undefined): ImageSummary {
  const created = image.createdAt === undefined ? Number.NaN : Date.parse(image.createdAt);
  return {
    Id: image.id,
    ParentId: "",
    RepoTags: image.repoTags,
    RepoDigests: image.repoDigests,
    Created: Number.isNaN(created) ? 0 : Math.floor(created / 1000),
    Size: image.sizeBytes,
    SharedSize: sharedSize ?? -1,
    Labels: inKeyOrder(image.labels),
    Containers: containers,
    Descriptor: { mediaType: image.mediaType, digest: image.id, size: image.documentBytes },
  };
}

/** By image the bytes of its unpacked layers that another has, too, or another platform of it. */
function sharedSizes(images: readonly StoredSummary[]): Map<string, number> {
  const uses = new Map<string, number>();
  for (const { chainId } of images.flatMap(({ layers }) => layers)) uses.set(chainId, (uses.get(chainId) ?? 0) + 1);
  return new Map(
    images.map(({ id, layers }) => {
      const shared = layers.filter(({ chainId }) => uses.get(chainId)! > 1);
      return [id, shared.reduce((sum, { bytes }) => sum + bytes, 0)];
    }),
  );
}
