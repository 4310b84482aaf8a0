/**
 * Calls to one plugin: a POST for each, on a connection of its own, with limits on time and size. Whoever serves the
 * other end is trusted with paths of the host, but not to answer.
 */
import { EngineError, errorMessage } from "../core/errors.ts";
import { log } from "../core/log.ts";
import { findPlugin, type PluginEndpoint } from "./discovery.ts";

/** https://docs.docker.com/engine/extend/plugin_api/#api-versioning */
const mediaType = "application/vnd.docker.plugins.v1.2+json";
/** A list of ten thousand volumes takes two. */
const answerBytesMax = 8 * 1024 * 1024;

export interface PluginTimes {
  /** For answers that may have work to do: Create, Mount. Docker's. */
  longMs: number;
  /** For all others. Docker's. */
  shortMs: number;
  /** For plugins that are asked whether they have something, when nobody named them. */
  probeMs: number;
  /** How long one that is known, and does not listen, is waited for: it may be starting. Docker's. */
  patienceMs: number;
  /** The same for one that nothing is known of: it may be a wrong name. */
  strangerPatienceMs: number;
}

export const defaultPluginTimes: PluginTimes = {
  longMs: 120_000,
  shortMs: 60_000,
  probeMs: 10_000,
  patienceMs: 15_000,
  strangerPatienceMs: 2_000,
};

export interface CallOptions {
  timeoutMs: number;
  /** How long to try while nobody listens; 0: once. */
  patienceMs: number;
  signal?: AbortSignal;
}

/** The plugin was reached and refused, or its answer cannot be used. */
export class PluginRefusal extends EngineError {}

/** Nobody listens, or whoever did has gone before answering. */
export class PluginGone extends EngineError {
  /** The request was sent, so it may have had its effect. */
  readonly wasSent: boolean;

  constructor(message: string, wasSent: boolean, cause: unknown) {
    super("unavailable", message, { cause });
    this.wasSent = wasSent;
  }
}

export class PluginClient {
  readonly name: string;
  readonly #directories: readonly string[];

  constructor(name: string, directories: readonly string[]) {
    this.name = name;
    this.#directories = directories;
  }

  /** @returns undefined when the folders have nothing of it. @throws EngineError for a file that says nothing of use. */
  locate(): Promise<PluginEndpoint | undefined> {
    return findPlugin(this.name, this.#directories);
  }

  /**
   * @returns the answer's JSON, an object. It is sent again while nobody listens, and when the connection breaks: what
   * the protocol has may be asked twice.
   * @throws PluginGone, PluginRefusal with the plugin's own words, EngineError timeout.
   */
  async call(method: string, body: unknown, options: CallOptions): Promise<Record<string, unknown>> {
    let wasSent = false;
    return await whileAway(options.patienceMs, async () => {
      try {
        return await this.#callOnce(method, body, options);
      } catch (error) {
        if (!(error instanceof PluginGone)) throw error;
        wasSent ||= error.wasSent;
        log("debug", "a plugin is away", { plugin: this.name, method, error: error.message });
        throw wasSent ? new PluginGone(error.message, true, error.cause) : error;
      }
    });
  }

  async #callOnce(method: string, body: unknown, options: CallOptions): Promise<Record<string, unknown>> {
    const endpoint = await this.locate();
    const what = `plugin "${this.name}": ${method}`;
    if (endpoint === undefined) throw new PluginGone(`${what}: plugin "${this.name}" not found`, false, undefined);
    const timeout = AbortSignal.timeout(options.timeoutMs);
    let wasReached = false;
    try {
      const response = await fetch(`${urlOf(endpoint)}/${method}`, {
        method: "POST",
        body: JSON.stringify(body),
        headers: { accept: mediaType, "content-type": mediaType, "accept-encoding": "identity" },
        // false: not by way of the proxy that the environment names.
        ...(endpoint.kind === "unix" ? { unix: endpoint.socket } : { proxy: false as unknown as string }),
        ...(endpoint.kind === "tcp" && endpoint.tls && { tls: tlsOptions(endpoint.tls) }),
        signal: options.signal ? AbortSignal.any([timeout, options.signal]) : timeout,
        redirect: "manual",
        decompress: false,
        keepalive: false,
        timeout: false,
      } as BunFetchRequestInit);
      wasReached = true;
      return answerOf(response.status, await readAll(response, what), { method, what });
    } catch (error) {
      if (error instanceof EngineError) throw error;
      if (timeout.aborted) {
        throw new EngineError("timeout", `${what}: no answer within ${options.timeoutMs / 1000} seconds`);
      }
      if (options.signal?.aborted) throw new EngineError("cancelled", `${what}: cancelled`, { cause: error });
      throw failure(error, endpoint, what, wasReached);
    }
  }
}

