import type { Hono } from "hono";
import type { VolumeBackend } from "../backend/volumes.ts";
import { readJsonBody } from "../body.ts";
import { invalid } from "../errors.ts";
import { noSwarm } from "../not-built.ts";
import { filterFlag, orNull, queryFilters, queryFlag } from "../query.ts";
import type { Filters } from "../schema/filters.ts";
import { readVolumeCreateRequest } from "../schema/volume-request.ts";
import type { ApiEnv } from "../transport.ts";

/** The version since which swarms have volumes, and prune leaves those that have names. */
const clusterVersion = 42;

export function volumeRoutes(app: Hono<ApiEnv>, volumes: VolumeBackend): void {
  app.get("/volumes", async (c) => {
    const filters = queryFilters(c, ["dangling", "driver", "label", "name"]);
    filterFlag(filters, "dangling");
    const { Volumes, Warnings } = await volumes.list(filters);
    return c.json({ Volumes, Warnings: orNull(Warnings) });
  });
  app.get("/volumes/:name{.+}", async (c) => c.json(await volumes.inspect(c.req.param("name"))));
  app.post("/volumes/create", async (c) => {
    const { ClusterVolumeSpec, ...request } = readVolumeCreateRequest(await readJsonBody(c));
    if (ClusterVolumeSpec !== undefined && c.get("api") >= clusterVersion) throw noSwarm();
    return c.json(await volumes.create(request), 201);
  });
  app.post("/volumes/prune", async (c) => {
    const { all, ...filters } = queryFilters(c, ["all", "label", "label!"]);
    const isAll = c.get("api") < clusterVersion || pruneAll(all);
    // Never null, other than what the other kinds' routes answer.
    return c.json(await volumes.prune(filters, { all: isAll }));
  });
  app.put("/volumes/:name{.+}", () => {
    throw noSwarm("volume update only valid for cluster volumes, but swarm is unavailable");
  });
  app.delete("/volumes/:name{.+}", async (c) => {
    await volumes.remove(c.req.param("name"), { force: queryFlag(c, "force") });
    return c.body(null, 204);
  });
}

/** As Go reads a boolean. @throws EngineError invalid_argument in Docker's words. */
function pruneAll(values: Filters[string] | undefined): boolean {
  const [value = "false"] = values ?? [];
  if ((values?.length ?? 0) <= 1) {
    if (/^(1|t|T|TRUE|true|True)$/.test(value)) return true;
    if (/^(0|f|F|FALSE|false|False)$/.test(value)) return false;
  }
  throw invalid(`invalid filter 'all=[${values?.join(" ")}]'`);
}
