/** Negotiation of the API version, as Docker does it: by the path's first part, and by what `_ping` answers. */
import type { MiddlewareHandler } from "hono";
import { apiVersion, minApiVersion, version } from "../../core/version.ts";
import { invalid } from "../errors.ts";
import type { ApiEnv } from "../transport.ts";

const versionPrefix = /^\/v(\d[0-9.]*)(?=\/|$)/;

/** `/v1.43/info` → 1.43 and `/info`. */
export function splitVersion(path: string): { asked?: string; path: string } {
  const match = versionPrefix.exec(path);
  return match ? { asked: match[1]!, path: path.slice(match[0].length) || "/" } : { path };
}

/** The path of a request without its version and query, for the router: `getPath` of Hono. */
export function routedPath(request: Request): string {
  const start = request.url.indexOf("/", request.url.indexOf("://") + 3);
  const query = request.url.indexOf("?", start);
  return splitVersion(request.url.slice(start, query < 0 ? undefined : query)).path;
}

const newest = minor(apiVersion);
const oldest = minor(minApiVersion);

/**
 * The minor number of the version to answer in; without one in the path the newest.
 * @throws EngineError invalid_argument in Docker's words when it is not served.
 */
export function negotiate(asked: string | undefined): number {
  if (asked === undefined) return newest;
  const [major, rest] = asked.split(".").map(Number);
  const wanted = (major ?? 0) * 1000 + (rest ?? 0) - 1000;
  if (wanted > newest) {
    throw invalid(`client version ${asked} is too new. Maximum supported API version is ${apiVersion}`);
  }
  if (!(wanted >= oldest)) {
    throw invalid(
      `client version ${asked} is too old. Minimum supported API version is ${minApiVersion}, ` +
        "please upgrade your client to a newer version",
    );
  }
  return wanted;
}

/**
 * Compose 1 takes the newest version that the daemon names for its own, and was written when that was 1.41: of what has
 * gone since it needs ContainerConfig of an image to make a service anew, and `id` of an event to follow services.
 */
const composeOne = { userAgent: /^docker-compose\/1\./, api: 41 };

/** The minor number of the version in which this client is to be understood and answered, of the one it has asked for. */
export function understood(negotiated: number, userAgent: string | undefined): number {
  return composeOne.userAgent.test(userAgent ?? "") ? Math.min(negotiated, composeOne.api) : negotiated;
}

function minor(text: string): number {
  return Number(text.slice(text.indexOf(".") + 1));
}

/**
 * Every answer says what the daemon is, as Docker's do, even the one that refuses the version.
 * @param isExperimental docker's client has no checkpoints without.
 */
export function versioned(isExperimental: boolean): MiddlewareHandler<ApiEnv> {
  const headers = {
    "Api-Version": apiVersion,
    "Docker-Experimental": String(isExperimental),
    Ostype: "linux",
    Server: `tsd/${version} (linux)`,
  };
  return async (c, next) => {
    c.set("daemonHeaders", headers);
    for (const [name, value] of Object.entries(headers)) c.header(name, value);
    const url = c.req.url;
    const start = url.indexOf("/", url.indexOf("://") + 3);
    c.set("api", understood(negotiate(splitVersion(url.slice(start)).asked), c.req.header("user-agent")));
    await next();
  };
}
