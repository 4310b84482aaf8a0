/** `search`: what an index finds by a word. Only Docker Hub and a few others have one: the API's version 1 (`/v1/search`). */
import { EngineError, errorMessage } from "../../core/errors.ts";
import type { RegistryCredentials } from "../image.ts";
import { defaultRegistry } from "../reference.ts";
import { registryHosts } from "./hosts.ts";
import type { RegistryRequests } from "./requests.ts";
import { type RegistryRequest, type RegistryResponse, requestName } from "./transport.ts";

export interface SearchOptions {
  /** `busybox`, or with the index's name before it, `registry.example:5000/busybox`. */
  term: string;
  /** 1 to 100; 0: as many as Docker shows. */
  limit: number;
  credentials?: RegistryCredentials | undefined;
  signal?: AbortSignal | undefined;
}

export interface FoundRepository {
  name: string;
  description: string;
  stars: number;
  isOfficial: boolean;
}

const limitDefault = 25;
const limitMax = 100;
const answerBytesMax = 4 * 2 ** 20;
/** Where docker.io's index is: not where its images are. */
const dockerIndex = "https://index.docker.io";

/**
 * @returns in the index's order.
 * @throws EngineError invalid_argument, unauthorized, unavailable, unsupported for a registry without a search,
 * cancelled.
 */
export async function searchRegistry(requests: RegistryRequests, options: SearchOptions): Promise<FoundRepository[]> {
  const { registry, term } = splitTerm(options.term);
  const limit = options.limit === 0 ? limitDefault : options.limit;
  if (limit < 1 || limit > limitMax) {
    throw new EngineError("invalid_argument", `limit ${limit} is outside the range of [1, ${limitMax}]`);
  }
  const query = new URLSearchParams({ q: term, n: String(limit) });
  let failure: EngineError | undefined;
  for (const { base, ...host } of indexes(requests, registry)) {
    const request: RegistryRequest = {
      ...host,
      url: `${base}/v1/search?${query}`,
      authorization: basicAuthorization(options.credentials),
      signal: options.signal,
    };
    try {
      return await ask(requests, request, registry);
    } catch (error) {
      // By HTTPS nobody answers, and by HTTP somebody may.
      if (!(error instanceof EngineError) || error.code !== "unavailable") throw error;
      failure = error;
    }
  }
  throw failure ?? new EngineError("unavailable", `registry ${registry}: no host is configured`);
}

/** The index is named where the first part looks like a host, as in a reference. */
function splitTerm(text: string): { registry: string; term: string } {
  if (/^[a-z]+:\/\//.test(text)) {
    const reason = `repository name (${text}) should not have a scheme`;
    throw new EngineError("invalid_argument", `invalid repository name: ${reason}`);
  }
  const slash = text.indexOf("/");
  const first = text.slice(0, Math.max(0, slash));
  const isHost = /[.:]/.test(first) || first === "localhost";
  if (!isHost) return { registry: defaultRegistry, term: text.replace(/^library\//, "") };
  const rest = text.slice(slash + 1);
  const isDocker = first === defaultRegistry || first === "index.docker.io";
  return { registry: isDocker ? defaultRegistry : first, term: isDocker ? rest.replace(/^library\//, "") : rest };
}

function indexes(requests: RegistryRequests, registry: string) {
  if (registry === defaultRegistry) return [{ base: dockerIndex, isInsecure: false }];
  const hosts = registryHosts(registry, requests.options, "resolve").filter(({ isMirror }) => !isMirror);
  return hosts.map(({ apiUrl, isInsecure, authorities, client, headers }) => ({
    base: new URL(apiUrl).origin,
    isInsecure,
    authorities,
    client,
    ownHeaders: headers,
  }));
}

function basicAuthorization(credentials: RegistryCredentials | undefined): string | undefined {
  if (!credentials?.username) return undefined;
  return `Basic ${Buffer.from(`${credentials.username}:${credentials.password}`).toString("base64")}`;
}

async function ask(requests: RegistryRequests, request: RegistryRequest, registry: string): Promise<FoundRepository[]> {
  const response = await requests.send(request);
  if (response.status === 200) return parse(await response.bytes(answerBytesMax), request, registry);
  await response.discard();
  throw refusal(request, response, registry);
}

function refusal(request: RegistryRequest, response: RegistryResponse, registry: string): EngineError {
  const status = `${response.status} ${response.statusText}`.trim();
  if (response.status === 401 || response.status === 403) {
    return new EngineError("unauthorized", `${requestName(request)}: search denied: ${status}`, {
      hint: `log in first: login ${registry === defaultRegistry ? "" : registry}`.trimEnd(),
    });
  }
  if (response.status === 404 || response.status === 405) return withoutSearch(request, registry, status);
  return new EngineError("unavailable", `${requestName(request)}: received unexpected HTTP status: ${status}`);
}

function withoutSearch(request: RegistryRequest, registry: string, reason: string): EngineError {
  return new EngineError("unsupported", `registry ${registry} has no search: ${requestName(request)}: ${reason}`);
}

function parse(bytes: Uint8Array, request: RegistryRequest, registry: string): FoundRepository[] {
  let results: unknown;
  try {
    ({ results } = JSON.parse(Buffer.from(bytes).toString()) as { results?: unknown });
  } catch (error) {
    throw withoutSearch(request, registry, `the answer is no JSON: ${errorMessage(error)}`);
  }
  if (!Array.isArray(results)) throw withoutSearch(request, registry, "the answer has no list of results");
  return (results as Record<string, unknown>[]).map((result) => {
    const { name, description, star_count: stars, is_official: isOfficial } = Object(result) as Record<string, unknown>;
    return {
      name: typeof name === "string" ? name : "",
      description: typeof description === "string" ? description : "",
      stars: typeof stars === "number" ? stars : 0,
      isOfficial: isOfficial === true,
    };
  });
}
