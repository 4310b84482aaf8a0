/** A route of tsd's own: why a container ended. */
import type { Hono } from "hono";
import type { StoryBackend } from "../backend/story.ts";
import { invalid } from "../errors.ts";
import { queryInteger } from "../query.ts";
import type { ApiEnv } from "../transport.ts";

const linesDefault = 10;
/** It is a story, and no log. */
const linesMax = 1000;

export function storyRoutes(app: Hono<ApiEnv>, stories: StoryBackend): void {
  app.get("/tsd/containers/:id/why", async (c) => {
    const lines = queryInteger(c, "lines") ?? linesDefault;
    if (lines < 0 || lines > linesMax) throw invalid(`lines is ${lines}: it is a number from 0 to ${linesMax}`);
    return c.json(await stories.why(c.req.param("id"), { lines }));
  });
}
