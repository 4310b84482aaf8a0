/** Requests to a registry: the hosts that stand for it one after the other, tokens, and patience with one that is busy. */
import { EngineError, isEngineError } from "../../core/errors.ts";
import type { RegistryCredentials } from "../image.ts";
import { type Reference, repositoryName } from "../reference.ts";
import { throwIfAborted } from "../shared-work.ts";
import { type Authorization, type AuthorizationRequest, Authorizer } from "./authorization.ts";
import { defaultCertificateDirectories } from "./certificates.ts";
import { parseChallenges } from "./challenge.ts";
import { dial } from "./dial.ts";
import { RegistryBusy, registryFailure } from "./failure.ts";
import { type RegistryHost, type RegistryHostsConfig, registryHosts } from "./hosts.ts";
import type { Capability } from "./hosts-file.ts";
import type { ProxySettings } from "./proxies.ts";
import {
  defaultStallTimeoutMs,
  type RegistryRequest,
  type RegistryResponse,
  redirectTarget,
  requestName,
  send,
  type TransportOptions,
} from "./transport.ts";

export interface RegistryClientOptions extends RegistryHostsConfig {
  stallTimeoutMs?: number;
  /** Before a request that failed is made again; doubled each time. */
  retryDelayMs?: number;
  proxies?: ProxySettings;
}

export interface RequestOptions {
  credentials?: RegistryCredentials | undefined;
  signal?: AbortSignal | undefined;
  /** Called to wait until a registry that is too busy may be asked again. */
  whileBusy?: ((wait: () => Promise<void>) => Promise<void>) | undefined;
}

export interface Ask extends Pick<RegistryRequest, "method" | "headers" | "body" | "patience"> {
  /** Whose name the answer is for; errors name it. */
  reference: Reference;
  need: Capability;
  /** Behind the repository's name: `manifests/latest`. */
  path: string;
  query?: Record<string, string>;
  /** Beside pulling from the repository, or where `need` says so pushing to it. */
  scopes?: readonly string[];
  /** Statuses beside those of success that are an answer to whoever asks. */
  accepts?: readonly number[];
}

export interface Answered {
  host: RegistryHost;
  request: RegistryRequest;
  response: RegistryResponse;
}

/** A registry that is too busy is asked again so often, and no later than it says, unless that is too long to wait. */
const busyTriesMax = 5;
const retryAfterMaxMs = 60_000;
/** All waiting for one answer together. */
const busyWaitMaxMs = 120_000;
const defaultRetryDelayMs = 1000;
/** Tokens that others got are tried too, but not for ever. */
const authorizationsMax = 3;
const busyStatuses = new Set([429, 503]);

export class RegistryRequests {
  readonly options: RegistryClientOptions;
  readonly authorizer: Authorizer;
  readonly #transport: TransportOptions;
  /** What is wanted of a repository → the host that answered last. */
  readonly #served = new Map<string, string>();

  constructor(options: RegistryClientOptions) {
    this.options = options;
    this.#transport = {
      stallTimeoutMs: options.stallTimeoutMs ?? defaultStallTimeoutMs,
      certificateDirectories: options.certificateDirectories ?? defaultCertificateDirectories,
      proxies: options.proxies ?? {},
    };
    this.authorizer = new Authorizer(options, this.#transport);
  }

  get retryDelayMs(): number {
    return this.options.retryDelayMs ?? defaultRetryDelayMs;
  }

