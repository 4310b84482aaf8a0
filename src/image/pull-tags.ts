/** `pull --all-tags`: one image after the other, in the registry's order. */
import { EngineError } from "../core/errors.ts";
import { isEmbeddedReference } from "./embedded/embedded.ts";
import type { Image } from "./image.ts";
import type { ImageStore, PullImageOptions } from "./images.ts";
import { familiarName, familiarReference, parseRepository } from "./reference.ts";

/**
 * @param onImage told of each image once it is here, with the name it was pulled by.
 * @throws EngineError as a pull, at the first image that cannot be had; what came before it stays. not_found for a
 * repository without tags.
 */
export async function pullTags(
  store: ImageStore,
  text: string,
  options: PullImageOptions,
  onImage: (name: string, image: Image) => void,
): Promise<void> {
  const reference = parseRepository(text);
  if (isEmbeddedReference(text)) {
    onImage(familiarReference({ ...reference, tag: "latest" }), await store.pull(text, options));
    return;
  }
  const { credentials, signal } = options;
  let count = 0;
  for await (const tag of store.registry.tags(reference, { credentials, signal })) {
    const name = familiarReference({ ...reference, tag });
    onImage(name, await store.pull(name, options));
    count += 1;
  }
  if (count === 0) throw new EngineError("not_found", `repository ${familiarName(reference)} has no tags`);
}
