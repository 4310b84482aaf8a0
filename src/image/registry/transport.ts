/**
 * HTTP as registries need it: redirects followed by hand, so that credentials stay with the host they are for;
 * timeouts on silence, not on length, because a layer may take hours; nothing decompressed on the way.
 */
import { advice } from "../../core/advice.ts";
import { EngineError, errorMessage } from "../../core/errors.ts";
import { version } from "../../core/version.ts";
import {
  type ClientCertificate,
  defaultCertificateDirectories,
  hostCertificates,
  trustedAuthorities,
} from "./certificates.ts";
import { type ProxySettings, proxyFor } from "./proxies.ts";

export interface RegistryRequest {
  url: string;
  method?: "GET" | "HEAD" | "POST" | "PUT" | "PATCH" | "DELETE";
  headers?: Record<string, string>;
  /** Sent to the first host alone, and to redirects that stay on it. */
  authorization?: string | undefined;
  /** As above: what the administrator's configuration adds for that host. */
  ownHeaders?: Readonly<Record<string, string>>;
  isInsecure: boolean;
  /** Of the first host, beside those that the certificate directories hold for it. */
  authorities?: readonly string[];
  client?: ClientCertificate | undefined;
  body?: RequestBody | undefined;
  /** The body holds a password: no redirect takes it to another server. */
  isSecret?: boolean;
  /** How many times the usual silence is borne: a registry hashes what it got before it answers. */
  patience?: number;
  signal?: AbortSignal | undefined;
}

/** What is sent; opened anew for every try. */
export interface RequestBody {
  size: number;
  open(): AsyncIterable<Uint8Array>;
}

export interface TransportOptions {
  /** Silence that ends a request: no headers, or no further byte of a body in either direction, for so long. */
  stallTimeoutMs: number;
  /** Directories with certificates by host (certificates.ts). */
  certificateDirectories: readonly string[];
  proxies: ProxySettings;
}

export const defaultStallTimeoutMs = 30_000;
/** A layer may take hours. A document may take so many times the silence that is borne, however it trickles in. */
const documentPatience = 10;
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
 * @throws EngineError unavailable when nobody answers, or with a redirect that must not be followed; cancelled;
 * invalid_argument for certificates that are none.
 */
export async function send(request: RegistryRequest, options: TransportOptions): Promise<RegistryResponse> {
  let url = new URL(request.url);
  const origin = url.origin;
  for (let redirects = 0; ; redirects++) {
    const isOrigin = url.origin === origin;
    // Credentials, and the trust in an unverified certificate, are for the host that was asked.
    const here = isOrigin ? request : stranger(request);
    const response = await sendOnce(here, url, options);
    const location = redirectStatuses.has(response.status) ? response.headers.get("location") : null;
    if (location === null) return response;
    await response.discard();
    if (redirects >= redirectsMax) throw unavailable(request, `stopped after ${redirectsMax} redirects`);
    const keepsMethod = response.status === 307 || response.status === 308;
    if (!keepsMethod && !["GET", "HEAD"].includes(request.method ?? "GET")) {
      throw unavailable(request, `redirected with status ${response.status}, which says to drop what is sent`);
    }
    url = redirectTarget(request, url, location);
    if (request.isSecret && url.origin !== origin) {
      throw unavailable(request, `redirected to ${url.origin}, which is not to get the user's password`);
    }
  }
}

/** The request for a host that it was not meant for. */
function stranger({ authorization, ownHeaders, authorities, client, ...request }: RegistryRequest): RegistryRequest {
  return { ...request, isInsecure: false };
}

