/** What the reader of a log has to know of how its files are written. */
import type { DecodeOptions } from "./json-decoder.ts";
import type { LogSource } from "./log-source.ts";

/** json-file's records, or the blocks of local-format.ts. */
export type LogFormatName = "json-file" | "local";

export interface LogFormat {
  /** Bytes that a reader has in its memory at a time. A record that is longer makes it take more. */
  readBytes: number;
  decoder(options: DecodeOptions): LogDecoder;
  /** Where the last `wanted` whole records of a file begin. */
  seekTail(source: LogSource, sizeBytes: number, wanted: number): Promise<TailPlace>;
  /** A place before which every record is older than `since`: near the first one that is not. */
  seekSince(source: LogSource, sizeBytes: number, since: bigint): Promise<number>;
  /** When the first record was written; undefined when there is none. */
  firstTime(source: LogSource): Promise<bigint | undefined>;
}

export interface TailPlace {
  offset: number;
  /** How many there are, fewer in a file that has no more. */
  records: number;
  /** How many others come before them from `offset` on, where records are not found one by one. */
  skip: number;
}

export interface LogDecoder {
  /** Records to be passed over first. */
  skip: number;
  /**
   * Decodes the whole records of `source`.
   * @param position where in the file that is. @returns the output, which is the caller's; it may be empty.
   */
  decode(source: Uint8Array, position: number): Uint8Array;
  /** How many bytes of the source are done with: fewer, or (where a page is damaged) more, than it has. */
  readonly consumed: number;
  /** A record after `until` was met. */
  readonly ended: boolean;
  /** A line of the engine's own, as one of stderr. */
  note(text: string, time: bigint): Uint8Array;
}

/**
 * The greatest place, of those that are `step` apart, whose first record is older than `since`; 0 when there is none.
 * Records are taken to be in the order of their times, which a clock that was set back breaks for that moment.
 * @param timeAt of the first record that begins at or after a place; undefined when there is none.
 */
export async function bisect(
  sizeBytes: number,
  step: number,
  since: bigint,
  timeAt: (offset: number) => Promise<bigint | undefined>,
): Promise<number> {
  let low = 0;
  let high = Math.floor(Math.max(0, sizeBytes - 1) / step);
  while (low < high) {
    const middle = Math.ceil((low + high) / 2);
    const time = await timeAt(middle * step);
    if (time !== undefined && time < since) low = middle;
    else high = middle - 1;
  }
  return low * step;
}
