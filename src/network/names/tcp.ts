/** Questions over TCP, RFC 7766: several on one connection, each with its length before it. */
import { EPOLLERR, EPOLLHUP, EPOLLIN, EPOLLOUT } from "../../../ffi/constants/socket.ts";
import { SyscallError } from "../../../ffi/errno.ts";
import type { Fd } from "../../../ffi/fd.ts";
import { accept, receive, send } from "../../../ffi/socket/socket.ts";
import { errorMessage, isErrno } from "../../core/errors.ts";
import { log } from "../../core/log.ts";
import type { EventLoop } from "../companion/loop.ts";
import type { Answers } from "./answers.ts";

/** Of one sandbox. When more come, the one that was silent the longest has to go. */
const connectionsMax = 32;
/** For how long a connection may be silent. */
const idleMs = 10_000;
/** Answers that the client does not take: then no more questions are read. */
const unsentBytesMax = 262_144;
/** With those that come later, from elsewhere: a client that takes none of them is given up. */
const waitingBytesMax = 2 * unsentBytesMax;
/** Read in one turn, some hundred questions: then others have theirs. */
const turnBytes = 2_048;
const lengthBytes = 2;
/** When there are no more descriptors, so long no connection is taken: they wait in the kernel. */
const exhaustedMs = 100;
/** For how long that is not said again. */
const quietMs = 60_000;

export class TcpListener {
  readonly #loop: EventLoop;
  readonly #fd: Fd;
  readonly #answers: Answers;
  readonly #token: number;
  /** The one that was silent the longest first. */
  readonly #connections = new Set<Connection>();
  #isChecking = false;
  #quietUntil = 0;

  /** @param fd a socket that listens; it is closed with this. */
  constructor(loop: EventLoop, fd: Fd, answers: Answers) {
    this.#loop = loop;
    this.#fd = fd;
    this.#answers = answers;
    this.#token = loop.watch(fd, EPOLLIN, () => this.#accept());
  }

  close(): void {
    this.#loop.unwatch(this.#token);
    this.#fd.close();
    for (const connection of this.#connections) connection.close();
  }

  #accept(): void {
    try {
      this.#acceptAll();
    } catch (error) {
      if (!isErrno(error, "EMFILE", "ENFILE", "ENOBUFS", "ENOMEM")) throw error;
      if (performance.now() >= this.#quietUntil) {
        log("warn", "questions over TCP have to wait", { error: errorMessage(error) });
        this.#quietUntil = performance.now() + quietMs;
      }
      // The kernel would tell of them without end.
      this.#loop.change(this.#token, 0);
      this.#loop.after(exhaustedMs, () => {
        if (!this.#fd.closed) this.#loop.change(this.#token, EPOLLIN);
      });
    }
    this.#checkSilence();
  }

  #acceptAll(): void {
    for (let accepted = accept(this.#fd); accepted !== undefined; accepted = accept(this.#fd)) {
      if (this.#connections.size >= connectionsMax)
        for (const oldest of this.#connections) {
          oldest.close();
          break;
        }
      const connection: Connection = new Connection(this.#loop, accepted.fd, this.#answers, {
        active: () => {
          this.#connections.delete(connection);
          this.#connections.add(connection);
        },
        closed: () => this.#connections.delete(connection),
      });
      this.#connections.add(connection);
    }
  }

  #checkSilence(): void {
    if (this.#isChecking || this.#connections.size === 0) return;
    this.#isChecking = true;
    this.#loop.after(idleMs / 4, () => {
      this.#isChecking = false;
      for (const connection of this.#connections)
        if (connection.isSilentSince(performance.now() - idleMs)) connection.close();
      this.#checkSilence();
    });
  }
}

const buffer = new Uint8Array(new ArrayBuffer(turnBytes));

