/** Checkpoints of containers. With dockerd these routes are there when it is experimental; tsd has them always. */
import type { Hono } from "hono";
import type { CheckpointBackend } from "../backend/checkpoints.ts";
import { readJsonBody } from "../body.ts";
import { type CheckpointSummary, readCheckpointCreateRequest } from "../schema/checkpoint.ts";
import type { ApiContext, ApiEnv } from "../transport.ts";

export function checkpointRoutes(app: Hono<ApiEnv>, checkpoints: CheckpointBackend): void {
  app.post("/containers/:id/checkpoints", async (c) => {
    const { CheckpointID = "", CheckpointDir, Exit = false } = readCheckpointCreateRequest(await readJsonBody(c));
    const checkpoint = { name: CheckpointID, directory: CheckpointDir || undefined };
    await checkpoints.create(c.req.param("id"), checkpoint, { leaveRunning: !Exit });
    return c.body(null, 201);
  });
  app.get("/containers/:id/checkpoints", async (c) => {
    const names = await checkpoints.list(c.req.param("id"), directoryOf(c, "dir"));
    return c.json(names.map((Name): CheckpointSummary => ({ Name })));
  });
  app.delete("/containers/:id/checkpoints/:checkpoint", async (c) => {
    const checkpoint = { name: c.req.param("checkpoint"), directory: directoryOf(c, "dir") };
    await checkpoints.remove(c.req.param("id"), checkpoint);
    return c.body(null, 204);
  });
  // In front of the route that starts a container's program.
  app.post("/containers/:id/start", async (c, next) => {
    const name = c.req.query("checkpoint");
    if (!name) return next();
    await checkpoints.start(c.req.param("id"), { name, directory: directoryOf(c, "checkpoint-dir") });
    return c.body(null, 204);
  });
}

function directoryOf(c: ApiContext, parameter: string): string | undefined {
  return c.req.query(parameter) || undefined;
}
