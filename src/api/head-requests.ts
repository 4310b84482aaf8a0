import type { MiddlewareHandler } from "hono";
import { EngineError } from "../core/errors.ts";
import type { ApiEnv } from "./transport.ts";
import { routedPath } from "./versions/version.ts";

const routes = [/^\/_ping$/, /^\/containers\/[^/]+\/archive$/];

/**
 * Hono serves HEAD by the route of GET, whatever that begins: a WebSocket, an archive that nobody would read to its end.
 * Docker has HEAD where it is documented, and "page not found" elsewhere.
 */
export const headRequests: MiddlewareHandler<ApiEnv> = (c, next) => {
  const { raw } = c.req;
  if (raw.method === "HEAD" && !routes.some((route) => route.test(routedPath(raw)))) {
    throw new EngineError("not_found", "page not found");
  }
  return next();
};
