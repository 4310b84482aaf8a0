import type { Hono } from "hono";
import { EngineError } from "../../core/errors.ts";
import { familiarName, familiarReference, isTag, parseRepository } from "../../oci/reference.ts";
import type { ImageBackend, ImagePullOptions } from "../backend/images.ts";
import { readJsonBody } from "../body.ts";
import { invalid } from "../errors.ts";
import { parsePlatform, platformOfJson } from "../platform.ts";
import { progressStream } from "../progress.ts";
import { filterFlag, queryFilters, queryFlag, queryInteger, queryPlatform } from "../query.ts";
import { readRegistryAuth } from "../registry-auth.ts";
import { readBundleRequest } from "../schema/bundle-request.ts";
import type { ApiContext, ApiEnv } from "../transport.ts";
import { imageInspectOf, imageSummaryOf } from "../versions/images.ts";
import { withTag } from "./reference.ts";

const imageFilters = ["before", "dangling", "label", "label!", "reference", "since", "until"];

export function imageRoutes(app: Hono<ApiEnv>, images: ImageBackend): void {
  readingRoutes(app, images);
  app.post("/images/create", (c) => create(c, images));
  app.post("/images/:name{.+}/tag", async (c) => {
    await images.tag(c.req.param("name"), tagTarget(c.req.query("repo") ?? "", c.req.query("tag") ?? ""));
    return c.body(null, 201);
  });
  app.post("/tsd/bundle", async (c) => {
    const { image, directory, platform, pull } = readBundleRequest(await readJsonBody(c));
    if (platform) parsePlatform(platform);
    const auth = readRegistryAuth(c, image);
    const request = { image, directory, pull, ...(platform && { platform }), ...(auth && { auth }) };
    return progressStream(c, images.bundle(request, c.req.raw.signal));
  });
  app.delete("/images/:name{.+}", async (c) => {
    const name = c.req.param("name");
    if (name.trim() === "") throw invalid("image name cannot be blank");
    const platforms = c.get("api") >= 50 ? (c.req.queries("platforms") ?? []).map(platformOfJson) : [];
    const options = { force: queryFlag(c, "force"), noprune: queryFlag(c, "noprune"), platforms };
    return c.json(await images.remove(name, options));
  });
}

function readingRoutes(app: Hono<ApiEnv>, images: ImageBackend): void {
  app.get("/images/json", async (c) => {
    const filters = queryFilters(c, imageFilters);
    const reference = c.get("api") < 41 ? c.req.query("filter") : undefined;
    if (reference) filters.reference = [reference];
    // Checked here, so that a wrong value is refused with Docker's words whatever the engine does with it.
    filterFlag(filters, "dangling");
    const api = c.get("api");
    const manifests = api >= 47 && queryFlag(c, "manifests");
    const identity = api >= 54 && queryFlag(c, "identity");
    if (identity && !manifests) throw invalid("conflicting options: identity requires manifests=1");
    const list = await images.list({
      all: queryFlag(c, "all"),
      sharedSize: api >= 42 && queryFlag(c, "shared-size"),
      manifests,
      identity,
      filters,
    });
    return c.json(list.map((image) => imageSummaryOf(image, api)));
  });
  app.get("/images/search", async (c) => {
    const filters = queryFilters(c, ["is-automated", "is-official", "stars"]);
    for (const name of ["is-automated", "is-official"]) filterFlag(filters, name);
    const limit = queryInteger(c, "limit") ?? 0;
    if (limit < 0) throw invalid(`invalid limit specified: ${limit}`);
    const auth = readRegistryAuth(c);
    const request = { term: c.req.query("term") ?? "", limit, filters, ...(auth && { auth }) };
    return c.json(await images.search(request, c.req.raw.signal));
  });
  app.get("/images/:name{.+}/json", async (c) => {
    const api = c.get("api");
    const platform = api >= 49 ? queryJsonPlatform(c) : undefined;
    const manifests = api >= 48 && queryFlag(c, "manifests");
    if (manifests && platform !== undefined) {
      throw invalid("conflicting options: manifests and platform options cannot both be set");
    }
    const image = await images.inspect(c.req.param("name"), {
      manifests,
      identity: api >= 53,
      ...(platform !== undefined && { platform }),
    });
    return c.json(imageInspectOf(image, api));
  });
  app.get("/images/:name{.+}/history", async (c) => {
    const platform = c.get("api") >= 48 ? queryJsonPlatform(c) : undefined;
    return c.json(await images.history(c.req.param("name"), { ...(platform !== undefined && { platform }) }));
  });
  app.get("/images/:name{.+}/attestations", async (c) => {
    if (c.get("api") < 55) throw new EngineError("not_found", "page not found");
    const platforms = (c.req.queries("platform") ?? []).filter((text) => text !== "");
    if (platforms.length > 1) throw invalid("only one platform value is currently supported");
    const types = (c.req.queries("type") ?? []).map((type) => type.trim()).filter((type) => type !== "");
    const platform = platforms.map(platformOfJson)[0];
    return c.json(
      await images.attestations(c.req.param("name"), {
        types,
        statement: queryFlag(c, "statement"),
        ...(platform !== undefined && { platform }),
      }),
    );
  });
}

/** The name to give, familiar and with its tag. @throws EngineError invalid_argument in Docker's words. */
function tagTarget(repo: string, tag: string): string {
  const reference = parseRepository(repo);
  if (reference.digest !== undefined) throw invalid("refusing to create a tag with a digest reference");
  if (tag !== "" && !isTag(tag)) throw invalid("invalid tag format");
  if (familiarName(reference) === "sha256") {
    throw invalid("refusing to create an ambiguous tag using digest algorithm as name");
  }
  return familiarReference({ ...reference, tag: tag || (reference.tag ?? "latest") });
}

function queryJsonPlatform(c: ApiContext): string | undefined {
  const asked = c.req.query("platform");
  return asked ? platformOfJson(asked) : undefined;
}

async function create(c: ApiContext, images: ImageBackend): Promise<Response> {
  const name = c.req.query("fromImage");
  if (!name) throw invalid("fromImage: no image named");
  const platform = c.get("api") >= 32 ? queryPlatform(c) : undefined;
  const auth = readRegistryAuth(c, name);
  const options: ImagePullOptions = { ...(platform !== undefined && { platform }), ...(auth && { auth }) };
  // Older clients leave a colon where they want all tags.
  const reference = withTag(name.replace(/:$/, ""), c.req.query("tag"));
  const parsed = parseRepository(reference);
  if (familiarName(parsed) === "scratch") throw new EngineError("forbidden", "'scratch' is a reserved name");
  const { tag, digest } = parsed;
  const allTags = tag === undefined && digest === undefined;
  return progressStream(c, images.pull(reference, { ...options, ...(allTags && { allTags }) }, c.req.raw.signal));
}
