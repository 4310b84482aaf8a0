import type { Duplex } from "node:stream";
import type { Connection } from "./transport.ts";

/** How long a client may leave its half open after ours has ended. */
const lingerMs = 5000;

/**
 * A socket as a Connection. The socket is never iterated itself: that would destroy it at the end of input, and
 * output after the client's half-close would be lost. It is paused whenever a chunk waits for its reader.
 */
export class SocketConnection implements Connection {
  readonly halfCloses = true;
  readonly #socket: Duplex;
  readonly #gone = new AbortController();
  readonly #chunks: Uint8Array[] = [];
  #ended = false;
  #discard = false;
  /** Somebody takes the input. */
  #reading = false;
  #wake: (() => void) | undefined;

  /** @param head what arrived together with the request's head. */
  constructor(socket: Duplex, head: Uint8Array) {
    this.#socket = socket;
    if (head.byteLength > 0) this.#chunks.push(head);
    socket.on("data", (chunk: Uint8Array) => {
      if (this.#discard) return;
      this.#chunks.push(chunk);
      socket.pause();
      this.#wake?.();
    });
    socket.on("end", () => this.#endInput());
    // `close` follows; a reset by the client is no error of ours.
    socket.on("error", () => socket.destroy());
    socket.on("close", () => this.#onClose());
  }

  get signal(): AbortSignal {
    return this.#gone.signal;
  }

  get input(): AsyncIterable<Uint8Array> {
    return this.#read();
  }

  write(chunk: Uint8Array | string): Promise<void> | undefined {
    if (this.#socket.destroyed || this.#socket.write(chunk)) return undefined;
    return new Promise((resolve) => {
      const done = () => {
        this.#socket.off("drain", done);
        this.#socket.off("close", done);
        resolve();
      };
      this.#socket.on("drain", done);
      this.#socket.on("close", done);
    });
  }

  end(): void {
    if (this.signal.aborted) return;
    // What the client still sends is read and dropped, so that its end is seen. One that never ends is cut off, but
    // not at once: closing with unread input would make the client's read of the last output fail (unix(7)).
    this.#socket.once("finish", () => {
      const timer = setTimeout(() => this.#socket.destroy(), lingerMs);
      timer.unref();
      this.#socket.once("close", () => clearTimeout(timer));
    });
    this.#socket.end();
    this.#discard = true;
    this.#chunks.length = 0;
    this.#socket.resume();
  }

  destroy(): void {
    this.#discard = true;
    this.#chunks.length = 0;
    this.#socket.destroy();
  }

  async *#read(): AsyncGenerator<Uint8Array> {
    this.#reading = true;
    try {
      for (;;) {
        const chunk = this.#chunks.shift();
        if (chunk !== undefined) yield chunk;
        else if (this.#ended) return;
        else {
          const more = new Promise<void>((resolve) => {
            this.#wake = resolve;
          });
          this.#socket.resume();
          await more;
          this.#wake = undefined;
        }
      }
    } finally {
      this.#reading = false;
      if (this.#socket.destroyed) this.#gone.abort();
    }
  }

  /**
   * Who sends something and leaves has sent it all the same: to its reader the client is gone once that is read. A
   * stream that is closed has it still, but tells of it no more.
   */
  #onClose(): void {
    if (this.#reading && !this.#discard) {
      for (let rest = this.#socket.read(); rest !== null; rest = this.#socket.read()) this.#chunks.push(rest);
    }
    this.#endInput();
    if (!this.#reading || this.#discard) this.#gone.abort();
  }

  #endInput(): void {
    this.#ended = true;
    this.#wake?.();
  }
}