/** @throws EngineError unavailable for what is no URL, or leads from https to http. */
export function redirectTarget(request: Pick<RegistryRequest, "method" | "url">, from: URL, location: string): URL {
  if (!URL.canParse(location, from.href)) throw unavailable(request, `redirected to ${JSON.stringify(location)}`);
  const to = new URL(location, from);
  const isDowngrade = from.protocol === "https:" && to.protocol === "http:";
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
  const tls = url.protocol === "https:" ? tlsOptions(request, url, options) : undefined;
  const proxy = proxyFor(url, options.proxies);
  const stall = new Stall(options.stallTimeoutMs, request.signal);
  try {
    const { body } = request;
    const response = await fetch(url.href, {
      method: request.method ?? "GET",
      headers: {
        "user-agent": `tsd/${version}`,
        // Else a server may compress what already is compressed, and offsets would count other bytes.
        "accept-encoding": "identity",
        ...request.headers,
        ...request.ownHeaders,
        ...(request.authorization !== undefined && { authorization: request.authorization }),
        ...(body && { "content-length": String(body.size) }),
      },
      ...(body && { body: sentBody(body, stall, request.patience ?? 1) }),
      redirect: "manual",
      signal: stall.signal,
      decompress: false,
      timeout: false,
      ...(tls && { tls }),
      ...(proxy !== undefined && { proxy }),
    } as RequestInit);
    stall.restart();
    return watched(response, url, stall, request);
  } catch (error) {
    stall.end();
    throw stall.explain(request, error, proxy);
  }
}

/** Every piece that the server takes is a sign of life; after the last it may think for a while. */
function sentBody(body: RequestBody, stall: Stall, patience: number): ReadableStream<Uint8Array> | undefined {
  stall.restart(patience);
  if (body.size === 0) return undefined;
  const iterator = body.open()[Symbol.asyncIterator]();
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        try {
          // Reading the disk is not the server's silence.
          stall.pause();
          const { done, value } = await iterator.next();
          stall.restart(done ? patience : 1);
          if (done) controller.close();
          else controller.enqueue(value);
        } catch (error) {
          controller.error(error);
        }
      },
      async cancel() {
        await iterator.return?.();
      },
    },
    { highWaterMark: 0 },
  );
}

function tlsOptions(request: RegistryRequest, url: URL, options: TransportOptions) {
  const { authorities, client } = hostCertificates(url.host, options.certificateDirectories);
  const own = request.client ?? client;
  return {
    rejectUnauthorized: !request.isInsecure,
    ca: trustedAuthorities([...(request.authorities ?? []), ...authorities]),
    ...(own && { cert: own.cert, key: own.key }),
  };
}

