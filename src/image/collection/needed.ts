/** Who has an image beside its names. */
import type { Digest } from "../../core/digest.ts";
import type { ImageStore } from "../images.ts";

/** Does a container or a lease have it? */
export function isNeeded(store: ImageStore, id: Digest): boolean {
  return (store.options.usersOf?.(id) ?? []).length > 0 || isLeased(store, id);
}

/** Does a container have it, or somebody work with it? What an unfinished pull had of it stays when the image goes. */
export function isInUse(store: ImageStore, id: Digest): boolean {
  const isInWork = documentsOf(store, id).some((digest) => store.leases.isInWork(digest));
  return isInWork || (store.options.usersOf?.(id) ?? []).length > 0;
}

function isLeased(store: ImageStore, id: Digest): boolean {
  return documentsOf(store, id).some((digest) => store.leases.holdsContent(digest));
}

function documentsOf(store: ImageStore, id: Digest): Digest[] {
  return [id, ...store.records.platforms(id).map(({ manifestDigest }) => manifestDigest)];
}
