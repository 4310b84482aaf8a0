/** What a container has written: read from its log, while it goes on writing if that is wanted. */
import { existsSync } from "node:fs";
import { encodeFrame, frameType } from "../../api/schema/run-protocol.ts";
import { EngineError } from "../../core/errors.ts";
import { parseGoBool } from "../../core/go-bool.ts";
import { endOfLog } from "../../logging/log-end.ts";
import type { LogFormatName } from "../../logging/log-format.ts";
import { openLog, readLog } from "../../logging/read.ts";
import type { EngineContext } from "../context.ts";
import { attachContainer, type Stream, type StreamSelection } from "./attach.ts";
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

/**
 * The log is open when this resolves: docker-py asks for it, waits for the end, has the container removed, and reads
 * then.
 * @throws EngineError unsupported in docker's words for a container whose output is not kept.
 */
export async function readLogs(
  context: EngineContext,
  container: Container,
  options: LogOptions,
  signal: AbortSignal,
): Promise<LogStream> {
  const { path, format } = logPlace(context, container);
  const { follow, sinceNano, untilNano, ...selection } = options;
  const output = await openLog(path, {
    ...selection,
    format,
    multiplexed: !container.terminal,
    ...(sinceNano !== undefined && { since: sinceNano }),
    ...(untilNano !== undefined && { until: untilNano }),
    ...(follow && container.active && { follow: { ended: container.nextExit() } }),
    signal,
  });
  return { terminal: container.terminal, output };
}

/**
 * What was logged so far, then the live stream, with nothing missing or twice where they meet: the shim says which byte
 * of the log the stream goes on from. As long as a container does not run, nobody writes its log: there the stream goes
 * on from the log's end.
 */
export async function attachWithLogs(
  context: EngineContext,
  container: Container,
  selection: StreamSelection & { stream: boolean },
  signal: AbortSignal,
): Promise<Stream> {
  const { path, format } = logPlace(context, container);
  const { stdin, stdout, stderr, stream } = selection;
  const end = await endOfLog(path);
  const live = stream
    ? await attachContainer(context, container, { stdin, stdout, stderr, seam: true }, signal)
    : undefined;
  const { terminal } = container;
  const multiplexed = !terminal;
  const shown = { format, stdout, stderr, multiplexed, timestamps: false, details: false, signal };
  const before = live?.seam?.position ?? end;
  const output = (async function* () {
    if (before !== undefined) yield* readLog(path, { ...shown, ...(live !== undefined && { before }) });
    for (const name of ["stdout", "stderr"] as const) {
      const held = Buffer.from(live?.seam?.held[name] ?? "", "base64");
      if (held.length > 0 && selection[name]) yield multiplexed ? encodeFrame(frameType[name], held) : held;
    }
    if (live !== undefined) yield* live.output;
  })();
  return { terminal, output, ...(live?.input && { input: live.input }) };
}

/**
 * Where a container's log can be read. Of a driver that sends it elsewhere there is a copy, in the local driver's format.
 * @throws EngineError unsupported in docker's words for a container whose output is not kept.
 */
export function logPlace(context: EngineContext, container: Container): { path: string; format: LogFormatName } {
  const { Type = "json-file", Config = {} } = container.definition.hostConfig.LogConfig ?? {};
  const { log, localLog } = context.layout.container(container.id);
  if (Type === "json-file") return { path: log, format: "json-file" };
  const hasCopy = Type !== "none" && !parseGoBool(Config["cache-disabled"] ?? "false");
  if (Type !== "local" && !hasCopy) {
    throw new EngineError("unsupported", "configured logging driver does not support reading");
  }
  // Before the other drivers were built, their containers had json-file's.
  const isOld = existsSync(log) && !existsSync(localLog);
  return isOld ? { path: log, format: "json-file" } : { path: localLog, format: "local" };
}
