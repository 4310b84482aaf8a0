/** What is done about content that is lost: nothing that is whole is thrown away, and the next pull fetches the rest. */
import type { Digest } from "../../core/digest.ts";
import type { ImageStore } from "../images.ts";

/** The blob is gone: images that need it are incomplete from now on. @returns what that means, in words. */
export function loseContent(store: ImageStore, digest: Digest): string {
  const images = store.records.imagesWith(digest);
  for (const id of images) {
    store.records.forgetContent(id, digest);
    store.records.setStored(id, false);
    for (const { manifestDigest, isUnpacked } of store.records.platforms(id)) {
      if (needsToRun(store, manifestDigest, isUnpacked, digest)) store.records.losePlatform(id, manifestDigest);
    }
  }
  if (images.length === 0) return "no image needs it";
  const names = images.map((id) => store.records.names(id)[0] ?? id);
  return `the next pull of ${names.join(", ")} fetches it, and nothing else`;
}

/** Its layers are of no account once they are unpacked. */
function needsToRun(store: ImageStore, manifestDigest: Digest, isUnpacked: boolean, lost: Digest): boolean {
  if (manifestDigest === lost) return true;
  const documents = store.readable(manifestDigest);
  if (documents === undefined || documents.manifest.config.digest === lost) return true;
  return !isUnpacked && documents.manifest.layers.some(({ digest }) => digest === lost);
}
