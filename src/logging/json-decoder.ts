/**
 * Reads docker's json-file records into what `docker logs` sends: docker's multiplexed frames, or the bare text of a
 * terminal. Bytes go straight from record to frame in one loop; a record that is not as tsd and docker write
 * it (other keys, another order) goes through JSON.parse instead, and one that is no JSON is passed over.
 */
import { formatTime } from "../core/clock.ts";
import type { LogDecoder } from "./log-format.ts";
import type { OutputStream } from "./log-writer.ts";

export interface DecodeOptions {
  stdout: boolean;
  stderr: boolean;
  /** Frames of `[1|2, 0, 0, 0, length (32 bits, big endian)]` and the text; else the text alone. */
  multiplexed: boolean;
  /** Each record begins with its time, with nine digits of a second: as docker's, also the pieces of a long line. */
  timestamps: boolean;
  /** Each record begins with its attributes, `name=value,name=value` in the form of a URL's query, and a space. */
  details: boolean;
  /** Nanoseconds since the epoch: earlier records are left out. */
  since?: bigint;
  /** Nanoseconds since the epoch: a later record ends the output. */
  until?: bigint;
}

const newline = 10;
const quote = 0x22;
const backslash = 0x5c;
const head = Buffer.from('{"log":"');
const streamKey = Buffer.from(',"stream":"std');
const attributesKey = Buffer.from('","attrs":{');
const timeKey = Buffer.from('","time":"');
export const frameHeaderBytes = 8;
/** `2026-01-02T03:04:05.060000007Z ` and the space of the details. */
const linePrefixBytesMax = 48;
/** What an escape of one character stands for; 0 is no such escape. */
const escapes = new Uint8Array(128);
for (const [character, byte] of Object.entries({ n: 10, r: 13, t: 9, b: 8, f: 12, '"': 34, "\\": 92, "/": 47 })) {
  escapes[character.charCodeAt(0)] = byte;
}

