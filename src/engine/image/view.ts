/** Images as the Engine API shows them. */
import type { ImageInspect, ImageSummary, InspectedImageConfig } from "../../api/schema/image.ts";
import type { Image, ImageSummary as StoredSummary } from "../../image/image.ts";
import { familiarName, familiarReference, parseReference } from "../../image/reference.ts";
import type { ImageConfigDefaults } from "../../oci/image.ts";

export function summarizeImage(summary: StoredSummary, containers: number): ImageSummary {
  return {
    Id: summary.id,
    ParentId: "",
    RepoTags: summary.repoTags,
    RepoDigests: summary.repoDigests,
    Created: summary.created,
    Size: summary.sizeBytes,
    SharedSize: -1,
    Labels: summary.labels,
    Containers: containers,
  };
}

export function inspectImage(image: Image): ImageInspect {
  const { config, platform } = image;
  const references = image.names.map(parseReference);
  return {
    Id: image.id,
    RepoTags: references.filter(({ tag }) => tag !== undefined).map(familiarReference),
    RepoDigests: [...new Set(references.map((reference) => `${familiarName(reference)}@${image.id}`))],
    Comment: config.history?.at(-1)?.comment ?? "",
    ...(image.createdAt !== undefined && { Created: image.createdAt }),
    Author: config.author ?? "",
    Config: inspectedConfig(config.config ?? {}),
    Architecture: platform.architecture,
    ...(platform.variant && { Variant: platform.variant }),
    Os: platform.os,
    ...(platform["os.version"] && { OsVersion: platform["os.version"] }),
    Size: image.sizeBytes,
    GraphDriver: { Name: "overlayfs", Data: null },
    RootFS: { Type: "layers", Layers: config.rootfs.diff_ids },
    Metadata: { LastTagTime: image.lastTaggedAt },
  };
}

/** Docker leaves out what the image does not say. */
function inspectedConfig(config: ImageConfigDefaults): InspectedImageConfig {
  const entries = Object.entries(config).filter(([, value]) => value !== undefined && value !== null && value !== "");
  return Object.fromEntries(entries) as InspectedImageConfig;
}
