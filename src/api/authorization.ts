/**
 * Asks the authorization plugins, in their order, before a request is served and before its answer is given. Nothing is
 * allowed that one of them does not allow, or does not answer to.
 */
import type { MiddlewareHandler } from "hono";
import { EngineError, errorMessage, isEngineError } from "../core/errors.ts";
import { log } from "../core/log.ts";
import type { AuthorizationMessage, AuthorizationPlugin, Verdict } from "./backend/authorization.ts";
import { parseJson } from "./body.ts";
import { errorBody, httpStatus, logFailure } from "./errors.ts";
import { isJson } from "./media-types.ts";
import { type AskedRequest, standsFor } from "./own-routes.ts";
import { ambiguousKey } from "./schema/go-json.ts";
import { type ApiContext, type ApiEnv, requestName } from "./transport.ts";
import { splitVersion } from "./versions/version.ts";

/**
 * What plugins are given of a body. Docker hands a longer one on without it, so that they judge what they have not seen
 * (CVE-2026-34040, as CVE-2024-41110 before); here a request with one is refused.
 */
export const judgedBytesMax = 1 << 20;

/** The credentials of registries are not the plugins' business. */
const secretHeaders = new Set(["authorization", "x-registry-config", "x-registry-auth"]);

export class Authorization {
  readonly #plugins: readonly AuthorizationPlugin[];

  constructor(plugins: readonly AuthorizationPlugin[]) {
    this.#plugins = plugins;
  }

  /** @throws EngineError forbidden; internal when a plugin fails. */
  async judgeRequest(asked: AskedRequest, signal: AbortSignal): Promise<JudgedRequest> {
    if ((asked.body?.byteLength ?? 0) > judgedBytesMax) throw tooLong();
    const message: AuthorizationMessage = {
      RequestMethod: asked.method,
      RequestUri: asked.uri,
      ...(asked.headers && { RequestHeaders: shownHeaders(asked.headers) }),
      ...(asked.body?.byteLength && { RequestBody: asked.body }),
    };
    await this.#judge("request", message, signal);
    return {
      judgeAnswer: ({ status, headers, body }) =>
        this.#judge(
          "response",
          {
            ...message,
            ResponseStatusCode: status,
            ...(headers && { ResponseHeaders: shownHeaders(headers) }),
            ...(body?.byteLength && body.byteLength <= judgedBytesMax && { ResponseBody: body }),
          },
          signal,
        ),
    };
  }

  /** Does work that stands for a request of Docker's, as if that had come. */
  async perform<T>(asked: AskedRequest, status: number, work: () => Promise<T>, signal: AbortSignal): Promise<T> {
    const request = await this.judgeRequest(asked, signal);
    let result: T;
    try {
      result = await work();
    } catch (error) {
      const body = Buffer.from(JSON.stringify(errorBody(error)));
      await tell(request, { status: httpStatus(error), body }, asked);
      throw error;
    }
    const isTold = typeof result === "object" && result !== null && status === 201;
    await request.judgeAnswer({ status, ...(isTold && { body: Buffer.from(JSON.stringify(result)) }) });
    return result;
  }

  async #judge(phase: "request" | "response", message: AuthorizationMessage, signal: AbortSignal): Promise<void> {
    for (const plugin of this.#plugins) {
      let verdict: Verdict;
      try {
        verdict = await plugin.judge(phase, message, signal);
      } catch (error) {
        throw new EngineError(
          isEngineError(error, "timeout") || isEngineError(error, "cancelled") ? error.code : "internal",
          `plugin ${plugin.name} failed with error: ${errorMessage(error)}`,
          {
            stage: "authorization",
            hint: `nothing is allowed while ${plugin.name} does not answer: start it again, or the daemon without --authorization-plugin ${plugin.name}`,
            cause: error,
          },
        );
      }
      if (!verdict.isAllowed) {
        throw new EngineError("forbidden", `authorization denied by plugin ${plugin.name}: ${verdict.reason}`, {
          stage: "authorization",
        });
      }
    }
  }
}

export interface JudgedRequest {
  /** @throws as `judgeRequest`. */
  judgeAnswer(answer: JudgedAnswer): Promise<void>;
}

interface JudgedAnswer {
  status: number;
  headers?: Headers;
  body?: Uint8Array;
}

/** As in Docker the refusal of an answer that is an error changes nothing: there is nothing in it to hide. */
async function tell(request: JudgedRequest, answer: JudgedAnswer, asked: AskedRequest): Promise<void> {
  try {
    await request.judgeAnswer(answer);
  } catch (error) {
    log("debug", "an error was not authorized", {
      request: `${asked.method} ${asked.uri}`,
      error: errorMessage(error),
    });
  }
}

