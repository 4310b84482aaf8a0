import type { Image } from "../../image/image.ts";

/**
 * Whether an image is another one, or was made from it: its layers begin with all of the other's. Each image is looked
 * up once.
 */
export function descent(
  resolve: (reference: string) => Pick<Image, "id" | "config"> | undefined,
): (imageId: string, reference: string) => boolean {
  const found = new Map<string, ReturnType<typeof resolve>>();
  const lookUp = (reference: string): ReturnType<typeof resolve> => {
    if (!found.has(reference)) found.set(reference, resolve(reference));
    return found.get(reference);
  };
  return (imageId, reference) => {
    const ancestor = lookUp(reference);
    if (ancestor === undefined) return false;
    if (ancestor.id === imageId) return true;
    const layers = ancestor.config.rootfs.diff_ids;
    const own = lookUp(imageId)?.config.rootfs.diff_ids ?? [];
    return layers.length > 0 && own.length > layers.length && layers.every((layer, index) => own[index] === layer);
  };
}
