/**
 * Writes Docker's json-file log: see json-record.ts for the records.
 *
 * Writes are synchronous: they go to the page cache, there is one writer for one container, and a container that
 * writes faster than its disk should wait for it.
 *
 * A write that fails (the disk is full) does not stop the container. The file is cut back to its last whole record, the
 * lines that found no room are counted, and the first write that succeeds again puts a record before itself that says
 * how many are missing and why.
 */
import { closeSync, fstatSync, ftruncateSync, mkdirSync, openSync, readSync, renameSync, writeSync } from "node:fs";
import { dirname } from "node:path";
import { timeNow } from "../core/clock.ts";
import { EngineError, errorMessage, isErrno, wrapError } from "../core/errors.ts";
import { pieceBytesMax, pieceEnd, RecordEncoder, recordBytesMax, recordEnd } from "./json-record.ts";
import { type LogSeam, positionAt } from "./log-position.ts";
import { numberAfter } from "./log-sequence.ts";
import type { LogWriter, OutputStream } from "./log-writer.ts";

/** Each of them is renamed whenever one is full. */
export const logFilesMax = 10_000;

export interface JsonFileOptions {
  path: string;
  /** A file is never made longer than this, a single longer record apart; no limit when absent. */
  maxSizeBytes?: number;
  /** Files at most, `path`, `path.1` … the oldest last. With 1 (the default) a new file takes the full one's place. */
  maxFiles?: number;
  /** Hears of a failure once, and once that it is over. */
  onTrouble: (message: string) => void;
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
  readonly #options: JsonFileOptions;
  readonly #encoder = new RecordEncoder(bufferBytes);
  readonly #open: Record<OutputStream, OpenLine> = {
    stdout: { bytes: undefined, length: 0, end: undefined },
    stderr: { bytes: undefined, length: 0, end: undefined },
  };
  #fd: number;
  #sizeBytes: number;
  lostLines = 0;
  /** Lost since the last record that says so. */
  #unreported = 0;
  #failing: string | undefined;

  /** Opens the file to add to it; a torn record at its end, left by a crash, is cut off. @throws EngineError. */
  constructor(options: JsonFileOptions) {
    this.#options = options;
    try {
      mkdirSync(dirname(options.path), { recursive: true, mode: 0o700 });
      this.#fd = openSync(options.path, "a+", 0o600);
      this.#sizeBytes = cutTornRecord(this.#fd);
    } catch (error) {
      throw wrapError(error, `open log ${options.path}`, { path: options.path });
    }
  }

  write(stream: OutputStream, chunk: Uint8Array): void {
    const open = this.#open[stream];
    const end = recordEnd(stream, timeNow());
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

  close(): void {
    for (const stream of ["stdout", "stderr"] as const) {
      const open = this.#open[stream];
      if (open.length > 0) this.#encode(open, open.bytes!, 0, open.length, recordEnd(stream, timeNow()), false);
      open.length = 0;
    }
    this.#flush();
    closeSync(this.#fd);
  }

  seam(): LogSeam {
    const held = (stream: OutputStream) => {
      const { bytes, length } = this.#open[stream];
      return Buffer.from(bytes?.subarray(0, length) ?? []).toString("base64");
    };
    return {
      position: positionAt(this.#fd, this.#sizeBytes),
      held: { stdout: held("stdout"), stderr: held("stderr") },
    };
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
    if (encoder.length + recordBytesMax > bufferBytes) this.#flush();
    if (!encoder.encode(source, from, limit, open.end ?? end, whole)) return false;
    if (encoder.lineEnded) open.end = undefined;
    else open.end ??= end;
    return true;
  }

  /** Writes the records of the buffer, over as many files as they need. */
  #flush(): void {
    const { buffer, length } = this.#encoder;
    this.#encoder.length = 0;
    if (length === 0) return;
    const written = this.#unreported > 0 && !this.#reportLoss() ? 0 : this.#writeRecords(buffer.subarray(0, length));
    if (written === length) return;
    const lost = countLines(buffer.subarray(written, length));
    this.lostLines += lost;
    this.#unreported += lost;
  }

  /** @returns how many bytes of whole records were written: fewer than there are after a failure. */
  #writeRecords(records: Uint8Array): number {
    const maxBytes = this.#options.maxSizeBytes ?? Number.POSITIVE_INFINITY;
    let from = 0;
    while (from < records.length) {
      let to = recordsThatFit(records, from, maxBytes - this.#sizeBytes);
      if (to === from && this.#sizeBytes > 0) {
        this.#rotate();
        continue;
      }
      if (to === from) to = records.indexOf(newline, from) + 1;
      const kept = this.#append(records.subarray(from, to));
      from += kept;
      if (from < to) break;
    }
    return from;
  }

  /** @returns how many bytes were written, a torn record not counted: it is cut off. */
  #append(records: Uint8Array): number {
    let written = 0;
    try {
      while (written < records.length) written += writeSync(this.#fd, records, written, records.length - written);
    } catch (error) {
      this.#failed(`write ${this.#options.path}: ${reasonOf(error)}`);
      const whole = records.subarray(0, written).lastIndexOf(newline) + 1;
      if (whole < written) this.#cutBack(this.#sizeBytes + whole);
      written = whole;
    }
    this.#sizeBytes += written;
    return written;
  }

  #cutBack(sizeBytes: number): void {
    try {
      ftruncateSync(this.#fd, sizeBytes);
    } catch (error) {
      this.#options.onTrouble(`cut back ${this.#options.path}: ${errorMessage(error)}`);
    }
  }

  #failed(reason: string): void {
    if (this.#failing === undefined) this.#options.onTrouble(`${reason}; lines are lost until it can be written again`);
    this.#failing = reason;
  }

  /** Says in the log itself what is missing from it. @returns whether that could be written. */
  #reportLoss(): boolean {
    const lost = this.#unreported;
    const text = `tsd: ${lost} ${lost === 1 ? "line" : "lines"} of this log were lost: ${this.#failing}\n`;
    const record = `${JSON.stringify({ log: text, stream: "stderr", time: timeNow() })}\n`;
    const bytes = Buffer.from(record);
    if (this.#append(bytes) < bytes.length) return false;
    this.#options.onTrouble(`${this.#options.path} can be written again; ${lost} lines were lost`);
    this.#unreported = 0;
    this.#failing = undefined;
    return true;
  }

  /** Begins a new file. When that fails the old one is gone on with: rather too long than lost. */
  #rotate(): void {
    const { path, maxFiles = 1 } = this.#options;
    try {
      for (let number = maxFiles - 1; number > 0; number--)
        renameIfPresent(numbered(path, number - 1), numbered(path, number));
      this.#fd = replaceFile(this.#fd, path);
    } catch (error) {
      this.#options.onTrouble(`rotate ${path}: ${errorMessage(error)}`);
    }
    this.#sizeBytes = 0;
  }
}

