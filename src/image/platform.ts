/** Choosing the platform that fits among those of an image (image specification, image-index.md). */
import { EngineError } from "../core/errors.ts";
import type { Descriptor, Platform } from "../oci/image.ts";
import { formatPlatform, normalise } from "../oci/platform.ts";

export { formatPlatform, hostPlatform, normalise, parsePlatform } from "../oci/platform.ts";

/** Can an image made for `offered` run where `wanted` is asked for? Lower variants of one architecture can. */
export function satisfies(offered: Platform, wanted: Platform): boolean {
  return variantDistance(normalise(offered), normalise(wanted)) !== undefined;
}

/** 0 for the same variant, more for an older one, undefined where it cannot run. */
function variantDistance(offered: Platform, wanted: Platform): number | undefined {
  if (offered.os !== wanted.os || offered.architecture !== wanted.architecture) return undefined;
  const have = variantNumber(offered);
  const want = variantNumber(wanted);
  if (have === undefined || want === undefined) return offered.variant === wanted.variant ? 0 : undefined;
  return have <= want ? want - have : undefined;
}

/** amd64's v1 and arm64's v8 are what no variant means. */
function variantNumber(platform: Platform): number | undefined {
  const base = platform.architecture === "arm64" ? "v8" : "v1";
  const match = /^v(\d+)(?:\.(\d+))?$/.exec(platform.variant ?? base);
  return match ? Number(match[1]) * 100 + Number(match[2] ?? 0) : undefined;
}

/**
 * The index's manifest that fits best: the nearest variant, and among equals the first.
 * @param name the image, for the error.
 * @throws EngineError not_found naming the platforms that there are.
 */
export function selectManifest(manifests: readonly Descriptor[], wanted: Platform, name: string): Descriptor {
  const target = normalise(wanted);
  let best: { descriptor: Descriptor; distance: number } | undefined;
  for (const descriptor of manifests) {
    // A manifest without a platform is taken only where nothing else fits: it may well be for this one.
    const distance = descriptor.platform ? variantDistance(normalise(descriptor.platform), target) : undefined;
    if (distance !== undefined && distance < (best?.distance ?? Number.POSITIVE_INFINITY))
      best = { descriptor, distance };
  }
  if (best) return best.descriptor;
  const unlabelled = manifests.filter((descriptor) => descriptor.platform === undefined);
  if (unlabelled.length === 1 && manifests.length === 1) return unlabelled[0]!;
  const available = [...new Set(manifests.flatMap(({ platform }) => (platform ? [formatPlatform(platform)] : [])))]
    .filter((platform) => !platform.startsWith("unknown/")) // attestations are filed under unknown/unknown
    .join(", ");
  throw new EngineError(
    "not_found",
    `no matching manifest for ${formatPlatform(target)} in the manifest list entries of ${name}: available: ${available || "none"}`,
  );
}
