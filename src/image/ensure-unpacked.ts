/** Unpacks layers whose content is stored, at the first use of an image that was loaded or pulled without unpacking. */
import { EngineError } from "../core/errors.ts";
import type { Image, PullProgress } from "./image.ts";
import type { ImageStore } from "./images.ts";
import { progressOf, shortLayerId } from "./pull.ts";
import { chainIds, type LayerSource } from "./snapshot/layers.ts";

export interface EnsureUnpackedOptions {
  signal?: AbortSignal | undefined;
  onProgress?: (event: PullProgress) => void;
}

/**
 * Layers that somebody is unpacking already, a pull perhaps, are waited for.
 * @returns the image as it is then.
 * @throws EngineError not_found when a layer's content is gone, corrupt, no_space, cancelled.
 */
export async function ensureUnpacked(
  store: ImageStore,
  image: Image,
  { signal, onProgress }: EnsureUnpackedOptions = {},
): Promise<Image> {
  const { id, manifestDigest, manifest, config, chainId } = image;
  if (image.isUnpacked || chainId === undefined) return image;
  using lease = store.leases.take(`unpack ${manifestDigest}`);
  lease.add({ chains: chainIds(config.rootfs.diff_ids), content: manifest.layers.map(({ digest }) => digest) });
  const sources = manifest.layers.map((_, index) => storedLayer(store, image, index));
  await Promise.all(
    manifest.layers.map((layer, index) =>
      store.layers.ensure(sources.slice(0, index + 1), {
        ...(signal && { signal }),
        onEvent: (event) => onProgress?.(progressOf(shortLayerId(layer), event, layer.size)),
      }),
    ),
  );
  store.records.setUnpacked(chainId);
  return store.load(id, manifestDigest);
}

/** A layer of the image, from what is stored. */
export function storedLayer(
  store: ImageStore,
  image: Pick<Image, "id" | "manifest" | "config">,
  index: number,
): LayerSource {
  const layer = image.manifest.layers[index]!;
  const diffId = image.config.rootfs.diff_ids[index]!;
  return {
    diffId,
    digest: layer.digest,
    fetch: async () => {
      if (store.content.has(layer.digest, layer.size)) return { path: store.content.path(layer.digest) };
      const archive = store.embedded.archive(diffId);
      if (archive) return archive;
      throw new EngineError("not_found", `layer ${shortLayerId(layer)} of image ${image.id} is not stored`, {
        hint: "pull the image again",
      });
    },
  };
}
