/** Serves the API on a socket with node:http, which alone in Bun hands out a connection that is to be taken over. */
import { createServer, type IncomingMessage, type Server, STATUS_CODES } from "node:http";
import type { Duplex } from "node:stream";
import { getRequestListener } from "@hono/node-server";
import { EngineError, errorMessage, wrapError } from "../core/errors.ts";
import type { ClientInitiator } from "../core/initiator.ts";
import { log } from "../core/log.ts";
import type { ApiApp } from "./app.ts";
import { SocketConnection } from "./connection.ts";

/** X-Registry-Config holds the credentials of all registries. */
const headerBytesMax = 1 << 20;
/** An upgraded request's body is small JSON (exec start, run); it is held in memory. */
const upgradeBodyBytesMax = 16 << 20;

export interface ListenAddress {
  /**
   * Of a Unix socket. There is no `fd` for a socket that a service manager hands over: node:http in Bun 1.4.5 takes it
   * without an error, and listens elsewhere.
   */
  path: string;
}

export interface ApiServer {
  /** Stops listening and cuts every connection, hijacked ones too; their containers go on. */
  close(): Promise<void>;
}

/** Who has connected just now; it is asked once for each connection, before the next one is accepted. */
export type IdentifyClient = () => ClientInitiator | undefined;

/**
 * Listens and serves. The caller has made sure that `path` is free, and sets its mode and owner.
 * @param identifyOf is called once it listens.
 * @throws EngineError unavailable when the address cannot be listened on.
 */
export async function listen(
  app: ApiApp,
  address: ListenAddress,
  identifyOf?: () => IdentifyClient,
): Promise<ApiServer> {
  const clients = new WeakMap<Duplex, ClientInitiator>();
  const upgraded = new Set<SocketConnection>();
  const server = createServer({ maxHeaderSize: headerBytesMax });
  // Attach, logs, events and wait are silent for days.
  server.timeout = 0;
  server.requestTimeout = 0;
  server.headersTimeout = 0;
  server.keepAliveTimeout = 0;
  // The adapter's own Request and Response stay its own: the daemon's other parts use the real ones.
  const serve = getRequestListener(
    (request, { incoming, outgoing }) => {
      const client = clients.get(incoming.socket);
      return app.fetch(request, { abort: () => outgoing.destroy(), ...(client && { client }) });
    },
    { overrideGlobalObjects: false, hostname: "tsd" },
  );
  server.on("request", (incoming, outgoing) => {
    ignoreHost(incoming);
    serve(incoming, outgoing).catch((error: unknown) => {
      log("error", "request failed", { request: `${incoming.method} ${incoming.url}`, error: errorMessage(error) });
      outgoing.destroy();
    });
  });
  server.on("upgrade", (incoming: IncomingMessage, socket: Duplex, head: Buffer) => {
    // At once, so that no byte that follows the head is lost.
    const connection = new SocketConnection(socket, head);
    upgraded.add(connection);
    connection.signal.addEventListener("abort", () => upgraded.delete(connection), { once: true });
    serveUpgrade(app, { incoming, connection, client: clients.get(socket) }).catch((error: unknown) => {
      log("error", "request failed", { request: `${incoming.method} ${incoming.url}`, error: errorMessage(error) });
      connection.destroy();
    });
  });
  server.on("clientError", (error, socket) => {
    log("debug", "bad request", { error: error.message });
    if (socket.writable) socket.end("HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
    else socket.destroy();
  });
  await listening(server, address);
  const identify = identifyOf?.();
  server.on("connection", (socket: Duplex) => {
    const client = identify?.();
    if (client !== undefined) clients.set(socket, client);
  });
  return {
    async close() {
      for (const connection of upgraded) connection.destroy();
      server.closeAllConnections();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}

function listening(server: Server, address: ListenAddress): Promise<void> {
  return new Promise((resolve, reject) => {
    const failed = (error: Error) => {
      const message = `listen on ${address.path}: ${error.message}`;
      reject(new EngineError("unavailable", message, { stage: "listen", path: address.path, cause: error }));
    };
    server.once("error", failed);
    server.listen(address.path, () => {
      server.off("error", failed);
      server.on("error", (error) => log("error", "listening socket failed", { error: error.message }));
      resolve();
    });
  });
}

/** Clients on a Unix socket send any host: the socket's path, percent-encoded, or nothing. */
function ignoreHost(incoming: IncomingMessage): void {
  incoming.headers.host = "tsd";
}

interface UpgradeRequest {
  incoming: IncomingMessage;
  connection: SocketConnection;
  client: ClientInitiator | undefined;
}

async function serveUpgrade(app: ApiApp, { incoming, connection, client }: UpgradeRequest): Promise<void> {
  let hijacked = false;
  const body = await readBody(incoming);
  const request = new Request(`http://tsd${incoming.url}`, {
    method: incoming.method ?? "GET",
    headers: Object.entries(incoming.headers).flatMap(([name, value]): [string, string][] =>
      value === undefined ? [] : [[name, Array.isArray(value) ? value.join(", ") : value]],
    ),
    signal: connection.signal,
    ...(body.byteLength > 0 && { body }),
  });
  const response = await app.fetch(request, {
    abort: () => connection.destroy(),
    ...(client && { client }),
    upgrade: (head) => {
      hijacked = true;
      connection.write(head);
      return connection;
    },
  });
  if (!hijacked) await answer(connection, response);
}

async function readBody(incoming: IncomingMessage): Promise<Buffer<ArrayBuffer>> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  // Bun delivers the body of an upgraded request here, and the raw bytes that follow it on the socket; without a body
  // (and only then) those that came in the same packet are the event's `head`.
  for await (const chunk of incoming) {
    bytes += (chunk as Buffer).byteLength;
    if (bytes > upgradeBodyBytesMax) throw new EngineError("invalid_argument", "request body too long");
    chunks.push(chunk as Buffer);
  }
  return Buffer.concat(chunks);
}

/** A request that asked for an upgrade and got none (an error, or a route without) is answered as if it had not asked. */
async function answer(connection: SocketConnection, response: Response): Promise<void> {
  let head = `HTTP/1.1 ${response.status} ${STATUS_CODES[response.status] ?? "Unknown"}\r\nConnection: close\r\n`;
  for (const [name, value] of response.headers) {
    if (name !== "transfer-encoding" && name !== "connection") head += `${name}: ${value}\r\n`;
  }
  connection.write(`${head}\r\n`);
  try {
    for await (const chunk of response.body ?? []) await connection.write(chunk as Uint8Array);
  } catch (error) {
    throw wrapError(error, "answer without upgrade");
  }
  connection.end();
}