  /**
   * Asks one host after the other, who answered last first. What the registry itself answers is the answer.
   * @throws EngineError not_found, unauthorized, unavailable, cancelled; invalid_argument for a configuration that is
   * wrong.
   */
  async ask(ask: Ask, options: RequestOptions): Promise<Answered> {
    const { reference, need } = ask;
    const key = `${need} ${repositoryName(reference)}`;
    const served = this.#served.get(key);
    const hosts = registryHosts(reference.registry, this.options, need);
    hosts.sort((a, b) => Number(b.apiUrl === served) - Number(a.apiUrl === served));
    let failure: EngineError | undefined;
    for (const host of hosts) {
      let hasAnswered = false;
      const onAnswer = () => {
        hasAnswered = true;
        this.#served.set(key, host.apiUrl);
      };
      try {
        if (host.dialTimeoutMs !== undefined && host.apiUrl !== served) await this.#dial(host, options.signal);
        return await this.#askHost(host, requestUrl(host, ask), ask, { ...options, onAnswer });
      } catch (error) {
        if (!isEngineError(error) || ["cancelled", "invalid_argument"].includes(error.code)) throw error;
        if (hasAnswered && !host.isMirror) throw error;
        if (this.#served.get(key) === host.apiUrl) this.#served.delete(key);
        // Of a host that used to answer the failure says more than that of others in its place.
        failure = served === undefined ? error : (failure ?? error);
      }
    }
    if (failure !== undefined) throw failure;
    throw new EngineError("unavailable", `registry ${reference.registry}: no host that is configured takes a ${need}`);
  }

  /** Asks the host that has answered for more, at an address that it gave: an upload's Location, a next page. */
  async follow(host: RegistryHost, from: RegistryRequest, location: string, ask: Ask, options: RequestOptions) {
    const url = redirectTarget(from, new URL(from.url), location);
    return this.#askHost(host, url, ask, { ...options, onAnswer: () => undefined });
  }

  async #dial(host: RegistryHost, signal: AbortSignal | undefined): Promise<void> {
    await dial(new URL(host.apiUrl), host.dialTimeoutMs!, { proxies: this.#transport.proxies, signal });
  }

  async #askHost(
    host: RegistryHost,
    url: URL,
    ask: Ask,
    options: RequestOptions & { onAnswer: () => void },
  ): Promise<Answered> {
    // The registry's host gets what is for it; an upload may be at another one.
    const isOwn = url.origin === new URL(host.apiUrl).origin;
    const { method = "GET", headers, body, patience } = ask;
    const request: RegistryRequest = {
      method,
      url: url.href,
      ...(headers && { headers }),
      ...(body && { body }),
      ...(patience !== undefined && { patience }),
      ...(isOwn && { authorities: host.authorities, client: host.client, ownHeaders: host.headers }),
      isInsecure: isOwn && host.isInsecure,
      signal: options.signal,
    };
    // The user's password is for the registry, not for whoever mirrors it.
    const credentials = host.isMirror ? undefined : options.credentials;
    const who = { host, scopes: scopesOf(ask), credentials, signal: options.signal };
    const response = await this.#authorized(request, ask, isOwn ? who : undefined, options);
    return { host, request, response };
  }

  async #authorized(
    request: RegistryRequest,
    ask: Ask,
    who: AuthorizationRequest | undefined,
    { onAnswer, whileBusy }: Pick<RequestOptions, "whileBusy"> & { onAnswer: () => void },
  ): Promise<RegistryResponse> {
    let authorization = who && this.authorizer.remembered(who);
    for (let attempt = 0, isFresh = false; ; attempt++) {
      const response = await this.#patient({ ...request, authorization }, who?.host.isMirror === true, whileBusy);
      onAnswer();
      const isSuccess = response.status >= 200 && response.status < 300;
      if (isSuccess || ask.accepts?.includes(response.status)) return response;
      // Of the registry itself: where it redirects to has no say in where passwords go.
      const isOrigin = new URL(response.url).origin === new URL(request.url).origin;
      const challenge = response.status === 401 && isOrigin ? response.headers.get("www-authenticate") : null;
      if (who === undefined || challenge === null || isFresh || attempt >= authorizationsMax) {
        if (who && [401, 403].includes(response.status)) this.authorizer.forget(who);
        throw await this.#failure(ask, request, response, who?.host.isMirror === true);
      }
      await response.discard();
      // Another request may have got a token meanwhile.
      const newer = this.authorizer.remembered(who);
      isFresh = newer === undefined || newer === authorization;
      authorization = isFresh ? (await this.challenged(challenge, request, who)).header : newer;
    }
  }

