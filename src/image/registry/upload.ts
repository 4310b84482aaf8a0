/** Brings a blob to a registry (distribution specification, "Pushing blobs"): looked for, mounted, or sent and resumed. */
import type { Digest } from "../../core/digest.ts";
import { EngineError, errorMessage, isEngineError } from "../../core/errors.ts";
import { log } from "../../core/log.ts";
import type { Reference } from "../reference.ts";
import { throwIfAborted } from "../shared-work.ts";
import { RegistryBusy, registryFailure } from "./failure.ts";
import type { RegistryHost } from "./hosts.ts";
import { type Answered, type Ask, type RegistryRequests, type RequestOptions, sleep } from "./requests.ts";
import { type RegistryRequest, type RequestBody, requestName } from "./transport.ts";

export interface UploadBlob {
  digest: Digest;
  size: number;
  /** The bytes from `start` on, up to and without `end`. */
  open(start: number, end: number): AsyncIterable<Uint8Array>;
}

export interface UploadOptions extends RequestOptions {
  /** Repositories of the same registry that have the blob, likeliest first. */
  sources?: readonly string[];
  /** How many bytes have been sent; it may go back. */
  onProgress?: (bytes: number) => void;
}

export type UploadResult = { how: "existed" | "pushed" } | { how: "mounted"; from: string };

/** Sent in one request with its digest: a round trip less than begin, send, end. */
const monolithicMax = 2 ** 20;
/** Pieces for a registry, or a proxy before it, that refuses the whole as too large; halved until it takes them. */
const chunkBytes = 32 * 2 ** 20;
const chunkBytesMin = 2 ** 20;
/** Tries in a row that bring nothing further. */
const fruitlessTriesMax = 5;
/** A registry reads all that it got before it answers, from a slow disk perhaps. */
const commitPatience = 20;
const mountTriesMax = 3;
const cancelTimeoutMs = 5000;
/** The content, or the way it comes, is refused. */
export const refusals = [400, 405, 409, 411, 413, 422];
/** What a proxy says for a registry that is being restarted. */
const brokenStatuses = [500, 502, 504];

/**
 * To be called for a registry that has answered: it is waited for a while where it does not.
 * @throws EngineError unauthorized, not_found where pushing is denied, unavailable, cancelled, corrupt.
 */
export async function uploadBlob(
  requests: RegistryRequests,
  reference: Reference,
  blob: UploadBlob,
  options: UploadOptions,
): Promise<UploadResult> {
  const patient = <T>(work: () => Promise<T>) => patiently(requests.retryDelayMs, work, options.signal);
  if (await patient(() => hasBlob(requests, reference, blob.digest, options))) return { how: "existed" };
  const upload = new Upload(requests, reference, blob, options);
  const from = await patient(() => upload.begin(options.sources ?? []));
  if (from !== undefined) return { how: "mounted", from };
  await upload.finish();
  return { how: "pushed" };
}

/** A registry that answered before may be in the middle of a restart. */
export async function patiently<T>(
  delayMs: number,
  work: () => Promise<T>,
  signal: AbortSignal | undefined,
): Promise<T> {
  for (let tries = 1; ; tries++) {
    try {
      return await work();
    } catch (error) {
      throwIfAborted(signal);
      if (!isPassing(error) || tries >= fruitlessTriesMax) throw error;
      await sleep(delayMs * 2 ** (tries - 1), signal);
    }
  }
}

/** May another try go better? A registry that is too busy has been tried often enough. */
function isPassing(error: unknown): error is EngineError {
  return isEngineError(error, "unavailable") && !(error instanceof RegistryBusy);
}

async function hasBlob(
  requests: RegistryRequests,
  reference: Reference,
  digest: Digest,
  options: RequestOptions,
): Promise<boolean> {
  // A registry may send to a storage that takes no HEAD; whether one may push is seen when one does.
  const ask: Ask = { reference, need: "push", method: "HEAD", path: `blobs/${digest}`, accepts: [400, 403, 404, 405] };
  const { response } = await requests.ask(ask, options);
  await response.discard();
  return response.status === 200;
}

/** Where an upload goes on: each answer names it anew. */
interface Session {
  host: RegistryHost;
  /** What was asked last; addresses are relative to where it ended. */
  request: RegistryRequest;
  location: string;
}

class Upload {
  readonly #requests: RegistryRequests;
  readonly #reference: Reference;
  readonly #blob: UploadBlob;
  readonly #options: UploadOptions;
  #session!: Session;
  #chunkMin = chunkBytesMin;
  /** Undefined: the rest in one piece. */
  #chunk: number | undefined;
  /** Bytes that the registry has. */
  #offset = 0;
  #best = 0;
  #fruitless = 0;
  #delayMs: number;

