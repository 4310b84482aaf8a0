/** Connections taken over by a route, with an upgrade as all of today's clients ask for it, or without. */
import { EngineError, errorMessage } from "../core/errors.ts";
import { log } from "../core/log.ts";
import { type ApiContext, type Connection, requestName } from "./transport.ts";
import { WebSocketConnection, type WebSocketOptions } from "./websocket/connection.ts";

/**
 * Answers `101 UPGRADED` and serves raw bytes; without an upgrade, 200 and the same bytes as the body, and what the
 * request's own body holds as input. Call it last: an error before it is an ordinary HTTP answer, an error of `serve`
 * can only be logged and cuts the connection.
 */
export function hijack(
  c: ApiContext,
  head: { contentType: string; protocol?: string },
  serve: (connection: Connection) => Promise<void>,
): Response {
  if (c.env.upgrade === undefined) {
    const { connection, body } = bodyConnection(c.req.raw);
    void guarded(c, connection, serve);
    // As Docker, whose stream ends with its connection: a client that leaves its own side open has an end as well.
    const headers = { "content-type": head.contentType, "transfer-encoding": "chunked", connection: "close" };
    return c.body(body, 200, headers);
  }
  const upgraded =
    "HTTP/1.1 101 UPGRADED\r\n" +
    `Content-Type: ${head.contentType}\r\n` +
    `Connection: Upgrade\r\nUpgrade: ${head.protocol ?? "tcp"}\r\n\r\n`;
  void guarded(c, c.env.upgrade(upgraded), serve);
  return takenOver(c);
}

/** As `hijack`, with messages of a WebSocket both ways. @param head as `websocketHead` has made it. */
export function hijackWebSocket(
  c: ApiContext,
  head: string,
  options: WebSocketOptions,
  serve: (connection: Connection) => Promise<void>,
): Response {
  const { upgrade } = c.env;
  // The server sees an upgrade in the same headers from which the head was made.
  if (upgrade === undefined) throw new EngineError("internal", "a WebSocket's handshake without an upgrade");
  void guarded(c, new WebSocketConnection(upgrade(head), options), serve);
  return takenOver(c);
}

async function guarded(
  c: ApiContext,
  connection: Connection,
  serve: (connection: Connection) => Promise<void>,
): Promise<void> {
  try {
    await serve(connection);
  } catch (error) {
    if (connection.signal.aborted) return;
    log("error", "stream failed", { request: requestName(c), error: errorMessage(error) });
    c.env.abort();
    return;
  }
  connection.end();
}

/** Nobody reads this one: the server knows that the connection was taken over. */
function takenOver(c: ApiContext): Response {
  return c.body(null);
}

function bodyConnection(request: Request): { connection: Connection; body: ReadableStream<Uint8Array> } {
  let controller: ReadableStreamDefaultController<Uint8Array>;
  let drained: (() => void) | undefined;
  const gone = new AbortController();
  const finish = () => {
    gone.abort();
    drained?.();
  };
  const body = new ReadableStream<Uint8Array>(
    {
      start(given) {
        controller = given;
      },
      pull: () => drained?.(),
      cancel: finish,
    },
    { highWaterMark: 1 },
  );
  request.signal.addEventListener("abort", finish, { once: true });
  const connection: Connection = {
    input: (hasBody(request) && !request.bodyUsed ? request.body : null) ?? silence(gone.signal),
    signal: gone.signal,
    halfCloses: true,
    write(chunk) {
      if (gone.signal.aborted) return undefined;
      controller.enqueue(typeof chunk === "string" ? Buffer.from(chunk) : chunk);
      if ((controller.desiredSize ?? 0) > 0) return undefined;
      return new Promise((resolve) => {
        drained = resolve;
      });
    },
    end() {
      if (gone.signal.aborted) return;
      controller.close();
      gone.abort();
    },
  };
  return { connection, body };
}

/** Of a client that has sent its whole request and can send no more, and has not left either. */
function silence(gone: AbortSignal): ReadableStream<Uint8Array> {
  return new ReadableStream({
    start: (controller) => gone.addEventListener("abort", () => controller.close(), { once: true }),
  });
}

/** RFC 9112 section 6.3: a request without either header has no body. */
function hasBody(request: Request): boolean {
  return request.headers.has("transfer-encoding") || Number(request.headers.get("content-length") ?? 0) > 0;
}
