import type { Hono } from "hono";
import type { ArchiveBackend, CommitRequest, ImportOptions } from "../backend/archives.ts";
import { readJson } from "../body.ts";
import { invalid } from "../errors.ts";
import { platformOfJson } from "../platform.ts";
import { progressStream } from "../progress.ts";
import { queryFlag, queryPlatform } from "../query.ts";
import { readContainerConfig } from "../schema/create-request.ts";
import { streamedOnceBegun } from "../streams.ts";
import type { ApiContext, ApiEnv } from "../transport.ts";

const tarType = "application/x-tar";
/** Since when `save` and `load` take a platform, and since when several. */
const [platformSince, platformsSince] = [48, 52];
const importPlatformSince = 32;

export function archiveRoutes(app: Hono<ApiEnv>, archives: ArchiveBackend): void {
  app.get("/containers/:id/export", (c) =>
    streamedOnceBegun(c, tarType, archives.exportContainer(c.req.param("id"), c.req.raw.signal)),
  );
  app.post("/commit", (c) => commit(c, archives));
  app.get("/images/get", (c) => save(c, archives, c.req.queries("names") ?? []));
  app.post("/images/load", (c) => {
    const options = { quiet: queryFlag(c, "quiet", true), platforms: queryPlatforms(c) };
    return progressStream(c, archives.load(bodyBytes(c), options, c.req.raw.signal));
  });
  app.post("/images/create", (c, next) => {
    const source = c.req.query("fromSrc");
    return source && !c.req.query("fromImage") ? importImage(c, archives, source) : next();
  });
  app.get("/images/:name{.+}/get", (c) => save(c, archives, [c.req.param("name")]));
}

async function save(c: ApiContext, archives: ArchiveBackend, names: string[]): Promise<Response> {
  if (names.length === 0) throw invalid("no image named: the parameter names is missing");
  return streamedOnceBegun(c, tarType, archives.save(names, { platforms: queryPlatforms(c) }, c.req.raw.signal));
}

async function commit(c: ApiContext, archives: ArchiveBackend): Promise<Response> {
  const body = await readJson(c);
  const request: CommitRequest = {
    comment: c.req.query("comment") ?? "",
    author: c.req.query("author") ?? "",
    pause: c.req.query("pause") === "" || queryFlag(c, "pause", true),
    changes: c.req.queries("changes") ?? [],
    ...named(c),
    ...(body !== undefined && body !== null && { config: readContainerConfig(body) }),
  };
  return c.json(await archives.commit(c.req.query("container") ?? "", request, c.req.raw.signal), 201);
}

/** `repo`, which may have a tag, and `tag`. */
function named(c: ApiContext): { name?: string } {
  const [repository, tag] = [c.req.query("repo"), c.req.query("tag")];
  if (!repository) return {};
  return { name: tag ? `${repository}:${tag}` : repository };
}

async function importImage(c: ApiContext, archives: ArchiveBackend, source: string): Promise<Response> {
  const platform = c.get("api") >= importPlatformSince ? queryPlatform(c) : undefined;
  const options: ImportOptions = {
    message: c.req.query("message") || `Imported from ${withoutPassword(source)}`,
    changes: c.req.queries("changes") ?? [],
    ...named(c),
    ...(platform !== undefined && { platform }),
  };
  const from = source === "-" ? { archive: bodyBytes(c) } : { url: source };
  return progressStream(c, archives.importImage(from, options, c.req.raw.signal));
}

/** The history of an image is for everybody who gets it. */
function withoutPassword(source: string): string {
  return source.replace(/^([a-z][a-z0-9+.-]*:\/\/)?[^/?#]*@/i, "$1");
}

/** OCI platforms as JSON: one, and several in newer versions of the API. */
function queryPlatforms(c: ApiContext): string[] {
  const given = c.get("api") >= platformSince ? (c.req.queries("platform") ?? []).filter((text) => text !== "") : [];
  if (given.length > 1 && c.get("api") < platformsSince) {
    throw invalid(`several platforms need API version 1.${platformsSince} or later`);
  }
  return given.map(platformOfJson);
}

/** The request's body as it comes. */
function bodyBytes(c: ApiContext): AsyncIterable<Uint8Array> {
  return c.req.raw.body ?? nothing();
}

async function* nothing(): AsyncGenerator<Uint8Array, void, void> {
  yield new Uint8Array();
}
