/**
 * The files of the local log driver, and of the copy that is kept of what goes to a driver that cannot be read.
 *
 * A file is a row of pages of 256 KiB; the last one is as long as it is. A page is a row of blocks, none of which
 * reaches into the next page: so the beginning of every page is the beginning of a block (or the end of the file), from
 * where a reader finds its way, be it to the last lines, to a moment, or past what a crash or somebody else has damaged.
 * Nothing that a container writes can be taken for the beginning of a block.
 *
 * A block is what was read from one of the container's streams at once:
 *
 *     byte 0        0xb0, +1 of stderr, +2 the last record has no newline, +4 with details
 *     bytes 1-3     bytes that follow the 12 of this head, little endian, as all numbers here
 *     bytes 4-11    nanoseconds since the epoch
 *     with details  2 bytes of their length, and the details of its records as `logs --details` shows them
 *     the records   lines, each with its newline; one without is the piece of a line that goes on in the next block of
 *                   its stream, or was ended with the container
 *
 * A first byte of 0 is padding: what follows begins with the next page. So does what follows something that is no block.
 * A block that is not whole at the end of a file is being written, or was torn by a crash.
 *
 * A line costs 12 bytes if it comes alone, and nothing but itself among others; json-file's costs 75. Files are rotated
 * between blocks, and compressed by gzip as they are.
 */
import { fstatSync, readSync } from "node:fs";
import type { OutputStream } from "./log-writer.ts";

export const pageBytes: number = 256 * 1024;
export const blockHeadBytes = 12;
/** Longer details are cut. */
export const detailsBytesMax = 16_384;

const newline = 10;
const mark = 0xb0;
const stderrFlag = 1;
const openFlag = 2;
const detailsFlag = 4;
const flags: number = stderrFlag | openFlag | detailsFlag;

/** Records of one stream that came at one time. */
export interface Run {
  stream: OutputStream;
  /** Nanoseconds since the epoch. */
  time: bigint;
  /** Whole lines; or lines and at their end, or alone, one piece without a newline. Each at most pieceBytesMax long. */
  text: Uint8Array;
  /** As `logs --details` shows them: `name=value,name=value`, in the form of a URL's query. */
  details?: Uint8Array;
}

/** Encodes runs into a buffer, for a file whose size its owner knows. */
export class BlockEncoder {
  #buffer: Uint8Array;
  #length = 0;

  /** @param bytes room at first; it grows to what a single call needs. */
  constructor(bytes: number) {
    this.#buffer = new Uint8Array(bytes);
  }

  /** The whole blocks (and padding) that were encoded since `clear`; valid until the next call. */
  get encoded(): Uint8Array {
    return this.#buffer.subarray(0, this.#length);
  }

  clear(): void {
    this.#length = 0;
  }

  /**
   * Encodes the records of a run from `from` on, as many as the file has room for.
   * @param position where what is encoded will stand: the file's size and what is encoded and not yet written.
   * @param maxBytes how long the file may become. A single record that is longer than that goes into an empty file.
   * @returns how much of the run's text it took: 0 when the file is full.
   */
  encode(run: Run, from: number, position: number, maxBytes: number): number {
    const details = run.details?.subarray(0, detailsBytesMax);
    const overhead = blockHeadBytes + (details === undefined ? 0 : 2 + details.length);
    let taken = 0;
    let at = position;
    while (from + taken < run.text.length) {
      const text = run.text.subarray(from + taken);
      const inPage = pageBytes - (at % pageBytes);
      const inFile = maxBytes - at;
      let length = recordsWithin(text, Math.min(inPage, inFile) - overhead);
      if (length === 0 && at > 0 && recordsWithin(text, inFile - inPage - overhead) === 0) break;
      if (length === 0 && at > 0) {
        this.#pad(inPage);
        at += inPage;
        continue;
      }
      if (length === 0) length = text.indexOf(newline) + 1 || text.length;
      this.#block(run, text.subarray(0, length), details);
      at += overhead + length;
      taken += length;
    }
    return taken;
  }

  #block(run: Run, text: Uint8Array, details: Uint8Array | undefined): void {
    const size = text.length + (details === undefined ? 0 : 2 + details.length);
    this.#reserve(blockHeadBytes + size);
    const buffer = this.#buffer;
    let at = this.#length;
    const open = text[text.length - 1] !== newline;
    buffer[at++] =
      mark |
      (run.stream === "stderr" ? stderrFlag : 0) |
      (open ? openFlag : 0) |
      (details === undefined ? 0 : detailsFlag);
    for (let shift = 0; shift < 24; shift += 8) buffer[at++] = size >>> shift;
    new DataView(buffer.buffer).setBigInt64(at, run.time, true);
    at += 8;
    if (details !== undefined) {
      buffer[at++] = details.length;
      buffer[at++] = details.length >>> 8;
      buffer.set(details, at);
      at += details.length;
    }
    buffer.set(text, at);
    this.#length = at + text.length;
  }

  #pad(bytes: number): void {
    this.#reserve(bytes);
    this.#buffer.fill(0, this.#length, this.#length + bytes);
    this.#length += bytes;
  }

  #reserve(bytes: number): void {
    const needed = this.#length + bytes;
    if (needed <= this.#buffer.length) return;
    const grown = new Uint8Array(Math.ceil(needed * 1.25));
    grown.set(this.encoded);
    this.#buffer = grown;
  }
}

