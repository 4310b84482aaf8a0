/** Files and folders of a container, in and out. */
import type { Hono } from "hono";
import { errorMessage } from "../../core/errors.ts";
import { log } from "../../core/log.ts";
import { rfc3339Nano } from "../../core/timestamp.ts";
import type { FileBackend, PathStat } from "../backend/files.ts";
import { invalid } from "../errors.ts";
import { queryFlag } from "../query.ts";
import { changeKinds, type FileChangeJson } from "../schema/file-change.ts";
import { goFileMode, type PathStatJson, pathStatHeader } from "../schema/path-stat.ts";
import { streamedOnceBegun } from "../streams.ts";
import type { ApiContext, ApiEnv } from "../transport.ts";

export function fileRoutes(app: Hono<ApiEnv>, files: FileBackend): void {
  // A request for the head alone arrives here, too.
  app.get("/containers/:id/archive", async (c) => {
    const [reference, path, { signal }] = [c.req.param("id"), pathOf(c), c.req.raw];
    if (c.req.method === "HEAD") {
      c.header(pathStatHeader, statHeader(await files.stat(reference, path, signal)));
      return c.body(null);
    }
    const { stat, archive } = await files.read(reference, path, signal);
    c.header(pathStatHeader, statHeader(stat));
    return streamedOnceBegun(c, "application/x-tar", archive);
  });
  app.get("/containers/:id/changes", async (c) => {
    const changes = await files.changes(c.req.param("id"));
    return c.json(changes.map(({ path, kind }): FileChangeJson => ({ Path: path, Kind: changeKinds[kind] })));
  });
  app.put("/containers/:id/archive", async (c) => {
    const owner = c.req.query("chown");
    const request = {
      path: pathOf(c),
      keepsKinds: queryFlag(c, "noOverwriteDirNonDir"),
      toUser: queryFlag(c, "copyUIDGID"),
      ...(owner && { owner }),
    };
    try {
      await files.write(c.req.param("id"), request, c.req.raw.body ?? nothing(), c.req.raw.signal);
    } catch (error) {
      if (!(await isSent(c.req.raw))) c.header("connection", "close");
      throw error;
    }
    return c.body(null, 200);
  });
}

/** What is read of a refused archive, in bytes and milliseconds, before its client is cut off. */
const restMax = { bytes: 256 << 10, milliseconds: 500 };

/**
 * Reads what is left of a small archive, as Go's server does: a client that cannot write on may not see why. Of a large
 * one the rest is not to be sent. @returns whether all has come.
 */
async function isSent(request: Request): Promise<boolean> {
  if (request.bodyUsed || request.body?.locked) return false;
  const reader = request.body?.getReader();
  const late = Promise.withResolvers<"late">();
  const timer = setTimeout(() => late.resolve("late"), restMax.milliseconds);
  try {
    for (let bytes = 0; reader !== undefined && bytes <= restMax.bytes; ) {
      const read = await Promise.race([reader.read(), late.promise]);
      if (read === "late") return false;
      if (read.done) return true;
      bytes += read.value.byteLength;
    }
    return reader === undefined;
  } catch (error) {
    log("debug", "a refused archive was cut off", { error: errorMessage(error) });
    return false;
  } finally {
    clearTimeout(timer);
  }
}

function pathOf(c: ApiContext): string {
  const path = c.req.query("path");
  if (!path) throw invalid("bad parameter: 'path' cannot be empty");
  if (path.includes("\0")) throw invalid("bad parameter: 'path' has a NUL byte in it");
  return path;
}

function statHeader({ name, size, mode, mtime, linkTarget }: PathStat): string {
  const json: PathStatJson = { name, size, mode: goFileMode(mode), mtime: rfc3339Nano(mtime), linkTarget };
  return Buffer.from(JSON.stringify(json)).toString("base64");
}

async function* nothing(): AsyncGenerator<Uint8Array, void, void> {
  yield new Uint8Array();
}
