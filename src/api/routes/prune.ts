/** Removing what nobody uses. */
import type { Hono } from "hono";
import type { StorageBackend } from "../backend/storage.ts";
import { filterFlag, orNull, queryFilters } from "../query.ts";
import type { ApiEnv } from "../transport.ts";

const filterNames = ["label", "label!", "until"];

export function pruneRoutes(app: Hono<ApiEnv>, storage: StorageBackend): void {
  app.post("/images/prune", async (c) => {
    const filters = queryFilters(c, ["dangling", ...filterNames]);
    filterFlag(filters, "dangling");
    const { ImagesDeleted, SpaceReclaimed } = await storage.pruneImages(filters);
    return c.json({ ImagesDeleted: orNull(ImagesDeleted), SpaceReclaimed });
  });
  app.post("/containers/prune", async (c) => {
    const { ContainersDeleted, SpaceReclaimed } = await storage.pruneContainers(queryFilters(c, filterNames));
    return c.json({ ContainersDeleted: orNull(ContainersDeleted), SpaceReclaimed });
  });
  // There is no builder yet, and so no cache: `docker system prune`, which ends with this, has done all it can.
  app.post("/build/prune", (c) => c.json({ CachesDeleted: null, SpaceReclaimed: 0 }));
}