/** How much of a run's text are the records that end within `room` bytes. */
function recordsWithin(text: Uint8Array, room: number): number {
  if (text.length <= room) return text.length;
  return room <= 0 ? 0 : text.subarray(0, room).lastIndexOf(newline) + 1;
}

/** What `next` found. */
export type Found =
  /** A block: the reader's fields are about it. */
  | "block"
  /** What there is does not reach to the end of a block. */
  | "more"
  /** Padding or damage up to the next page. */
  | "skip";

/** Whether a file that begins with this byte is one of these: json-file's begin with `{`. */
export function beginsLocalFile(byte: number): boolean {
  return (byte & ~flags) === mark;
}

/** Goes from block to block through bytes of a file. */
export class BlockReader {
  #source: Uint8Array = new Uint8Array(0);
  /** Where in the file the source begins. */
  #position = 0;
  /** Where in the source the next block begins. After "skip" that can lie behind the source's end. */
  at = 0;
  stream: OutputStream = "stdout";
  /** The last record has no newline. */
  open = false;
  /** Of the records' text in the source. */
  textFrom = 0;
  textTo = 0;
  /** Of the details in the source; the same when there are none. */
  detailsFrom = 0;
  detailsTo = 0;

  /** @param position where in the file `source` begins: that of a block. */
  load(source: Uint8Array, position: number): void {
    this.#source = source;
    this.#position = position;
    this.at = 0;
  }

  next(): Found {
    const source = this.#source;
    const from = this.at;
    if (from >= source.length) return "more";
    const kind = source[from]!;
    const inPage = pageBytes - ((this.#position + from) % pageBytes);
    if ((kind & ~flags) !== mark) return this.#skip(inPage);
    if (source.length - from < blockHeadBytes) return inPage < blockHeadBytes ? this.#skip(inPage) : "more";
    const size = source[from + 1]! | (source[from + 2]! << 8) | (source[from + 3]! << 16);
    const end = from + blockHeadBytes + size;
    if (size === 0 || end - from > inPage) return this.#skip(inPage);
    if (end > source.length) return "more";
    this.detailsFrom = from + blockHeadBytes;
    this.detailsTo = this.detailsFrom;
    this.textFrom = this.detailsFrom;
    if ((kind & detailsFlag) !== 0) {
      this.detailsFrom += 2;
      this.detailsTo = this.detailsFrom + (source[this.detailsFrom - 2]! | (source[this.detailsFrom - 1]! << 8));
      this.textFrom = this.detailsTo;
    }
    this.textTo = end;
    this.open = (kind & openFlag) !== 0;
    if (this.textFrom >= end || this.open === (source[end - 1] === newline)) return this.#skip(inPage);
    this.stream = (kind & stderrFlag) === 0 ? "stdout" : "stderr";
    this.#head = from;
    this.at = end;
    return "block";
  }

  #head = 0;

  /** Nanoseconds since the epoch. */
  get time(): bigint {
    return timeOf(this.#source, this.#head);
  }

  /** How many records the block has. */
  get records(): number {
    const source = this.#source;
    let count = this.open ? 1 : 0;
    for (let at = source.indexOf(newline, this.textFrom); at >= 0 && at < this.textTo; count++) {
      at = source.indexOf(newline, at + 1);
    }
    return count;
  }

  #skip(inPage: number): Found {
    this.at += inPage;
    return "skip";
  }
}

function timeOf(source: Uint8Array, head: number): bigint {
  return new DataView(source.buffer, source.byteOffset).getBigInt64(head + 4, true);
}

/** Of the block that begins with this head; undefined when that is none. */
export function timeOfHead(head: Uint8Array): bigint | undefined {
  return head.length >= blockHeadBytes && beginsLocalFile(head[0]!) ? timeOf(head, 0) : undefined;
}

/**
 * Where the last block ends in a file that nobody writes: a writer cuts off what follows, which no reader can read, and
 * goes on from there.
 * @throws the kernel's error.
 */
export function endOfBlocks(fd: number): number {
  const { size } = fstatSync(fd);
  const from = size - (size % pageBytes);
  const page = new Uint8Array(size - from);
  const reader = new BlockReader();
  reader.load(page.subarray(0, readSync(fd, page, 0, page.length, from)), from);
  for (;;) {
    const { at } = reader;
    if (reader.next() !== "block") return from + at;
  }
}
