/** What is done to a container that is there, and answered by little more than that it was done. */
import type { Hono } from "hono";
import type { ContainerBackend, ContainerStopOptions } from "../backend/containers.ts";
import { readJsonBody } from "../body.ts";
import { orNull, queryInteger } from "../query.ts";
import { readUpdateRequest } from "../schema/create-request.ts";
import type { ApiContext, ApiEnv } from "../transport.ts";
import { updateRequestOf } from "../versions/update.ts";

export function containerVerbRoutes(app: Hono<ApiEnv>, containers: ContainerBackend): void {
  app.post("/containers/:id/stop", async (c) => {
    await containers.stop(c.req.param("id"), stopOptions(c));
    return c.body(null, 204);
  });
  app.post("/containers/:id/restart", async (c) => {
    await containers.restart(c.req.param("id"), stopOptions(c));
    return c.body(null, 204);
  });
  app.post("/containers/:id/rename", async (c) => {
    await containers.rename(c.req.param("id"), c.req.query("name") ?? "");
    return c.body(null, 204);
  });
  app.post("/containers/:id/update", async (c) => {
    const request = updateRequestOf(readUpdateRequest(await readJsonBody(c)), c.get("api"));
    const { Warnings } = await containers.update(c.req.param("id"), request);
    return c.json({ Warnings: orNull(Warnings) });
  });
  app.post("/containers/:id/pause", async (c) => {
    await containers.pause(c.req.param("id"));
    return c.body(null, 204);
  });
  app.post("/containers/:id/unpause", async (c) => {
    await containers.unpause(c.req.param("id"));
    return c.body(null, 204);
  });
}

function stopOptions(c: ApiContext): ContainerStopOptions {
  const signal = c.get("api") >= 42 ? c.req.query("signal") : undefined;
  const timeoutSeconds = queryInteger(c, "t");
  return { ...(signal && { signal }), ...(timeoutSeconds !== undefined && { timeoutSeconds }) };
}
