/** What a web server answers to a probe: its status, and the beginning of what it says. RFC 9112, as far as that needs it. */
import { EngineError } from "../../core/errors.ts";

/** Servers refuse longer heads of requests; of answers nobody needs more. */
const headBytesMax = 16_384;
/** What is kept of the body, to be shown; more is not waited for. */
const bodyBytesMax = 4096;
const statusLine = /^HTTP\/1\.\d (\d{3})(?: .*)?$/;

interface Head {
  /** As it was sent. */
  line: string;
  status: number;
  isChunked: boolean;
  /** Of the body, where it is told. */
  length: number | undefined;
}

export class HttpResponse {
  #received: Buffer = Buffer.alloc(0);
  /** Of heads that are read: interim answers may go on for ever, and each of them is small. */
  #headBytes = 0;
  #head: Head | undefined;

  /** The status is known. */
  get isKnown(): boolean {
    return this.#head !== undefined;
  }

  /** Nothing more is of interest. */
  get isOver(): boolean {
    if (this.#head === undefined) return false;
    const { length, isChunked, status } = this.#head;
    if (status === 204 || status === 304) return true;
    const wanted = Math.min(isChunked ? bodyBytesMax : (length ?? bodyBytesMax), bodyBytesMax);
    return this.#received.length >= wanted || (isChunked && this.#received.includes("\r\n0\r\n"));
  }

  get isGood(): boolean {
    const status = this.#head?.status ?? 0;
    return status >= 200 && status < 400;
  }

  /** The line with the status, and of one that is bad what the server says beside it. */
  get description(): Uint8Array {
    if (this.#head === undefined) return Buffer.alloc(0);
    const { line, isChunked } = this.#head;
    if (this.isGood) return Buffer.from(line);
    const body = isChunked ? joinChunks(this.#received) : this.#received;
    return Buffer.concat([Buffer.from(body.length > 0 ? `${line}\n` : line), body]);
  }

  /** @throws EngineError corrupt for what is no answer. */
  add(chunk: Uint8Array): void {
    if (this.#head !== undefined && this.#received.length >= bodyBytesMax) return;
    this.#received = Buffer.concat([this.#received, chunk]);
    while (this.#head === undefined && this.#readHead());
  }

  /** The connection has ended. @throws EngineError corrupt when that was before the status. */
  end(): void {
    if (this.#head !== undefined) return;
    if (this.#received.length === 0) throw wrong("closed the connection without an answer");
    throw wrong(`closed the connection in the middle of ${shown(this.#received)}`);
  }

  /**
   * Looks at the first line alone until the head is whole: who sends it in small pieces makes no more work than others.
   * @returns whether there was one, which may have been of an interim answer.
   */
  #readHead(): boolean {
    const line = firstLine(this.#received);
    const status = statusLine.exec(line.text)?.[1];
    if (status === undefined && (line.isWhole || !line.text.startsWith("HTTP/1.".slice(0, line.text.length)))) {
      throw wrong(`answered ${shown(this.#received)}, which is not HTTP/1.1`);
    }
    const size = headSize(this.#received);
    if (this.#headBytes + (size ?? this.#received.length) > headBytesMax) {
      throw wrong(`answered with a head of more than ${headBytesMax} bytes`);
    }
    if (size === undefined) return false;
    this.#headBytes += size;
    const text = this.#received.toString("latin1", 0, size);
    this.#received = this.#received.subarray(size);
    if (status!.startsWith("1")) return true;
    const length = /^content-length:[ \t]*(\d+)[ \t]*\r?$/im.exec(text)?.[1];
    const isChunked = /^transfer-encoding:.*\bchunked[ \t]*\r?$/im.test(text);
    const bodyLength = length === undefined ? undefined : Number(length);
    this.#head = { line: line.text, status: Number(status), isChunked, length: bodyLength };
    return true;
  }
}

/** Without its end; of one that is not there yet the first few bytes. */
function firstLine(bytes: Buffer): { text: string; isWhole: boolean } {
  const end = bytes.subarray(0, headBytesMax).indexOf("\n");
  if (end < 0) return { text: bytes.toString("latin1", 0, "HTTP/1.".length), isWhole: false };
  return { text: bytes.toString("latin1", 0, end).replace(/\r$/, ""), isWhole: true };
}

/** With the empty line that ends it. */
function headSize(bytes: Buffer): number | undefined {
  for (const end of ["\r\n\r\n", "\n\n"]) {
    const at = bytes.indexOf(end);
    if (at >= 0) return at + end.length;
  }
  return undefined;
}

/** What of a chunked body has come, without the lengths between. */
function joinChunks(body: Buffer): Buffer {
  const parts: Buffer[] = [];
  for (let at = 0; ; ) {
    const end = body.indexOf("\r\n", at);
    const size = end < 0 ? 0 : Number.parseInt(body.toString("latin1", at, end), 16);
    // Its end, or nonsense: what there is before it is shown.
    if (!(size > 0)) return Buffer.concat(parts);
    parts.push(body.subarray(end + 2, end + 2 + size));
    at = end + 2 + size + 2;
  }
}

function shown(bytes: Buffer): string {
  return JSON.stringify(bytes.toString("latin1", 0, 60));
}

function wrong(what: string): EngineError {
  return new EngineError("corrupt", `the server ${what}`);
}
