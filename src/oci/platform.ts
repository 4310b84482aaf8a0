/** Platforms as people write them and as documents have them (image specification, image-index.md "platform"). */
import { EngineError } from "../core/errors.ts";
import type { Platform } from "./image.ts";

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
  return normalise({ os: "linux", architecture: process.arch });
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
