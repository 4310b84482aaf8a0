import type { Hono } from "hono";
import type { ArchiveBackend } from "../backend/archives.ts";
import { streamedOnceBegun } from "../streams.ts";
import type { ApiEnv } from "../transport.ts";

const tarType = "application/x-tar";

export function archiveRoutes(app: Hono<ApiEnv>, archives: ArchiveBackend): void {
  app.get("/containers/:id/export", (c) =>
    streamedOnceBegun(c, tarType, archives.exportContainer(c.req.param("id"), c.req.raw.signal)),
  );
}
