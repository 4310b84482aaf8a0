/** `history`: how an image was made, the newest step first. */
import type { ImageHistoryItem } from "../../api/schema/image.ts";
import type { Image } from "../../image/image.ts";
import { familiarReference, parseReference } from "../../image/reference.ts";

/**
 * @param layerBytes of the unpacked layers from the bottom up; none of an image that is not unpacked.
 * Steps and layers need not agree in an image that others made: a step without a layer has no size.
 */
export function historyOf(image: Image, layerBytes: readonly number[]): ImageHistoryItem[] {
  let layer = 0;
  const steps = (image.config.history ?? []).map((step): ImageHistoryItem => {
    const created = Date.parse(step.created ?? "");
    return {
      Id: "<missing>",
      Created: Number.isNaN(created) ? 0 : Math.floor(created / 1000),
      CreatedBy: step.created_by ?? "",
      Tags: null,
      Size: step.empty_layer ? 0 : (layerBytes[layer++] ?? 0),
      Comment: step.comment ?? "",
    };
  });
  const newest = steps.at(-1);
  if (newest) {
    newest.Id = image.id;
    const names = image.names.map((name) => familiarReference(parseReference(name)));
    if (names.length > 0) newest.Tags = names;
  }
  return steps.reverse();
}
