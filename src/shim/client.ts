/** The engine's side of a shim: starts one, connects to one, asks it things. */

import { closeSync, mkdirSync } from "node:fs";
import { dirname } from "node:path";
import { EngineError, errorMessage } from "../core/errors.ts";
import { formatExactJson } from "../core/exact-json.ts";
import type { LogLevel } from "../core/log.ts";
import { selfCommand } from "../core/self.ts";
import { openLog, serverFailure, startServer } from "../core/server-process.ts";
import { errorFromWire } from "../core/wire-error.ts";
import type { LogSeam } from "../logging/log-position.ts";
import type { LinuxResources } from "../oci/runtime.ts";
import { Connection, checkSocketPath } from "./connection.ts";
import type {
  AttachOptions,
  CheckpointPlace,
  ExecOptions,
  ExitRecord,
  HelloResult,
  RequestName,
  Requests,
  Response,
  ShimContainer,
  ShimState,
  StartResult,
} from "./protocol.ts";

interface Pending {
  resolve: (result: unknown) => void;
  reject: (error: EngineError) => void;
}

/**
 * A control connection to one shim. Any number of requests may be under way; each answers when it is done. When
 * the shim goes away they all fail with `unavailable`, and so does every later one.
 */
export class ShimClient {
  readonly socketPath: string;
  readonly #connection: Connection;
  readonly #pending = new Map<number, Pending>();
  #lastId = 0;
  /** Resolves when the connection is gone: the shim has ended, or `close` was called. */
  readonly closed: Promise<void>;

  private constructor(socketPath: string, connection: Connection) {
    this.socketPath = socketPath;
    this.#connection = connection;
    this.closed = connection.closed;
    void this.#receive();
  }

  /** @throws EngineError unavailable when no shim listens there. */
  static async connect(socketPath: string): Promise<ShimClient> {
    return new ShimClient(socketPath, await Connection.open(socketPath));
  }

  get isClosed(): boolean {
    return this.#connection.isClosed;
  }

  hello(): Promise<HelloResult> {
    return this.#request("hello", {});
  }

  /** Creates and starts the container in this (spare) shim. On failure nothing is left and the shim can be released. */
  run(container: ShimContainer): Promise<StartResult> {
    return this.#request("run", { container });
  }

  /** Resolves at the end of the process, when its output is in the log; at once when it has ended before. */
  async wait(execId?: string): Promise<ExitRecord> {
    return (await this.#request("wait", execId === undefined ? {} : { execId })).exit;
  }

  async signal(signal: number, options: { all?: boolean; execId?: string } = {}): Promise<void> {
    await this.#request("signal", { signal, ...options });
  }

  async resize(rows: number, columns: number, execId?: string): Promise<void> {
    await this.#request("resize", { rows, columns, ...(execId !== undefined && { execId }) });
  }

  /** Starts a further process that nobody is attached to. */
  exec(options: ExecOptions): Promise<StartResult> {
    return this.#request("exec", options);
  }

  /** Starts a further process, with a stream that has all of its output. @throws EngineError with the stage of the start. */
  async execAttached(
    exec: ExecOptions,
    streams: Pick<AttachOptions, "stdin" | "stdout" | "stderr">,
  ): Promise<{ stream: ShimStream; started: StartResult }> {
    const { stream, result } = await this.#openStream({ ...streams, exec });
    return { stream, started: result as StartResult };
  }

  /** Ends a further process with all that it has started. @param graceMs from SIGHUP to SIGKILL. */
  async endExec(execId: string, graceMs: number): Promise<void> {
    await this.#request("endExec", { execId, graceMs });
  }

  async closeStdin(execId?: string): Promise<void> {
    await this.#request("closeStdin", execId === undefined ? {} : { execId });
  }

  async pause(): Promise<void> {
    await this.#request("pause", {});
  }

  async resume(): Promise<void> {
    await this.#request("resume", {});
  }

  /** Changes limits of the container, all of them or none. */
  async update(resources: LinuxResources): Promise<void> {
    await this.#request("update", { resources });
  }

  /** @throws EngineError unsupported without criu; internal with its reason: the container goes on as before. */
  async checkpoint(options: CheckpointPlace & { leaveRunning: boolean }): Promise<void> {
    await this.#request("checkpoint", options);
  }

  state(options: { settled?: boolean } = {}): Promise<ShimState> {
    return this.#request("state", options);
  }

  /** @returns whether the shim is spare again and takes another container: only ever so when `reuse` asks for it. */
  async release(options: { force?: boolean; reuse?: boolean } = {}): Promise<boolean> {
    return (await this.#request("release", options)).spare ?? false;
  }

  /** Has the process serve one more container, at a socket of its own. @throws EngineError unavailable when it is gone. */
  async share(socketPath: string): Promise<ShimClient> {
    checkSocketPath(socketPath);
    await this.#request("share", { socketPath });
    return ShimClient.connect(socketPath);
  }

  /**
   * Opens a stream to the container's or an exec's standard streams, on a connection of its own. Output comes as
   * docker's multiplexed frames, or raw when the process has a terminal. Works on a spare shim too: attached
   * before `run`, a client misses nothing.
   */
  async attach(options: Omit<AttachOptions, "exec">): Promise<ShimStream> {
    return (await this.#openStream(options)).stream;
  }

  async #openStream(options: AttachOptions): Promise<{ stream: ShimStream; result: unknown }> {
    const connection = await Connection.open(this.socketPath);
    try {
      await connection.write(`${formatExactJson({ id: 0, request: "attach", ...options })}\n`);
      const line = await readLine(connection);
      if (line === undefined) throw new EngineError("unavailable", "the shim closed the connection");
      const response = JSON.parse(line) as Response;
      if (!response.ok) throw errorFromWire(response.error);
      const { seam } = response.result as Requests["attach"]["result"];
      return { stream: new ShimStream(connection, seam), result: response.result };
    } catch (error) {
      connection.close();
      throw error;
    }
  }

  /** Leaves the shim alone; one without a container ends when its last connection does. */
  close(): void {
    this.#connection.close();
  }

  async #request<Name extends RequestName>(
    request: Name,
    parameters: Requests[Name]["arguments"],
  ): Promise<Requests[Name]["result"]> {
    const id = ++this.#lastId;
    const { promise, resolve, reject } = Promise.withResolvers<unknown>();
    this.#pending.set(id, { resolve, reject });
    // Lines are written one after another: a write that waits for the kernel holds back the next.
    this.#sending = this.#sending
      .then(() => this.#connection.write(`${formatExactJson({ id, request, ...parameters })}\n`))
      .catch((error) => this.#settle(id, (pending) => pending.reject(this.#gone(request, error))));
    return (await promise) as Requests[Name]["result"];
  }

  #sending: Promise<void> = Promise.resolve();

  #gone(request: string, cause?: unknown): EngineError {
    const reason = cause === undefined ? "the shim is gone" : errorMessage(cause);
    return new EngineError("unavailable", `shim ${this.socketPath}: ${request}: ${reason}`, { path: this.socketPath });
  }

  #settle(id: number, how: (pending: Pending) => void): void {
    const pending = this.#pending.get(id);
    if (pending === undefined) return;
    this.#pending.delete(id);
    how(pending);
  }

  async #receive(): Promise<void> {
    for (;;) {
      const line = await readLine(this.#connection);
      if (line === undefined) break;
      const response = JSON.parse(line) as Response;
      this.#settle(response.id ?? 0, (pending) => {
        if (response.ok) pending.resolve(response.result);
        else pending.reject(errorFromWire(response.error));
      });
    }
    this.#connection.close();
    for (const id of [...this.#pending.keys()]) {
      this.#settle(id, (pending) => pending.reject(this.#gone("waiting for its answer")));
    }
  }
}

