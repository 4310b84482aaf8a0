/**
 * HTTP as registries need it: redirects followed by hand, so that credentials stay with the host they are for;
 * timeouts on silence, not on length, because a layer may take hours; nothing decompressed on the way.
 */
import { EngineError, errorMessage } from "../../core/errors.ts";
import { version } from "../../core/version.ts";

export interface RegistryRequest {
  url: string;
  method?: "GET" | "HEAD";
  headers?: Record<string, string>;
  /** Sent to the first host alone, and to redirects that stay on it. */
  authorization?: string | undefined;
  isInsecure: boolean;
  signal?: AbortSignal | undefined;
}

export interface TransportOptions {
  /** Silence that ends a request: no headers, or no further byte of the body, for so long. */
  stallTimeoutMs: number;
  /** PEM certificates to trust beside the system's, by host. */
  certificateAuthorities?: (host: string) => string | undefined;
}

export const defaultStallTimeoutMs = 30_000;
const redirectsMax = 10;
const redirectStatuses = new Set([301, 302, 303, 307, 308]);

/** A response whose body throws when it stalls. `url` is where the last redirect led. */
export interface RegistryResponse {
  status: number;
  statusText: string;
  headers: Headers;
  url: string;
  body: AsyncIterable<Uint8Array>;
  /** Reads the whole body, and fails when it has more bytes than that. */
  bytes(limit: number): Promise<Uint8Array>;
  /** Gives up on the rest of the body. */
  discard(): Promise<void>;
}

/**
 * Makes a request and follows its redirects.
 * @throws EngineError unavailable when nobody answers, or with a redirect that must not be followed; cancelled.
 */
export async function send(request: RegistryRequest, options: TransportOptions): Promise<RegistryResponse> {
  let url = new URL(request.url);
  const origin = url.origin;
  for (let redirects = 0; ; redirects++) {
    const isOrigin = url.origin === origin;
    // Credentials, and the trust in an unverified certificate, are for the host that was asked.
    const here = isOrigin ? request : { ...request, authorization: undefined, isInsecure: false };
    const response = await sendOnce(here, url, options);
    const location = redirectStatuses.has(response.status) ? response.headers.get("location") : null;
    if (location === null) return response;
    await response.discard();
    if (redirects >= redirectsMax) throw unavailable(request, `stopped after ${redirectsMax} redirects`);
    url = redirectTarget(request, url, location);
  }
}

function redirectTarget(request: RegistryRequest, from: URL, location: string): URL {
  if (!URL.canParse(location, from.href)) throw unavailable(request, `redirected to ${JSON.stringify(location)}`);
  const to = new URL(location, from);
  const isDowngrade = from.protocol === "https:" && to.protocol === "http:" && !request.isInsecure;
  if (isDowngrade || !["http:", "https:"].includes(to.protocol)) {
    throw unavailable(
      request,
      `redirected from ${from.protocol}//${from.host} to ${to.protocol}//${to.host}, which is not secure`,
    );
  }
  to.username = "";
  to.password = "";
  return to;
}

async function sendOnce(request: RegistryRequest, url: URL, options: TransportOptions): Promise<RegistryResponse> {
  const stall = new Stall(options.stallTimeoutMs, request.signal);
  try {
    const ca = options.certificateAuthorities?.(url.host);
    const response = await fetch(url.href, {
      method: request.method ?? "GET",
      headers: {
        "user-agent": `tsd/${version}`,
        // Else a server may compress what already is compressed, and offsets would count other bytes.
        "accept-encoding": "identity",
        ...request.headers,
        ...(request.authorization !== undefined && { authorization: request.authorization }),
      },
      redirect: "manual",
      signal: stall.signal,
      decompress: false,
      timeout: false,
      ...(url.protocol === "https:" && { tls: { rejectUnauthorized: !request.isInsecure, ...(ca && { ca }) } }),
    } as RequestInit);
    stall.restart();
    return watched(response, url, stall, request);
  } catch (error) {
    stall.end();
    throw stall.explain(request, error);
  }
}

