import { EngineError, isEngineError } from "../core/errors.ts";
import { authorityOf, connectionError, type DaemonAddress } from "./host.ts";
import { connectErrno, daemonError, type Query, refusalBytesMax, requestTarget, tlsOptions } from "./http.ts";

/**
 * A connection that an HTTP request has turned into a stream of bytes in both directions (`Upgrade: tcp`), as
 * attach, exec and run need it.
 */
export interface HijackedConnection {
  /** The headers of the answer, lower case. */
  readonly headers: Map<string, string>;
  /** Resolves when the socket has taken the bytes, so that a slow daemon slows the writer down. */
  write(data: Uint8Array): Promise<void>;
  /** Ends our half; what the daemon still sends arrives. */
  end(): void;
  close(): void;
  /** No more is read after what has arrived, until `resume`: so a slow reader slows the daemon down. */
  pause(): void;
  resume(): void;
  /** Calls back with every piece until the daemon has ended its half. The buffer is only valid during the call. */
  read(onData: (chunk: Uint8Array) => void): Promise<void>;
}

const headEnd = Buffer.from("\r\n\r\n");
const headBytesMax = 1 << 16;

/** @throws EngineError with the daemon's refusal, or unavailable when it does not answer. */
export async function hijack(
  address: DaemonAddress,
  path: string,
  options: { query?: Query; body?: unknown; upgrade?: string; accept?: string; headers?: Record<string, string> },
): Promise<HijackedConnection> {
  const connection = await connect(address);
  const body = options.body === undefined ? "" : JSON.stringify(options.body);
  const head = [
    `POST ${requestTarget(path, options.query)} HTTP/1.1`,
    `Host: ${address.socket === undefined ? authorityOf(address) : "tsd"}`,
    "Connection: Upgrade",
    `Upgrade: ${options.upgrade ?? "tcp"}`,
    ...(options.accept ? [`Accept: ${options.accept}`] : []),
    ...Object.entries(options.headers ?? {}).map(([name, value]) => `${name}: ${value}`),
    "Content-Type: application/json",
    `Content-Length: ${Buffer.byteLength(body)}`,
  ];
  try {
    await connection.write(Buffer.from(`${head.join("\r\n")}\r\n\r\n${body}`));
    const { status, headers } = await connection.readHead();
    if (status !== 101 && status !== 200) throw daemonError(status, await connection.readBody(headers));
    return Object.assign(connection, { headers });
  } catch (error) {
    connection.close();
    throw isEngineError(error) ? error : connectionError(address, await connectErrno(error, address), error);
  }
}

/**
 * A connection on which nothing was said yet.
 * @throws EngineError unavailable when nobody answers, or somebody else than TLS was to show.
 */
export function dial(address: DaemonAddress): Promise<Omit<HijackedConnection, "headers">> {
  return connect(address);
}

async function connect(address: DaemonAddress): Promise<Connection> {
  const connection = new Connection();
  const options = { socket: connection.handlers, allowHalfOpen: true };
  try {
    if (address.socket !== undefined) await Bun.connect({ ...options, unix: address.socket });
    else {
      const { hostname, port, tls } = address;
      await Bun.connect({ ...options, hostname, port, ...(tls && { tls: tlsOptions(tls) }) });
      if (tls) await connection.handshake(tls.verify);
    }
  } catch (error) {
    connection.close();
    throw connectionError(address, await connectErrno(error, address), error);
  }
  return connection;
}

class Connection {
  #socket: Bun.Socket<undefined> | undefined;
  /** What arrived before anybody read. */
  #pending: Buffer[] = [];
  #onData: ((chunk: Uint8Array) => void) | undefined;
  #arrived = Promise.withResolvers<void>();
  #ended = Promise.withResolvers<void>();
  #isEnded = false;
  #unwritten: Uint8Array = new Uint8Array(0);
  #drained: PromiseWithResolvers<void> | undefined;
  #greeted = Promise.withResolvers<Error | null>();
  #failure: Error | undefined;

  constructor() {
    // Whoever reads or waits for an answer is told; nobody else has to know.
    this.#ended.promise.catch(() => undefined);
  }

  readonly handlers: Bun.SocketHandler<undefined> = {
    open: (socket) => {
      this.#socket = socket;
    },
    data: (_socket, chunk) => {
      if (this.#onData) {
        this.#deliver(chunk);
        return;
      }
      this.#pending.push(Buffer.from(chunk));
      this.#arrived.resolve();
    },
    drain: () => this.#flush(),
    handshake: (_socket, _success, error) => this.#greeted.resolve(error),
    end: () => this.#finish(),
    close: () => this.#finish(),
    error: (_socket, error) => this.#finish(error),
  };

