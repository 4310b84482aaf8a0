import { invalid } from "./errors.ts";

/**
 * Checks `os[/arch[/variant]]`, or a single architecture, as containerd's platforms.Parse does.
 * @throws EngineError invalid_argument.
 */
export function parsePlatform(text: string): void {
  const parts = text.split("/");
  if (parts.length > 3 || !parts.every((part) => /^[A-Za-z0-9_.()-]+$/.test(part))) {
    throw invalid(`invalid platform ${JSON.stringify(text)}: not os[/arch[/variant]]`);
  }
}

/**
 * `os/arch[/variant]` of a platform that is written as an OCI platform's JSON, as the newer parameters have it.
 * @throws EngineError invalid_argument.
 */
export function platformOfJson(text: string): string {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch (error) {
    throw invalid(`invalid platform ${JSON.stringify(text)}: ${(error as Error).message}`);
  }
  const { os, architecture, variant } = Object(parsed) as Record<string, unknown>;
  if (typeof os !== "string" || typeof architecture !== "string" || os === "" || architecture === "") {
    throw invalid(`invalid platform ${JSON.stringify(text)}: no os and architecture`);
  }
  const platform =
    typeof variant === "string" && variant !== "" ? `${os}/${architecture}/${variant}` : `${os}/${architecture}`;
  parsePlatform(platform);
  return platform;
}
