/** Routes that look after the disk. */
import type { Hono } from "hono";
import type { StorageBackend } from "../backend/storage.ts";
import { queryFlag } from "../query.ts";
import { streamed } from "../streams.ts";
import type { ApiEnv } from "../transport.ts";

export function storageRoutes(app: Hono<ApiEnv>, storage: StorageBackend): void {
  app.post("/tsd/gc", async (c) => c.json(await storage.collect({ isDryRun: queryFlag(c, "dry-run") })));
  app.post("/tsd/fsck", (c) => {
    const messages = storage.fsck({ repair: queryFlag(c, "repair") }, c.req.raw.signal);
    return streamed(c, "application/json", lines(messages));
  });
}

async function* lines(messages: AsyncIterable<object>): AsyncGenerator<string> {
  for await (const message of messages) yield `${JSON.stringify(message)}\n`;
}