export function authorized(authorization: Authorization): MiddlewareHandler<ApiEnv> {
  return async (c, next) => {
    const { signal } = c.req.raw;
    const body = await bodyToJudge(c);
    const asked = { method: c.req.method, uri: uriOf(c), headers: c.req.raw.headers, ...(body && { body }) };
    const stood = standsFor(asked);
    // The fast path asks for each of its steps.
    if (stood === "each step") return next();
    for (const other of stood) await authorization.judgeRequest(other, signal);
    const request = await authorization.judgeRequest(asked, signal);
    let isTaken = false;
    const { upgrade } = c.env;
    if (upgrade !== undefined) {
      c.env.upgrade = (head) => {
        isTaken = true;
        return upgrade(head);
      };
    }
    await next();
    if (isTaken) await judgeTaken(c, request);
    else await judgeResponse(c, request, asked);
  };
}

/** Of a connection that was taken over the head has gone; what can be refused is that it goes on. */
async function judgeTaken(c: ApiContext, request: JudgedRequest): Promise<void> {
  try {
    await request.judgeAnswer({ status: 101 });
  } catch (error) {
    logFailure(error, requestName(c));
    c.env.abort();
  }
}

async function judgeResponse(c: ApiContext, request: JudgedRequest, asked: AskedRequest): Promise<void> {
  const { res } = c;
  const isStream = res.headers.get("transfer-encoding") === "chunked";
  // A stream is judged by its head: Docker's plugins are asked when it has ended, and too late to refuse it.
  const bytes = res.body === null || isStream ? undefined : new Uint8Array(await res.arrayBuffer());
  const isShown = isJson(res.headers.get("content-type")) && !isAboutCredentials(asked.uri);
  const answer = { status: res.status, headers: res.headers, ...(bytes && isShown && { body: bytes }) };
  if (res.status >= 400) await tell(request, answer, asked);
  else {
    try {
      await request.judgeAnswer(answer);
    } catch (error) {
      await refuseAnswer(c, error);
      return;
    }
  }
  if (bytes !== undefined) replaceResponse(c, new Response(bytes, { status: res.status, headers: res.headers }));
}

/** Nothing of the answer goes out, its headers neither. */
async function refuseAnswer(c: ApiContext, error: unknown): Promise<void> {
  logFailure(error, requestName(c));
  if (!c.res.bodyUsed) await c.res.body?.cancel(error);
  const headers = { ...c.get("daemonHeaders"), "content-type": "application/json" };
  replaceResponse(c, new Response(`${JSON.stringify(errorBody(error))}\n`, { status: httpStatus(error), headers }));
}

/** Hono adds the headers of the response that was to the one that is set, unless there was none. */
function replaceResponse(c: ApiContext, response: Response): void {
  c.res = undefined;
  c.res = response;
}

/** Path and query as the routes see them. */
function uriOf(c: ApiContext): string {
  const { url } = c.req;
  return url.slice(url.indexOf("/", url.indexOf("://") + 3));
}

function isAboutCredentials(uri: string): boolean {
  return splitVersion(uri).path.startsWith("/auth");
}

/**
 * What of the body plugins are given: JSON, whatever length the head tells, exactly as the route will read it.
 * @throws EngineError forbidden for more than they are given, or what they could read otherwise; invalid_argument for
 * no JSON.
 */
async function bodyToJudge(c: ApiContext): Promise<Uint8Array | undefined> {
  const { raw } = c.req;
  if (!isJson(raw.headers.get("content-type")) || isAboutCredentials(uriOf(c))) return undefined;
  if (raw.method === "GET" || raw.method === "HEAD" || raw.body === null) return undefined;
  const pieces: Uint8Array[] = [];
  let length = 0;
  for await (const piece of raw.body) {
    length += piece.byteLength;
    if (length > judgedBytesMax) throw tooLong();
    pieces.push(piece);
  }
  const body = Buffer.concat(pieces);
  if (length > 0) checkUnambiguous(body);
  const { url, method, headers, signal } = raw;
  c.req.raw = new Request(url, { method, headers, signal, ...(length > 0 && { body }) });
  return body;
}

/** What each reader understands in its own way would be allowed as one thing and done as another. */
function checkUnambiguous(body: Buffer): void {
  // Unlike TextDecoder this leaves a byte order mark in, with which it is no JSON.
  const json = body.toString();
  parseJson(json);
  const key = ambiguousKey(json);
  if (key === undefined) return;
  throw new EngineError(
    "forbidden",
    `authorization denied: the request's body has the key ${JSON.stringify(key)} twice, and authorization plugins may know the other one`,
    { stage: "authorization" },
  );
}

function tooLong(): EngineError {
  return new EngineError(
    "forbidden",
    `authorization denied: the request's body has more than the ${judgedBytesMax} bytes that authorization plugins are given`,
    { stage: "authorization" },
  );
}

/** Flat, under the names that Go has for headers, and without what is secret. */
function shownHeaders(headers: Headers): Record<string, string> {
  const shown: Record<string, string> = {};
  for (const [name, value] of headers) {
    if (secretHeaders.has(name) || name === "host") continue;
    shown[name.replace(/(^|-)[a-z]/g, (letter) => letter.toUpperCase())] = value;
  }
  return shown;
}
