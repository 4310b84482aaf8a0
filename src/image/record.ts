/** What is recorded of an image whose content is here: after a pull, a load, an import or a commit. */
import type { Digest } from "../core/digest.ts";
import type { Platform } from "../oci/image.ts";
import type { FetchedImage } from "./fetch-image.ts";
import type { ImageOrigin, StoredContent } from "./records.ts";

export interface RecordedPlatform {
  manifestDigest: Digest;
  platform: Platform;
  /** From the bottom up. */
  diffIds: readonly Digest[];
  /** Its layers are unpacked already. What is not is unpacked at its first use. */
  isUnpacked: boolean;
}

export interface ImageRecord {
  /** Digest of the index or of the one manifest. */
  id: Digest;
  mediaType: string;
  /** Bytes of the document that `id` is the digest of. */
  size: number;
  /** Canonical reference to point at the image. */
  name?: string | undefined;
  /** Every blob that is in the store: indexes, manifests, configurations, layers. An index's other children may be absent. */
  content: readonly StoredContent[];
  /** Each manifest whose content is here. Recording an image again adds to those that it has. */
  platforms: readonly RecordedPlatform[];
  origin: ImageOrigin;
}

/** What a pull has fetched and unpacked. */
export function pulledImage(image: FetchedImage, name: string | undefined): ImageRecord {
  const { id, mediaType, size, manifestDigest, manifest, config, platform, documents } = image;
  const diffIds = config.rootfs.diff_ids;
  const content = [...documents, ...manifest.layers].map((blob) => ({ digest: blob.digest, size: blob.size }));
  const platforms = [{ manifestDigest, platform, diffIds, isUnpacked: true }];
  return { id, mediaType, size, name, content, platforms, origin: "pull" };
}
