/** Writes Docker's json-file log: see json-record.ts for the records, log-file.ts for the files. */
import { fstatSync, readSync } from "node:fs";
import { timeNow } from "../core/clock.ts";
import { EngineError } from "../core/errors.ts";
import { attributesJson, pieceBytesMax, pieceEnd, RecordEncoder, recordBytesMax, recordEnd } from "./json-record.ts";
import { LogFile, type LogFileFormat, type LogFileOptions } from "./log-file.ts";
import { type LogSeam, positionAt } from "./log-position.ts";
import type { LogWriter, OutputStream } from "./log-writer.ts";

export interface JsonFileOptions extends LogFileOptions {
  /** They go with every record. */
  attributes?: Record<string, string>;
}

const newline = 10;
/** Room for the records of one read of a pipe, as it mostly is. Only what is used of it becomes memory. */
const bufferBytes = 256 * 1024;

/** A line whose end has not come yet. */
interface OpenLine {
  bytes: Uint8Array | undefined;
  length: number;
  /** The end of the records of a line that is written in pieces: they all carry the time of the first. */
  end: Uint8Array | undefined;
}

export class JsonFileLog implements LogWriter {
  readonly #file: LogFile;
  readonly #attributes: string;
  readonly #encoder: RecordEncoder;
  readonly #open: Record<OutputStream, OpenLine> = {
    stdout: { bytes: undefined, length: 0, end: undefined },
    stderr: { bytes: undefined, length: 0, end: undefined },
  };
  /** The longest record: every byte of the text escaped, and the frame around it. */
  readonly #recordBytesMax: number;

  /** @throws EngineError when the file cannot be opened. */
  constructor({ attributes, ...options }: JsonFileOptions) {
    this.#attributes = attributesJson(attributes ?? {});
    this.#recordBytesMax = recordBytesMax + Buffer.byteLength(this.#attributes);
    this.#encoder = new RecordEncoder(bufferBytes + Buffer.byteLength(this.#attributes));
    const note = (text: string) => {
      const end = Buffer.from(this.#end("stderr")).toString();
      return Buffer.from(`{"log":${JSON.stringify(text)}${end.slice(1)}`);
    };
    this.#file = new LogFile(options, { ...format, note });
  }

  get lostLines(): number {
    return this.#file.losses.lines;
  }

  write(stream: OutputStream, chunk: Uint8Array): void {
    this.#file.begin();
    const open = this.#open[stream];
    const end = this.#end(stream);
    let from = this.#continueLine(open, chunk, end);
    while (from < chunk.length) {
      const full = chunk.length - from >= pieceBytesMax;
      const limit = full ? pieceEnd(chunk, from, from + pieceBytesMax) : chunk.length;
      if (!this.#encode(open, chunk, from, limit, end, !full)) {
        open.bytes ??= new Uint8Array(pieceBytesMax);
        open.bytes.set(chunk.subarray(from));
        open.length = chunk.length - from;
        break;
      }
      from = this.#encoder.consumed;
    }
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
      if (open.length > 0) this.#encode(open, open.bytes!, 0, open.length, this.#end(stream), false);
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

  #end(stream: OutputStream): Uint8Array {
    return recordEnd(stream, timeNow(), this.#attributes);
  }

  /** Adds to a line that was begun before. @returns how much of the chunk it took. */
  #continueLine(open: OpenLine, chunk: Uint8Array, end: Uint8Array): number {
    let from = 0;
    while (open.length > 0 && from < chunk.length) {
      const bytes = open.bytes!;
      const room = chunk.subarray(from, from + pieceBytesMax - open.length);
      const found = room.indexOf(newline);
      const taken = found < 0 ? room.length : found + 1;
      bytes.set(room.subarray(0, taken), open.length);
      open.length += taken;
      from += taken;
      const full = open.length === pieceBytesMax;
      if (found < 0 && !full) break;
      const limit = found < 0 ? pieceEnd(bytes, 0, open.length) : open.length;
      this.#encode(open, bytes, 0, limit, end, false);
      bytes.copyWithin(0, limit, open.length);
      open.length -= limit;
    }
    return from;
  }

  #encode(open: OpenLine, source: Uint8Array, from: number, limit: number, end: Uint8Array, whole: boolean): boolean {
    const encoder = this.#encoder;
    if (encoder.length + this.#recordBytesMax > encoder.buffer.length) this.#flush();
    if (!encoder.encode(source, from, limit, open.end ?? end, whole)) return false;
    if (encoder.lineEnded) open.end = undefined;
    else open.end ??= end;
    return true;
  }

  /** Writes the records of the buffer, over as many files as they need. */
  #flush(): void {
    const { buffer, length } = this.#encoder;
    this.#encoder.clear();
    const file = this.#file;
    let from = 0;
    while (from < length) {
      let to = recordsThatFit(buffer, from, length, file.maxBytes - file.sizeBytes);
      if (to === from && file.sizeBytes > 0) {
        file.rotate();
        continue;
      }
      if (to === from) to = buffer.indexOf(newline, from) + 1;
      file.append(buffer.subarray(from, to));
      from = to;
    }
  }
}

const format: Omit<LogFileFormat, "note"> = {
  endOf(fd) {
    const { size } = fstatSync(fd);
    const tail = new Uint8Array(Math.min(size, tailBytes));
    const length = readSync(fd, tail, 0, tail.length, size - tail.length);
    if (length !== tail.length) throw new EngineError("corrupt", `read ${length} of the last ${tail.length} bytes`);
    return size - (tail.length - 1 - tail.lastIndexOf(newline));
  },
  wholeBytes: (records) => records.lastIndexOf(newline) + 1,
  countLines(records) {
    let lines = 0;
    for (let at = records.indexOf(newline); at >= 0; at = records.indexOf(newline, at + 1)) lines++;
    return lines;
  },
};

/** Attributes of another run of the container may have made its records longer than this one's. */
const tailBytes = recordBytesMax * 2;

/** The end of the last whole record that ends within `room` bytes; `from` when not even one does. */
function recordsThatFit(records: Uint8Array, from: number, length: number, room: number): number {
  if (length - from <= room) return length;
  if (room <= 0) return from;
  return records.subarray(from, from + room).lastIndexOf(newline) + 1 + from;
}
