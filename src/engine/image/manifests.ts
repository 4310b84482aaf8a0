/** The manifests of an image as the Engine API shows them, with the containers of each. */
import type { ImageIdentity, ImageManifestSummary } from "../../api/schema/image.ts";
import type { Image } from "../../image/image.ts";
import type { StoredManifest } from "../../image/manifests.ts";
import type { Descriptor, Platform } from "../../oci/image.ts";
import { formatPlatform } from "../../oci/platform.ts";
import type { ContainerDefinition } from "../container/definition.ts";
import type { EngineContext } from "../context.ts";

/** The descriptor of the manifest that a container is made of. */
export function manifestDescriptor(image: Image): Descriptor {
  const { manifest, manifestDigest: digest, sizeBytes, unpackedBytes } = image;
  const blobs = [manifest.config, ...manifest.layers].reduce((sum, { size }) => sum + size, 0);
  const mediaType = manifest.mediaType ?? (digest === image.id ? image.mediaType : defaultMediaType);
  return { mediaType, digest, size: sizeBytes - unpackedBytes - blobs, platform: image.platform };
}

/** What a manifest without a type of its own is, below an index (image specification, manifest.md "mediaType"). */
const defaultMediaType = "application/vnd.oci.image.manifest.v1+json";

/** Whether a container is of that manifest, or has it mounted. Those of earlier versions know their platform alone. */
export function isOfManifest(
  { imageId, imageManifest, platform, mounts }: ContainerDefinition,
  id: string,
  manifest: { manifestDigest: string; platform: Platform | undefined },
): boolean {
  if (mounts.some(({ image }) => image?.manifestDigest === manifest.manifestDigest)) return true;
  if (imageManifest !== undefined) return imageManifest.digest === manifest.manifestDigest;
  return imageId === id && manifest.platform !== undefined && platform === formatPlatform(manifest.platform);
}

export function manifestSummaries(
  context: EngineContext,
  image: Pick<Image, "id" | "mediaType" | "documentBytes">,
  options: { identity: boolean },
): ImageManifestSummary[] {
  const containers = context.containers.all();
  const identity = options.identity ? context.images.identity(image.id) : undefined;
  return context.images.manifests(image).map((manifest) => {
    const { descriptor, platform } = manifest;
    const of = { manifestDigest: descriptor.digest, platform };
    const users = containers.filter(({ definition }) => isOfManifest(definition, image.id, of)).map(({ id }) => id);
    return summary(manifest, users, identity);
  });
}

function summary(manifest: StoredManifest, users: string[], identity: ImageIdentity | undefined): ImageManifestSummary {
  const { descriptor, kind, isAvailable, contentBytes, unpackedBytes, attests } = manifest;
  return {
    ID: descriptor.digest,
    Descriptor: descriptor,
    Available: isAvailable,
    Size: { Content: contentBytes, Total: contentBytes + unpackedBytes },
    Kind: kind,
    ...(kind === "image" && {
      ImageData: {
        // Docker's words for what no document here says.
        Platform: manifest.platform ?? { architecture: "", os: "" },
        ...(identity && { Identity: identity }),
        Containers: users,
        Size: { Unpacked: unpackedBytes },
      },
    }),
    ...(attests !== undefined && { AttestationData: { For: attests } }),
  };
}