class Connection {
  readonly #loop: EventLoop;
  readonly #fd: Fd;
  readonly #answers: Answers;
  readonly #events: { active(): void; closed(): void };
  readonly #token: number;
  #received: Buffer = Buffer.alloc(0);
  #unsent: Uint8Array[] = [];
  #unsentBytes = 0;
  /** Questions that others are asked. */
  #pending = 0;
  #ended = false;
  #isAnswering = false;
  #activeAt = performance.now();

  constructor(loop: EventLoop, fd: Fd, answers: Answers, events: { active(): void; closed(): void }) {
    this.#loop = loop;
    this.#fd = fd;
    this.#answers = answers;
    this.#events = events;
    this.#token = loop.watch(fd, EPOLLIN, (ready) => this.#guarded(() => this.#onReady(ready)));
  }

  isSilentSince(time: number): boolean {
    return this.#activeAt < time;
  }

  close(): void {
    if (this.#fd.closed) return;
    this.#loop.unwatch(this.#token);
    this.#fd.close();
    this.#events.closed();
  }

  #guarded(work: () => void): void {
    try {
      if (!this.#fd.closed) work();
    } catch (error) {
      if (!(error instanceof SyscallError)) throw error;
      log("debug", "a connection broke", { error: errorMessage(error) });
      this.close();
    }
  }

  #onReady(ready: number): void {
    const mayReceive = (ready & (EPOLLIN | EPOLLHUP | EPOLLERR)) !== 0;
    const length = mayReceive ? receive(this.#fd, buffer) : undefined;
    if (length !== undefined) {
      this.#activeAt = performance.now();
      this.#events.active();
      if (length === 0) this.#ended = true;
      else this.#received = Buffer.concat([this.#received, buffer.subarray(0, length)]);
    }
    this.#settle();
  }

  #answerAll(): void {
    this.#isAnswering = true;
    try {
      this.#answerReceived();
    } finally {
      this.#isAnswering = false;
    }
  }

  #answerReceived(): void {
    while (this.#received.length >= lengthBytes && this.#unsentBytes < unsentBytesMax) {
      const end = lengthBytes + this.#received.readUInt16BE(0);
      if (this.#received.length < end) return;
      const question = this.#received.subarray(lengthBytes, end);
      this.#received = this.#received.subarray(end);
      this.#pending++;
      const answer = this.#answers.answer(question, (later) => this.#guarded(() => this.#onLater(later)));
      if (answer === undefined) continue;
      this.#queue(answer instanceof Uint8Array ? answer : answer.next(question));
    }
  }

  #onLater(answer: Uint8Array): void {
    this.#queue(answer);
    // A refusal comes at once; whoever answers all of them sends it with the others.
    if (this.#isAnswering) return;
    this.#settle();
    if (this.#unsentBytes > waitingBytesMax) this.close();
  }

  #queue(answer: Uint8Array): void {
    this.#pending--;
    this.#unsent.push(Uint8Array.of(answer.length >> 8, answer.length & 0xff), answer);
    this.#unsentBytes += lengthBytes + answer.length;
  }

  #settle(): void {
    // What could not be answered before there was room for it is answered now.
    do this.#answerAll();
    while (this.#flush());
    if (this.#ended && this.#pending === 0 && this.#unsentBytes === 0) {
      this.close();
      return;
    }
    const mayRead = !this.#ended && this.#unsentBytes < unsentBytesMax;
    this.#loop.change(this.#token, (mayRead ? EPOLLIN : 0) | (this.#unsentBytes > 0 ? EPOLLOUT : 0));
  }

  /** @returns whether all was sent, of something. */
  #flush(): boolean {
    if (this.#unsentBytes === 0) return false;
    const bytes = Buffer.concat(this.#unsent);
    const sent = send(this.#fd, bytes) ?? 0;
    this.#unsentBytes = bytes.length - sent;
    this.#unsent = this.#unsentBytes > 0 ? [bytes.subarray(sent)] : [];
    return this.#unsentBytes === 0;
  }
}
