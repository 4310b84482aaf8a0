/** The last that a container has written, in short: for the story of its end. */
import { errorMessage, isEngineError } from "../../core/errors.ts";
import { log } from "../../core/log.ts";
import type { Container } from "../container/container.ts";
import { readLogs } from "../container/logs.ts";
import type { EngineContext } from "../context.ts";

/** Of a line that is longer the beginning is enough to know it by. */
const lineCharactersMax = 500;
/** A line may be without end: what comes beyond is not read. */
const readBytesMax = 256 * 1024;
const frameHeadBytes = 8;

/** @returns why there are none where they cannot be read. */
export async function lastLines(
  context: Pick<EngineContext, "layout">,
  container: Container,
  { count, untilNano }: { count: number; untilNano?: bigint },
): Promise<{ lines: string[] } | { reason: string }> {
  if (count === 0) return { lines: [] };
  const controller = new AbortController();
  const options = { stdout: true, stderr: true, follow: false, timestamps: false, details: false, tail: count };
  try {
    const { terminal, output } = await readLogs(
      context as EngineContext,
      container,
      { ...options, ...(untilNano !== undefined && { untilNano }) },
      controller.signal,
    );
    const bytes = await begin(output);
    const text = Buffer.concat(terminal ? [bytes] : [...payloads(bytes)]).toString();
    const lines = text.replace(/\r?\n$/, "").split(/\r?\n/);
    return { lines: text === "" ? [] : lines.slice(-count).map((line) => line.slice(0, lineCharactersMax)) };
  } catch (error) {
    // One that was removed meanwhile, or keeps no log.
    if (!isEngineError(error))
      log("warn", "could not read a log", { container: container.id, error: errorMessage(error) });
    return { reason: errorMessage(error) };
  } finally {
    controller.abort();
  }
}

async function begin(output: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of output) {
    chunks.push(chunk);
    length += chunk.byteLength;
    if (length >= readBytesMax) break;
  }
  return Buffer.concat(chunks);
}

/** Of Docker's multiplexed frames; the last may be cut off. */
function* payloads(bytes: Buffer): Generator<Buffer> {
  for (let at = 0; at + frameHeadBytes <= bytes.length; ) {
    const length = bytes.readUInt32BE(at + 4);
    yield bytes.subarray(at + frameHeadBytes, at + frameHeadBytes + length);
    at += frameHeadBytes + length;
  }
}
