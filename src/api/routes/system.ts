import type { Hono } from "hono";
import type { SystemBackend } from "../backend/system.ts";
import type { ApiContext, ApiEnv } from "../transport.ts";
import { infoOf } from "../versions/system.ts";

/** What clients take for the builder of this daemon: "2" is BuildKit, as every Docker on Linux answers. */
const builderVersion = "2";

export function systemRoutes(app: Hono<ApiEnv>, system: SystemBackend): void {
  const ping = (c: ApiContext) => {
    c.header("Builder-Version", builderVersion);
    c.header("Swarm", "inactive");
    c.header("Cache-Control", "no-cache, no-store, must-revalidate");
    c.header("Pragma", "no-cache");
    // Hono answers HEAD by the GET route and leaves the body out: the length must say so.
    return c.req.method === "HEAD"
      ? c.body(null, 200, { "content-type": "text/plain; charset=utf-8", "content-length": "0" })
      : c.body("OK", 200, { "content-type": "text/plain; charset=utf-8" });
  };
  app.get("/_ping", ping);
  app.get("/version", async (c) => c.json(await system.version()));
  app.get("/info", async (c) => c.json(infoOf(await system.info(), c.get("api"))));
}
