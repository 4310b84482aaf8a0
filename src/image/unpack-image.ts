/** An image's files in a plain directory, for OCI bundles: whiteouts applied, nothing of overlayfs left. */
import { EngineError, wrapError } from "../core/errors.ts";
import type { Image } from "./image.ts";
import type { ImageStore } from "./images.ts";
import { shortLayerId } from "./pull.ts";
import { defaultUnpackLimits } from "./unpack/protocol.ts";
import { unpackLayer } from "./unpack/unpacker.ts";

export interface UnpackImageOptions {
  /** Absolute path of an existing, empty directory. */
  directory: string;
  signal?: AbortSignal | undefined;
}

/** @throws EngineError not_found when a layer's content is gone, no_space, cancelled. What was unpacked stays there. */
export async function unpackImage(store: ImageStore, image: Image, options: UnpackImageOptions): Promise<void> {
  const { directory, signal } = options;
  const { limits = defaultUnpackLimits, unpackProgram: program } = store.options;
  for (const [index, layer] of image.manifest.layers.entries()) {
    const diffId = image.config.rootfs.diff_ids[index]!;
    const source = store.content.has(layer.digest, layer.size)
      ? { path: store.content.path(layer.digest) }
      : store.embedded.archive(diffId);
    if (!source) {
      throw new EngineError("not_found", `layer ${shortLayerId(layer)} of image ${image.id} is not stored`, {
        hint: "pull the image again",
      });
    }
    try {
      await unpackLayer(
        { target: directory, form: "remove", diffId, limits },
        { source, ...(signal && { signal }), program },
      );
    } catch (error) {
      throw wrapError(error, `layer ${shortLayerId(layer)}`);
    }
  }
}