export class RecordDecoder implements LogDecoder {
  readonly #options: DecodeOptions;
  /** Output of the current call. Decoded text is never longer than its record. */
  #out = new Uint8Array(0);
  #length = 0;
  /** Where the text of the record ended, in the source; where its time is. */
  #at = 0;
  #stream: OutputStream = "stdout";
  #timeFrom = 0;
  #timeTo = 0;
  /** The last time that was looked at: as it stands, its value, and with nine digits and a space for the output. */
  #time: { text: Uint8Array; nanoseconds: bigint | undefined; fixed: Uint8Array } = {
    text: new Uint8Array(0),
    nanoseconds: undefined,
    fixed: new Uint8Array(0),
  };
  /** Of the record: where its attributes are, from brace to brace; the same when it has none. */
  #attributesFrom = 0;
  #attributesTo = 0;
  /** The last attributes that were looked at, as they stand and as they are shown. */
  #attributes: { text: Uint8Array; shown: Uint8Array } = { text: new Uint8Array(0), shown: new Uint8Array(0) };
  consumed = 0;
  ended = false;
  skip = 0;

  constructor(options: DecodeOptions) {
    this.#options = options;
  }

  decode(bytes: Uint8Array): Uint8Array {
    const source = bytes.subarray(0, bytes.lastIndexOf(newline) + 1);
    this.consumed = source.length;
    this.#out = new Uint8Array(source.length + linePrefixBytesMax * 64);
    this.#length = 0;
    let from = 0;
    while (from < source.length && !this.ended) {
      this.#reserve(source, from);
      const start = this.#length;
      if (this.#record(source, from, start + this.#overhead())) {
        this.#finish(source, start);
        from = this.#at;
      } else {
        const end = source.indexOf(newline, from) + 1;
        this.#length = start;
        this.#foreign(source.subarray(from, end), start);
        from = end;
      }
    }
    const output = this.#out.subarray(0, this.#length);
    this.#out = new Uint8Array(0);
    return output;
  }

  note(text: string, time: bigint): Uint8Array {
    const { stderr, until } = this.#options;
    // It does not end the output, however late it is.
    const shown = formatNanoseconds(until !== undefined && until < time ? until : time);
    return this.decode(
      Buffer.from(`${JSON.stringify({ log: text, stream: stderr ? "stderr" : "stdout", time: shown })}\n`),
    );
  }

  /** Bytes kept free before the text of a record. */
  #overhead(): number {
    const { multiplexed, timestamps, details } = this.#options;
    return (multiplexed ? frameHeaderBytes : 0) + (timestamps || details ? linePrefixBytesMax : 0);
  }

  /** Room for what is left of the source: prefixes can make the output longer than the input. */
  #reserve(source: Uint8Array, from: number): void {
    this.#ensure(this.#length + this.#overhead() + (source.length - from));
  }

  #ensure(needed: number): void {
    if (needed <= this.#out.length) return;
    const grown = new Uint8Array(Math.ceil(needed * 1.25));
    grown.set(this.#out.subarray(0, this.#length));
    this.#out = grown;
  }

  /** One record as tsd and docker write it. @returns false, with nothing done, when it is another kind of record. */
  #record(source: Uint8Array, from: number, to: number): boolean {
    if (!startsWith(source, from, head)) return false;
    const out = this.#out;
    let read = from + head.length;
    let at = to;
    for (;;) {
      const byte = source[read];
      if (byte === quote) break;
      if (byte === undefined || byte < 0x20) return false;
      if (byte !== backslash) {
        out[at++] = byte;
        read++;
        continue;
      }
      const letter = source[read + 1]!;
      if (letter === 0x75) {
        const code = hexValue(source, read + 2);
        // Go writes characters beyond the basic plane as they are: a surrogate is not of its making.
        if (code < 0 || (code >= 0xd800 && code < 0xe000)) return false;
        at = putCharacter(out, at, code);
        read += 6;
      } else {
        const plain = escapes[letter & 0x7f]!;
        if (plain === 0 || letter > 0x7f) return false;
        out[at++] = plain;
        read += 2;
      }
    }
    if (!this.#tail(source, read + 1)) return false;
    this.#length = at;
    return true;
  }

  /** `,"stream":"stdout","time":"…"}` and the newline. */
  #tail(source: Uint8Array, from: number): boolean {
    if (!startsWith(source, from, streamKey)) return false;
    let at = from + streamKey.length;
    this.#stream = source[at] === 0x6f ? "stdout" : "stderr";
    if (!startsWith(source, at, this.#stream === "stdout" ? out3 : err3)) return false;
    at += 3;
    this.#attributesFrom = at;
    this.#attributesTo = at;
    if (startsWith(source, at, attributesKey)) {
      this.#attributesFrom = at + attributesKey.length - 1;
      at = endOfStrings(source, this.#attributesFrom + 1);
      if (at < 0) return false;
      this.#attributesTo = at;
      if (source[at] !== 0x2c || !startsWith(source, at + 1, timeKey.subarray(2))) return false;
      at += timeKey.length - 1;
    } else {
      if (!startsWith(source, at, timeKey)) return false;
      at += timeKey.length;
    }
    this.#timeFrom = at;
    while (source[at] !== quote) if ((source[at++] ?? 0) < 0x20) return false;
    this.#timeTo = at;
    if (source[at + 1] !== 0x7d || source[at + 2] !== newline) return false;
    this.#at = at + 3;
    return true;
  }

  /** The text lies behind the room for its prefixes: puts them there, or takes it back when it is not wanted. */
  #finish(source: Uint8Array, start: number): void {
    const { since, until, timestamps } = this.#options;
    if (timestamps || since !== undefined || until !== undefined) {
      this.#readTime(source);
      const { nanoseconds } = this.#time;
      if (until !== undefined && nanoseconds !== undefined && nanoseconds > until) this.ended = true;
      if (this.ended || (since !== undefined && nanoseconds !== undefined && nanoseconds < since)) {
        this.#length = start;
        return;
      }
    }
    if (!this.#options[this.#stream]) {
      this.#length = start;
      return;
    }
    if (this.#options.details) {
      this.#readAttributes(source);
      this.#ensure(this.#length + this.#attributes.shown.length + 1);
    }
    this.#frame(start);
  }

  /** Mostly all records of a log have the same. */
  #readAttributes(source: Uint8Array): void {
    const text = source.subarray(this.#attributesFrom, this.#attributesTo);
    if (Buffer.compare(text, this.#attributes.text) === 0) return;
    this.#attributes = { text: text.slice(), shown: Buffer.from(showAttributes(Buffer.from(text).toString())) };
  }

  /** Most records have the time of the one before: they were read from the pipe together. */
  #readTime(source: Uint8Array): void {
    const { text } = this.#time;
    const length = this.#timeTo - this.#timeFrom;
    let same = length === text.length ? 0 : -1;
    while (same >= 0 && same < length) same = text[same] === source[this.#timeFrom + same] ? same + 1 : -1;
    if (same >= 0) return;
    const time = Buffer.from(source.subarray(this.#timeFrom, this.#timeTo));
    const words = time.toString("latin1");
    this.#time = { text: time, nanoseconds: parseTime(words), fixed: Buffer.from(`${padTime(words)} `) };
  }

  #frame(start: number): void {
    const { multiplexed, timestamps, details } = this.#options;
    const out = this.#out;
    let text = start + this.#overhead();
    const length = this.#length - text;
    let at = start + (multiplexed ? frameHeaderBytes : 0);
    const { fixed } = this.#time;
    if (timestamps) for (let index = 0; index < fixed.length && index < 40; index++) out[at++] = fixed[index]!;
    if (details) {
      const { shown } = this.#attributes;
      if (at + shown.length >= text) {
        // Longer than the room that is kept free.
        const room = at + shown.length + 1;
        out.copyWithin(room, text, this.#length);
        this.#length += room - text;
        text = room;
      }
      out.set(shown, at);
      at += shown.length;
      out[at++] = 0x20;
    }
    if (at !== text) {
      out.copyWithin(at, text, this.#length);
      text = at;
      this.#length = at + length;
    }
    if (multiplexed) putFrameHeader(out, start, this.#stream, this.#length - start - frameHeaderBytes);
  }

  /** A record in other JSON. Escapes are never shorter than what they stand for, so there is room for the text. */
  #foreign(line: Uint8Array, start: number): void {
    let record: { log?: unknown; stream?: unknown; attrs?: unknown; time?: unknown } | null;
    try {
      record = JSON.parse(Buffer.from(line).toString());
    } catch {
      return; // Torn by a crash of whoever wrote it: there is nothing to show.
    }
    if (typeof record?.log !== "string" || typeof record.time !== "string") return;
    this.#stream = record.stream === "stderr" ? "stderr" : "stdout";
    const text = start + this.#overhead();
    const { written } = new TextEncoder().encodeInto(record.log, this.#out.subarray(text));
    this.#length = text + written;
    const attributes = typeof record.attrs === "object" ? JSON.stringify(record.attrs) : "";
    const source = Buffer.from(`${record.time}${attributes}`);
    this.#timeFrom = 0;
    this.#timeTo = Buffer.byteLength(record.time);
    this.#attributesFrom = this.#timeTo;
    this.#attributesTo = source.length;
    this.#finish(source, start);
  }
}

const out3 = Buffer.from("out");
const err3 = Buffer.from("err");

/** The head of docker's frames: the stream and the length of what follows. */
export function putFrameHeader(out: Uint8Array, at: number, stream: OutputStream, size: number): void {
  out[at] = stream === "stdout" ? 1 : 2;
  out[at + 1] = 0;
  out[at + 2] = 0;
  out[at + 3] = 0;
  out[at + 4] = size >>> 24;
  out[at + 5] = size >>> 16;
  out[at + 6] = size >>> 8;
  out[at + 7] = size;
}

/** Behind the brace that ends an object of strings; -1 when there is none in this record. */
function endOfStrings(source: Uint8Array, from: number): number {
  let inString = false;
  for (let at = from; ; at++) {
    const byte = source[at] ?? 0;
    if (byte < 0x20) return -1;
    if (byte === quote) inString = !inString;
    else if (byte === backslash) at++;
    else if (byte === 0x7d && !inString) return at + 1;
  }
}

/** As docker's daemon shows them: sorted by their names. */
function showAttributes(json: string): string {
  let attributes: Record<string, unknown>;
  try {
    attributes = json === "" ? {} : JSON.parse(json);
  } catch {
    return ""; // Of a record that somebody else has written: its text is shown all the same.
  }
  return Object.keys(attributes)
    .sort()
    .map((name) => `${queryEscape(name)}=${queryEscape(String(attributes[name]))}`)
    .join(",");
}

/** Go's url.QueryEscape. */
function queryEscape(text: string): string {
  const encoded = encodeURIComponent(text.toWellFormed()).replace(/%20/g, "+");
  return encoded.replace(/[!'()*]/g, (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`);
}

function startsWith(source: Uint8Array, from: number, text: Uint8Array): boolean {
  for (let index = 0; index < text.length; index++) if (source[from + index] !== text[index]) return false;
  return true;
}

/** Four hexadecimal digits; -1 for anything else. */
function hexValue(source: Uint8Array, from: number): number {
  let value = 0;
  for (let index = from; index < from + 4; index++) {
    const byte = source[index] ?? 0;
    const letter = byte | 0x20;
    if (byte >= 0x30 && byte <= 0x39) value = value * 16 + byte - 0x30;
    else if (letter >= 0x61 && letter <= 0x66) value = value * 16 + letter - 0x57;
    else return -1;
  }
  return value;
}

function putCharacter(out: Uint8Array, from: number, code: number): number {
  let at = from;
  if (code < 0x80) out[at++] = code;
  else if (code < 0x800) {
    out[at++] = 0xc0 | (code >> 6);
    out[at++] = 0x80 | (code & 0x3f);
  } else {
    out[at++] = 0xe0 | (code >> 12);
    out[at++] = 0x80 | ((code >> 6) & 0x3f);
    out[at++] = 0x80 | (code & 0x3f);
  }
  return at;
}

/** `…05.06Z` as `…05.060000000Z`. */
export function padTime(time: string): string {
  const match = /^(.{19})(?:\.(\d+))?(Z|[+-]\d\d:\d\d)$/.exec(time);
  return match === null ? time : `${match[1]}.${(match[2] ?? "").padEnd(9, "0")}${match[3]}`;
}

/** Nanoseconds since the epoch of an RFC 3339 time; undefined for anything else. */
export function parseTime(time: string): bigint | undefined {
  const match = /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)$/.exec(time);
  if (match === null) return undefined;
  const seconds = Date.parse(`${match[1]}${match[3]}`);
  if (Number.isNaN(seconds)) return undefined;
  return BigInt(seconds) * 1_000_000n + BigInt((match[2] ?? "").padEnd(9, "0"));
}

/** As records have it. */
export function formatNanoseconds(time: bigint): string {
  const nanoseconds = ((time % 1_000_000n) + 1_000_000n) % 1_000_000n;
  const milliseconds = Number((time - nanoseconds) / 1_000_000n);
  return formatTime({ milliseconds, nanoseconds: Number(nanoseconds) });
}