/** Works until it does not fail because the plugin is away, for so long. */
export async function whileAway<T>(patienceMs: number, work: () => Promise<T>): Promise<T> {
  const waits = new Waits(patienceMs);
  for (;;) {
    try {
      return await work();
    } catch (error) {
      const waitMs = error instanceof PluginGone ? waits.next() : undefined;
      if (waitMs === undefined) throw error;
      await Bun.sleep(waitMs);
    }
  }
}

/** Docker's backoff is 1, 2, 4 … s; the first waits are shorter, for most plugins are there sooner. */
export class Waits {
  readonly #deadline: number;
  #nextMs = 50;

  constructor(patienceMs: number) {
    this.#deadline = performance.now() + patienceMs;
  }

  /** @returns undefined when it is enough. */
  next(): number | undefined {
    const leftMs = this.#deadline - performance.now();
    if (leftMs <= 0) return undefined;
    const waitMs = Math.min(this.#nextMs, leftMs);
    this.#nextMs = Math.min(this.#nextMs * 2, 2_000);
    return Math.ceil(waitMs);
  }
}

function urlOf(endpoint: PluginEndpoint): string {
  return endpoint.kind === "unix" ? "http://plugin.moby.localhost" : endpoint.url;
}

function tlsOptions({ verify, authority, certificate, key }: NonNullable<(PluginEndpoint & { kind: "tcp" })["tls"]>) {
  return {
    rejectUnauthorized: verify,
    ...(authority !== undefined && { ca: authority }),
    ...(certificate !== undefined && { cert: certificate }),
    ...(key !== undefined && { key }),
  };
}

async function readAll(response: Response, what: string): Promise<string> {
  const pieces: Uint8Array[] = [];
  let size = 0;
  for await (const piece of response.body ?? []) {
    size += piece.length;
    // Leaving the loop cancels the rest.
    if (size > answerBytesMax) {
      throw new PluginRefusal("internal", `${what}: the answer has more than ${answerBytesMax} bytes`);
    }
    pieces.push(piece);
  }
  return new TextDecoder().decode(Buffer.concat(pieces));
}

/** @throws PluginRefusal for a status that is no success, in docker's words, and for what is no object. */
function answerOf(status: number, text: string, { method, what }: { method: string; what: string }) {
  let json: unknown;
  let reason = "";
  try {
    json = JSON.parse(text);
  } catch (error) {
    reason = `: ${errorMessage(error)}`;
  }
  const isObject = typeof json === "object" && json !== null && !Array.isArray(json);
  const answer = isObject ? (json as Record<string, unknown>) : undefined;
  if (status !== 200) {
    const words = answer === undefined ? undefined : fieldOf(answer, "Err");
    const said = typeof words === "string" && words !== "" ? words : shown(text) || `HTTP status ${status}`;
    throw new PluginRefusal("internal", `${method}: ${said}`);
  }
  if (answer !== undefined) return answer;
  throw new PluginRefusal("internal", `${what}: the answer is no JSON object${reason}: ${JSON.stringify(shown(text))}`);
}

/** A field as Go's encoding/json finds it, which plugins were made for: without regard to case. */
export function fieldOf(answer: Record<string, unknown>, name: string): unknown {
  if (Object.hasOwn(answer, name)) return answer[name];
  const found = Object.keys(answer).find((key) => key.toLowerCase() === name.toLowerCase());
  return found === undefined ? undefined : answer[found];
}

/** Its first line, or what of it fits into a message. */
function shown(text: string): string {
  const [line = ""] = text.trim().split("\n");
  return line.length > 200 ? `${line.slice(0, 200)}…` : line;
}

const unreachable: Record<string, string> = {
  ENOENT: "no such file or directory",
  ECONNREFUSED: "connection refused",
  ConnectionRefused: "connection refused",
  FailedToOpenSocket: "connection refused",
};

function failure(error: unknown, endpoint: PluginEndpoint, what: string, wasReached: boolean): EngineError {
  const code = (error as { code?: unknown }).code;
  const name = typeof code === "string" ? code : "";
  const [network, address] = endpoint.kind === "unix" ? ["unix", endpoint.socket] : ["tcp", new URL(endpoint.url).host];
  const reason = wasReached ? undefined : unreachable[name];
  if (reason !== undefined)
    return new PluginGone(`${what}: dial ${network} ${address}: connect: ${reason}`, false, error);
  if (name === "ECONNRESET" || name === "EPIPE") {
    return new PluginGone(
      `${what}: ${network} ${address}: the plugin closed the connection without an answer`,
      true,
      error,
    );
  }
  return new PluginRefusal("unavailable", `${what}: ${network} ${address}: ${errorMessage(error)}`, { cause: error });
}
