/** Writes the log of the driver local: see local-format.ts for the blocks, log-file.ts for the files. */
import { wallTime } from "../core/clock.ts";
import { pieceBytesMax, pieceEnd } from "./json-record.ts";
import { BlockEncoder, BlockReader, blockHeadBytes, endOfBlocks, type Run } from "./local-format.ts";
import { LogFile, type LogFileFormat, type LogFileOptions } from "./log-file.ts";
import { type LogSeam, positionAt } from "./log-position.ts";
import type { LogWriter, OutputStream } from "./log-writer.ts";

export interface LocalLogOptions extends LogFileOptions {
  /** They go with every record. */
  attributes?: Record<string, string>;
}

const newline = 10;
/** What one read of a pipe mostly brings, and heads. */
const bufferBytes = 64 * 1024 + 1024;

/** A line whose end has not come yet. */
interface OpenLine {
  bytes: Uint8Array | undefined;
  length: number;
  /** Of a line that is written in pieces: they all carry the time of the first. */
  time: bigint | undefined;
}

export class LocalLog implements LogWriter {
  readonly #file: LogFile;
  readonly #details: Uint8Array | undefined;
  readonly #encoder = new BlockEncoder(bufferBytes);
  readonly #open: Record<OutputStream, OpenLine> = {
    stdout: { bytes: undefined, length: 0, time: undefined },
    stderr: { bytes: undefined, length: 0, time: undefined },
  };

  /** @throws EngineError when the file cannot be opened. */
  constructor({ attributes = {}, ...options }: LocalLogOptions) {
    const details = shownDetails(attributes);
    this.#details = details === "" ? undefined : Buffer.from(details);
    this.#file = new LogFile(options, format);
  }

  get lostLines(): number {
    return this.#file.losses.lines;
  }

  write(stream: OutputStream, chunk: Uint8Array): void {
    this.#file.begin();
    const open = this.#open[stream];
    const now = nanoseconds();
    const from = this.#continueLine(stream, open, chunk, now);
    const rest = from === 0 ? chunk : chunk.subarray(from);
    const linesEnd = rest.lastIndexOf(newline) + 1;
    this.#lines(stream, open, rest.subarray(0, linesEnd), now);
    this.#hold(stream, open, rest.subarray(linesEnd), now);
    this.#flush();
  }

  lose(lines: number, reason: string): void {
    this.#file.lose(lines, reason);
  }

  settle(): Promise<void> {
    return this.#file.settle();
  }

  /** Resolves when no rotated file is left to be compressed. */
  compressed(): Promise<void> {
    return this.#file.compressed();
  }

  end(): void {
    this.#file.begin();
    for (const stream of ["stdout", "stderr"] as const) {
      const open = this.#open[stream];
      if (open.length > 0) this.#put(stream, open.bytes!.subarray(0, open.length), open.time ?? nanoseconds());
      open.length = 0;
    }
    this.#flush();
  }

  close(): void {
    this.end();
    this.#file.close();
  }

  seam(): LogSeam {
    const held = (stream: OutputStream) => {
      const { bytes, length } = this.#open[stream];
      return Buffer.from(bytes?.subarray(0, length) ?? []).toString("base64");
    };
    return {
      position: positionAt(this.#file.fd, this.#file.sizeBytes),
      held: { stdout: held("stdout"), stderr: held("stderr") },
    };
  }

  /** Adds to a line that was begun before. @returns how much of the chunk it took. */
  #continueLine(stream: OutputStream, open: OpenLine, chunk: Uint8Array, now: bigint): number {
    let from = 0;
    while (open.length > 0 && from < chunk.length) {
      const bytes = open.bytes!;
      const room = chunk.subarray(from, from + pieceBytesMax - open.length);
      const found = room.indexOf(newline);
      const taken = found < 0 ? room.length : found + 1;
      bytes.set(room.subarray(0, taken), open.length);
      open.length += taken;
      from += taken;
      if (found < 0 && open.length < pieceBytesMax) break;
      const limit = found < 0 ? pieceEnd(bytes, 0, open.length) : open.length;
      this.#piece(stream, open, bytes.subarray(0, limit), now);
      bytes.copyWithin(0, limit, open.length);
      open.length -= limit;
    }
    return from;
  }

  /** Whole lines: most of the time none of them is longer than a piece, and they are one block. */
  #lines(stream: OutputStream, open: OpenLine, lines: Uint8Array, now: bigint): void {
    let from = 0;
    let begin = 0;
    while (lines.length - begin > pieceBytesMax) {
      // Whatever lies between ends within this piece.
      const end = lines.subarray(begin, begin + pieceBytesMax).lastIndexOf(newline) + 1;
      if (end > 0) {
        begin += end;
        continue;
      }
      if (begin > from) this.#piece(stream, open, lines.subarray(from, begin), now);
      const limit = pieceEnd(lines, begin, begin + pieceBytesMax);
      this.#piece(stream, open, lines.subarray(begin, limit), now);
      begin = limit;
      from = limit;
    }
    if (from < lines.length) this.#piece(stream, open, lines.subarray(from), now);
  }

  /** The beginning of a line: pieces of it that are full are written. */
  #hold(stream: OutputStream, open: OpenLine, text: Uint8Array, now: bigint): void {
    let from = 0;
    while (text.length - from >= pieceBytesMax) {
      const limit = pieceEnd(text, from, from + pieceBytesMax);
      this.#piece(stream, open, text.subarray(from, limit), now);
      from = limit;
    }
    if (from === text.length) return;
    open.bytes ??= new Uint8Array(pieceBytesMax);
    open.bytes.set(text.subarray(from));
    open.length = text.length - from;
  }

  /** Lines, or one piece: those of one line have one time. */
  #piece(stream: OutputStream, open: OpenLine, text: Uint8Array, now: bigint): void {
    let from = 0;
    if (open.time !== undefined) {
      from = text.indexOf(newline) + 1 || text.length;
      this.#put(stream, text.subarray(0, from), open.time);
    }
    if (from < text.length) this.#put(stream, text.subarray(from), now);
    open.time = text[text.length - 1] === newline ? undefined : from < text.length ? now : (open.time ?? now);
  }

  #put(stream: OutputStream, text: Uint8Array, time: bigint): void {
    const run: Run = { stream, time, text, ...(this.#details !== undefined && { details: this.#details }) };
    const file = this.#file;
    for (let from = 0; from < text.length; ) {
      const taken = this.#encoder.encode(run, from, file.sizeBytes + this.#encoder.encoded.length, file.maxBytes);
      from += taken;
      if (taken > 0) continue;
      this.#flush();
      file.rotate();
    }
  }

  #flush(): void {
    const { encoded } = this.#encoder;
    if (encoded.length > 0) this.#file.append(encoded);
    this.#encoder.clear();
  }
}