/**
 * Puts a new file where the one of `fd` is, or was. It is not emptied: who follows it reads it to its end.
 * @returns the new one; the old one is closed.
 */
function replaceFile(fd: number, path: string): number {
  const place = `${path}.new`;
  const fresh = openSync(place, "a+", 0o600);
  try {
    numberAfter(fd, fresh);
    renameSync(place, path);
  } catch (error) {
    closeSync(fresh);
    throw error;
  }
  closeSync(fd);
  return fresh;
}

/** `path`, `path.1`, … */
export function numbered(path: string, number: number): string {
  return number === 0 ? path : `${path}.${number}`;
}

/** The end of the last whole record that ends within `room` bytes; `from` when not even one does. */
function recordsThatFit(records: Uint8Array, from: number, room: number): number {
  if (records.length - from <= room) return records.length;
  if (room <= 0) return from;
  return records.subarray(from, from + room).lastIndexOf(newline) + 1 + from;
}

function countLines(records: Uint8Array): number {
  let lines = 0;
  for (let at = records.indexOf(newline); at >= 0; at = records.indexOf(newline, at + 1)) lines++;
  return lines;
}

function reasonOf(error: unknown): string {
  return isErrno(error, "ENOSPC", "EDQUOT") ? "no space left on device" : errorMessage(error);
}

function renameIfPresent(from: string, to: string): void {
  try {
    renameSync(from, to);
  } catch (error) {
    if (!isErrno(error, "ENOENT")) throw error;
  }
}

/** @returns the file's size, after what follows its last newline has been cut off. */
function cutTornRecord(fd: number): number {
  const size = fstatSync(fd).size;
  const tail = new Uint8Array(Math.min(size, recordBytesMax));
  const length = readSync(fd, tail, 0, tail.length, size - tail.length);
  if (length !== tail.length) throw new EngineError("corrupt", `read ${length} of the last ${tail.length} bytes`);
  const torn = tail.length - 1 - tail.lastIndexOf(newline);
  if (torn > 0) ftruncateSync(fd, size - torn);
  return size - torn;
}
