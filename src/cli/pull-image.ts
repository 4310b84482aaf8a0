import { EngineError } from "../core/errors.ts";
import { imageAuth } from "./credentials/registry-auth.ts";
import type { ProgressDisplay } from "./progress.ts";
import type { Session } from "./session.ts";

/** Has the daemon pull an image and shows how it goes. */
export async function pullImage(
  session: Session,
  image: string,
  platform: string,
  display: ProgressDisplay,
): Promise<void> {
  await show(session, splitReference(image), platform, display);
}

/** All that a repository has tags for. */
export async function pullTags(
  session: Session,
  image: string,
  platform: string,
  display: ProgressDisplay,
): Promise<void> {
  await show(session, { image }, platform, display);
}

async function show(
  session: Session,
  reference: { image: string; tag?: string },
  platform: string,
  display: ProgressDisplay,
): Promise<void> {
  const auth = await imageAuth(session, reference.image);
  const client = await session.client();
  const wanted = { ...reference, ...(platform !== "" && { platform }) };
  for await (const message of client.pullImage(wanted, auth === undefined ? {} : { auth })) {
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
