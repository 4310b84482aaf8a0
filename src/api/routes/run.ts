/** The fast path: src/api/schema/run-protocol.ts says what goes over the wire. */
import type { Hono } from "hono";
import { EngineError, errorMessage } from "../../core/errors.ts";
import { log } from "../../core/log.ts";
import type { Backends } from "../backend/backends.ts";
import type { ContainerBackend, RunSession } from "../backend/containers.ts";
import type { ImageBackend, ImagePullOptions } from "../backend/images.ts";
import type { AttachStream } from "../backend/stream.ts";
import { readJsonBody } from "../body.ts";
import { errorBody, invalid, logFailure } from "../errors.ts";
import { hijack } from "../hijack.ts";
import { parsePlatform } from "../platform.ts";
import { attachment } from "../pump.ts";
import { readRegistryAuth } from "../registry-auth.ts";
import type { AuthConfig } from "../schema/image.ts";
import {
  encodeFrame,
  FrameReader,
  type FrameType,
  frameType,
  type RunExit,
  type RunRequest,
  runProtocol,
} from "../schema/run-protocol.ts";
import { readRunRequest } from "../schema/run-request.ts";
import { type ApiEnv, type Connection, requestName } from "../transport.ts";
import { createRequestOf } from "../versions/create.ts";

interface Run {
  request: RunRequest;
  auth: AuthConfig | undefined;
  connection: Connection;
  /** Ends the attachment and the waiting: the client has left. */
  controller: AbortController;
}

export function runRoutes(app: Hono<ApiEnv>, { containers, images }: Pick<Backends, "containers" | "images">): void {
  app.post("/tsd/run", async (c) => {
    if (!c.env.upgrade) throw invalid(`POST /tsd/run: send Connection: Upgrade and Upgrade: ${runProtocol}`);
    const request = readRunRequest(await readJsonBody(c));
    if (request.platform) parsePlatform(request.platform);
    if (request.name) request.name = request.name.replace(/^\//, "");
    request.create = createRequestOf(request.create, c.get("api"));
    const auth = readRegistryAuth(c, request.create.Image);
    const controller = attachment(c.req.raw.signal);
    const contentType = "application/vnd.tsd.run-stream";
    return hijack(c, { contentType, protocol: runProtocol }, async (connection) => {
      try {
        await run({ request, auth, connection, controller }, containers, images);
      } catch (error) {
        logFailure(error, requestName(c));
        await connection.write(jsonFrame(frameType.error, errorBody(error)));
      } finally {
        controller.abort();
      }
    });
  });
}

async function run(run: Run, containers: ContainerBackend, images: ImageBackend): Promise<void> {
  const { request, connection, controller } = run;
  await pull(run, images);
  const session = await containers.run(
    request,
    (created) => void connection.write(jsonFrame(frameType.created, created)),
    controller.signal,
  );
  // Awaited below, unless the client leaves first: then a failure must not become an unhandled rejection.
  const { stream, exited } = session;
  exited.catch(() => undefined);
  await connection.write(encodeFrame(frameType.started));
  if (request.detach) {
    await connection.write(jsonFrame(frameType.exit, { StatusCode: 0, detached: true } satisfies RunExit));
    return;
  }
  const left = receive(run, session, containers);
  if (stream && !(await sendOutput(connection, stream, controller.signal))) return;
  const exit = await Promise.race([left, exited]);
  if (exit) await connection.write(jsonFrame(frameType.exit, exit satisfies RunExit));
}

async function pull({ request, auth, connection, controller }: Run, images: ImageBackend): Promise<void> {
  const reference = request.create.Image ?? "";
  if (request.pull === "never" || reference === "") return;
  if (request.pull === "missing" && (await images.exists(reference, request.platform))) return;
  const options: ImagePullOptions = {
    ...(request.platform && { platform: request.platform }),
    ...(auth && { auth }),
  };
  for await (const message of images.pull(reference, options, controller.signal)) {
    await connection.write(jsonFrame(frameType.progress, message));
  }
}

/** @returns false when no frame can follow: the output broke off within one. */
async function sendOutput(connection: Connection, stream: AttachStream, signal: AbortSignal): Promise<boolean> {
  const frames = new FrameReader(
    () => undefined,
    () => true,
  );
  try {
    for await (const chunk of stream.output) {
      if (!stream.terminal) frames.push(chunk);
      const written = connection.write(stream.terminal ? encodeFrame(frameType.raw, chunk) : chunk);
      if (written) await written;
      if (signal.aborted) break;
    }
  } catch (error) {
    if (frames.idle) throw error;
    log("error", "run: the output broke off", { error: errorMessage(error) });
  }
  if (!frames.idle && !signal.aborted) log("error", "run: the output ends within a frame");
  return frames.idle;
}

/**
 * Handles what the client sends until it leaves, which ends the attachment; the container goes on.
 * @returns the answer to a client that detaches, nothing for one that is gone.
 */
async function receive(
  { connection, controller }: Run,
  session: RunSession,
  containers: ContainerBackend,
): Promise<RunExit | undefined> {
  const frames: [type: number, payload: Uint8Array][] = [];
  const reader = new FrameReader((type, payload) => frames.push([type, payload]));
  try {
    for await (const chunk of connection.input) {
      reader.push(chunk);
      for (let frame = frames.shift(); frame; frame = frames.shift()) {
        if (frame[0] === frameType.detach) return { StatusCode: 0, detached: true };
        await handleFrame(frame[0], frame[1], session, containers);
      }
    }
  } catch (error) {
    log("warn", "run: bad input from the client", { container: session.id, error: errorMessage(error) });
  } finally {
    controller.abort(new EngineError("cancelled", "the client left", { stage: "detach" }));
  }
  return undefined;
}

async function handleFrame(
  type: number,
  payload: Uint8Array,
  { id, stream }: RunSession,
  containers: ContainerBackend,
): Promise<void> {
  if (type === frameType.stdin) await stream?.input?.write(payload);
  else if (type === frameType.endOfStdin) {
    if (!stream?.terminal) await stream?.input?.end();
  } else if (type === frameType.resize || type === frameType.signal) {
    const text = Buffer.from(payload).toString();
    try {
      if (type === frameType.signal) await containers.kill(id, text);
      else await containers.resize(id, readSize(text));
    } catch (error) {
      // Too early, too late or unknown: the docker client, too, goes on after a resize or a signal that failed.
      log("debug", "run: signal or resize failed", { container: id, error: errorMessage(error) });
    }
  } else throw invalid(`stream frame of unknown type ${type}`);
}

function readSize(text: string): { rows: number; columns: number } {
  const { h, w } = JSON.parse(text) as { h?: unknown; w?: unknown };
  if (!Number.isInteger(h) || !Number.isInteger(w)) throw invalid(`resize: ${text} is no {h, w}`);
  return { rows: h as number, columns: w as number };
}

function jsonFrame(type: FrameType, value: object): Uint8Array {
  return encodeFrame(type, JSON.stringify(value));
}
