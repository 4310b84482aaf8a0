/** A client that is attached to a process's standard streams. */
import type { OutputStream } from "../logging/log-writer.ts";
import type { AttachOptions } from "./protocol.ts";

/** The connection that an attached client came by. */
export interface StreamPeer {
  /** Queues bytes for the client and sends what it takes. */
  send(bytes: Uint8Array): void;
  /** Bytes that are queued and not yet taken by the kernel. */
  readonly queuedBytes: number;
  readonly closed: boolean;
  /** Stops and goes on taking bytes from the client. */
  pauseInput(): void;
  resumeInput(): void;
  /** Closes the connection once everything queued is sent. */
  finish(): void;
  /** What the streams want to know of the peer. */
  listener: StreamListener | undefined;
}

export interface StreamListener {
  input(bytes: Uint8Array): void;
  /** The client sends no more: it half-closed the connection. */
  inputEnd(): void;
  /** Queued bytes were sent. */
  drained(): void;
  /** The connection is closed, with or without an end of input before. */
  gone(): void;
}

/**
 * Output that waits for a client above which the process waits too. Docker blocks a container behind a slow attached
 * client as well: nothing is dropped, and a client that reads nothing stops the container once this, the socket's
 * buffer and the pipe are full.
 */
const queuedBytesMax = 256 * 1024;

/** After the end of the process the rest of its output is taken from the pipe whoever reads it: up to this much. */
const queuedBytesMaxAtEnd = 8 * 2 ** 20;

export class Attachment {
  readonly peer: StreamPeer;
  readonly #options: AttachOptions;

  constructor(peer: StreamPeer, options: AttachOptions) {
    this.peer = peer;
    this.#options = options;
  }

  get takesInput(): boolean {
    return this.#options.stdin;
  }

  wants(stream: OutputStream): boolean {
    return this.#options[stream];
  }

  /** Whether the process should wait for this client. */
  saturated(processEnded: boolean): boolean {
    return !this.peer.closed && this.peer.queuedBytes > (processEnded ? queuedBytesMaxAtEnd : queuedBytesMax);
  }
}

/** Docker's frame: `[1|2, 0, 0, 0, length (32 bits, big endian)]` and the bytes. */
export function frame(stream: OutputStream, bytes: Uint8Array): Uint8Array {
  const framed = new Uint8Array(8 + bytes.length);
  framed[0] = stream === "stdout" ? 1 : 2;
  new DataView(framed.buffer).setUint32(4, bytes.length);
  framed.set(bytes, 8);
  return framed;
}
