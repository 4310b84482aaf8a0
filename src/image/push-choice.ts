/** What of an image is pushed: all of it, or as Docker 29 does where not all is here, one manifest. */
import { EngineError } from "../core/errors.ts";
import type { Descriptor, Platform } from "../oci/image.ts";
import { type ImageNode, imageManifests, type ManifestNode, missingManifests } from "./image-tree.ts";
import { formatPlatform, hostPlatform, satisfies } from "./platform.ts";

/** @param remote the manifests that are not here, but are known to be in the repository already. */
export function chooseForPush(
  tree: ImageNode,
  options: { name: string; platform: Platform | undefined; remote: ReadonlySet<string> },
): ImageNode {
  const { name, platform, remote } = options;
  if (tree.kind === "missing") {
    throw new EngineError(
      "not_found",
      `missing content: ${tree.lacks.join(", ")} of ${name} ${are(tree.lacks)} not here`,
      {
        hint: "pull the image again",
      },
    );
  }
  const missing = missingManifests(tree).filter(({ digest }) => !remote.has(digest));
  const here = imageManifests(tree);
  if (platform !== undefined) return ofPlatform(here, platform, name);
  if (missing.length === 0) return tree;
  const [only] = here;
  if (only === undefined) {
    throw new EngineError("not_found", `missing content: ${listed(missing)} of ${name} ${are(missing)} not here`, {
      hint: "pull the image again, for the platforms that you want to push",
    });
  }
  if (here.length === 1) return only;
  const best = here.find((one) => satisfies(one.platform!, hostPlatform()));
  if (best !== undefined) return best;
  throw new EngineError(
    "conflict",
    `multiple matching manifests found but no specific platform requested: of ${name} ${listed(here.map(({ descriptor }) => descriptor))} are here, ${listed(missing)} ${are(missing)} not`,
    { hint: "say which with --platform" },
  );
}

function ofPlatform(here: readonly ManifestNode[], platform: Platform, name: string): ManifestNode {
  const found = here.find((one) => satisfies(one.platform!, platform));
  if (found !== undefined) return found;
  const available = here.map((one) => formatPlatform(one.platform!)).join(", ") || "none";
  throw new EngineError(
    "not_found",
    `image with reference ${name} was found but does not provide the specified platform (${formatPlatform(platform)}): available: ${available}`,
  );
}

function listed(descriptors: readonly Descriptor[]): string {
  const names = descriptors.map(({ digest, platform }) =>
    platform === undefined ? digest : `${digest} (${formatPlatform(platform)})`,
  );
  return names.join(", ");
}

function are(list: readonly unknown[]): string {
  return list.length === 1 ? "is" : "are";
}
