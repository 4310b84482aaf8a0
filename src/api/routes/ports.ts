/** A route of tsd's own about published ports. */
import type { Hono } from "hono";
import type { PortBackend } from "../backend/ports.ts";
import type { ApiEnv } from "../transport.ts";

export function portRoutes(app: Hono<ApiEnv>, ports: PortBackend): void {
  app.get("/tsd/ports", async (c) => c.json(await ports.list()));
}
