/** Images as the Engine API shows them. */

import type {
  ImageIdentity,
  ImageInspect,
  ImageManifestSummary,
  InspectedImageConfig,
} from "../../api/schema/image.ts";
import { inKeyOrder } from "../../core/key-order.ts";
import type { Image } from "../../image/image.ts";
import { familiarName, familiarReference, parseReference } from "../../image/reference.ts";
import type { Descriptor, ImageConfigDefaults } from "../../oci/image.ts";

export interface InspectDetails {
  /** Of what is inspected: the index, or the manifest of the platform that was asked for. */
  descriptor: Descriptor;
  manifests?: ImageManifestSummary[];
  identity?: ImageIdentity | undefined;
}

export function inspectImage(image: Image, { descriptor, manifests, identity }: InspectDetails): ImageInspect {
  const { config, platform } = image;
  const references = image.names.map(parseReference);
  return {
    Id: descriptor.digest,
    RepoTags: references.filter(({ tag }) => tag !== undefined).map(familiarReference),
    RepoDigests: [...new Set(references.map((reference) => `${familiarName(reference)}@${image.id}`))],
    ...(comment(image) && { Comment: comment(image) }),
    ...(image.createdAt !== undefined && { Created: image.createdAt }),
    ...(config.author && { Author: config.author }),
    Config: inspectedConfig(config.config ?? {}),
    Architecture: platform.architecture,
    ...(platform.variant && { Variant: platform.variant }),
    Os: platform.os,
    ...(platform["os.version"] && { OsVersion: platform["os.version"] }),
    Size: image.sizeBytes,
    RootFS: {
      Type: config.rootfs.type,
      ...(config.rootfs.diff_ids.length > 0 && { Layers: config.rootfs.diff_ids }),
    },
    Metadata: { LastTagTime: image.lastTaggedAt },
    Descriptor: descriptor,
    ...(manifests && { Manifests: manifests }),
    ...(identity && { Identity: identity }),
  };
}

function comment({ config }: Image): string {
  return config.history?.at(-1)?.comment ?? "";
}

/** Docker leaves out what the image does not say, and has maps in the order of their keys. */
function inspectedConfig(config: ImageConfigDefaults): InspectedImageConfig {
  const entries = Object.entries(config).filter(([, value]) => !isEmpty(value));
  const ordered = entries.map(([name, value]) => [name, maps.has(name) ? inKeyOrder(value as object) : value]);
  return Object.fromEntries(ordered) as InspectedImageConfig;
}

const maps: ReadonlySet<string> = new Set(["ExposedPorts", "Labels", "Volumes"]);

/** As Go's "omitempty". */
function isEmpty(value: unknown): boolean {
  if (value === undefined || value === null || value === "" || value === false) return true;
  if (Array.isArray(value)) return value.length === 0;
  return typeof value === "object" && Object.keys(value).length === 0;
}
