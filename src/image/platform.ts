/** Platforms: reading `--platform`, the host's own, and choosing an index's manifest (image specification, image-index.md). */
import { arch } from "node:os";
import { EngineError } from "../core/errors.ts";
import type { Descriptor, Platform } from "../oci/image.ts";

const architectureAliases: Record<string, string> = {
  x86_64: "amd64",
  "x86-64": "amd64",
  x64: "amd64",
  aarch64: "arm64",
  armhf: "arm",
  armel: "arm",
  i386: "386",
  i486: "386",
  i586: "386",
  i686: "386",
  ia32: "386",
};

/** The platform that containers run on here. */
export function hostPlatform(): Platform {
  return normalise({ os: "linux", architecture: arch() });
}

/**
 * `linux/arm/v7`, `linux/amd64`, `arm64` (the host's operating system) or `linux` (the host's architecture).
 * @throws EngineError invalid_argument in docker's words.
 */
export function parsePlatform(text: string): Platform {
  const parts = text.toLowerCase().split("/");
  if (parts.length > 3 || parts.some((part) => !/^[a-z0-9_.-]+$/.test(part))) {
    throw new EngineError("invalid_argument", `"${text}": invalid platform: expected os[/architecture[/variant]]`);
  }
  const [first, second, variant] = parts as [string, string?, string?];
  const host = hostPlatform();
  if (second !== undefined) return normalise({ os: first, architecture: second, variant });
  const isOs = ["linux", "windows", "darwin", "freebsd"].includes(first);
  return normalise(isOs ? { ...host, os: first } : { os: host.os, architecture: first });
}

/** `linux/arm64/v8`. */
export function formatPlatform(platform: Platform): string {
  return [platform.os, platform.architecture, platform.variant].filter(Boolean).join("/");
}

/** Aliases resolved; the variants that everybody leaves out (amd64's v1, arm64's v8) removed; arm without one is v7. */
export function normalise(platform: Platform): Platform {
  const lower = platform.architecture.toLowerCase();
  const architecture = architectureAliases[lower] ?? lower;
  const given = platform.variant?.toLowerCase().replace(/^(\d)$/, "v$1") || undefined;
  const implied = architecture === "arm" ? (lower === "armel" ? "v6" : "v7") : undefined;
  const isBaseline = (architecture === "amd64" && given === "v1") || (architecture === "arm64" && given === "v8");
  const variant = isBaseline ? undefined : (given ?? implied);
  return {
    ...without(platform, "variant"),
    os: platform.os.toLowerCase(),
    architecture,
    ...(variant !== undefined && { variant }),
  };
}

function without(platform: Platform, field: "variant"): Omit<Platform, "variant"> {
  const { [field]: _left, ...rest } = platform;
  return rest;
}

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
