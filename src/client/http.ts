import { EngineError, type ErrorCode, errorMessage } from "../core/errors.ts";
import { apiVersion } from "../core/version.ts";
import { Answer } from "./answer.ts";
import { authorityOf, type ClientTls, connectionError, type DaemonAddress } from "./host.ts";

/** A list is a parameter that is there several times. */
export type Query = Record<string, string | number | boolean | readonly string[] | undefined>;

export interface RequestOptions {
  query?: Query;
  body?: unknown;
  /** A body that is no JSON, sent as it comes. */
  stream?: ReadableStream<Uint8Array>;
  headers?: Record<string, string>;
  signal?: AbortSignal;
}

/** `/v1.55/containers/json?all=true`; what is undefined is left out. */
export function requestTarget(path: string, query: Query = {}): string {
  const parameters = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    if (typeof value === "object") for (const item of value) parameters.append(name, item);
    else if (value !== undefined) parameters.set(name, String(value));
  }
  const text = parameters.toString();
  return `/v${apiVersion}${path}${text === "" ? "" : `?${text}`}`;
}

/**
 * One request to the daemon. @returns the answer when its status is a success.
 * @throws EngineError with the daemon's own code and details, or unavailable when it does not answer.
 */
export async function request(
  address: DaemonAddress,
  method: string,
  path: string,
  options: RequestOptions = {},
): Promise<Answer> {
  const init = {
    method,
    ...transport(address),
    ...(options.body !== undefined && { body: JSON.stringify(options.body) }),
    ...(options.stream && { body: options.stream }),
    headers: { ...(options.body !== undefined && { "content-type": "application/json" }), ...options.headers },
    ...(options.signal && { signal: options.signal }),
    // Streams of logs, events and waits are silent for as long as nothing happens.
    timeout: false,
    // No daemon sends its clients on; who does would get the credentials in their headers.
    redirect: "manual",
  };
  let response: Response;
  try {
    response = await fetch(`${origin(address)}${requestTarget(path, options.query)}`, init as RequestInit);
  } catch (error) {
    if (options.signal?.aborted) throw options.signal.reason;
    throw connectionError(address, await connectErrno(error, address), error);
  }
  const answer = new Answer(address, response);
  if (response.ok) return answer;
  throw daemonError(response.status, await refusalText(answer));
}

/** More than a refusal can have to say, in bytes. */
export const refusalBytesMax = 1 << 20;

async function refusalText(answer: Answer): Promise<string> {
  const pieces: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of answer.chunks()) {
    pieces.push(chunk);
    size += chunk.length;
    if (size > refusalBytesMax) break;
  }
  return Buffer.concat(pieces).subarray(0, refusalBytesMax).toString();
}

function origin(address: DaemonAddress): string {
  if (address.socket !== undefined) return "http://tsd";
  return `${address.tls ? "https" : "http"}://${authorityOf(address)}`;
}

function transport(address: DaemonAddress): { unix: string } | { tls?: Bun.TLSOptions } {
  if (address.socket !== undefined) return { unix: address.socket };
  // fetch would ask the proxy of HTTP_PROXY, which a connection that is hijacked does not know.
  process.env.NO_PROXY = "*";
  return address.tls ? { tls: tlsOptions(address.tls) } : {};
}

/** As Bun's fetch and connect take it. */
export function tlsOptions({ ca, cert, key, verify }: ClientTls): Bun.TLSOptions {
  return {
    ...(ca !== undefined && { ca }),
    ...(cert !== undefined && { cert }),
    ...(key !== undefined && { key }),
    rejectUnauthorized: verify,
  };
}

/** Bun says "FailedToOpenSocket" whatever the reason was; the file system knows it. */
export async function connectErrno(error: unknown, address: DaemonAddress): Promise<string | undefined> {
  const code = (error as { code?: unknown }).code;
  if (address.socket === undefined) return typeof code === "string" ? code : undefined;
  if (typeof code === "string" && /^E[A-Z]+$/.test(code)) return code;
  const { accessSync, constants } = await import("node:fs");
  try {
    accessSync(address.socket, constants.R_OK | constants.W_OK);
    return undefined;
  } catch (reason) {
    return (reason as { code?: string }).code;
  }
}

interface ErrorBody {
  message?: unknown;
  code?: unknown;
  stage?: unknown;
  syscall?: unknown;
  errno?: unknown;
  path?: unknown;
  hint?: unknown;
}

/** The daemon's error as one of ours, prefixed the way docker's users know it. */
export function daemonError(status: number, text: string): EngineError {
  let body: ErrorBody;
  try {
    body = JSON.parse(text) as ErrorBody;
  } catch (error) {
    body = { message: text.trim() || `HTTP status ${status}: ${errorMessage(error)}` };
  }
  const detail = (value: unknown) => (typeof value === "string" ? value : undefined);
  const details = { stage: body.stage, syscall: body.syscall, errno: body.errno, path: body.path, hint: body.hint };
  return new EngineError(
    typeof body.code === "string" ? (body.code as ErrorCode) : codeOfStatus(status),
    `Error response from daemon: ${detail(body.message) ?? text.trim()}`,
    Object.fromEntries(Object.entries(details).filter(([, value]) => typeof value === "string")),
  );
}

/** For a daemon that is not tsd and sends no code. */
function codeOfStatus(status: number): ErrorCode {
  const codes: Record<number, ErrorCode> = {
    304: "not_modified",
    400: "invalid_argument",
    401: "unauthorized",
    403: "forbidden",
    404: "not_found",
    409: "conflict",
    501: "unsupported",
    503: "unavailable",
  };
  return codes[status] ?? "internal";
}
