/** Routes that look after the disk. */
import type { Hono } from "hono";
import type { StorageBackend } from "../backend/storage.ts";
import { invalid } from "../errors.ts";
import { queryFlag } from "../query.ts";
import type { DiskUsageKind } from "../schema/disk-usage.ts";
import { streamed } from "../streams.ts";
import type { ApiEnv } from "../transport.ts";
import { diskUsageOf } from "../versions/disk-usage.ts";

const kinds: readonly DiskUsageKind[] = ["container", "image", "volume", "build-cache"];

export function storageRoutes(app: Hono<ApiEnv>, storage: StorageBackend): void {
  app.get("/system/df", async (c) => {
    const api = c.get("api");
    const asked = api >= 42 ? c.req.queries("type") : undefined;
    const usage = await storage.diskUsage(asked?.map(kindOf) ?? kinds);
    const isSaid = api >= 52 && (c.req.query("verbose") ?? "") !== "";
    return c.json(diskUsageOf(usage, api, isSaid ? queryFlag(c, "verbose") : undefined));
  });
  app.get("/tsd/df", async (c) => c.json(await storage.rootUsage()));
  app.post("/tsd/gc", async (c) => c.json(await storage.collect({ isDryRun: queryFlag(c, "dry-run") })));
  app.post("/tsd/fsck", (c) => {
    const messages = storage.fsck({ repair: queryFlag(c, "repair") }, c.req.raw.signal);
    return streamed(c, "application/json", lines(messages));
  });
}

function kindOf(text: string): DiskUsageKind {
  const kind = kinds.find((known) => known === text);
  if (kind === undefined) throw invalid(`unknown object type: ${text}`);
  return kind;
}

async function* lines(messages: AsyncIterable<object>): AsyncGenerator<string> {
  for await (const message of messages) yield `${JSON.stringify(message)}\n`;
}
