/** The frames of WebSockets, RFC 6455 section 5: what a client sends is decoded, what a server sends encoded. */

export const opcode = { continuation: 0, text: 1, binary: 2, close: 8, ping: 9, pong: 10 } as const;

export type Opcode = (typeof opcode)[keyof typeof opcode];

/** RFC 6455 section 7.4.1. */
export const closeCode = { normal: 1000, protocolError: 1002, noStatus: 1005, tooBig: 1009 } as const;

/** RFC 6455 section 5.5: of a ping, a pong and a close. */
const controlBytesMax = 125;
/** The first byte with the opcode, two of a length, eight of a longer one, four of the mask. */
const headerBytesMax = 14;

/** A client that breaks the protocol: the connection is to be closed with this code. */
export class WebSocketViolation extends Error {
  readonly closeCode: number;

  constructor(message: string, code: number = closeCode.protocolError) {
    super(`WebSocket: ${message}`);
    this.closeCode = code;
  }
}

export interface FrameListener {
  /** A piece of a message, unmasked. Where messages begin and end does not matter to a stream of bytes. */
  data(bytes: Uint8Array): void;
  ping(payload: Uint8Array): void;
  /** @param code noStatus when the client gave none. Nothing that follows is looked at. */
  close(code: number): void;
}

/**
 * Cuts what a client sends into frames. A frame's payload is given out as it arrives and never gathered, however long
 * the frame says it is; only control frames, which are short, are.
 */
export class FrameDecoder {
  readonly #listener: FrameListener;
  readonly #header = new Uint8Array(headerBytesMax);
  #headerFilled = 0;
  /** Known from the second byte on. */
  #headerBytes = 2;
  #opcode = 0;
  /** Of the payload. */
  #missing = 0;
  /** Of the payload, since its first byte: says which byte of the mask is next. */
  #taken = 0;
  #control = new Uint8Array(controlBytesMax);
  /** A message has begun, and its last fragment has not come. */
  #fragmented = false;
  #closed = false;

  constructor(listener: FrameListener) {
    this.#listener = listener;
  }

  /** @param chunk is the decoder's own from now on: it is unmasked in place. @throws WebSocketViolation. */
  push(chunk: Uint8Array): void {
    let at = 0;
    while (at < chunk.length && !this.#closed) {
      if (this.#headerFilled < this.#headerBytes) {
        this.#header[this.#headerFilled++] = chunk[at++]!;
        if (this.#headerFilled === 2) this.#begin();
        if (this.#headerFilled === this.#headerBytes) this.#readLength();
        continue;
      }
      const piece = chunk.subarray(at, at + this.#missing);
      at += piece.length;
      this.#payload(piece);
    }
  }

  /** The first two bytes: what kind of frame it is, and how long its header. */
  #begin(): void {
    const [first = 0, second = 0] = this.#header;
    const isLast = (first & 0x80) !== 0;
    this.#opcode = first & 0x0f;
    if ((first & 0x70) !== 0) throw new WebSocketViolation("reserved bits are set, and no extension was agreed on");
    if ((second & 0x80) === 0) throw new WebSocketViolation("a client's frames have to be masked");
    const short = second & 0x7f;
    switch (this.#opcode) {
      case opcode.continuation:
        if (!this.#fragmented) throw new WebSocketViolation("a fragment of no message");
        this.#fragmented = !isLast;
        break;
      case opcode.text:
      case opcode.binary:
        if (this.#fragmented) throw new WebSocketViolation("a new message amid the fragments of another");
        this.#fragmented = !isLast;
        break;
      case opcode.close:
      case opcode.ping:
      case opcode.pong:
        if (!isLast) throw new WebSocketViolation("a control frame in fragments");
        if (short > controlBytesMax)
          throw new WebSocketViolation(`a control frame of more than ${controlBytesMax} bytes`);
        break;
      default:
        throw new WebSocketViolation(`opcode ${this.#opcode} is reserved`);
    }
    this.#headerBytes = 2 + (short === 126 ? 2 : short === 127 ? 8 : 0) + 4;
  }

  #readLength(): void {
    const view = new DataView(this.#header.buffer);
    const short = this.#header[1]! & 0x7f;
    let length = short;
    if (short === 126) {
      length = view.getUint16(2);
      if (length < 126) throw new WebSocketViolation("a length in more bytes than it needs");
    } else if (short === 127) {
      const long = view.getBigUint64(2);
      if (long < 65536n) throw new WebSocketViolation("a length in more bytes than it needs");
      if (long >> 63n !== 0n) throw new WebSocketViolation("a length whose first bit is set");
      if (long > BigInt(Number.MAX_SAFE_INTEGER)) {
        throw new WebSocketViolation(`a frame of ${long} bytes`, closeCode.tooBig);
      }
      length = Number(long);
    }
    this.#missing = length;
    this.#taken = 0;
    if (length === 0) this.#payload(new Uint8Array(0));
  }

  #payload(piece: Uint8Array): void {
    const mask = this.#headerBytes - 4;
    for (let index = 0; index < piece.length; index++) {
      piece[index] = piece[index]! ^ this.#header[mask + ((this.#taken + index) & 3)]!;
    }
    const isControl = this.#opcode >= opcode.close;
    if (isControl) this.#control.set(piece, this.#taken);
    this.#taken = (this.#taken + piece.length) % 2 ** 32;
    this.#missing -= piece.length;
    if (this.#missing === 0) {
      this.#headerFilled = 0;
      this.#headerBytes = 2;
    }
    if (!isControl) {
      if (piece.length > 0) this.#listener.data(piece);
    } else if (this.#missing === 0) this.#controlFrame(this.#control.slice(0, this.#taken));
  }

  #controlFrame(payload: Uint8Array): void {
    if (this.#opcode === opcode.ping) this.#listener.ping(payload);
    if (this.#opcode !== opcode.close) return;
    this.#closed = true;
    if (payload.length === 1) throw new WebSocketViolation("half a close code");
    const code = payload.length === 0 ? closeCode.noStatus : payload[0]! * 256 + payload[1]!;
    if (payload.length > 0 && !isSendable(code)) throw new WebSocketViolation(`${code} is no close code`);
    this.#listener.close(code);
  }
}

/** RFC 6455 sections 7.4.1 and 7.4.2, and the codes registered since: 1004 to 1006 and 1015 are never sent. */
function isSendable(code: number): boolean {
  return (code >= 1000 && code <= 1014 && (code < 1004 || code > 1006)) || (code >= 3000 && code <= 4999);
}

/** A whole frame as a server sends it: unmasked, not in fragments. */
export function encodeServerFrame(kind: Opcode, payload: Uint8Array): Uint8Array {
  const { length } = payload;
  const headerBytes = length < 126 ? 2 : length < 65536 ? 4 : 10;
  const frame = new Uint8Array(headerBytes + length);
  const view = new DataView(frame.buffer);
  frame[0] = 0x80 | kind;
  if (length < 126) frame[1] = length;
  else if (length < 65536) {
    frame[1] = 126;
    view.setUint16(2, length);
  } else {
    frame[1] = 127;
    view.setBigUint64(2, BigInt(length));
  }
  frame.set(payload, headerBytes);
  return frame;
}

export function encodeClose(code: number): Uint8Array {
  const payload = code === closeCode.noStatus ? [] : [code >> 8, code & 0xff];
  return encodeServerFrame(opcode.close, Uint8Array.from(payload));
}
