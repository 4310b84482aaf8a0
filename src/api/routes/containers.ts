import type { Hono } from "hono";
import type { ContainerBackend, ContainerCreateOptions, ContainerListOptions } from "../backend/containers.ts";
import { readJsonBody } from "../body.ts";
import { invalid } from "../errors.ts";
import { filterFlag, queryFilters, queryFlag, queryInteger, queryPlatform, querySize } from "../query.ts";
import type { ContainerWaitResponse, WaitCondition } from "../schema/container.ts";
import { readCreateRequest } from "../schema/create-request.ts";
import { streamed } from "../streams.ts";
import type { ApiContext, ApiEnv } from "../transport.ts";
import { inspectOf, summaryOf } from "../versions/containers.ts";
import { createRequestOf } from "../versions/create.ts";

const containerFilters = [
  "ancestor",
  "before",
  "expose",
  "exited",
  "health",
  "id",
  "isolation",
  "is-task",
  "label",
  "name",
  "network",
  "publish",
  "since",
  "status",
  "volume",
];

const waitConditions: readonly WaitCondition[] = ["not-running", "next-exit", "removed"];

export function containerRoutes(app: Hono<ApiEnv>, containers: ContainerBackend): void {
  app.post("/containers/create", (c) => create(c, containers));
  app.get("/containers/json", (c) => list(c, containers));
  app.get("/containers/:id/json", async (c) => {
    const container = await containers.inspect(c.req.param("id"), { size: queryFlag(c, "size") });
    return c.json(inspectOf(container, c.get("api")));
  });
  app.post("/containers/:id/start", async (c) => {
    await containers.start(c.req.param("id"));
    return c.body(null, 204);
  });
  app.post("/containers/:id/kill", async (c) => {
    await containers.kill(c.req.param("id"), c.req.query("signal") || "KILL");
    return c.body(null, 204);
  });
  app.post("/containers/:id/wait", (c) => wait(c, c.req.param("id"), containers));
  app.post("/containers/:id/resize", async (c) => {
    await containers.resize(c.req.param("id"), querySize(c));
    return c.body(null, 200);
  });
  // A link's name has a slash: `docker rm --link web/db`.
  app.delete("/containers/:id{.+}", async (c) => {
    await containers.remove(c.req.param("id"), {
      force: queryFlag(c, "force"),
      volumes: queryFlag(c, "v"),
      link: queryFlag(c, "link"),
    });
    return c.body(null, 204);
  });
}

async function create(c: ApiContext, containers: ContainerBackend): Promise<Response> {
  const request = createRequestOf(readCreateRequest(await readJsonBody(c)), c.get("api"));
  const name = c.req.query("name")?.replace(/^\//, "");
  const platform = c.get("api") >= 41 ? queryPlatform(c) : undefined;
  const options: ContainerCreateOptions = { ...(name && { name }), ...(platform !== undefined && { platform }) };
  return c.json(await containers.create(request, options), 201);
}

async function list(c: ApiContext, containers: ContainerBackend): Promise<Response> {
  const limit = queryInteger(c, "limit");
  const filters = queryFilters(c, containerFilters);
  filterFlag(filters, "is-task");
  const options: ContainerListOptions = {
    all: queryFlag(c, "all"),
    size: queryFlag(c, "size"),
    filters,
    ...(limit !== undefined && limit > 0 && { limit }),
  };
  const summaries = await containers.list(options);
  return c.json(summaries.map((summary) => summaryOf(summary, c.get("api"))));
}

async function wait(c: ApiContext, id: string, containers: ContainerBackend): Promise<Response> {
  const asked = c.get("api") >= 30 ? c.req.query("condition") || "not-running" : "not-running";
  const condition = waitConditions.find((known) => known === asked);
  if (condition === undefined) throw invalid(`invalid condition: ${JSON.stringify(asked)}`);
  const { exited } = await containers.wait(id, condition, c.req.raw.signal);
  // A client that leaves before the first read leaves nobody to take its failure.
  exited.catch(() => undefined);
  const answer = waited(exited, c.req.raw.signal);
  if (c.get("api") >= 30) return streamed(c, "application/json", answer);
  // Clients of that time take the head for the end.
  return c.body((await answer.next()).value ?? "", 200, { "content-type": "application/json" });
}

async function* waited(exited: Promise<ContainerWaitResponse>, signal: AbortSignal): AsyncGenerator<string> {
  const gone = Promise.withResolvers<undefined>();
  const leave = () => gone.resolve(undefined);
  if (signal.aborted) leave();
  signal.addEventListener("abort", leave, { once: true });
  try {
    const answer = await Promise.race([exited, gone.promise]);
    if (answer) yield `${JSON.stringify(answer)}\n`;
  } finally {
    signal.removeEventListener("abort", leave);
  }
}
