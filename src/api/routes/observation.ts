import type { Hono } from "hono";
import { formatExactJson } from "../../core/exact-json.ts";
import type { ObservationBackend } from "../backend/observation.ts";
import { invalid } from "../errors.ts";
import { queryFlag } from "../query.ts";
import type { ContainerStats } from "../schema/stats.ts";
import { streamed } from "../streams.ts";
import type { ApiEnv } from "../transport.ts";

export function observationRoutes(app: Hono<ApiEnv>, observation: ObservationBackend): void {
  app.get("/containers/:id/top", async (c) => {
    const words = (c.req.query("ps_args") ?? "").split(/[\t\n\f\r ]+/).filter((word) => word !== "");
    return c.json(await observation.top(c.req.param("id"), words));
  });
  app.get("/containers/:id/stats", async (c) => {
    const stream = queryFlag(c, "stream", true);
    const oneShot = c.get("api") >= 41 && queryFlag(c, "one-shot");
    if (stream && oneShot) throw invalid("cannot have stream=true and one-shot=true");
    const samples = await observation.stats(c.req.param("id"), { stream, oneShot }, c.req.raw.signal);
    return streamed(c, "application/json", lines(samples));
  });
}

async function* lines(samples: AsyncIterable<ContainerStats>): AsyncGenerator<string> {
  for await (const sample of samples) yield `${formatExactJson(sample)}\n`;
}
