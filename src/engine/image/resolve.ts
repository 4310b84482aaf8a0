/** What a container asks for by the name of an image. */
import { advice } from "../../core/advice.ts";
import { EngineError } from "../../core/errors.ts";
import type { Image } from "../../image/image.ts";
import { parsePlatform } from "../../image/platform.ts";
import type { EngineContext } from "../context.ts";

/** @throws EngineError not_found in docker's words. */
export function resolveImage(
  context: Pick<EngineContext, "images">,
  reference: string,
  platform: string | undefined,
): Image {
  if (reference === "") throw new EngineError("invalid_argument", "no image given: the field Image is empty");
  const image = context.images.resolve(reference, platform ? parsePlatform(platform) : undefined);
  if (image !== undefined) return image;
  const shown = /[:@]/.test(reference.slice(reference.lastIndexOf("/") + 1)) ? reference : `${reference}:latest`;
  const suffix = platform ? ` for platform ${platform}` : "";
  throw new EngineError("not_found", `No such image: ${shown}${suffix}`, { hint: advice.pull(shown) });
}
