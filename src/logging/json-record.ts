/**
 * Docker's json-file records, byte for byte as docker writes them:
 *
 *     {"log":"text\n","stream":"stdout","time":"2026-01-02T03:04:05.060000007Z"}
 *     {"log":"text\n","stream":"stdout","attrs":{"label":"value"},"time":"2026-01-02T03:04:05.060000007Z"}
 *
 * The text is escaped as Go's encoding/json does (`<`, `>` and `&` too); each byte that is not UTF-8 becomes \ufffd.
 *
 * It works on bytes, four at a time where they can be, in one loop that finds the newline and escapes at once: 200 MB of
 * lines take a fifth of a second, and no string is made that would have to be collected.
 */

/** A line longer than this is written in pieces; only the last has the newline. Docker's defaultBufSize. */
export const pieceBytesMax = 16384;

/** The longest record: every byte escaped, and the frame around them. */
export const recordBytesMax: number = pieceBytesMax * 6 + 128;

const newline = 10;
const prefix = Buffer.from('{"log":"');
const replacement = Buffer.from("\\ufffd");

/** How a byte is written: 0 as it is, 1 escaped, 2 it begins (or is no part of) a longer UTF-8 sequence, 3 newline. */
const kinds = new Uint8Array(256);
const hex = Buffer.from("0123456789abcdef");

function fillKinds(): void {
  for (let byte = 0; byte < 256; byte++) kinds[byte] = byte < 0x20 ? 1 : byte < 0x80 ? 0 : 2;
  for (const character of '"\\<>&') kinds[character.charCodeAt(0)] = 1;
  kinds[newline] = 3;
}

/** What follows the text. @param attributes of `attributesJson`. */
export function recordEnd(stream: "stdout" | "stderr", time: string, attributes = ""): Uint8Array {
  return Buffer.from(`","stream":"${stream}",${attributes}"time":"${time}"}\n`);
}

/** The field of a record that has them, sorted and escaped as by Go's encoder, and a comma; "" where there are none. */
export function attributesJson(attributes: Readonly<Record<string, string>>): string {
  const names = Object.keys(attributes).sort();
  if (names.length === 0) return "";
  const fields = names.map((name) => `${goString(name)}:${goString(attributes[name]!)}`);
  return `"attrs":{${fields.join(",")}},`;
}

function goString(text: string): string {
  const escaped = { "<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029" };
  return JSON.stringify(text.toWellFormed()).replace(
    /[<>&\u2028\u2029]/g,
    (mark) => escaped[mark as keyof typeof escaped],
  );
}

const prefixWord = new DataView(Uint8Array.from(prefix).buffer).getFloat64(0, true);

const noView = new DataView(new ArrayBuffer(0));

const ones = 0x01010101;
const highs = 0x80808080 | 0;

/** Whether one of four bytes is beyond ASCII, below a space, or one of `"\\<>&`. */
function needsCare(word: number): boolean {
  // A byte is zero where less one its highest bit is set and was not before. `"` and `&` differ in one bit, `<` and `>` too.
  const quote = (word | 0x04040404) ^ 0x26262626;
  const angle = (word | 0x02020202) ^ 0x3e3e3e3e;
  const slash = word ^ 0x5c5c5c5c;
  return ((word | (word - 0x20202020) | (quote - ones) | (angle - ones) | (slash - ones)) & highs) !== 0;
}

/** Encodes records into a buffer. */
export class RecordEncoder {
  readonly buffer: Uint8Array;
  /** Bytes of whole records in the buffer. */
  length = 0;
  /** Where in the source the last record ended, and whether it did with a newline. */
  consumed = 0;
  lineEnded = false;

  readonly #view: DataView;
  /** What was encoded from last, and its view. */
  #source: Uint8Array | undefined;
  #sourceView: DataView = noView;
  #end: Uint8Array | undefined;
  #endWords: Float64Array | undefined;

  constructor(bytes: number) {
    this.buffer = new Uint8Array(bytes);
    this.#view = new DataView(this.buffer.buffer);
    if (kinds[newline] === 0) fillKinds();
  }

  /** Empties the buffer, and lets go of what was encoded. */
  clear(): void {
    this.length = 0;
    this.#source = undefined;
    this.#sourceView = noView;
  }

