/**
 * How a registry is satisfied that answers 401: a token from the server that it names (Docker's token specification,
 * by GET or OAuth 2's POST), or the user's name and password.
 */
import { createHash } from "node:crypto";
import { EngineError } from "../../core/errors.ts";
import { parseRegistryErrors, parseToken, type RegistryToken } from "../../oci/distribution.ts";
import type { RegistryCredentials } from "../image.ts";
import { SharedWork } from "../shared-work.ts";
import type { Challenge } from "./challenge.ts";
import { isInsecure, type RegistryHost, type RegistryHostsConfig } from "./hosts.ts";
import { type RegistryRequest, type RegistryResponse, requestName, send, type TransportOptions } from "./transport.ts";

export interface AuthorizationRequest {
  host: RegistryHost;
  /** What the token is to be good for: `repository:library/busybox:pull`. */
  scopes: readonly string[];
  credentials: RegistryCredentials | undefined;
  signal: AbortSignal | undefined;
}

export interface Authorization {
  header: string;
  /** What a token server gave for the password, to be kept in its place: docker's identity token. */
  identityToken?: string | undefined;
}

const tokenBytesMax = 2 ** 20;
/** A token is renewed so long before it ends that a request made with it is answered in time. */
const renewalMarginMs = 10_000;
/** RFC 6749 wants a name of the program; some servers know docker's alone, none refuses others. */
const clientId = "tsd";

interface CachedToken extends Authorization {
  expiresAt: number;
}

interface TokenServer {
  realm: URL;
  service: string | undefined;
  scopes: string[];
}

/** Remembers tokens until they end, for each server, scope and user. */
export class Authorizer {
  readonly #hosts: RegistryHostsConfig;
  readonly #transport: TransportOptions;
  readonly #tokens = new Map<string, CachedToken>();
  readonly #fetches = new SharedWork<never, CachedToken>();

  constructor(hosts: RegistryHostsConfig, transport: TransportOptions) {
    this.#hosts = hosts;
    this.#transport = transport;
  }

  /** The Authorization header that worked last, if it still should. */
  remembered(request: AuthorizationRequest): string | undefined {
    const token = this.#tokens.get(cacheKey(request));
    return token && token.expiresAt > Date.now() ? token.header : undefined;
  }

  forget(request: AuthorizationRequest): void {
    this.#tokens.delete(cacheKey(request));
  }

  /**
   * Answers a challenge.
   * @param isLogin asks the token server for an identity token too.
   * @returns undefined where no challenge is of a kind that can be answered.
   * @throws EngineError unauthorized when the token server refuses, unavailable when it does not answer.
   */
  async answer(
    challenges: readonly Challenge[],
    request: AuthorizationRequest,
    isLogin = false,
  ): Promise<Authorization | undefined> {
    const { credentials } = request;
    const bearer = challenges.find(({ scheme }) => scheme === "bearer");
    if (bearer && credentials?.registryToken) {
      return this.#remember(request, { header: `Bearer ${credentials.registryToken}`, expiresAt: Infinity });
    }
    if (bearer?.parameters.realm !== undefined) {
      const { realm } = bearer.parameters;
      const work = (signal: AbortSignal) => this.#fetchToken(bearer, realm, { ...request, signal }, isLogin);
      const { signal } = request;
      // Layers are asked for at the same time; one token will do for them.
      return this.#remember(request, await this.#fetches.join(`${isLogin} ${cacheKey(request)}`, work, { signal }));
    }
    if (!challenges.some(({ scheme }) => scheme === "basic") || !hasPassword(credentials)) return undefined;
    return this.#remember(request, { header: basic(credentials), expiresAt: Infinity });
  }

  #remember(request: AuthorizationRequest, token: CachedToken): CachedToken {
    const now = Date.now();
    for (const [key, { expiresAt }] of this.#tokens) if (expiresAt <= now) this.#tokens.delete(key);
    this.#tokens.set(cacheKey(request), token);
    return token;
  }

