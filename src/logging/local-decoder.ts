/** Reads the blocks of the local format (local-format.ts) into what `docker logs` sends. */
import { type DecodeOptions, formatNanoseconds, frameHeaderBytes, padTime, putFrameHeader } from "./json-decoder.ts";
import { BlockReader, blockHeadBytes, pageBytes, timeOfHead } from "./local-format.ts";
import { bisect, type LogDecoder, type LogFormat, type TailPlace } from "./log-format.ts";
import type { LogSource } from "./log-source.ts";
import type { OutputStream } from "./log-writer.ts";

const newline = 10;
const space = 0x20;

class BlockDecoder implements LogDecoder {
  readonly #options: DecodeOptions;
  readonly #blocks = new BlockReader();
  #out = new Uint8Array(0);
  #length = 0;
  consumed = 0;
  ended = false;
  skip = 0;

  constructor(options: DecodeOptions) {
    this.#options = options;
  }

  decode(source: Uint8Array, position: number): Uint8Array {
    const { since, until } = this.#options;
    const blocks = this.#blocks;
    blocks.load(source, position);
    this.#begin(source.length + source.length / 8);
    for (;;) {
      const found = blocks.next();
      if (found === "more") break;
      if (found === "skip") continue;
      if (until !== undefined && blocks.time > until) {
        this.ended = true;
        break;
      }
      const from = this.skip > 0 ? this.#skipped(source) : blocks.textFrom;
      if (!this.#options[blocks.stream] || (since !== undefined && blocks.time < since)) continue;
      const details = source.subarray(blocks.detailsFrom, blocks.detailsTo);
      this.#records(source, from, blocks.textTo, blocks.stream, this.#prefix(blocks.time, details));
    }
    this.consumed = blocks.at;
    return this.#end();
  }

  /** Where the records of the block begin that are not to be passed over. */
  #skipped(source: Uint8Array): number {
    const { textFrom, textTo } = this.#blocks;
    let from = textFrom;
    for (; this.skip > 0 && from < textTo; this.skip--) from = source.indexOf(newline, from) + 1 || textTo;
    return Math.min(from, textTo);
  }

  note(text: string, time: bigint): Uint8Array {
    const stream = this.#options.stderr ? "stderr" : "stdout";
    const bytes = Buffer.from(text);
    this.#begin(bytes.length + 64);
    this.#records(bytes, 0, bytes.length, stream, this.#prefix(time, new Uint8Array(0)));
    return this.#end();
  }

  #begin(bytes: number): void {
    this.#out = new Uint8Array(Math.ceil(bytes));
    this.#length = 0;
  }

  #end(): Uint8Array {
    const output = this.#out.subarray(0, this.#length);
    this.#out = new Uint8Array(0);
    return output;
  }

  /** What each record begins with: its time, and its details. */
  #prefix(time: bigint, details: Uint8Array): Uint8Array {
    const { timestamps } = this.#options;
    if (!timestamps && !this.#options.details) return new Uint8Array(0);
    const stamp = Buffer.from(timestamps ? `${padTime(formatNanoseconds(time))} ` : "");
    return this.#options.details ? Buffer.concat([stamp, details, Buffer.of(space)]) : stamp;
  }

  /** Each line is a record, in a frame of its own. */
  #records(source: Uint8Array, from: number, to: number, stream: OutputStream, prefix: Uint8Array): void {
    const { multiplexed } = this.#options;
    if (!multiplexed && prefix.length === 0) {
      this.#reserve(to - from);
      this.#out.set(source.subarray(from, to), this.#length);
      this.#length += to - from;
      return;
    }
    for (let read = from; read < to; ) {
      this.#reserve(frameHeaderBytes + prefix.length + (to - read));
      const out = this.#out;
      const start = this.#length;
      let at = start + (multiplexed ? frameHeaderBytes : 0);
      for (let index = 0; index < prefix.length; index++) out[at++] = prefix[index]!;
      let byte = 0;
      while (read < to && byte !== newline) {
        byte = source[read++]!;
        out[at++] = byte;
      }
      if (multiplexed) putFrameHeader(out, start, stream, at - start - frameHeaderBytes);
      this.#length = at;
    }
  }

  #reserve(bytes: number): void {
    const needed = this.#length + bytes;
    if (needed <= this.#out.length) return;
    const grown = new Uint8Array(Math.ceil(needed * 1.25));
    grown.set(this.#out.subarray(0, this.#length));
    this.#out = grown;
  }
}

export const localFormat: LogFormat = {
  readBytes: pageBytes,
  decoder: (options) => new BlockDecoder(options),

  /** Page by page from the last one: a page is read from its beginning, as long as the records are not enough. */
  async seekTail(source, sizeBytes, wanted): Promise<TailPlace> {
    if (wanted === 0) return { offset: await wholeBytes(source, sizeBytes), records: 0, skip: 0 };
    let records = 0;
    for (let page = Math.floor(Math.max(0, sizeBytes - 1) / pageBytes); page >= 0; page--) {
      const inPage = await readPage(source, page * pageBytes, sizeBytes);
      const blocks: { at: number; records: number }[] = [];
      const reader = new BlockReader();
      reader.load(inPage, page * pageBytes);
      for (let at = 0; ; at = reader.at) {
        const found = reader.next();
        if (found === "more") break;
        if (found === "block") blocks.push({ at, records: reader.records });
      }
      for (let block = blocks.pop(); block !== undefined; block = blocks.pop()) {
        records += block.records;
        if (records < wanted) continue;
        return { offset: page * pageBytes + block.at, records: wanted, skip: records - wanted };
      }
    }
    return { offset: 0, records, skip: 0 };
  },

  seekSince: (source, sizeBytes, since) => bisect(sizeBytes, pageBytes, since, (offset) => timeOfBlock(source, offset)),

  firstTime: (source) => timeOfBlock(source, 0),
};

async function readPage(source: LogSource, from: number, sizeBytes: number): Promise<Uint8Array> {
  const page = new Uint8Array(Math.min(pageBytes, sizeBytes - from));
  return page.subarray(0, await source.read(page, from));
}

/** Where the last whole block ends. */
async function wholeBytes(source: LogSource, sizeBytes: number): Promise<number> {
  const from = sizeBytes - (sizeBytes % pageBytes);
  const reader = new BlockReader();
  reader.load(await readPage(source, from, sizeBytes), from);
  while (reader.next() !== "more");
  return from + reader.at;
}

/** Of the block that begins a page. */
async function timeOfBlock(source: LogSource, offset: number): Promise<bigint | undefined> {
  const head = new Uint8Array(blockHeadBytes);
  return timeOfHead(head.subarray(0, await source.read(head, offset)));
}
