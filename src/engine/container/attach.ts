/** Streams between a container and one client. The daemon carries the bytes and does not look inside. */
import { isEngineError } from "../../core/errors.ts";
import type { LogSeam } from "../../logging/log-position.ts";
import type { EngineContext } from "../context.ts";
import type { ShimPart, ShimStreamPart } from "../parts.ts";
import type { Container } from "./container.ts";
import { containerEvent } from "./event.ts";
import { shimGroup } from "./shim-group.ts";

export interface StreamInput {
  write(chunk: Uint8Array): Promise<void>;
  end(): void;
}

/** What the API calls an AttachStream. */
export interface Stream {
  terminal: boolean;
  output: AsyncIterable<Uint8Array>;
  input?: StreamInput;
  /** Where in the log it begins, when the container writes one. */
  seam?: LogSeam | undefined;
}

export interface StreamSelection {
  stdin: boolean;
  stdout: boolean;
  stderr: boolean;
  /** Tell where in the log the stream begins. */
  seam?: boolean;
}

/**
 * Attaches to a container that runs, or to one that is about to be started: then its shim is there already and no
 * byte of its output is missed. A container that is never started lets its shim go with the last client.
 */
export async function attachContainer(
  context: EngineContext,
  container: Container,
  selection: StreamSelection,
  signal: AbortSignal,
): Promise<Stream> {
  const shim = container.state.status === "running" ? container.runningShim() : await ensureShim(context, container);
  const stdin = selection.stdin && container.definition.config.OpenStdin === true;
  container.attached++;
  try {
    return followStream(context, container, await shim.attach({ ...selection, stdin }), { stdin, signal });
  } finally {
    leave(container, shim);
  }
}

/** A stream of a container's shim as its client has it: counted, and with the events that belong to it. */
export function followStream(
  context: EngineContext,
  container: Container,
  connection: ShimStreamPart,
  { stdin, signal }: { stdin: boolean; signal: AbortSignal },
): Stream {
  const { shim } = container;
  container.attached++;
  void connection.closed.then(() => leave(container, shim));
  containerEvent(context, container, "attach");
  const detached = () => {
    if (isEngineError(signal.reason) && signal.reason.stage === "detach") containerEvent(context, container, "detach");
  };
  return openStream(connection, { terminal: container.terminal, stdin, signal, detached });
}

export interface StreamOptions {
  terminal: boolean;
  stdin: boolean;
  signal: AbortSignal;
  /** The signal was aborted while output was still to come. */
  detached?: () => void;
  /** Waited for at the end of the output: who has read it all may ask how the process ended. */
  ended?: Promise<unknown>;
}

/** A shim's stream as the API wants it; abort of the signal ends it. */
export function openStream(connection: ShimStreamPart, options: StreamOptions): Stream {
  const { terminal, stdin, signal, ended, detached = () => undefined } = options;
  const close = () => connection.close();
  if (signal.aborted) close();
  signal.addEventListener("abort", close, { once: true });
  const output = readOutput(connection, signal, ended, () => {
    signal.removeEventListener("abort", close);
    connection.close();
    if (signal.aborted) detached();
  });
  return { terminal, output, seam: connection.seam, ...(stdin && { input: streamInput(connection) }) };
}

async function* readOutput(
  connection: ShimStreamPart,
  signal: AbortSignal,
  ended: Promise<unknown> | undefined,
  finished: () => void,
): AsyncGenerator<Uint8Array, void, void> {
  try {
    for (;;) {
      const chunk = await connection.read();
      if (signal.aborted) return;
      if (chunk === undefined) {
        await ended;
        return;
      }
      yield chunk;
    }
  } finally {
    finished();
  }
}

function streamInput(connection: ShimStreamPart): StreamInput {
  return {
    async write(chunk) {
      try {
        await connection.write(chunk);
      } catch (error) {
        // The process is gone: what it would have read is lost with it, as in a pipe to a program that has ended.
        if (!isEngineError(error, "unavailable")) throw error;
      }
    },
    end: () => connection.end(),
  };
}

/** The shim of a container that is about to be started: a spare one becomes it. */
export async function ensureShim(context: EngineContext, container: Container): Promise<ShimPart> {
  if (container.shim !== undefined && !container.shim.isClosed) return container.shim;
  container.shimComing ??= context.shims.take(shimGroup(context, container.definition.config.Labels));
  try {
    container.shim = await container.shimComing;
    return container.shim;
  } finally {
    container.shimComing = undefined;
  }
}

/**
 * A client is gone. Of a container that was not started, the last one takes the shim along; of one that has ended the
 * shim may still be at its clean-up, which is waited for.
 */
function leave(container: Container, shim: ShimPart | undefined): void {
  container.attached--;
  const isNeeded = container.active || container.engagedShim === shim;
  if (container.attached > 0 || isNeeded || container.shim !== shim) return;
  container.shim = undefined;
  shim?.close();
}