/** As `logs --details` shows them, in the form of a URL's query (moby, api/server/httputils, write_log_stream.go). */
export function shownDetails(attributes: Readonly<Record<string, string>>): string {
  const names = Object.keys(attributes).sort();
  return names.map((name) => `${escaped(name)}=${escaped(attributes[name]!)}`).join(",");
}

/** Go's url.QueryEscape. */
function escaped(text: string): string {
  const rest = /[!'()*]/g;
  return encodeURIComponent(text.toWellFormed())
    .replace(rest, (mark) => `%${mark.charCodeAt(0).toString(16).toUpperCase()}`)
    .replaceAll("%20", "+");
}

const format: LogFileFormat = {
  endOf: endOfBlocks,
  wholeBytes(records, position) {
    const reader = new BlockReader();
    reader.load(records, position);
    let whole = 0;
    for (let found = reader.next(); found !== "more"; found = reader.next()) {
      if (found === "block") whole = reader.at;
    }
    return whole;
  },
  countLines(records, position) {
    const reader = new BlockReader();
    reader.load(records, position);
    let lines = 0;
    for (let found = reader.next(); found !== "more"; found = reader.next()) {
      if (found === "block") lines += reader.records;
    }
    return lines;
  },
  note(text, position) {
    const encoder = new BlockEncoder(blockHeadBytes + text.length);
    encoder.encode(
      { stream: "stderr", time: nanoseconds(), text: Buffer.from(text) },
      0,
      position,
      Number.MAX_SAFE_INTEGER,
    );
    return encoder.encoded;
  },
};

function nanoseconds(): bigint {
  const { milliseconds, nanoseconds: below } = wallTime();
  return BigInt(milliseconds) * 1_000_000n + BigInt(below);
}
