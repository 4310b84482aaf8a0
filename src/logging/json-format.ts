/** Finds its way in json-file's files: a record a line, and nothing else to go by. */
import { parseTime, RecordDecoder } from "./json-decoder.ts";
import { bisect, type LogFormat } from "./log-format.ts";
import type { LogSource } from "./log-source.ts";

const newline = 10;
const blockBytes = 256 * 1024;
/** Records that are looked at one by one while a place is bisected lie within it. */
const glanceBytes = 16 * 1024;

export const jsonFormat: LogFormat = {
  readBytes: blockBytes,
  decoder: (options) => new RecordDecoder(options),

  async seekTail(source, sizeBytes, wanted) {
    const block = new Uint8Array(Math.min(wanted < 100 ? blockBytes / 4 : blockBytes, sizeBytes));
    let end = sizeBytes;
    // The newline that ends the last record does not begin one.
    let newlines = -1;
    while (end > 0) {
      const from = Math.max(0, end - block.length);
      const length = await source.read(block.subarray(0, end - from), from);
      const bytes = block.subarray(0, length);
      for (let at = bytes.lastIndexOf(newline); at >= 0; at = at === 0 ? -1 : bytes.lastIndexOf(newline, at - 1)) {
        newlines++;
        if (newlines === wanted) return { offset: from + at + 1, records: wanted, skip: 0 };
      }
      end = from;
    }
    return { offset: 0, records: newlines + 1, skip: 0 };
  },

  async seekSince(source, sizeBytes, since) {
    const place = await bisect(sizeBytes, blockBytes, since, (offset) => timeAfter(source, offset));
    // It is in the middle of a record; that one is older, too.
    return place === 0 ? 0 : ((await recordAfter(source, place)) ?? 0);
  },

  firstTime: (source) => timeAfter(source, 0),
};

/** Where the first record begins after a place. */
async function recordAfter(source: LogSource, offset: number): Promise<number | undefined> {
  const block = new Uint8Array(blockBytes);
  const found = block.subarray(0, await source.read(block, offset)).indexOf(newline);
  return found < 0 ? undefined : offset + found + 1;
}

/** Of the first record that begins after a place, or at the beginning of the file. */
async function timeAfter(source: LogSource, offset: number): Promise<bigint | undefined> {
  for (const length of [glanceBytes, blockBytes]) {
    const block = new Uint8Array(length);
    const bytes = block.subarray(0, await source.read(block, offset));
    let from = offset === 0 ? 0 : bytes.indexOf(newline) + 1;
    if (from === 0 && offset > 0) continue;
    for (let end = bytes.indexOf(newline, from); end >= 0; end = bytes.indexOf(newline, from)) {
      const time = timeOf(bytes.subarray(from, end));
      if (time !== undefined) return time;
      from = end + 1;
    }
  }
  return undefined;
}

function timeOf(line: Uint8Array): bigint | undefined {
  try {
    const record = JSON.parse(Buffer.from(line).toString()) as { time?: unknown } | null;
    return typeof record?.time === "string" ? parseTime(record.time) : undefined;
  } catch {
    return undefined; // Torn, or no record: the next one tells.
  }
}