  #deliver(chunk: Uint8Array): void {
    try {
      this.#onData!(chunk);
    } catch (error) {
      this.#ended.reject(error);
      this.close();
    }
  }

  #finish(error?: Error): void {
    if (this.#isEnded) return;
    this.#isEnded = true;
    this.#greeted.resolve(error ?? Object.assign(new Error("the connection was closed"), { code: "EPROTO" }));
    this.#arrived.resolve();
    // A reader that has gone is told by its reads ending; a writer must not wait for ever.
    this.#drained?.resolve();
    if (error && (error as { code?: string }).code !== "ECONNRESET") {
      this.#failure = error;
      this.#ended.reject(error);
    } else this.#ended.resolve();
  }

  /** Before it, nothing may be sent: the other side is not known. @throws what TLS says of its certificate. */
  async handshake(verify: boolean): Promise<void> {
    const error = await this.#greeted.promise;
    if (error && (verify || this.#isEnded)) throw error;
  }

  async write(data: Uint8Array): Promise<void> {
    while (this.#drained && !this.#isEnded) await this.#drained.promise;
    if (this.#isEnded || data.byteLength === 0) return;
    const written = this.#socket!.write(data);
    if (written < 0 || written >= data.byteLength) return;
    // The caller may reuse its buffer.
    this.#unwritten = Uint8Array.from(data.subarray(written));
    this.#drained = Promise.withResolvers();
    await this.#drained.promise;
  }

  #flush(): void {
    if (!this.#drained) return;
    const written = Math.max(0, this.#socket!.write(this.#unwritten));
    this.#unwritten = this.#unwritten.subarray(written);
    if (this.#unwritten.byteLength > 0) return;
    const drained = this.#drained;
    this.#drained = undefined;
    drained.resolve();
  }

  end(): void {
    this.#socket?.shutdown();
  }

  close(): void {
    this.#socket?.terminate();
  }

  pause(): void {
    this.#socket?.pause();
  }

  resume(): void {
    if (!this.#isEnded) this.#socket?.resume();
  }

  async read(onData: (chunk: Uint8Array) => void): Promise<void> {
    this.#onData = onData;
    for (const chunk of this.#pending.splice(0)) this.#deliver(chunk);
    await this.#ended.promise;
  }

  async readHead(): Promise<{ status: number; headers: Map<string, string> }> {
    for (;;) {
      const buffer = Buffer.concat(this.#pending);
      const end = buffer.indexOf(headEnd);
      if (end !== -1) {
        this.#pending = end + headEnd.length < buffer.length ? [buffer.subarray(end + headEnd.length)] : [];
        return parseHead(buffer.subarray(0, end).toString("latin1"));
      }
      if (this.#isEnded || buffer.length > headBytesMax) {
        if (this.#failure) throw this.#failure;
        throw new EngineError("unavailable", "the daemon closed the connection without an answer");
      }
      this.#pending = [buffer];
      this.#arrived = Promise.withResolvers();
      await this.#arrived.promise;
    }
  }

  /** The body of a refusal: as long as Content-Length says, to the last chunk, or until the end. */
  async readBody(headers: Map<string, string>): Promise<string> {
    const isChunked = headers.get("transfer-encoding")?.toLowerCase() === "chunked";
    const length = Number(headers.get("content-length") ?? Number.POSITIVE_INFINITY);
    for (;;) {
      const body = Buffer.concat(this.#pending);
      const isComplete = isChunked ? hasLastChunk(body) : body.length >= length;
      if (isComplete || this.#isEnded || body.length > refusalBytesMax) {
        this.close();
        const text = body.subarray(0, refusalBytesMax).toString();
        return isChunked ? dechunk(text) : text;
      }
      this.#pending = [body];
      this.#arrived = Promise.withResolvers();
      await this.#arrived.promise;
    }
  }
}

const lastChunk = Buffer.from("0\r\n\r\n");

function hasLastChunk(body: Buffer): boolean {
  return body.indexOf(lastChunk) === 0 || body.includes(`\r\n${lastChunk}`);
}

/** An error's body may come in chunks (RFC 9112, section 7.1) although it is short. */
function dechunk(text: string): string {
  return text.replace(/(^|\r\n)[0-9a-f]+\r\n/gi, "").trimEnd();
}

function parseHead(head: string): { status: number; headers: Map<string, string> } {
  const [statusLine = "", ...lines] = head.split("\r\n");
  const status = /^HTTP\/1\.[01] (\d{3})/.exec(statusLine)?.[1];
  if (status === undefined) {
    throw new EngineError("unavailable", `the daemon's answer is no HTTP: ${JSON.stringify(statusLine.slice(0, 80))}`);
  }
  const headers = lines.map((line): [string, string] => {
    const colon = line.indexOf(":");
    return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()];
  });
  return { status: Number(status), headers: new Map(headers) };
}
