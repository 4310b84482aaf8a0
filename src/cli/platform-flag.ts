import type { OciPlatform } from "../api/schema/image.ts";
import { EngineError, errorMessage } from "../core/errors.ts";
import { parsePlatform } from "../oci/platform.ts";

/**
 * `--platform` as the newer routes want it.
 * @returns undefined for a flag that was not given.
 * @throws EngineError invalid_argument.
 */
export function platformFlag(text: string): OciPlatform | undefined {
  if (text === "") return undefined;
  try {
    const { os, architecture, variant } = parsePlatform(text);
    return { architecture, os, ...(variant !== undefined && { variant }) };
  } catch (error) {
    throw new EngineError("invalid_argument", `invalid platform: ${errorMessage(error)}`, { cause: error });
  }
}

/** A `--platform` that may hold several, between commas, each as JSON. @throws EngineError invalid_argument. */
export function platformsJson(lists: readonly string[]): string[] {
  const platforms = lists.flatMap((list) => list.split(",")).map((text) => platformFlag(text.trim()));
  return platforms.filter((platform) => platform !== undefined).map((platform) => JSON.stringify(platform));
}
