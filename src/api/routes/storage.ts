/** Routes that look after the disk. */
import type { Hono } from "hono";
import type { StorageBackend } from "../backend/storage.ts";
import { queryFlag } from "../query.ts";
import type { ApiEnv } from "../transport.ts";

export function storageRoutes(app: Hono<ApiEnv>, storage: StorageBackend): void {
  app.post("/tsd/gc", async (c) => c.json(await storage.collect({ isDryRun: queryFlag(c, "dry-run") })));
}
