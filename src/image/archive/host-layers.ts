/** Which layers of an archive are of this host's platform, when its documents come before its layers. */
import type { Digest } from "../../core/digest.ts";
import { EngineError } from "../../core/errors.ts";
import { type Descriptor, manifestBytesMax, type Platform, parseImageConfig, parseManifest } from "../../oci/image.ts";
import { hostPlatform } from "../../oci/platform.ts";
import { satisfies } from "../platform.ts";
import { findImages } from "./loadable.ts";
import type { ArchiveSpool } from "./spool.ts";

/**
 * @param asked the platforms that are to be loaded; empty: all.
 * @returns undefined as long as the archive has not said enough; what is wrong with it is found when it has been read.
 */
export function hostLayers(spool: ArchiveSpool, asked: readonly Platform[]): ReadonlySet<Digest> | undefined {
  const layers = new Set<Digest>();
  const seen = new Set<Digest>();
  try {
    if (!spool.has("index.json") || !spool.has("oci-layout")) return undefined;
    for (const { root } of findImages(spool)) {
      for (const layer of layersOf(spool, root, asked, seen)) layers.add(layer);
    }
    return layers;
  } catch (error) {
    if (error instanceof EngineError) return undefined;
    throw error;
  }
}

/** @throws EngineError not_found for a document that has not come. */
function layersOf(spool: ArchiveSpool, root: Descriptor, asked: readonly Platform[], seen: Set<Digest>): Digest[] {
  // Indexes may name one document any number of times.
  if (seen.has(root.digest)) return [];
  seen.add(root.digest);
  const document = parseManifest(read(spool, root), root.mediaType, `manifest ${root.digest}`);
  if (document.kind === "index") {
    // Those that the archive leaves out never come.
    const here = document.index.manifests.filter(({ digest }) => spool.byDigest(digest));
    return here.flatMap((child) => layersOf(spool, child, asked, seen));
  }
  const { config, layers } = document.manifest;
  const platform = parseImageConfig(read(spool, config), `configuration ${config.digest}`);
  const offered = { os: platform.os, architecture: platform.architecture, variant: platform.variant };
  const isAsked = asked.length === 0 || asked.some((one) => satisfies(offered, one));
  return isAsked && satisfies(offered, hostPlatform()) ? layers.map(({ digest }) => digest) : [];
}

function read(spool: ArchiveSpool, { digest }: Descriptor): Uint8Array {
  const file = spool.byDigest(digest);
  if (!file) throw new EngineError("not_found", `archive has no ${digest} yet`);
  return spool.read(file, manifestBytesMax);
}
