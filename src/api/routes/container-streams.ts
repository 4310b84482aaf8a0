import type { Hono } from "hono";
import { defaultDetachKeys, parseDetachKeys } from "../../core/detach-keys.ts";
import { errorMessage } from "../../core/errors.ts";
import type { ContainerBackend, LogOptions, LogStream } from "../backend/containers.ts";
import { invalid, logFailure } from "../errors.ts";
import { hijack, hijackWebSocket } from "../hijack.ts";
import { streamType } from "../media-types.ts";
import { attachment, pump } from "../pump.ts";
import { queryFlag, queryInstant } from "../query.ts";
import { encodeFrame, frameType } from "../schema/run-protocol.ts";
import { streamed } from "../streams.ts";
import { type ApiContext, type ApiEnv, requestName } from "../transport.ts";
import { websocketHead } from "../websocket/handshake.ts";

export function containerStreamRoutes(app: Hono<ApiEnv>, containers: ContainerBackend): void {
  app.post("/containers/:id/attach", (c) => attach(c, c.req.param("id"), containers));
  app.get("/containers/:id/attach/ws", (c) => attachWebSocket(c, c.req.param("id"), containers));
  app.get("/containers/:id/logs", (c) => logs(c, c.req.param("id"), containers));
}

async function attach(c: ApiContext, id: string, containers: ContainerBackend): Promise<Response> {
  const detachKeys = parseDetachKeys(c.req.query("detachKeys") || defaultDetachKeys);
  const controller = attachment(c.req.raw.signal);
  const options = {
    stdin: queryFlag(c, "stdin"),
    stdout: queryFlag(c, "stdout"),
    stderr: queryFlag(c, "stderr"),
    logs: queryFlag(c, "logs"),
    stream: queryFlag(c, "stream"),
  };
  const stream = await containers.attach(id, options, controller.signal);
  return hijack(c, { contentType: streamType(stream.terminal, c.get("api")) }, (connection) =>
    pump(connection, stream, controller, detachKeys),
  );
}

/** Docker's `websocket` attach: never multiplexed, whichever streams are asked for. */
async function attachWebSocket(c: ApiContext, id: string, containers: ContainerBackend): Promise<Response> {
  const api = c.get("api");
  const head = websocketHead(c);
  const detachKeys = parseDetachKeys(c.req.query("detachKeys") || defaultDetachKeys);
  const controller = attachment(c.req.raw.signal);
  // Before 1.42 the three were not looked at.
  const stream = await containers.attach(
    id,
    {
      stdin: api < 42 || queryFlag(c, "stdin"),
      stdout: api < 42 || queryFlag(c, "stdout"),
      stderr: api < 42 || queryFlag(c, "stderr"),
      logs: queryFlag(c, "logs"),
      stream: queryFlag(c, "stream"),
    },
    controller.signal,
  );
  return hijackWebSocket(c, head, { text: api < 28, multiplexed: !stream.terminal }, (connection) =>
    pump(connection, stream, controller, detachKeys),
  );
}

async function logs(c: ApiContext, id: string, containers: ContainerBackend): Promise<Response> {
  const options: LogOptions = {
    stdout: queryFlag(c, "stdout"),
    stderr: queryFlag(c, "stderr"),
    follow: queryFlag(c, "follow"),
    timestamps: queryFlag(c, "timestamps"),
    details: queryFlag(c, "details"),
  };
  if (!options.stdout && !options.stderr) throw invalid("Bad parameters: you must choose at least one stream");
  const sinceNano = queryInstant(c, "since");
  const untilNano = queryInstant(c, "until");
  const tail = c.req.query("tail");
  if (sinceNano !== undefined) options.sinceNano = sinceNano;
  if (untilNano !== undefined) options.untilNano = untilNano;
  // As Docker: "all", and whatever else is no number, is everything.
  if (tail !== undefined && /^\d+$/.test(tail)) options.tail = Number(tail);
  const stream = await containers.logs(id, options, c.req.raw.signal);
  return streamed(c, streamType(stream.terminal, c.get("api")), logChunks(c, stream));
}

async function* logChunks(c: ApiContext, stream: LogStream): AsyncGenerator<Uint8Array> {
  try {
    yield* stream.output;
  } catch (error) {
    if (c.req.raw.signal.aborted) return;
    logFailure(error, requestName(c));
    const message = `Error grabbing logs: ${errorMessage(error)}\n`;
    yield stream.terminal ? Buffer.from(message) : encodeFrame(frameType.stderr, message);
  }
}