  /**
   * Encodes one record of `source` from `from`: up to and with the next newline, or up to `limit` when no newline
   * comes before and `whole` is false. The buffer must have room for recordBytesMax.
   * @returns false, and nothing is encoded, when `whole` and there is no newline.
   */
  encode(source: Uint8Array, from: number, limit: number, end: Uint8Array, whole: boolean): boolean {
    const { buffer } = this;
    const view = this.#view;
    const text = this.#viewOf(source);
    let at = this.length;
    view.setFloat64(at, prefixWord, true);
    at += 8;
    let read = from;
    let ended = false;
    const wordsEnd = limit - 3;
    while (read < limit) {
      // Four bytes at a time as long as none of them is written in another way.
      while (read < wordsEnd) {
        const word = text.getInt32(read, true);
        if (needsCare(word)) break;
        view.setInt32(at, word, true);
        at += 4;
        read += 4;
      }
      if (read >= limit) break;
      const byte = source[read]!;
      const kind = kinds[byte];
      if (kind === 0) {
        buffer[at++] = byte;
        read++;
      } else if (kind === 3) {
        buffer[at++] = 0x5c;
        buffer[at++] = 0x6e;
        read++;
        ended = true;
        break;
      } else if (kind === 1) {
        at = this.#escape(byte, at);
        read++;
      } else {
        const length = sequenceLength(source, read, limit);
        at = this.#sequence(source, read, length, at);
        read += length === 0 ? 1 : length;
      }
    }
    if (!ended && whole) return false;
    at = this.#put(end, at);
    this.length = at;
    this.consumed = read;
    this.lineEnded = ended;
    return true;
  }

  #viewOf(source: Uint8Array): DataView {
    if (source !== this.#source) {
      this.#source = source;
      this.#sourceView = new DataView(source.buffer, source.byteOffset, source.byteLength);
    }
    return this.#sourceView;
  }

  #setEnd(end: Uint8Array): void {
    this.#end = end;
    // As numbers bytes beyond ASCII could be a NaN, which is not kept as it is.
    const isAscii = end.every((byte) => byte < 0x80);
    const padded = new Uint8Array(Math.ceil(end.length / 8) * 8);
    padded.set(end);
    this.#endWords = isAscii ? new Float64Array(padded.buffer) : undefined;
  }

  /** Eight bytes at a time, of which there may be seven too many. */
  #put(end: Uint8Array, to: number): number {
    if (end !== this.#end) this.#setEnd(end);
    const words = this.#endWords;
    if (words === undefined) {
      this.buffer.set(end, to);
      return to + end.length;
    }
    const view = this.#view;
    for (let word = 0; word < words.length; word++) view.setFloat64(to + word * 8, words[word]!, true);
    return to + end.length;
  }

  #escape(byte: number, to: number): number {
    const { buffer } = this;
    let at = to;
    buffer[at++] = 0x5c;
    if (byte === 0x22 || byte === 0x5c) buffer[at++] = byte;
    else if (byte === 0x0d) buffer[at++] = 0x72;
    else {
      buffer[at++] = 0x75;
      buffer[at++] = 0x30;
      buffer[at++] = 0x30;
      buffer[at++] = hex[byte >> 4]!;
      buffer[at++] = hex[byte & 15]!;
    }
    return at;
  }

  /** A sequence beyond ASCII; length 0 is a byte that is part of none. */
  #sequence(source: Uint8Array, from: number, length: number, to: number): number {
    const { buffer } = this;
    let at = to;
    if (length === 0) {
      for (let index = 0; index < 6; index++) buffer[at++] = replacement[index]!;
      return at;
    }
    const last = source[from + 2];
    // U+2028 and U+2029 end a line in JavaScript: Go escapes them.
    if (length === 3 && source[from] === 0xe2 && source[from + 1] === 0x80 && (last === 0xa8 || last === 0xa9)) {
      for (const byte of [0x5c, 0x75, 0x32, 0x30, 0x32, last === 0xa8 ? 0x38 : 0x39]) buffer[at++] = byte;
      return at;
    }
    for (let index = 0; index < length; index++) buffer[at++] = source[from + index]!;
    return at;
  }
}

/**
 * The length of the UTF-8 sequence that begins at `from`; 0 when none does, or when it goes beyond `limit`. The
 * ranges are those of the Unicode standard, table 3-7: nothing overlong, no surrogates.
 */
function sequenceLength(source: Uint8Array, from: number, limit: number): number {
  const lead = source[from]!;
  const length = lead < 0xc2 ? 0 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : lead < 0xf5 ? 4 : 0;
  if (length === 0 || from + length > limit) return 0;
  const second = source[from + 1]!;
  const low = lead === 0xe0 ? 0xa0 : lead === 0xf0 ? 0x90 : 0x80;
  const high = lead === 0xed ? 0x9f : lead === 0xf4 ? 0x8f : 0xbf;
  if (second < low || second > high) return 0;
  for (let index = 2; index < length; index++) if ((source[from + index]! & 0xc0) !== 0x80) return 0;
  return length;
}

/**
 * Where to cut a long line: at `limit`, or up to three bytes before where a character would be cut in two. Docker
 * cuts it in two and loses it.
 */
export function pieceEnd(source: Uint8Array, from: number, limit: number): number {
  for (let at = limit - 1; at >= Math.max(from + 1, limit - 3); at--) {
    const byte = source[at]!;
    if (byte < 0x80) return limit;
    if (byte < 0xc0) continue;
    const length = byte < 0xe0 ? 2 : byte < 0xf0 ? 3 : 4;
    return at + length > limit ? at : limit;
  }
  return limit;
}
