/**
 * Inflates on this thread, into one buffer that stays in the processor's cache until it is hashed and written.
 *
 * The streams of node:zlib make a new buffer for every piece and hand it from thread to thread, which takes as much time
 * as inflating. Below a stream lies an object that inflates (`_handle`, with `writeSync`), in Bun 1.4.5 as in Node: what
 * is used here is what those streams themselves use.
 */
import { constants, createGunzip, createZstdDecompress } from "node:zlib";
import { EngineError } from "../core/errors.ts";
import type { Compression } from "./decompress.ts";

const bufferBytes = 256 * 1024;

interface Handle {
  writeSync(
    flush: number,
    input: Uint8Array,
    inputAt: number,
    inputLength: number,
    output: Uint8Array,
    outputAt: number,
    outputLength: number,
  ): void;
  onerror: (message: string, errno: number, code: string) => void;
  close(): void;
}

interface StreamWithHandle {
  _handle: Handle;
  /** After a call: the room that is left of the output, and the bytes that are left of the input. */
  _writeState: Uint32Array;
}

export class Inflater implements Disposable {
  readonly #handle: Handle;
  readonly #state: Uint32Array;
  readonly #buffer = new Uint8Array(bufferBytes);
  readonly #finish: number;
  #failure: string | undefined;

  constructor(compression: Exclude<Compression, "none">) {
    const stream = compression === "gzip" ? createGunzip() : createZstdDecompress();
    const { _handle, _writeState } = stream as unknown as Partial<StreamWithHandle>;
    if (typeof _handle?.writeSync !== "function" || _writeState?.length !== 2) {
      throw new EngineError("internal", `${compression}: this Bun inflates in another way`);
    }
    this.#handle = _handle;
    this.#state = _writeState;
    this.#finish = compression === "gzip" ? constants.Z_FINISH : constants.ZSTD_e_end;
    _handle.onerror = (message) => {
      this.#failure = message;
    };
  }

  /**
   * Several gzip members or zstd frames in a row are one; what follows that is none is passed over.
   * @returns pieces that are valid until the next is asked for.
   * @throws EngineError corrupt.
   */
  *push(input: Uint8Array): Generator<Uint8Array, void, void> {
    for (let at = 0; ; ) {
      const { taken, piece } = this.#call(constants.Z_NO_FLUSH, input, at);
      at += taken;
      if (piece.length > 0) yield piece;
      const isStuck = taken === 0 && piece.length === 0;
      if (isStuck || (at === input.length && piece.length < bufferBytes)) return;
    }
  }

  /** To be called after the last input. @throws EngineError corrupt when it breaks off. */
  *end(): Generator<Uint8Array, void, void> {
    const nothing = new Uint8Array(1);
    for (let piece = this.#buffer; piece.length === bufferBytes; ) {
      piece = this.#call(this.#finish, nothing, 1).piece as Uint8Array<ArrayBuffer>;
      if (piece.length > 0) yield piece;
    }
  }

  [Symbol.dispose](): void {
    this.#handle.close();
  }

  #call(flush: number, input: Uint8Array, at: number): { taken: number; piece: Uint8Array } {
    const length = input.length - at;
    this.#handle.writeSync(flush, input, at, length, this.#buffer, 0, bufferBytes);
    if (this.#failure !== undefined) throw new EngineError("corrupt", `layer cannot be inflated: ${this.#failure}`);
    const [room = 0, left = 0] = this.#state;
    return { taken: length - left, piece: this.#buffer.subarray(0, bufferBytes - room) };
  }
}
