/**
 * Many datagrams in one call: recvmmsg(2), sendmmsg(2). A server that is asked much takes what has come, writes an
 * answer to each, and sends them together: two calls for them all.
 */
import { MSG_DONTWAIT, MSG_NOSIGNAL, MSG_TRUNC } from "../constants/socket.ts";
import { SYS } from "../constants/syscalls.ts";
import { type Descriptor, descriptorNumber } from "../fd.ts";
import { addressOf, check, syscall } from "../syscall.ts";

const EINTR = 4;
const EAGAIN = 11;

/** struct mmsghdr: a struct msghdr of 56 bytes, and the length of what was received. */
const headerBytes = 64;
const vectorBytes = 16;
/** struct sockaddr_in6, and sockaddr_in is shorter. */
const nameBytes = 28;

/** Memory for so many datagrams at a time, on any number of sockets of one thread. */
export class DatagramBatch {
  /** How many one call takes. */
  readonly size: number;
  readonly #bytesMax: number;
  readonly #received: Messages;
  readonly #sent: Messages;
  #queued = 0;

  /** @param bytesMax of each that comes and each that is sent; what is longer is cut off. */
  constructor(size = 32, bytesMax = 4096) {
    this.size = size;
    this.#bytesMax = bytesMax;
    this.#received = new Messages(size, bytesMax);
    this.#sent = new Messages(size, bytesMax);
  }

  /** Takes what waits. @returns how many there are; 0 for none. @throws SyscallError */
  receive(fd: Descriptor): number {
    // Of a socket before this one, whose answers were not sent because something went wrong: they are nobody's here.
    this.#queued = 0;
    this.#received.reset(this.size);
    for (;;) {
      const result = syscall(SYS.recvmmsg, descriptorNumber(fd), this.#received.headers, this.size, MSG_DONTWAIT, null);
      if (result === -EAGAIN) return 0;
      if (result !== -EINTR) return check("recvmmsg", result);
    }
  }

  /** The nth datagram: a view that the next `receive` overwrites. */
  data(n: number): Buffer {
    const start = n * this.#bytesMax;
    return this.#received.payload.subarray(start, start + this.#received.length(n));
  }

  wasCut(n: number): boolean {
    return (this.#received.flags(n) & MSG_TRUNC) !== 0;
  }

  /** Where the nth came from, as a sockaddr: a copy. */
  source(n: number): Uint8Array {
    return this.#received.name(n).slice();
  }

  /** Where the next datagram is written, and at what offset. It is queued by `answer` or `add`, and sent by `flush`. */
  get space(): Buffer {
    return this.#sent.payload;
  }

  get spaceOffset(): number {
    return this.#queued * this.#bytesMax;
  }

  /** The first `length` bytes of the space go to where the nth datagram came from. */
  answer(n: number, length: number): void {
    this.#sent.address(this.#queued++, this.#received.name(n), length);
  }

  /** They go to whom the socket is connected to. */
  add(length: number): void {
    this.#sent.address(this.#queued++, undefined, length);
  }

  /** Sends what is queued. What the kernel has no room for, or may not send, is lost, as datagrams may be. */
  flush(fd: Descriptor): void {
    const number = descriptorNumber(fd);
    let from = 0;
    while (from < this.#queued) {
      const headers = this.#sent.headers.subarray(from * headerBytes);
      const result = syscall(SYS.sendmmsg, number, headers, this.#queued - from, MSG_DONTWAIT | MSG_NOSIGNAL);
      if (result === -EINTR) continue;
      // An error is of the first of them; the others may be sent all the same.
      from += result < 0 ? 1 : result;
    }
    this.#queued = 0;
  }
}

class Messages {
  readonly headers: Uint8Array;
  readonly payload: Buffer;
  readonly #view: DataView;
  readonly #vectors: DataView;
  readonly #names: Uint8Array;
  readonly #bytesMax: number;

  constructor(size: number, bytesMax: number) {
    this.#bytesMax = bytesMax;
    // By their buffers: a view of an array that came first would move its bytes.
    this.headers = new Uint8Array(new ArrayBuffer(size * headerBytes));
    this.payload = Buffer.from(new ArrayBuffer(size * bytesMax));
    const vectors = new Uint8Array(new ArrayBuffer(size * vectorBytes));
    this.#names = new Uint8Array(new ArrayBuffer(size * nameBytes));
    this.#view = new DataView(this.headers.buffer);
    this.#vectors = new DataView(vectors.buffer);
    const bases = [vectors, this.#names, this.payload].map(addressOf);
    for (let n = 0; n < size; n++) {
      this.#view.setBigUint64(n * headerBytes, BigInt(bases[1]! + n * nameBytes), true);
      this.#view.setBigUint64(n * headerBytes + 16, BigInt(bases[0]! + n * vectorBytes), true);
      this.#view.setBigUint64(n * headerBytes + 24, 1n, true);
      this.#vectors.setBigUint64(n * vectorBytes, BigInt(bases[2]! + n * bytesMax), true);
    }
    this.reset(size);
  }

  /** The kernel has written over the lengths. */
  reset(count: number): void {
    for (let n = 0; n < count; n++) {
      this.#view.setUint32(n * headerBytes + 8, nameBytes, true);
      this.#vectors.setUint32(n * vectorBytes + 8, this.#bytesMax, true);
    }
  }

  address(n: number, name: Uint8Array | undefined, length: number): void {
    if (name !== undefined) this.#names.set(name, n * nameBytes);
    this.#view.setUint32(n * headerBytes + 8, name?.length ?? 0, true);
    this.#vectors.setUint32(n * vectorBytes + 8, length, true);
  }

  name(n: number): Uint8Array {
    const start = n * nameBytes;
    return this.#names.subarray(start, start + this.#view.getUint32(n * headerBytes + 8, true));
  }

  flags(n: number): number {
    return this.#view.getInt32(n * headerBytes + 48, true);
  }

  length(n: number): number {
    return this.#view.getUint32(n * headerBytes + 56, true);
  }
}