function watched(response: Response, url: URL, stall: Stall, request: RegistryRequest): RegistryResponse {
  const body = watchedBody(response, stall, request);
  return {
    status: response.status,
    statusText: response.statusText,
    headers: response.headers,
    url: url.href,
    body,
    bytes: (limit) => collect(body, limit, request, stall.timeoutMs * documentPatience),
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

async function collect(
  body: AsyncIterable<Uint8Array>,
  limit: number,
  request: RegistryRequest,
  timeoutMs: number,
): Promise<Uint8Array> {
  const pieces: Uint8Array[] = [];
  const deadline = performance.now() + timeoutMs;
  let size = 0;
  for await (const piece of body) {
    size += piece.length;
    if (size > limit) throw new EngineError("corrupt", `${request.url}: answer is larger than ${limit} bytes`);
    pieces.push(piece);
    if (performance.now() > deadline) {
      throw unavailable(request, `the answer is not complete after ${shownSeconds(timeoutMs)}`);
    }
  }
  return Buffer.concat(pieces);
}

/** Aborts a request when nothing came for a while, or when its caller does. */
class Stall {
  readonly #controller = new AbortController();
  readonly timeoutMs: number;
  readonly #outer: AbortSignal | undefined;
  readonly #onOuter = () => this.#controller.abort(this.#outer?.reason);
  #timer: ReturnType<typeof setTimeout> | undefined;
  #stalledMs: number | undefined;

  constructor(timeoutMs: number, outer: AbortSignal | undefined) {
    this.timeoutMs = timeoutMs;
    this.#outer = outer;
    if (outer?.aborted) this.#onOuter();
    outer?.addEventListener("abort", this.#onOuter, { once: true });
    this.restart();
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  restart(patience = 1): void {
    clearTimeout(this.#timer);
    const timeoutMs = this.timeoutMs * patience;
    this.#timer = setTimeout(() => {
      this.#stalledMs = timeoutMs;
      this.#controller.abort(new Error("stalled"));
    }, timeoutMs);
  }

  pause(): void {
    clearTimeout(this.#timer);
  }

  end(): void {
    this.pause();
    this.#outer?.removeEventListener("abort", this.#onOuter);
  }

  explain(request: RegistryRequest, error: unknown, proxy?: string): EngineError {
    if (error instanceof EngineError) return error;
    if (this.#outer?.aborted) return new EngineError("cancelled", "cancelled", { cause: error });
    const through = proxy === undefined ? "" : `through proxy ${new URL(proxy).host}: `;
    if (this.#stalledMs !== undefined) {
      return unavailable(request, `${through}no data for ${shownSeconds(this.#stalledMs)}`);
    }
    return unavailable(request, `${through}${networkMessage(error)}`, error, hintOf(request, error));
  }
}

const untrusted = new Set([
  "DEPTH_ZERO_SELF_SIGNED_CERT",
  "SELF_SIGNED_CERT_IN_CHAIN",
  "UNABLE_TO_GET_ISSUER_CERT",
  "UNABLE_TO_GET_ISSUER_CERT_LOCALLY",
  "UNABLE_TO_VERIFY_LEAF_SIGNATURE",
]);

/** In the words that docker's users search for. */
function networkMessage(error: unknown): string {
  const code = codeOf(error);
  if (untrusted.has(code)) return "tls: failed to verify certificate: x509: certificate signed by unknown authority";
  switch (code) {
    case "ConnectionRefused":
    case "ECONNREFUSED":
      return "connect: connection refused";
    case "FailedToOpenSocket":
    case "ENOTFOUND":
    case "EAI_AGAIN":
      return "no such host, or it cannot be reached";
    case "CERT_HAS_EXPIRED":
    case "CERT_NOT_YET_VALID":
      return "tls: failed to verify certificate: x509: certificate has expired or is not yet valid";
    case "ERR_TLS_CERT_ALTNAME_INVALID":
      return "tls: failed to verify certificate: x509: certificate is valid for other names than this host's";
    default:
      return `${errorMessage(error)}${code === "" ? "" : ` (${code})`}`;
  }
}

function hintOf(request: RegistryRequest, error: unknown): string | undefined {
  const message = networkMessage(error);
  if (message.startsWith("connect:")) return advice.refused;
  if (message.startsWith("no such host")) return advice.unreachable;
  const { host } = new URL(request.url);
  return untrusted.has(codeOf(error))
    ? `put the certificate of the authority that signed it into ${defaultCertificateDirectories[0]}/${host}/ca.crt`
    : undefined;
}

function codeOf(error: unknown): string {
  const { code } = error as { code?: unknown };
  return typeof code === "string" ? code : "";
}

/** `1 second`, `30 seconds`. */
export function shownSeconds(timeMs: number): string {
  return `${timeMs / 1000} second${timeMs === 1000 ? "" : "s"}`;
}

/** `Get "https://…"`: as docker names requests in errors. */
export function requestName({ method = "GET", url }: Pick<RegistryRequest, "method" | "url">): string {
  return `${method[0]}${method.slice(1).toLowerCase()} ${JSON.stringify(url)}`;
}

function unavailable(
  request: Pick<RegistryRequest, "method" | "url">,
  reason: string,
  cause?: unknown,
  hint?: string,
): EngineError {
  return new EngineError("unavailable", `${requestName(request)}: ${reason}`, { cause, ...(hint && { hint }) });
}
