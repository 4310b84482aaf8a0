/**
 * How a registry is satisfied that answers 401: a token from the server that it names (Docker's token
 * specification), or the user's name and password.
 */
import { createHash } from "node:crypto";
import { EngineError } from "../../core/errors.ts";
import { parseRegistryErrors, parseToken } from "../../oci/distribution.ts";
import type { RegistryCredentials } from "../image.ts";
import type { Challenge } from "./challenge.ts";
import { isInsecure, type RegistryHost, type RegistryHostsConfig } from "./hosts.ts";
import { type RegistryRequest, requestName, send, type TransportOptions } from "./transport.ts";

export interface AuthorizationRequest {
  host: RegistryHost;
  repository: string;
  credentials: RegistryCredentials | undefined;
  signal: AbortSignal | undefined;
}

const tokenBytesMax = 2 ** 20;
/** A token is renewed so long before it ends that a request made with it is answered in time. */
const renewalMarginMs = 10_000;

interface CachedToken {
  header: string;
  expiresAt: number;
}

/** Remembers tokens until they end, for each server, repository and user. */
export class Authorizer {
  readonly #hosts: RegistryHostsConfig;
  readonly #transport: TransportOptions;
  readonly #tokens = new Map<string, CachedToken>();

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
   * @returns the Authorization header; undefined where no challenge is of a kind that can be answered.
   * @throws EngineError unauthorized when the token server refuses, unavailable when it does not answer.
   */
  async answer(challenges: readonly Challenge[], request: AuthorizationRequest): Promise<string | undefined> {
    const bearer = challenges.find(({ scheme }) => scheme === "bearer");
    if (bearer?.parameters.realm !== undefined) {
      const token = await this.#fetchToken(bearer, bearer.parameters.realm, request);
      this.#tokens.set(cacheKey(request), token);
      return token.header;
    }
    if (!challenges.some(({ scheme }) => scheme === "basic") || !request.credentials) return undefined;
    const header = basic(request.credentials);
    this.#tokens.set(cacheKey(request), { header, expiresAt: Number.POSITIVE_INFINITY });
    return header;
  }

  async #fetchToken(challenge: Challenge, realm: string, request: AuthorizationRequest): Promise<CachedToken> {
    const url = this.#tokenUrl(challenge, realm, request);
    const tokenRequest: RegistryRequest = {
      url: url.href,
      authorization: request.credentials && basic(request.credentials),
      isInsecure: isInsecure(url.host, this.#hosts.insecure ?? []),
      signal: request.signal,
    };
    const askedAt = Date.now();
    const response = await send(tokenRequest, this.#transport);
    const body = Buffer.from(await response.bytes(tokenBytesMax)).toString();
    const token = response.status === 200 ? parseToken(body) : undefined;
    if (token) {
      const lifeMs = token.expiresInSeconds * 1000;
      return { header: `Bearer ${token.token}`, expiresAt: askedAt + lifeMs - renewalMarginMs };
    }
    const [error] = parseRegistryErrors(body);
    const reason = error ? error.message || error.code : `${response.status} ${response.statusText}`;
    const isRefusal = response.status === 401 || response.status === 403;
    throw new EngineError(
      isRefusal ? "unauthorized" : "unavailable",
      isRefusal
        ? `${requestName(tokenRequest)}: unauthorized: ${request.credentials ? "incorrect username or password" : reason}`
        : `${requestName(tokenRequest)}: ${response.status === 200 ? "the answer holds no token" : reason}`,
    );
  }

  #tokenUrl(challenge: Challenge, realm: string, request: AuthorizationRequest): URL {
    if (!URL.canParse(realm)) {
      throw new EngineError(
        "unavailable",
        `registry ${request.host.baseUrl}: token server ${JSON.stringify(realm)} is no URL`,
      );
    }
    const url = new URL(realm);
    const isAllowed = url.protocol === "https:" || (url.protocol === "http:" && request.host.isInsecure);
    if (!isAllowed) {
      // Else whoever sits between could read the password, or the token that stands for it.
      throw new EngineError(
        "unavailable",
        `registry ${request.host.baseUrl}: token server ${url.origin} is not secure`,
      );
    }
    if (challenge.parameters.service !== undefined) url.searchParams.set("service", challenge.parameters.service);
    url.searchParams.set("scope", challenge.parameters.scope ?? `repository:${request.repository}:pull`);
    if (request.credentials) url.searchParams.set("account", request.credentials.username);
    return url;
  }
}

function basic(credentials: RegistryCredentials): string {
  return `Basic ${Buffer.from(`${credentials.username}:${credentials.password}`).toString("base64")}`;
}

function cacheKey({ host, repository, credentials }: AuthorizationRequest): string {
  // Hashed, so that no password is kept for as long as its token is.
  const user = credentials ? createHash("sha256").update(basic(credentials)).digest("hex") : "";
  return `${host.baseUrl} ${repository} ${user}`;
}