  constructor(requests: RegistryRequests, reference: Reference, blob: UploadBlob, options: UploadOptions) {
    this.#requests = requests;
    this.#reference = reference;
    this.#blob = blob;
    this.#options = options;
    this.#delayMs = requests.retryDelayMs;
  }

  /** @returns the repository that the blob was mounted from; undefined: it has to be sent. */
  async begin(sources: readonly string[]): Promise<string | undefined> {
    for (const from of sources.slice(0, mountTriesMax)) {
      if (await this.#mount(from)) return from;
    }
    if ((this.#session as Session | undefined) === undefined) await this.#start({});
    return undefined;
  }

  /** Sends until the registry has the blob. */
  async finish(): Promise<void> {
    try {
      while (!(await this.#attempt())) throwIfAborted(this.#options.signal);
    } catch (error) {
      this.#abandon(error);
      throw error;
    }
  }

  async #mount(from: string): Promise<boolean> {
    const previous = this.#session as Session | undefined;
    try {
      const query = { mount: this.#blob.digest, from };
      const isMounted = await this.#start(query, [`repository:${from}:pull`]);
      if (previous) this.#cancel(previous);
      return isMounted;
    } catch (error) {
      // The user may not see that repository, or the registry knows no mounts: then the blob is sent.
      throwIfAborted(this.#options.signal);
      if (!isEngineError(error)) throw error;
      log("debug", "blob was not mounted", { digest: this.#blob.digest, from, error: error.message });
      return false;
    }
  }

  /** @returns true when there is nothing to send, because the blob was mounted. */
  async #start(query: Record<string, string>, scopes: readonly string[] = []): Promise<boolean> {
    const ask: Ask = {
      reference: this.#reference,
      need: "push",
      method: "POST",
      path: "blobs/uploads/",
      query,
      scopes,
    };
    const answered = await this.#requests.ask(ask, this.#options);
    await answered.response.discard();
    if (answered.response.status === 201) return true;
    this.#offset = 0;
    this.#keep(answered, true);
    const minimum = Number(answered.response.headers.get("oci-chunk-min-length") ?? 0);
    if (minimum > 0) this.#chunkMin = Math.max(this.#chunkMin, minimum);
    return false;
  }

  /** One request further. @returns true at the end. */
  async #attempt(): Promise<boolean> {
    let answered: Answered;
    try {
      answered = await this.#send();
    } catch (error) {
      throwIfAborted(this.#options.signal);
      if (!isPassing(error) || this.#fruitless >= fruitlessTriesMax) throw error;
      return this.#recover(error);
    }
    const { request, response } = answered;
    const { status } = response;
    // What it got is not to its liking: it would not be the next time either.
    if (status !== 413 && refusals.includes(status))
      throw await registryFailure(this.#reference, request, response, "push");
    await response.discard();
    const says = `${status} ${response.statusText}`.trim();
    if (status === 201 || (status === 204 && request.method === "PUT")) return true;
    if (status >= 200 && status < 300) {
      this.#advance(answered);
      if (this.#fruitless <= fruitlessTriesMax) return false;
      const state = `the registry stays at ${this.#offset} of ${this.#blob.size} bytes`;
      throw new EngineError("unavailable", `${requestName(request)}: ${state}, and answers ${says}`);
    }
    const failure = new EngineError("unavailable", `${requestName(request)}: ${says}`);
    if (status !== 413) return this.#recover(failure);
    if (!this.#shrink()) throw failure;
    return false;
  }

  /** The whole blob at once, the next piece of it, or where all are sent the end. */
  #send(): Promise<Answered> {
    const { size, digest } = this.#blob;
    const isWhole = this.#offset === 0 && size <= monolithicMax && this.#chunk === undefined;
    if (this.#offset >= size || isWhole) {
      const { location } = this.#session;
      const target = `${location}${location.includes("?") ? "&" : "?"}digest=${encodeURIComponent(digest)}`;
      const headers = isWhole && size > 0 ? { "content-type": "application/octet-stream" } : {};
      const body = this.#body(this.#offset, size);
      return this.#follow(
        { method: "PUT", body, headers, patience: commitPatience, accepts: [404, ...refusals, ...brokenStatuses] },
        target,
      );
    }
    const end = this.#chunk === undefined ? size : Math.min(size, this.#offset + this.#chunk);
    // From the start to the end nobody needs to be told where it belongs, and some registries do not want to be.
    const isPart = this.#offset > 0 || end < size;
    const headers: Record<string, string> = {
      "content-type": "application/octet-stream",
      ...(isPart && { "content-range": `${this.#offset}-${end - 1}` }),
    };
    const body = this.#body(this.#offset, end);
    return this.#follow({ method: "PATCH", body, headers, accepts: [404, 416, ...refusals, ...brokenStatuses] });
  }

  #body(start: number, end: number): RequestBody {
    const { onProgress = () => undefined } = this.#options;
    const blob = this.#blob;
    return {
      size: end - start,
      async *open() {
        let sent = start;
        for await (const piece of blob.open(start, end)) {
          yield piece;
          sent += piece.length;
          onProgress(sent);
        }
      },
    };
  }

  #advance(answered: Answered): void {
    const sent = answered.request.body?.size ?? 0;
    this.#keep(answered, false);
    const taken = rangeEnd(answered) ?? this.#offset + sent;
    if (taken > this.#blob.size) {
      throw new EngineError(
        "unavailable",
        `${requestName(answered.request)}: the registry says it has ${taken} of ${this.#blob.size} bytes`,
      );
    }
    // No range, or "0-0", is what some say who took all of it.
    this.#offset = taken <= 1 ? this.#offset + sent : taken;
    this.#count();
  }

  /** Finds out how far it got, waits, and goes on from there; a registry that has forgotten the upload begins anew. */
  async #recover(failure: EngineError): Promise<boolean> {
    const { digest } = this.#blob;
    await sleep(this.#delayMs, this.#options.signal);
    this.#delayMs *= 2;
    try {
      // The end may have come through although its answer did not.
      if (await hasBlob(this.#requests, this.#reference, digest, this.#options)) return true;
      const answered = await this.#follow({ method: "GET", accepts: [404, 405, ...brokenStatuses] });
      await answered.response.discard();
      const have = answered.response.status === 204 ? rangeEnd(answered) : undefined;
      if (have === undefined) await this.#start({});
      else {
        this.#keep(answered, false);
        // One byte and none look alike: "0-0".
        this.#offset = have <= 1 || have > this.#blob.size ? 0 : have;
      }
    } catch (error) {
      throwIfAborted(this.#options.signal);
      if (!isPassing(error)) throw error;
    }
    this.#count();
    if (this.#fruitless > fruitlessTriesMax) throw failure;
    return false;
  }

  #count(): void {
    if (this.#offset > this.#best) {
      this.#best = this.#offset;
      this.#fruitless = 0;
      this.#delayMs = this.#requests.retryDelayMs;
    } else this.#fruitless++;
  }

  /** @returns false when smaller pieces would not be taken either. */
  #shrink(): boolean {
    const current = this.#chunk ?? Math.min(chunkBytes * 2, this.#blob.size - this.#offset);
    const smaller = Math.max(this.#chunkMin, Math.ceil(current / 2));
    if (smaller >= current) return false;
    this.#chunk = smaller;
    return true;
  }

  #keep({ host, request, response }: Answered, isNeeded: boolean): void {
    const location = response.headers.get("location");
    if (location !== null) {
      const base = { ...request, url: response.url };
      this.#session = { host, request: base, location };
    } else if (isNeeded) {
      const isPage = /^text\/html\b/i.test(response.headers.get("content-type") ?? "");
      throw new EngineError(
        "unavailable",
        `${requestName(request)}: the answer does not say where to upload to${isPage ? ", it is a web page: is it a registry?" : ""}`,
      );
    }
  }

  #follow(ask: Omit<Ask, "reference" | "need" | "path">, location = this.#session.location): Promise<Answered> {
    const { host, request } = this.#session;
    const whole: Ask = { ...ask, reference: this.#reference, need: "push", path: "" };
    return this.#requests.follow(host, request, location, whole, this.#options);
  }

  /** Frees what the registry keeps of an upload that will not be continued. */
  #abandon(error: unknown): void {
    const isReachable = !isEngineError(error, "unavailable");
    if (isReachable) this.#cancel(this.#session);
  }

  #cancel({ host, request, location }: Session): void {
    const ask: Ask = { reference: this.#reference, need: "push", method: "DELETE", path: "", accepts: [404, 405] };
    const options = { credentials: this.#options.credentials, signal: AbortSignal.timeout(cancelTimeoutMs) };
    // Nobody waits for it: it is a courtesy.
    this.#requests
      .follow(host, request, location, ask, options)
      .then(({ response }) => response.discard())
      .catch((error: unknown) => log("debug", "upload was not cancelled", { location, error: errorMessage(error) }));
  }
}

/** `Range: 0-1023` → 1024. */
function rangeEnd({ response }: Answered): number | undefined {
  const last = /^(?:bytes=)?0-(\d+)$/.exec(response.headers.get("range") ?? "")?.[1];
  return last === undefined ? undefined : Number(last) + 1;
}
