/** What a killed daemon left of archives that it was taking in: nobody can go on with them, as with a pull. */
import { log } from "../../core/log.ts";
import type { ImageStore } from "../images.ts";

/** To be called at the daemon's start, before anything is taken in. */
export async function removeUnfinished(store: ImageStore): Promise<void> {
  await store.content.removeStaged();
  const unfinished = store.leases
    .all()
    .filter(({ reason, isLive }) => !isLive && /^(load|import|commit|save) /.test(reason));
  for (const { id, reason } of unfinished) {
    const resources = store.leases.resources(id);
    store.leases.remove([id]);
    await store.free({
      content: resources.flatMap(({ kind, name }) => (kind === "content" ? name : [])),
      chains: resources.flatMap(({ kind, name }) => (kind === "chain" ? name : [])),
    });
    log("info", "removed what was left of an unfinished operation", { operation: reason });
  }
}
