/** What a container has written: read from its log, while it goes on writing if that is wanted. */
import { EngineError } from "../../core/errors.ts";
import { readLog } from "../../logging/read.ts";
import type { EngineContext } from "../context.ts";
import type { Stream, StreamSelection } from "./attach.ts";
import type { Container } from "./container.ts";

export interface LogOptions {
  stdout: boolean;
  stderr: boolean;
  follow: boolean;
  /** Nanoseconds since the epoch, as is `untilNano`. */
  sinceNano?: bigint;
  untilNano?: bigint;
  /** The last n lines. */
  tail?: number;
  timestamps: boolean;
  details: boolean;
}

export interface LogStream {
  terminal: boolean;
  /** Docker's multiplexed frames, or with a terminal the bare text. */
  output: AsyncIterable<Uint8Array>;
}

/** @throws EngineError unsupported in docker's words for a container whose output is not kept. */
export function readLogs(
  context: EngineContext,
  container: Container,
  options: LogOptions,
  signal: AbortSignal,
): LogStream {
  if (container.definition.hostConfig.LogConfig?.Type === "none") {
    throw new EngineError("unsupported", "configured logging driver does not support reading");
  }
  const { follow, sinceNano, untilNano, ...selection } = options;
  const output = readLog(context.layout.container(container.id).log, {
    ...selection,
    multiplexed: !container.terminal,
    ...(sinceNano !== undefined && { since: sinceNano }),
    ...(untilNano !== undefined && { until: untilNano }),
    ...(follow && container.active && { follow: { ended: container.nextExit() } }),
    signal,
  });
  return { terminal: container.terminal, output };
}

/** What was logged so far, then the live stream. */
export function attachLogs(
  context: EngineContext,
  container: Container,
  selection: StreamSelection,
  live: Stream | undefined,
  signal: AbortSignal,
): Stream {
  const { stdout, stderr } = selection;
  const options = { stdout, stderr, follow: false, timestamps: false, details: false };
  const { terminal, output: logged } = readLogs(context, container, options, signal);
  const output = (async function* () {
    yield* logged;
    if (live !== undefined) yield* live.output;
  })();
  return { terminal, output, ...(live?.input && { input: live.input }) };
}
