/** Docker's routes that tsd has no part for: answered clearly, as by a Docker that is in no swarm and has no plugins. */
import type { Hono } from "hono";
import { EngineError } from "../../core/errors.ts";
import { noManagedPlugins, noSwarm, notBuilt, swarmHint } from "../not-built.ts";
import type { ApiEnv } from "../transport.ts";

const swarmPaths = ["/swarm", "/services", "/tasks", "/nodes", "/secrets", "/configs"];

/** By method and path, and what they would do. */
const unbuilt: [string, string, string][] = [
  ["POST", "/build", "building images"],
  ["POST", "/build/cancel", "building images"],
  ["POST", "/session", "building images"],
  ["POST", "/grpc", "building images"],
];

export function unbuiltRoutes(app: Hono<ApiEnv>): void {
  for (const [method, path, what] of unbuilt) {
    app.on(method, path, () => {
      throw notBuilt(what);
    });
  }
  swarmRoutes(app);
  for (const verb of ["privileges", "pull", "create"]) {
    app.on(["GET", "POST"], `/plugins/${verb}`, () => {
      throw noManagedPlugins();
    });
  }
  app.get("/plugins", (c) => c.json([]));
  app.all("/plugins/:name{.+}", (c) => {
    const name = c.req.param("name").replace(/\/(json|enable|disable|upgrade|push|set)$/, "");
    throw new EngineError("not_found", `plugin ${JSON.stringify(name)} not found`);
  });
}

function swarmRoutes(app: Hono<ApiEnv>): void {
  for (const verb of ["init", "join"]) {
    app.post(`/swarm/${verb}`, () => {
      throw new EngineError("unsupported", swarmHint);
    });
  }
  app.post("/swarm/leave", () => {
    throw noSwarm("This node is not part of a swarm");
  });
  for (const path of swarmPaths) {
    for (const pattern of [path, `${path}/*`]) {
      app.all(pattern, () => {
        throw noSwarm();
      });
    }
  }
}
