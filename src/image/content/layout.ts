/** index.json of the image layout: how other tools find images by name (image-layout.md "index.json"). */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { writeFileAtomic } from "../../core/atomic-file.ts";
import type { Digest } from "../../core/digest.ts";
import { isErrno } from "../../core/errors.ts";
import { mediaTypes } from "../../oci/image.ts";

export interface NamedContent {
  /** Canonical reference; undefined for an image without a name. */
  name: string | undefined;
  mediaType: string;
  digest: Digest;
  size: number;
}

/** Writes the index anew, unless it says the same already. */
export async function writeLayoutIndex(root: string, images: readonly NamedContent[]): Promise<void> {
  if (!isLayoutIndex(root, images)) await writeFileAtomic(join(root, "index.json"), indexText(images));
}

/** Does the index name these images and no others? */
export function isLayoutIndex(root: string, images: readonly NamedContent[]): boolean {
  return currentText(join(root, "index.json")) === indexText(images);
}

function indexText(images: readonly NamedContent[]): string {
  const manifests = images.map(({ name, mediaType, digest, size }) => ({
    mediaType,
    digest,
    size,
    // ref.name is the specification's; containerd's tools look for their own.
    ...(name !== undefined && {
      annotations: { "org.opencontainers.image.ref.name": name, "io.containerd.image.name": name },
    }),
  }));
  return `${JSON.stringify({ schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests })}\n`;
}

function currentText(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    if (isErrno(error, "ENOENT")) return undefined;
    throw error;
  }
}