/** The bytes of an attached process. */
export class ShimStream {
  readonly #connection: Connection;
  /** Resolves when the stream is gone: the process ended and all was read, or either side closed it. */
  readonly closed: Promise<void>;
  /** Where in the container's log this stream begins, when that was asked for and the container writes one. */
  readonly seam: LogSeam | undefined;

  constructor(connection: Connection, seam: LogSeam | undefined) {
    this.#connection = connection;
    this.seam = seam;
    this.closed = connection.closed;
  }

  /**
   * @returns the next bytes of output; undefined at its end. Who does not read makes the container wait, once the
   * buffers between are full: nothing is dropped.
   */
  read(): Promise<Uint8Array | undefined> {
    return this.#connection.read();
  }

  /** Sends input; resolves when the kernel has taken it, so that a slow container slows its client. */
  write(data: Uint8Array | string): Promise<void> {
    return this.#connection.write(data);
  }

  /** Half-close: end of standard input. Output goes on. */
  end(): void {
    this.#connection.end();
  }

  /** Detaches. */
  close(): void {
    this.#connection.close();
  }
}

/** Reads up to a newline; bytes that came after it stay for the next read. */
async function readLine(connection: Connection): Promise<string | undefined> {
  const parts: Uint8Array[] = [];
  for (;;) {
    const chunk = await connection.read();
    if (chunk === undefined) return undefined;
    const newline = chunk.indexOf(10);
    if (newline < 0) {
      parts.push(chunk);
      continue;
    }
    parts.push(chunk.subarray(0, newline));
    connection.unread(chunk.subarray(newline + 1));
    return Buffer.concat(parts).toString();
  }
}

export interface SpawnOptions {
  socketPath: string;
  /** The shim's own log, appended to. */
  logPath: string;
  logLevel?: LogLevel;
}

/**
 * Starts a shim in a session of its own and connects to it. It is spare: without a container it ends when its
 * last connection does.
 * @throws EngineError unavailable with the reason when it does not come up.
 */
export async function spawnShim(options: SpawnOptions): Promise<ShimClient> {
  checkSocketPath(options.socketPath);
  mkdirSync(dirname(options.socketPath), { recursive: true, mode: 0o700 });
  const logFile = openLog("shims", options.logPath);
  try {
    const level = options.logLevel === undefined ? [] : ["--log-level", options.logLevel];
    const words = selfCommand("shim", "--socket", options.socketPath, ...level);
    const { child, listens } = await startServer(words, logFile);
    if (!listens) throw await serverFailure("shim", child, options.logPath);
    return await ShimClient.connect(options.socketPath);
  } finally {
    closeSync(logFile);
  }
}
