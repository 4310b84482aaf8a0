import { connect, createServer, type Server, type Socket } from "node:net";

/** A request that changes something, with its JSON read. */
export interface RecordedRequest {
  method: string;
  /** Without the version of the API. */
  path: string;
  query: Record<string, string>;
  body: unknown;
}

/** Stands between clients and a daemon: passes everything on as it comes, and keeps what was asked. */
export class RequestRecorder implements AsyncDisposable {
  readonly socket: string;
  readonly #server: Server;
  readonly #connections = new Set<Socket>();
  #sent: Buffer[][] = [];

  private constructor(socket: string, server: Server) {
    this.socket = socket;
    this.#server = server;
  }

  /** @param socket where clients find it; @param daemon where the daemon is. */
  static async open(socket: string, daemon: string): Promise<RequestRecorder> {
    const server = createServer({ allowHalfOpen: true });
    const recorder = new RequestRecorder(socket, server);
    server.on("connection", (client) => recorder.#pass(client, connect({ path: daemon, allowHalfOpen: true })));
    await new Promise<void>((resolve) => server.listen(socket, resolve));
    return recorder;
  }

  /** What was asked since it was asked last, in the order of the connections; without what only looks. */
  take(): RecordedRequest[] {
    const sent = this.#sent;
    this.#sent = [];
    return sent.flatMap((chunks) => requestsOf(Buffer.concat(chunks))).filter(({ method }) => !isLook(method));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const connection of this.#connections) connection.destroy();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }

  #pass(client: Socket, daemon: Socket): void {
    const chunks: Buffer[] = [];
    this.#sent.push(chunks);
    client.on("data", (chunk: Buffer) => chunks.push(chunk));
    client.pipe(daemon);
    daemon.pipe(client);
    for (const [one, other] of [
      [client, daemon],
      [daemon, client],
    ] as const) {
      this.#connections.add(one);
      one.on("error", () => other.destroy());
      one.on("close", () => {
        this.#connections.delete(one);
        other.end();
      });
    }
  }
}

function isLook(method: string): boolean {
  return method === "GET" || method === "HEAD";
}

/** The requests of one connection, as far as they are HTTP: behind an upgrade are the streams of a container. */
function requestsOf(bytes: Buffer): RecordedRequest[] {
  const requests: RecordedRequest[] = [];
  for (let at = 0; at < bytes.length; ) {
    const end = bytes.indexOf("\r\n\r\n", at);
    if (end < 0) return requests;
    const [line = "", ...headers] = bytes.subarray(at, end).toString().split("\r\n");
    const value = (name: string) =>
      headers
        .find((header) => header.toLowerCase().startsWith(`${name}:`))
        ?.slice(name.length + 1)
        .trim();
    if (value("transfer-encoding") !== undefined) throw new Error(`a body in chunks is not read here: ${line}`);
    const length = Number(value("content-length") ?? 0);
    const body = bytes.subarray(end + 4, end + 4 + length).toString();
    const [method = "", target = ""] = line.split(" ");
    const url = new URL(target, "http://daemon");
    const path = url.pathname.replace(/^\/v\d+\.\d+/, "");
    const query = Object.fromEntries(url.searchParams);
    requests.push({ method, path, query, body: body === "" ? undefined : JSON.parse(body) });
    if (value("upgrade") !== undefined) return requests;
    at = end + 4 + length;
  }
  return requests;
}
