import type { Client } from "../client/client.ts";
import { EngineError } from "../core/errors.ts";
import type { ProgressDisplay } from "./progress.ts";

/** Has the daemon pull an image and shows how it goes. */
export async function pullImage(
  client: Client,
  image: string,
  platform: string,
  display: ProgressDisplay,
): Promise<void> {
  await show(client, splitReference(image), platform, display);
}

/** All that a repository has tags for. */
export async function pullTags(
  client: Client,
  image: string,
  platform: string,
  display: ProgressDisplay,
): Promise<void> {
  await show(client, { image }, platform, display);
}

async function show(
  client: Client,
  reference: { image: string; tag?: string },
  platform: string,
  display: ProgressDisplay,
): Promise<void> {
  for await (const message of client.pullImage({ ...reference, ...(platform !== "" && { platform }) })) {
    display.show(message);
  }
}

/** Cuts tag or digest off for the API; what is between the two is for the daemon to judge. */
function splitReference(image: string): { image: string; tag?: string } {
  if (image === "") throw new EngineError("invalid_argument", "invalid reference format");
  const at = image.indexOf("@");
  if (at !== -1) return { image: image.slice(0, at).replace(/:[^:/]*$/, ""), tag: image.slice(at + 1) };
  const colon = image.lastIndexOf(":");
  if (colon > image.lastIndexOf("/")) return { image: image.slice(0, colon), tag: image.slice(colon + 1) };
  return { image, tag: "latest" };
}
