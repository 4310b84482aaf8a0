/** Cuts what a container writes into lines, for drivers that send them one by one. */
import { pieceBytesMax, pieceEnd } from "./json-record.ts";
import type { OutputStream } from "./log-writer.ts";

/** A line without its newline, or a piece of one that is longer than pieceBytesMax. */
export interface LogLine {
  stream: OutputStream;
  /** Valid until the splitter is given more. */
  text: Uint8Array;
  /** Which piece of which line it is; absent: a whole one. */
  piece?: { line: string; ordinal: number; last: boolean };
}

const newline = 10;

interface OpenLine {
  bytes: Uint8Array | undefined;
  length: number;
  piece: { line: string; ordinal: number } | undefined;
}

export class LineSplitter {
  readonly #open: Record<OutputStream, OpenLine> = {
    stdout: { bytes: undefined, length: 0, piece: undefined },
    stderr: { bytes: undefined, length: 0, piece: undefined },
  };

  *split(stream: OutputStream, chunk: Uint8Array): Generator<LogLine> {
    const open = this.#open[stream];
    let from = 0;
    while (from < chunk.length) {
      const found = chunk.indexOf(newline, from);
      const end = found < 0 ? chunk.length : found;
      if (open.length === 0 && found >= 0 && end - from <= pieceBytesMax) {
        yield this.#line(stream, chunk.subarray(from, end), true);
      } else {
        yield* this.#add(stream, chunk.subarray(from, end));
        if (found >= 0) yield this.#take(stream);
      }
      from = end + 1;
    }
  }

  /** What has no newline yet: nothing more comes. */
  *rest(): Generator<LogLine> {
    for (const stream of ["stdout", "stderr"] as const) if (this.#open[stream].length > 0) yield this.#take(stream);
  }

  *#add(stream: OutputStream, text: Uint8Array): Generator<LogLine> {
    const open = this.#open[stream];
    open.bytes ??= new Uint8Array(pieceBytesMax);
    for (let from = 0; from < text.length; ) {
      if (open.length === pieceBytesMax) {
        const limit = pieceEnd(open.bytes, 0, pieceBytesMax);
        yield this.#line(stream, open.bytes.subarray(0, limit), false);
        open.bytes.copyWithin(0, limit, pieceBytesMax);
        open.length = pieceBytesMax - limit;
      }
      const taken = Math.min(text.length - from, pieceBytesMax - open.length);
      open.bytes.set(text.subarray(from, from + taken), open.length);
      open.length += taken;
      from += taken;
    }
  }

  #take(stream: OutputStream): LogLine {
    const open = this.#open[stream];
    const text = open.bytes?.subarray(0, open.length) ?? new Uint8Array(0);
    open.length = 0;
    return this.#line(stream, text, true);
  }

  #line(stream: OutputStream, text: Uint8Array, last: boolean): LogLine {
    const open = this.#open[stream];
    if (last && open.piece === undefined) return { stream, text };
    open.piece ??= { line: crypto.randomUUID().replaceAll("-", ""), ordinal: 0 };
    open.piece.ordinal++;
    const piece = { ...open.piece, last };
    if (last) open.piece = undefined;
    return { stream, text, piece };
  }
}
