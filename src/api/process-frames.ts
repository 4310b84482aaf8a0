/** A process on the fast path: its streams, its end and what its client sends, as frames (src/api/schema/run-protocol.ts). */
import { EngineError, errorMessage } from "../core/errors.ts";
import { log } from "../core/log.ts";
import type { TerminalSize } from "./backend/containers.ts";
import type { AttachStream } from "./backend/stream.ts";
import { errorBody, invalid, logFailure } from "./errors.ts";
import { hijack } from "./hijack.ts";
import { attachment } from "./pump.ts";
import {
  encodeFrame,
  FrameReader,
  type FrameType,
  frameType,
  type RunExit,
  runProtocol,
} from "./schema/run-protocol.ts";
import { type ApiContext, type Connection, requestName } from "./transport.ts";

/** A process that has been started. */
export interface ProcessSession {
  /** For the log. */
  id: string;
  stream?: AttachStream;
  exited: Promise<RunExit>;
  signal(name: string): Promise<void>;
  resize(size: TerminalSize): Promise<void>;
}

export interface Serving {
  connection: Connection;
  /** Ends the attachment and the waiting: the client has left. */
  controller: AbortController;
}

/** @throws EngineError for a request that asks for no upgrade: to be called before the body is read. */
export function requireUpgrade(c: ApiContext): void {
  if (!c.env.upgrade) throw invalid(`POST ${c.req.path}: send Connection: Upgrade and Upgrade: ${runProtocol}`);
}

/** Takes the connection over. What `serve` throws is sent as the last frame. */
export function serveFrames(c: ApiContext, serve: (serving: Serving) => Promise<void>): Response {
  const controller = attachment(c.req.raw.signal);
  return hijack(c, { contentType: "application/vnd.tsd.run-stream", protocol: runProtocol }, async (connection) => {
    try {
      await serve({ connection, controller });
    } catch (error) {
      logFailure(error, requestName(c));
      await connection.write(jsonFrame(frameType.error, errorBody(error)));
    } finally {
      controller.abort();
    }
  });
}

/** From `started` to `exit`, or to the client's leaving. @param detach nobody follows it: the answer ends here. */
export async function serveProcess(serving: Serving, session: ProcessSession, detach: boolean): Promise<void> {
  const { connection, controller } = serving;
  // Awaited below, unless the client leaves first: then a failure must not become an unhandled rejection.
  const { stream, exited } = session;
  exited.catch(() => undefined);
  await connection.write(encodeFrame(frameType.started));
  if (detach) {
    controller.abort(detached());
    await connection.write(jsonFrame(frameType.exit, { StatusCode: 0, detached: true } satisfies RunExit));
    return;
  }
  const left = receive(serving, session);
  if (stream && !(await sendOutput(connection, stream, controller.signal))) return;
  const exit = await Promise.race([left, exited]);
  if (exit) await connection.write(jsonFrame(frameType.exit, exit satisfies RunExit));
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
    log("error", "the output broke off", { error: errorMessage(error) });
  }
  if (!frames.idle && !signal.aborted) log("error", "the output ends within a frame");
  return frames.idle;
}

/**
 * Handles what the client sends until it leaves, which ends the attachment. A container goes on; an exec only when the
 * client has detached from it.
 * @returns the answer to a client that detaches, nothing for one that is gone.
 */
async function receive({ connection, controller }: Serving, session: ProcessSession): Promise<RunExit | undefined> {
  const frames: [type: number, payload: Uint8Array][] = [];
  const reader = new FrameReader((type, payload) => frames.push([type, payload]));
  try {
    for await (const chunk of connection.input) {
      reader.push(chunk);
      for (let frame = frames.shift(); frame; frame = frames.shift()) {
        if (frame[0] === frameType.detach) {
          controller.abort(detached());
          return { StatusCode: 0, detached: true };
        }
        await handleFrame(frame[0], frame[1], session);
      }
    }
  } catch (error) {
    log("warn", "bad input from the client", { process: session.id, error: errorMessage(error) });
  } finally {
    controller.abort(new EngineError("cancelled", "the client left"));
  }
  return undefined;
}

function detached(): EngineError {
  return new EngineError("cancelled", "the client detached", { stage: "detach" });
}

async function handleFrame(
  type: number,
  payload: Uint8Array,
  { id, stream, signal, resize }: ProcessSession,
): Promise<void> {
  if (type === frameType.stdin) await stream?.input?.write(payload);
  else if (type === frameType.endOfStdin) {
    if (!stream?.terminal) await stream?.input?.end();
  } else if (type === frameType.resize || type === frameType.signal) {
    const text = Buffer.from(payload).toString();
    try {
      if (type === frameType.signal) await signal(text);
      else await resize(readSize(text));
    } catch (error) {
      // Too early, too late or unknown: the docker client, too, goes on after a resize or a signal that failed.
      log("debug", "signal or resize failed", { process: id, error: errorMessage(error) });
    }
  } else throw invalid(`stream frame of unknown type ${type}`);
}

function readSize(text: string): { rows: number; columns: number } {
  const { h, w } = JSON.parse(text) as { h?: unknown; w?: unknown };
  if (!Number.isInteger(h) || !Number.isInteger(w)) throw invalid(`resize: ${text} is no {h, w}`);
  return { rows: h as number, columns: w as number };
}

export function jsonFrame(type: FrameType, value: object): Uint8Array {
  return encodeFrame(type, JSON.stringify(value));
}
