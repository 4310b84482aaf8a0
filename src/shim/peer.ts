/** The shim's end of one connection: lines of requests at first, the bytes of a stream after an attach. */
import type { StreamListener, StreamPeer } from "./attachment.ts";
import { type Response, requestBytesMax } from "./protocol.ts";

const newline = 10;

export interface PeerEvents {
  /** One request, without its newline. */
  line(peer: Peer, line: string): void;
  closed(peer: Peer): void;
}

export class Peer implements StreamPeer {
  readonly #socket: Bun.Socket<Peer>;
  readonly #events: PeerEvents;
  #queue: Uint8Array[] = [];
  queuedBytes = 0;
  closed = false;
  #finishing = false;
  /** An answer goes before what is queued. */
  #outputHeld = false;
  /** The beginning of a line. */
  #line: Uint8Array[] = [];
  #lineBytes = 0;
  /** A line was too long: nothing more is read. */
  #refused = false;
  /** An attach was asked for. */
  streaming = false;
  #listener: StreamListener | undefined;
  #inputPaused = false;
  /** Input that came before somebody could take it. */
  #held: Uint8Array[] = [];
  /** The client has ended its input, and nobody was told yet. */
  #inputEnded = false;

  constructor(socket: Bun.Socket<Peer>, events: PeerEvents) {
    this.#socket = socket;
    this.#events = events;
  }

  respond(response: Response): void {
    const line = Buffer.from(`${JSON.stringify(response)}\n`);
    if (!this.#outputHeld) {
      this.send(line);
      return;
    }
    this.#outputHeld = false;
    if (this.closed) return;
    this.#queue.unshift(line);
    this.queuedBytes += line.length;
    this.#flush();
  }

  /** What is sent waits until `respond` was called. */
  holdOutput(): void {
    this.#outputHeld = true;
  }

  send(bytes: Uint8Array): void {
    if (this.closed || this.#finishing) return;
    this.#queue.push(bytes);
    this.queuedBytes += bytes.length;
    if (this.#queue.length === 1) this.#flush();
  }

  finish(): void {
    if (this.closed || this.#finishing) return;
    this.#finishing = true;
    this.#flush();
  }

  get listener(): StreamListener | undefined {
    return this.#listener;
  }

  set listener(listener: StreamListener | undefined) {
    this.#listener = listener;
    if (listener === undefined) return;
    if (this.closed) listener.gone();
    else this.#deliverHeld();
  }

  /** From now on the connection is a stream. */
  becomeStream(): void {
    this.streaming = true;
  }

  pauseInput(): void {
    if (this.#inputPaused || this.closed) return;
    this.#inputPaused = true;
    this.#socket.pause();
  }

  resumeInput(): void {
    if (!this.#inputPaused || this.closed) return;
    this.#inputPaused = false;
    this.#socket.resume();
    this.#deliverHeld();
  }

  onData(chunk: Uint8Array): void {
    if (this.streaming) {
      this.#held.push(chunk);
      this.#deliverHeld();
    } else if (!this.#refused) this.#readLines(chunk);
  }

  /** The line handler may turn the connection into a stream: what is behind that line is input then. */
  #readLines(chunk: Uint8Array): void {
    let rest = chunk;
    for (let end = rest.indexOf(newline); end >= 0; end = rest.indexOf(newline)) {
      this.#line.push(rest.subarray(0, end));
      const line = Buffer.concat(this.#line).toString();
      rest = rest.subarray(end + 1);
      this.#line = [];
      this.#lineBytes = 0;
      this.#events.line(this, line);
      if (this.streaming) {
        this.#held.unshift(rest);
        this.#deliverHeld();
        return;
      }
    }
    if (rest.length === 0) return;
    this.#line.push(rest);
    this.#lineBytes += rest.length;
    if (this.#lineBytes > requestBytesMax) this.#refuseLine();
  }

  onEnd(): void {
    this.#inputEnded = true;
    // Of a client that is gone altogether the close comes in the same turn: that is no end that it told.
    if (this.streaming) setImmediate(() => this.#deliverHeld());
    // A control connection has nothing more to ask; answers that are due are sent.
  }

  onDrain(): void {
    this.#flush();
    this.#listener?.drained();
  }

  onClose(): void {
    if (this.closed) return;
    this.closed = true;
    this.#queue = [];
    this.queuedBytes = 0;
    this.#socket.end();
    const listener = this.#listener;
    this.#listener = undefined;
    // What it has sent before it left is on its way to the process all the same.
    for (const bytes of this.#held.splice(0)) if (bytes.length > 0) listener?.input(bytes);
    listener?.gone();
    this.#events.closed(this);
  }

  #flush(): void {
    if (this.#outputHeld) return;
    while (this.#queue.length > 0) {
      const bytes = this.#queue[0]!;
      const written = this.#socket.write(bytes);
      if (written < 0) {
        this.onClose();
        return;
      }
      this.queuedBytes -= written;
      if (written < bytes.length) {
        this.#queue[0] = bytes.subarray(written);
        return;
      }
      this.#queue.shift();
    }
    if (this.#finishing) this.onClose();
  }

  #deliverHeld(): void {
    while (this.#listener !== undefined && !this.#inputPaused && this.#held.length > 0) {
      const bytes = this.#held.shift()!;
      if (bytes.length > 0) this.#listener.input(bytes);
    }
    if (!this.#inputEnded || this.#held.length > 0 || this.#inputPaused || this.#listener === undefined) return;
    this.#inputEnded = false;
    this.#listener.inputEnd();
  }

  /** What is left of the line is passed over, so that the client can read the answer. */
  #refuseLine(): void {
    const message = `shim request: longer than ${requestBytesMax} bytes`;
    this.respond({ id: null, ok: false, error: { code: "invalid_argument", message } });
    this.#line = [];
    this.#lineBytes = 0;
    this.#refused = true;
  }
}