  async #failure(ask: Ask, request: RegistryRequest, response: RegistryResponse, isMirror: boolean) {
    const { reference, need } = ask;
    const { status } = response;
    const failure = await registryFailure(reference, request, response, need === "push" ? "push" : "pull");
    // A mirror has not been waited for.
    if (isMirror || !busyStatuses.has(status)) return failure;
    return new RegistryBusy(failure.code, failure.message, { cause: failure });
  }

  /** @throws EngineError unauthorized where there is nothing to answer the challenge with. */
  async challenged(
    challenge: string,
    request: RegistryRequest,
    who: AuthorizationRequest,
    isLogin = false,
  ): Promise<Authorization> {
    const challenges = parseChallenges(challenge);
    const authorization = await this.authorizer.answer(challenges, who, isLogin);
    if (authorization !== undefined) return authorization;
    const wanted = challenges.map(({ scheme }) => scheme).join(", ");
    const reason = wanted.includes("basic") ? "no basic auth credentials" : `unknown authentication ${wanted}`;
    throw new EngineError("unauthorized", `${requestName(request)}: ${reason}`);
  }

  /** One request without any of the above, for whoever reads the challenge. */
  send(request: RegistryRequest): Promise<RegistryResponse> {
    return this.#patient(request, false);
  }

  /** In the place of a mirror that is busy another host is asked. */
  async #patient(
    request: RegistryRequest,
    isMirror: boolean,
    whileBusy: RequestOptions["whileBusy"] = (wait) => wait(),
  ): Promise<RegistryResponse> {
    let waitedMs = 0;
    for (let tries = 1; ; tries++) {
      const response = await send(request, this.#transport);
      if (!busyStatuses.has(response.status) || isMirror || tries >= busyTriesMax) return response;
      const delayMs = retryAfterMs(response.headers.get("retry-after")) ?? this.retryDelayMs * 2 ** (tries - 1);
      waitedMs += delayMs;
      if (delayMs > retryAfterMaxMs || waitedMs > busyWaitMaxMs) return response;
      await response.discard();
      await whileBusy(() => sleep(delayMs, request.signal));
    }
  }
}

function requestUrl(host: RegistryHost, { reference, path, query = {} }: Ask): URL {
  const url = new URL(`${host.apiUrl}/${reference.repository}/${path}`);
  for (const [name, value] of Object.entries(query)) url.searchParams.set(name, value);
  if (host.namespace !== undefined) url.searchParams.set("ns", host.namespace);
  return url;
}

function scopesOf({ reference, need, scopes = [] }: Ask): string[] {
  return [`repository:${reference.repository}:${need === "push" ? "pull,push" : "pull"}`, ...scopes];
}

/** RFC 9110, 10.2.3: seconds, or a date. Undefined for neither. */
function retryAfterMs(header: string | null): number | undefined {
  if (header === null) return undefined;
  const seconds = Number(header);
  if (header.trim() !== "" && Number.isFinite(seconds)) return Math.max(0, seconds * 1000);
  const date = Date.parse(header);
  return Number.isNaN(date) ? undefined : Math.max(0, date - Date.now());
}

/** @throws EngineError cancelled. */
export async function sleep(delayMs: number, signal: AbortSignal | undefined): Promise<void> {
  throwIfAborted(signal);
  const done = Promise.withResolvers<void>();
  const timer = setTimeout(done.resolve, delayMs);
  const wake = () => done.resolve();
  signal?.addEventListener("abort", wake, { once: true });
  await done.promise;
  clearTimeout(timer);
  signal?.removeEventListener("abort", wake);
  throwIfAborted(signal);
}