  async #fetchToken(
    challenge: Challenge,
    realm: string,
    request: AuthorizationRequest,
    isLogin: boolean,
  ): Promise<CachedToken> {
    const server = tokenServer(challenge, realm, request);
    const { credentials } = request;
    const askedAt = Date.now();
    let asked = credentials?.identityToken
      ? this.#tokenPost(server, request, { grant_type: "refresh_token", refresh_token: credentials.identityToken })
      : this.#tokenGet(server, request, isLogin);
    let response = await send(asked, this.#transport);
    // Servers that know OAuth 2 alone.
    if ([404, 405].includes(response.status) && asked.method === "GET" && hasPassword(credentials)) {
      await response.discard();
      const { username, password } = credentials;
      asked = this.#tokenPost(server, request, {
        grant_type: "password",
        username,
        password,
        ...(isLogin && { access_type: "offline" }),
      });
      response = await send(asked, this.#transport);
    }
    const token = await readToken(asked, response, credentials);
    return {
      header: `Bearer ${token.token}`,
      expiresAt: askedAt + token.expiresInSeconds * 1000 - renewalMarginMs,
      identityToken: token.refreshToken,
    };
  }

  #tokenGet(server: TokenServer, request: AuthorizationRequest, isLogin: boolean): RegistryRequest {
    const { credentials } = request;
    const url = new URL(server.realm);
    if (server.service !== undefined) url.searchParams.set("service", server.service);
    url.searchParams.delete("scope");
    for (const scope of server.scopes) url.searchParams.append("scope", scope);
    if (credentials?.username) url.searchParams.set("account", credentials.username);
    if (isLogin) {
      url.searchParams.set("offline_token", "true");
      url.searchParams.set("client_id", clientId);
    }
    const authorization = hasPassword(credentials) ? basic(credentials) : undefined;
    return { ...this.#common(url, request), method: "GET", authorization };
  }

  #tokenPost(server: TokenServer, request: AuthorizationRequest, grant: Record<string, string>): RegistryRequest {
    const form = new URLSearchParams({ ...grant, client_id: clientId });
    if (server.service !== undefined) form.set("service", server.service);
    if (server.scopes.length > 0) form.set("scope", server.scopes.join(" "));
    const bytes = Buffer.from(form.toString());
    return {
      ...this.#common(server.realm, request),
      method: "POST",
      headers: { "content-type": "application/x-www-form-urlencoded" },
      body: bodyOf(bytes),
      isSecret: true,
    };
  }

  /** The administrator's certificates for the registry are good for a token server on the same host. */
  #common(url: URL, { host, signal }: AuthorizationRequest) {
    const isSameHost = url.host === new URL(host.apiUrl).host;
    return {
      url: url.href,
      isInsecure: isInsecure(url.host, this.#hosts.insecure ?? []) || (isSameHost && host.isInsecure),
      ...(isSameHost && { authorities: host.authorities, client: host.client }),
      signal,
    };
  }
}

/** A body of bytes that are in memory. */
export function bodyOf(bytes: Uint8Array) {
  return {
    size: bytes.length,
    async *open() {
      yield bytes;
    },
  };
}

async function readToken(
  asked: RegistryRequest,
  response: RegistryResponse,
  credentials: RegistryCredentials | undefined,
): Promise<RegistryToken> {
  const body = Buffer.from(await response.bytes(tokenBytesMax)).toString();
  const token = response.status === 200 ? parseToken(body) : undefined;
  if (token) return token;
  // The query says who asks.
  const name = requestName({ ...asked, url: asked.url.replace(/\?.*/, "") });
  const [error] = parseRegistryErrors(body);
  const oauth = /"error"\s*:\s*"invalid_grant"/.test(body);
  const reason = error ? error.message || error.code : `${response.status} ${response.statusText}`;
  const isRefusal = response.status === 401 || response.status === 403 || (response.status === 400 && oauth);
  if (!isRefusal) {
    const why = response.status === 200 ? "the answer holds no token" : reason;
    throw new EngineError("unavailable", `${name}: ${why}`);
  }
  if (credentials?.identityToken) {
    throw new EngineError("unauthorized", `${name}: unauthorized: the identity token is not accepted any more`, {
      hint: "log in again",
    });
  }
  const isPassword = hasPassword(credentials);
  throw new EngineError(
    "unauthorized",
    `${name}: unauthorized: ${isPassword ? "incorrect username or password" : reason}`,
  );
}

function tokenServer(challenge: Challenge, realm: string, { host, scopes }: AuthorizationRequest): TokenServer {
  const registry = new URL(host.apiUrl).origin;
  if (!URL.canParse(realm)) {
    throw new EngineError("unavailable", `registry ${registry}: token server ${JSON.stringify(realm)} is no URL`);
  }
  const url = new URL(realm);
  const isAllowed = url.protocol === "https:" || (url.protocol === "http:" && host.isInsecure);
  if (!isAllowed) {
    // Else whoever sits between could read the password, or the token that stands for it.
    throw new EngineError("unavailable", `registry ${registry}: token server ${url.origin} is not secure`);
  }
  const { service, scope = "" } = challenge.parameters;
  return { realm: url, service, scopes: mergeScopes([...scopes, ...scope.split(" ").filter(Boolean)]) };
}

/** One scope for each thing, with all that is to be done with it: `repository:a:pull` and `…:push` are `…:pull,push`. */
export function mergeScopes(scopes: readonly string[]): string[] {
  const actions = new Map<string, Set<string>>();
  for (const scope of scopes) {
    const colon = scope.lastIndexOf(":");
    const resource = scope.slice(0, colon);
    const known = actions.get(resource) ?? new Set();
    for (const action of scope.slice(colon + 1).split(",")) known.add(action);
    actions.set(resource, known);
  }
  return [...actions].map(([resource, known]) => `${resource}:${[...known].join(",")}`);
}

function hasPassword(credentials: RegistryCredentials | undefined): credentials is RegistryCredentials {
  return credentials !== undefined && (credentials.username !== "" || credentials.password !== "");
}

function basic(credentials: RegistryCredentials): string {
  return `Basic ${Buffer.from(`${credentials.username}:${credentials.password}`).toString("base64")}`;
}

/** Tells users apart without keeping their passwords for as long as their tokens are. */
export function credentialsKey(credentials: RegistryCredentials | undefined): string {
  if (!credentials) return "";
  const { username, password, identityToken = "", registryToken = "" } = credentials;
  const whole = JSON.stringify([username, password, identityToken, registryToken]);
  return createHash("sha256").update(whole).digest("hex");
}

function cacheKey({ host, scopes, credentials }: AuthorizationRequest): string {
  return `${host.apiUrl} ${scopes.join(" ")} ${credentialsKey(credentials)}`;
}
