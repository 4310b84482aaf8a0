/** Reads manifests and blobs from registries (OCI distribution specification 1.1, "Pull"). */
import { type Digest, digestAlgorithm, digestOf, parseDigest } from "../../core/digest.ts";
import { EngineError, isEngineError } from "../../core/errors.ts";
import { manifestBytesMax, mediaTypes } from "../../oci/image.ts";
import type { RegistryCredentials } from "../image.ts";
import { type Reference, repositoryName } from "../reference.ts";
import { type AuthorizationRequest, Authorizer } from "./authorization.ts";
import { parseChallenges } from "./challenge.ts";
import { registryFailure } from "./failure.ts";
import { type RegistryHost, type RegistryHostsConfig, registryHosts } from "./hosts.ts";
import {
  defaultStallTimeoutMs,
  type RegistryRequest,
  type RegistryResponse,
  requestName,
  send,
  type TransportOptions,
} from "./transport.ts";

export interface RegistryClientOptions extends RegistryHostsConfig {
  stallTimeoutMs?: number;
  /** Before a download that broke off is continued; doubled as long as nothing comes. */
  retryDelayMs?: number;
  certificateAuthorities?: (host: string) => string | undefined;
}

export interface FetchedManifest {
  bytes: Uint8Array;
  digest: Digest;
  mediaType: string;
}

export interface BlobStream {
  /** Where in the blob the body starts: what was asked for, or 0 where the registry knows no ranges. */
  offset: number;
  /** Did the registry answer with a range? Then it may be asked for others at the same time. */
  isRange: boolean;
  /** May go on behind the end that was asked for. */
  body: AsyncIterable<Uint8Array>;
}

export interface BlobRequestOptions extends RequestOptions {
  /** The first byte that is not wanted any more; without it the body goes on to the blob's end. */
  end?: number | undefined;
}

export interface RequestOptions {
  credentials?: RegistryCredentials | undefined;
  signal?: AbortSignal | undefined;
}

const acceptedManifests = [
  mediaTypes.ociIndex,
  mediaTypes.ociManifest,
  mediaTypes.dockerIndex,
  mediaTypes.dockerManifest,
].join(", ");

/** All registries of a daemon: knows which host answered last, and the tokens. */
export class RegistryClient {
  readonly options: RegistryClientOptions;
  readonly #transport: TransportOptions;
  readonly #authorizer: Authorizer;
  /** Repository → the host that answered last. */
  readonly #served = new Map<string, RegistryHost>();

  constructor(options: RegistryClientOptions = {}) {
    this.options = options;
    const { stallTimeoutMs = defaultStallTimeoutMs, certificateAuthorities } = options;
    this.#transport = { stallTimeoutMs, ...(certificateAuthorities && { certificateAuthorities }) };
    this.#authorizer = new Authorizer(options, this.#transport);
  }

  /**
   * The digest that a tag has now, without its manifest: HEAD does not count against rate limits.
   * @returns undefined where the registry does not say.
   * @throws EngineError not_found, unauthorized, unavailable, cancelled.
   */
  async resolve(reference: Reference, options: RequestOptions = {}): Promise<Digest | undefined> {
    const path = `manifests/${reference.digest ?? reference.tag}`;
    const { response } = await this.#request(reference, "HEAD", path, { accept: acceptedManifests }, options);
    await response.discard();
    return headerDigest(response);
  }

  /**
   * A manifest or an index by tag or digest; its bytes have that digest.
   * @param digest asked for instead of the reference's own tag or digest: an index's child.
   * @throws EngineError not_found, unauthorized, unavailable, corrupt, unsupported, cancelled.
   */
  async manifest(
    reference: Reference,
    options: RequestOptions = {},
    digest = reference.digest,
  ): Promise<FetchedManifest> {
    const path = `manifests/${digest ?? reference.tag}`;
    const { request, response } = await this.#request(reference, "GET", path, { accept: acceptedManifests }, options);
    const mediaType = manifestMediaType(request, response);
    const claimed = Number(response.headers.get("content-length") ?? 0);
    if (claimed > manifestBytesMax) {
      await response.discard();
      throw new EngineError(
        "corrupt",
        `${requestName(request)}: manifest of ${claimed} bytes is larger than ${manifestBytesMax}`,
      );
    }
    const bytes = await response.bytes(manifestBytesMax);
    const expected = digest ?? headerDigest(response);
    const actual = digestOf(bytes, expected && digestAlgorithm(expected));
    if (expected !== undefined && actual !== expected) {
      throw new EngineError("corrupt", `${requestName(request)}: manifest has digest ${actual}, not ${expected}`);
    }
    return { bytes, digest: actual, mediaType: mediaType ?? sniffedMediaType(bytes) };
  }

