/**
 * What tsd's own routes do in terms of Docker's, for who knows only those: an authorization plugin that forbids pulling
 * forbids it by whatever route.
 */
import { apiVersion } from "../core/version.ts";
import { parseJson } from "./body.ts";
import { readBundleRequest } from "./schema/bundle-request.ts";
import { splitVersion } from "./versions/version.ts";

export interface AskedRequest {
  method: string;
  /** Path and query. */
  uri: string;
  headers?: Headers;
  /** Of JSON. */
  body?: Uint8Array;
}

/** As Docker's clients write it. @param query what is undefined or empty is left out. */
export function dockerRequest(
  method: string,
  path: string,
  query: Record<string, string | boolean | undefined> = {},
  body?: object,
): AskedRequest {
  const parameters = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    if (value !== undefined && value !== "" && value !== false) parameters.set(name, value === true ? "1" : value);
  }
  const text = parameters.toString();
  return {
    method,
    uri: `/v${apiVersion}${path}${text === "" ? "" : `?${text}`}`,
    ...(body && {
      body: Buffer.from(JSON.stringify(body)),
      headers: new Headers({ "content-type": "application/json" }),
    }),
  };
}

/**
 * Docker's requests that one of tsd's own stands for, to be judged before it is; none for all others.
 * @returns "each step" for a route that asks for each of its steps itself, when it comes to it.
 * @throws EngineError invalid_argument for a body that the route would refuse.
 */
export function standsFor({ method, uri, body }: AskedRequest): AskedRequest[] | "each step" {
  const url = new URL(`http://tsd${splitVersion(uri).path}`);
  const query = (name: string) => url.searchParams.get(name) ?? undefined;
  const [, container] = /^\/tsd\/containers\/([^/]+)\/why$/.exec(url.pathname) ?? [];
  if (method === "GET" && container !== undefined) {
    const tail = query("lines") ?? "";
    return [
      dockerRequest("GET", `/containers/${container}/json`),
      dockerRequest("GET", `/containers/${container}/logs`, { stdout: true, stderr: true, tail }),
    ];
  }
  switch (`${method} ${url.pathname}`) {
    case "POST /tsd/run":
    case "POST /tsd/exec":
      return "each step";
    case "GET /tsd/df":
      return [dockerRequest("GET", "/system/df")];
    case "GET /tsd/ports":
      return [dockerRequest("GET", "/containers/json")];
    case "POST /tsd/gc":
      return [dockerRequest("POST", "/images/prune")];
    case "GET /tsd/registry/manifest":
      return [dockerRequest("GET", `/distribution/${query("reference") ?? ""}/json`)];
    case "PUT /tsd/registry/manifest":
      return [dockerRequest("POST", `/images/${query("reference") ?? ""}/push`)];
    case "POST /tsd/bundle":
      return body === undefined || body.byteLength === 0 ? [] : bundleRequests(body);
    default:
      return [];
  }
}

function bundleRequests(body: Uint8Array): AskedRequest[] {
  const { image, platform, pull } = readBundleRequest(parseJson(new TextDecoder().decode(body)));
  return [
    ...(pull === "never" ? [] : [dockerRequest("POST", "/images/create", { fromImage: image, platform })]),
    dockerRequest("GET", `/images/${image}/get`),
  ];
}
