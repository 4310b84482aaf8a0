/** The Engine API as one Hono application over the engine's backends; src/api/server.ts serves it on a socket. */
import { Hono } from "hono";
import { EngineError } from "../core/errors.ts";
import { initiatedBy } from "../core/initiator.ts";
import { Authorization, authorized } from "./authorization.ts";
import type { AuthorizationPlugin } from "./backend/authorization.ts";
import type { Backends } from "./backend/backends.ts";
import { failed } from "./errors.ts";
import { headRequests } from "./head-requests.ts";
import { jsonAnswers } from "./json-answer.ts";
import { archiveRoutes } from "./routes/archives.ts";
import { checkpointRoutes } from "./routes/checkpoints.ts";
import { containerStreamRoutes } from "./routes/container-streams.ts";
import { containerVerbRoutes } from "./routes/container-verbs.ts";
import { containerRoutes } from "./routes/containers.ts";
import { eventRoutes } from "./routes/events.ts";
import { execRoutes } from "./routes/exec.ts";
import { fileRoutes } from "./routes/files.ts";
import { imageRoutes } from "./routes/images.ts";
import { networkRoutes } from "./routes/networks.ts";
import { observationRoutes } from "./routes/observation.ts";
import { portRoutes } from "./routes/ports.ts";
import { pruneRoutes } from "./routes/prune.ts";
import { registryRoutes } from "./routes/registry.ts";
import { registryManifestRoutes } from "./routes/registry-manifests.ts";
import { runRoutes } from "./routes/run.ts";
import { storageRoutes } from "./routes/storage.ts";
import { storyRoutes } from "./routes/story.ts";
import { systemRoutes } from "./routes/system.ts";
import { unbuiltRoutes } from "./routes/unbuilt.ts";
import { volumeRoutes } from "./routes/volumes.ts";
import type { ApiEnv } from "./transport.ts";
import { routedPath, versioned } from "./versions/version.ts";

export type ApiApp = Hono<ApiEnv>;

/**
 * @param plugins that are asked about every request, in this order.
 * @param isExperimental what clients are told.
 */
export function createApp(
  backends: Backends,
  plugins: readonly AuthorizationPlugin[] = [],
  isExperimental = false,
): ApiApp {
  const app = new Hono<ApiEnv>({ getPath: routedPath });
  app.use((c, next) => initiatedBy(c.env.client, next));
  app.use(versioned(isExperimental));
  app.use(headRequests, jsonAnswers);
  const authorization = plugins.length > 0 ? new Authorization(plugins) : undefined;
  if (authorization !== undefined) app.use(authorized(authorization));
  systemRoutes(app, backends.system);
  eventRoutes(app, backends.events);
  checkpointRoutes(app, backends.checkpoints);
  containerRoutes(app, backends.containers);
  containerVerbRoutes(app, backends.containers);
  containerStreamRoutes(app, backends.containers);
  execRoutes(app, backends.exec);
  observationRoutes(app, backends.observation);
  archiveRoutes(app, backends.archives);
  fileRoutes(app, backends.files);
  imageRoutes(app, backends.images);
  networkRoutes(app, backends.networks);
  portRoutes(app, backends.ports);
  storyRoutes(app, backends.stories);
  registryManifestRoutes(app, backends.registryManifests);
  registryRoutes(app, backends.registry);
  volumeRoutes(app, backends.volumes);
  storageRoutes(app, backends.storage);
  pruneRoutes(app, backends.storage);
  runRoutes(app, backends, authorization);
  unbuiltRoutes(app);
  app.notFound((c) => failed(c, new EngineError("not_found", "page not found")));
  app.onError((error, c) => failed(c, error));
  return app;
}