  /**
   * A blob from `offset` on. Nothing is verified here: the bytes are to be hashed as they come.
   * @throws EngineError not_found, unauthorized, unavailable, cancelled.
   */
  async blob(
    reference: Reference,
    digest: Digest,
    offset: number,
    { end, ...options }: BlobRequestOptions = {},
  ): Promise<BlobStream> {
    const isWhole = offset === 0 && end === undefined;
    const headers: Record<string, string> = isWhole
      ? {}
      : { range: `bytes=${offset}-${end === undefined ? "" : end - 1}` };
    const { request, response } = await this.#request(reference, "GET", `blobs/${digest}`, headers, options);
    if (response.status === 200) return { offset: 0, isRange: false, body: response.body };
    const start = /^bytes (\d+)-/.exec(response.headers.get("content-range") ?? "")?.[1];
    const isRange = response.status === 206 && start !== undefined;
    if (isRange && Number(start) === offset) return { offset, isRange, body: response.body };
    await response.discard();
    // A registry, or a cache before it, that gets ranges wrong may still have the blob as a whole.
    if (!isWhole) return this.blob(reference, digest, 0, options);
    const answer = `${response.status} ${response.statusText}`.trim();
    throw new EngineError("unavailable", `${requestName(request)}: asked for the whole blob, got ${answer}`);
  }

  /** Asks one host after the other, who answered last first. What the registry itself answers is the answer. */
  async #request(
    reference: Reference,
    method: "GET" | "HEAD",
    path: string,
    headers: Record<string, string>,
    options: RequestOptions,
  ): Promise<{ request: RegistryRequest; response: RegistryResponse }> {
    const name = repositoryName(reference);
    const served = this.#served.get(name);
    const hosts = registryHosts(reference.registry, this.options);
    let failure: EngineError | undefined;
    for (const host of served ? [served, ...hosts.filter(({ baseUrl }) => baseUrl !== served.baseUrl)] : hosts) {
      let hasAnswered = false;
      const onAnswer = () => {
        hasAnswered = true;
        this.#served.set(name, host);
      };
      try {
        return await this.#ask(host, reference, method, path, headers, { ...options, onAnswer });
      } catch (error) {
        if (!isEngineError(error) || error.code === "cancelled" || (hasAnswered && !host.isMirror)) throw error;
        if (this.#served.get(name) === host) this.#served.delete(name);
        // Of a host that used to answer the failure says more than that of others in its place.
        failure = served ? (failure ?? error) : error;
      }
    }
    throw failure ?? new EngineError("internal", `registry ${reference.registry} has no hosts`);
  }

  async #ask(
    host: RegistryHost,
    reference: Reference,
    method: "GET" | "HEAD",
    path: string,
    headers: Record<string, string>,
    options: RequestOptions & { onAnswer: () => void },
  ): Promise<{ request: RegistryRequest; response: RegistryResponse }> {
    const { repository } = reference;
    const request: RegistryRequest = {
      method,
      url: `${host.baseUrl}/v2/${repository}/${path}`,
      headers,
      isInsecure: host.isInsecure,
      signal: options.signal,
    };
    // The user's password is for the registry, not for whoever mirrors it.
    const credentials = host.isMirror ? undefined : options.credentials;
    const who: AuthorizationRequest = { host, repository, credentials, signal: options.signal };
    let authorization = this.#authorizer.remembered(who);
    for (let attempt = 0; ; attempt++) {
      const response = await send({ ...request, authorization }, this.#transport);
      options.onAnswer();
      const isSuccess = response.status >= 200 && response.status < 300;
      // "Range not satisfiable" is for whoever asked for one.
      if (isSuccess || (response.status === 416 && headers.range !== undefined)) return { request, response };
      // Of the registry itself: where it redirects to has no say in where passwords go.
      const isOwn = new URL(response.url).origin === new URL(request.url).origin;
      const challenge = response.status === 401 && isOwn ? response.headers.get("www-authenticate") : null;
      if (challenge === null || attempt > 0) {
        this.#authorizer.forget(who);
        throw await registryFailure(reference, request, response);
      }
      const challenges = parseChallenges(challenge);
      await response.discard();
      authorization = await this.#authorizer.answer(challenges, who);
      if (authorization === undefined) {
        const wanted = challenges.map(({ scheme }) => scheme).join(", ");
        const reason = wanted.includes("basic") ? "no basic auth credentials" : `unknown authentication ${wanted}`;
        throw new EngineError("unauthorized", `${requestName(request)}: ${reason}`);
      }
    }
  }
}

function headerDigest(response: RegistryResponse): Digest | undefined {
  const text = response.headers.get("docker-content-digest");
  return text === null ? undefined : parseDigest(text);
}

/** @returns undefined where the registry names no type of manifest and the document has to say itself. */
function manifestMediaType(request: RegistryRequest, response: RegistryResponse): string | undefined {
  const [type = ""] = (response.headers.get("content-type") ?? "").toLowerCase().split(/\s*;/, 1);
  if (acceptedManifests.split(", ").includes(type)) return type;
  if (["", "application/json", "application/octet-stream", "text/plain"].includes(type)) return undefined;
  const what =
    type === "text/html" ? "a web page: is it a registry?" : `unsupported media type ${JSON.stringify(type)}`;
  throw new EngineError("unsupported", `${requestName(request)}: expected a manifest, got ${what}`);
}

function sniffedMediaType(bytes: Uint8Array): string {
  try {
    const document = JSON.parse(Buffer.from(bytes).toString()) as Record<string, unknown>;
    if (typeof document.mediaType === "string") return document.mediaType;
    // The specification's advice for documents without a type.
    return "manifests" in document ? mediaTypes.ociIndex : mediaTypes.ociManifest;
  } catch {
    return mediaTypes.ociManifest; // and parseManifest says that it is no JSON
  }
}
