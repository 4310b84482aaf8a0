import { log } from "../../core/log.ts";
import { FrameReader, frameType } from "../schema/run-protocol.ts";
import type { Connection } from "../transport.ts";
import {
  closeCode,
  encodeClose,
  encodeServerFrame,
  FrameDecoder,
  type Opcode,
  opcode,
  WebSocketViolation,
} from "./frames.ts";

export interface WebSocketOptions {
  /** Messages are text, as before API 1.28; else binary. */
  text: boolean;
  /** What is written are docker's frames: each payload becomes a message, as docker has it, whichever stream it is of. */
  multiplexed: boolean;
}

/**
 * A connection of bytes over one that speaks WebSocket: input is the payload of the client's messages, each piece of
 * output a message. Pings are answered while input is read.
 */
export class WebSocketConnection implements Connection {
  readonly halfCloses = false;
  readonly #inner: Connection;
  readonly #kind: Opcode;
  readonly #split: FrameReader | undefined;
  /** Of a stream of text: the beginning of a character whose rest has not come. A message has whole characters. */
  readonly #begun = new Map<number, Uint8Array>();
  readonly #text: boolean;
  /** A close was sent: nothing may follow it. */
  #closed = false;
  #written: Promise<void> | undefined;

  constructor(inner: Connection, options: WebSocketOptions) {
    this.#inner = inner;
    this.#text = options.text;
    this.#kind = options.text ? opcode.text : opcode.binary;
    if (options.multiplexed) this.#split = new FrameReader((stream, payload) => this.#send(stream, payload));
  }

  get signal(): AbortSignal {
    return this.#inner.signal;
  }

  get input(): AsyncIterable<Uint8Array> {
    return this.#read();
  }

  write(chunk: Uint8Array | string): Promise<void> | undefined {
    const bytes = typeof chunk === "string" ? Buffer.from(chunk) : chunk;
    this.#written = undefined;
    if (this.#split) this.#split.push(bytes);
    else this.#send(frameType.raw, bytes);
    return this.#written;
  }

  end(): void {
    for (const begun of this.#begun.values()) this.#inner.write(encodeServerFrame(this.#kind, begun));
    this.#close(closeCode.normal);
  }

  #close(code: number): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#begun.clear();
    this.#inner.write(encodeClose(code));
    this.#inner.end();
  }

  #send(stream: number, payload: Uint8Array): void {
    const bytes = this.#text ? this.#wholeCharacters(stream, payload) : payload;
    if (this.#closed || bytes.length === 0) return;
    // Of several messages the last one's promise is that of all: they are sent in order.
    this.#written = this.#inner.write(encodeServerFrame(this.#kind, bytes)) ?? this.#written;
  }

  #wholeCharacters(stream: number, payload: Uint8Array): Uint8Array {
    const begun = this.#begun.get(stream);
    const bytes = begun === undefined ? payload : Buffer.concat([begun, payload]);
    const tail = unfinishedBytes(bytes);
    if (tail === 0) this.#begun.delete(stream);
    else this.#begun.set(stream, bytes.slice(bytes.length - tail));
    return bytes.subarray(0, bytes.length - tail);
  }

  async *#read(): AsyncGenerator<Uint8Array> {
    let pieces: Uint8Array[] = [];
    let ping: Uint8Array | undefined;
    let code: number | undefined;
    const decoder = new FrameDecoder({
      data: (bytes) => pieces.push(bytes),
      // RFC 6455 section 5.5.3: of several the last may be answered alone.
      ping: (payload) => {
        ping = payload;
      },
      close: (given) => {
        code = given;
      },
    });
    for await (const chunk of this.#inner.input) {
      try {
        decoder.push(chunk);
      } catch (error) {
        if (!(error instanceof WebSocketViolation)) throw error;
        log("debug", "a client broke the protocol", { error: error.message });
        code = error.closeCode;
      }
      for (const piece of pieces) yield piece;
      pieces = [];
      if (ping !== undefined && !this.#closed) await this.#inner.write(encodeServerFrame(opcode.pong, ping));
      ping = undefined;
      if (code === undefined) continue;
      this.#close(code);
      return;
    }
  }
}

/** How many bytes at the end begin a UTF-8 sequence (RFC 3629) that goes on beyond it. */
function unfinishedBytes(bytes: Uint8Array): number {
  for (let length = 1; length <= Math.min(3, bytes.length); length++) {
    const byte = bytes[bytes.length - length]!;
    if (byte < 0x80) return 0;
    if (byte < 0xc0) continue;
    const whole = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : 2;
    return length < whole ? length : 0;
  }
  return 0;
}
