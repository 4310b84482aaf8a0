/** Who has an image beside its names. */
import type { Digest } from "../../core/digest.ts";
import type { ImageStore } from "../images.ts";

/** Does a container or a lease have it? */
export function isNeeded(store: ImageStore, id: Digest): boolean {
  return (store.options.usersOf?.(id) ?? []).length > 0 || isLeased(store, id);
}

function isLeased(store: ImageStore, id: Digest): boolean {
  const manifests = store.records.platforms(id).map(({ manifestDigest }) => manifestDigest);
  return [id, ...manifests].some((digest) => store.leases.holdsContent(digest));
}