function watched(response: Response, url: URL, stall: Stall, request: RegistryRequest): RegistryResponse {
  const body = watchedBody(response, stall, request);
  return {
    status: response.status,
    statusText: response.statusText,
    headers: response.headers,
    url: url.href,
    body,
    bytes: (limit) => collect(body, limit, request),
    async discard() {
      stall.end();
      // Cancelling a body that already failed reports that failure again.
      await response.body?.cancel().catch(() => undefined);
    },
  };
}

async function* watchedBody(response: Response, stall: Stall, request: RegistryRequest): AsyncIterable<Uint8Array> {
  const reader = response.body?.getReader();
  try {
    while (reader) {
      stall.restart();
      const { done, value } = await reader.read();
      // The consumer may be slow, a full disk say: that is no silence of the server's.
      stall.pause();
      if (done) return;
      yield value;
    }
  } catch (error) {
    throw stall.explain(request, error);
  } finally {
    stall.end();
    await reader?.cancel().catch(() => undefined);
  }
}

async function collect(body: AsyncIterable<Uint8Array>, limit: number, request: RegistryRequest): Promise<Uint8Array> {
  const pieces: Uint8Array[] = [];
  let size = 0;
  for await (const piece of body) {
    size += piece.length;
    if (size > limit) throw new EngineError("corrupt", `${request.url}: answer is larger than ${limit} bytes`);
    pieces.push(piece);
  }
  return Buffer.concat(pieces);
}

/** Aborts a request when nothing came for a while, or when its caller does. */
class Stall {
  readonly #controller = new AbortController();
  readonly #timeoutMs: number;
  readonly #outer: AbortSignal | undefined;
  readonly #onOuter = () => this.#controller.abort(this.#outer?.reason);
  #timer: ReturnType<typeof setTimeout> | undefined;
  #stalled = false;

  constructor(timeoutMs: number, outer: AbortSignal | undefined) {
    this.#timeoutMs = timeoutMs;
    this.#outer = outer;
    if (outer?.aborted) this.#onOuter();
    outer?.addEventListener("abort", this.#onOuter, { once: true });
    this.restart();
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  restart(): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      this.#stalled = true;
      this.#controller.abort(new Error("stalled"));
    }, this.#timeoutMs);
  }

  pause(): void {
    clearTimeout(this.#timer);
  }

  end(): void {
    this.pause();
    this.#outer?.removeEventListener("abort", this.#onOuter);
  }

  explain(request: RegistryRequest, error: unknown): EngineError {
    if (error instanceof EngineError) return error;
    if (this.#outer?.aborted) return new EngineError("cancelled", "cancelled", { cause: error });
    if (this.#stalled) return unavailable(request, `no data for ${this.#timeoutMs / 1000} seconds`);
    return unavailable(request, networkMessage(error), error);
  }
}

/** In the words that docker's users search for. */
function networkMessage(error: unknown): string {
  const { code } = error as { code?: unknown };
  switch (code) {
    case "ConnectionRefused":
    case "ECONNREFUSED":
      return "connect: connection refused";
    case "FailedToOpenSocket":
    case "ENOTFOUND":
    case "EAI_AGAIN":
      return "no such host, or it cannot be reached";
    default:
      return `${errorMessage(error)}${typeof code === "string" ? ` (${code})` : ""}`;
  }
}

/** `Get "https://…"`: as docker names requests in errors. */
export function requestName(request: Pick<RegistryRequest, "method" | "url">): string {
  return `${request.method === "HEAD" ? "Head" : "Get"} ${JSON.stringify(request.url)}`;
}

function unavailable(request: RegistryRequest, reason: string, cause?: unknown): EngineError {
  return new EngineError("unavailable", `${requestName(request)}: ${reason}`, { cause });
}
