/** A root file system from an archive, as an image of one layer. */
import type { Digest } from "../../core/digest.ts";
import { EngineError, isEngineError, wrapError } from "../../core/errors.ts";
import { type ImageConfig, mediaTypes, type Platform } from "../../oci/image.ts";
import { hostPlatform } from "../../oci/platform.ts";
import type { Compression } from "../../tar/decompress.ts";
import { applyChanges } from "../dockerfile/changes.ts";
import type { ImageStore } from "../images.ts";
import { canonicalReference, parseReference } from "../reference.ts";
import { buildImage, giveBack, type Kept } from "./build-image.ts";
import { StagedLayer } from "./staged-layer.ts";

export interface ImportOptions {
  /** As the user wrote it; absent: the image gets no name. */
  name?: string | undefined;
  message: string;
  changes: readonly string[];
  platform?: Platform | undefined;
  signal: AbortSignal;
  onProgress?: (bytes: number) => void;
}

const layerTypes: Record<Compression, string> = {
  none: mediaTypes.ociLayer,
  gzip: mediaTypes.ociLayerGzip,
  zstd: mediaTypes.ociLayerZstd,
};

/**
 * The archive is stored as it came, compressed or not.
 * @returns the image's id.
 * @throws EngineError invalid_argument for changes and names that are none; corrupt, unsupported, no_space, cancelled.
 * Nothing is left then.
 */
export async function importImage(
  store: ImageStore,
  archive: AsyncIterable<Uint8Array>,
  options: ImportOptions,
): Promise<Digest> {
  const { name, message, changes, platform = hostPlatform(), signal, onProgress } = options;
  const reference = name === undefined ? undefined : newName(name);
  const defaults = applyChanges({}, changes);
  const kept: Kept = { content: [], chains: [] };
  try {
    using lease = store.leases.take(`import ${crypto.randomUUID()}`);
    await using staged = await StagedLayer.take(store, archive, { signal, ...(onProgress && { onProgress }) });
    const { diffId, digest, size, compression } = staged;
    const created = new Date().toISOString();
    const config: ImageConfig = {
      created,
      architecture: platform.architecture,
      ...(platform.variant !== undefined && { variant: platform.variant }),
      os: platform.os,
      config: defaults,
      rootfs: { type: "layers", diff_ids: [diffId] },
      history: [{ created, comment: message }],
    };
    const layers = [{ mediaType: layerTypes[compression], digest, size }];
    await staged.keep(lease, kept);
    const image = { config, layers, ahead: staged.ahead, platform, name: reference, origin: "import" } as const;
    return await buildImage(store, image, { lease, kept, signal });
  } catch (error) {
    await giveBack(store, kept);
    throw isEngineError(error) ? error : wrapError(error, "import archive", { stage: "import" });
  }
}

/** @throws EngineError invalid_argument for a name that no image can be given. */
export function newName(text: string): string {
  const reference = parseReference(text);
  if (reference.digest !== undefined) {
    throw new EngineError("invalid_argument", "refusing to create a tag with a digest reference");
  }
  return canonicalReference(reference);
}
