/**
 * Asks name servers outside.
 *
 * Each question goes out by a socket of its own, from a port that the kernel chooses, with an id of its own: whoever
 * wants to slip in an answer has to guess 32 bits, and only the server's address is heard. The servers are asked in
 * their order: the next after a second of silence, or at once when one cannot be reached or refuses; those asked before
 * are still listened to, so that a slow answer counts, too. Whoever asks hears within 4.5 s, which is before the
 * libraries of containers (5 s) give up: with SERVFAIL when nobody has answered.
 */
import { EPOLLIN, EPOLLOUT } from "../../../ffi/constants/socket.ts";
import { SyscallError } from "../../../ffi/errno.ts";
import type { Fd } from "../../../ffi/fd.ts";
import { inNetworkNamespace } from "../../../ffi/namespace.ts";
import { connect, datagramSocket, receive, send, streamSocket, takeError } from "../../../ffi/socket/socket.ts";
import { errorMessage } from "../../core/errors.ts";
import { log } from "../../core/log.ts";
import type { EventLoop } from "../companion/loop.ts";
import { errorAnswer, fitAnswer, isAnswerTo, isTruncated, type Query, RCODE, rcodeOf } from "./message.ts";
import { headerBytes } from "./packet.ts";
import { inOrder, type Upstream } from "./upstream.ts";

/** When the second, third and fourth attempt begin, and when all is over, after the first. */
const attemptsAtMs = [0, 1_000, 2_000, 3_000];
const giveUpAtMs = 4_500;
/** How exactly that is kept. */
const tickMs = 100;

/**
 * Questions that are under way, of one container and of all. Beyond that they are refused at once: one that asks
 * without end gets no more than its share, and a dead server does not cost memory without end.
 */
export const outstandingMax = { sandbox: 256, all: 2_048 };

/** Datagrams of one server that are looked at in one turn. */
const turnMax = 16;

/** The most that a message on TCP or UDP has, with its length. */
const messageBytesMax = 65_537;

export interface Outside {
  query: Query;
  overTcp: boolean;
  /** Whose share of the outstanding questions it takes. */
  sandboxId: string;
  servers: readonly Upstream[];
  /** Called once, before `ask` returns or later, with the answer as it is to be sent. */
  done: (answer: Uint8Array) => void;
}

export class Forwarder {
  readonly #loop: EventLoop;
  readonly #exchanges = new Set<Exchange>();
  readonly #perSandbox = new Map<string, number>();
  readonly #now: () => number;
  #isTicking = false;

  constructor(loop: EventLoop, now: () => number = () => performance.now()) {
    this.#loop = loop;
    this.#now = now;
  }

  get outstanding(): number {
    return this.#exchanges.size;
  }

  ask(outside: Outside): void {
    const { query, sandboxId, servers } = outside;
    if (servers.length === 0 || !this.#hasRoom(sandboxId)) {
      outside.done(errorAnswer(query, servers.length === 0 ? RCODE.SERVFAIL : RCODE.REFUSED));
      return;
    }
    this.#perSandbox.set(sandboxId, (this.#perSandbox.get(sandboxId) ?? 0) + 1);
    const exchange = new Exchange(this.#loop, outside, this.#now(), () => this.#ended(exchange));
    this.#exchanges.add(exchange);
    exchange.begin(this.#now());
    this.#tickWhileNeeded();
  }

  /** What the sandbox has asked and not heard is not answered any more. */
  forget(sandboxId: string): void {
    for (const exchange of this.#exchanges) if (exchange.outside.sandboxId === sandboxId) exchange.abandon();
  }

  /**
   * When all places are taken, whoever has the most gives up the oldest for one that has fewer: a few containers
   * together cannot keep the others from asking.
   */
  #hasRoom(sandboxId: string): boolean {
    const own = this.#perSandbox.get(sandboxId) ?? 0;
    if (own >= outstandingMax.sandbox) return false;
    if (this.#exchanges.size < outstandingMax.all) return true;
    let [busiest, most] = ["", own + 1];
    for (const [id, count] of this.#perSandbox) if (count > most) [busiest, most] = [id, count];
    for (const exchange of this.#exchanges) {
      if (exchange.outside.sandboxId !== busiest) continue;
      exchange.refuse();
      return true;
    }
    return false;
  }

  #ended(exchange: Exchange): void {
    this.#exchanges.delete(exchange);
    const { sandboxId } = exchange.outside;
    const left = this.#perSandbox.get(sandboxId)! - 1;
    if (left > 0) this.#perSandbox.set(sandboxId, left);
    else this.#perSandbox.delete(sandboxId);
  }

  #tickWhileNeeded(): void {
    if (this.#isTicking || this.#exchanges.size === 0) return;
    this.#isTicking = true;
    this.#loop.after(tickMs, () => {
      this.#isTicking = false;
      const now = this.#now();
      try {
        for (const exchange of this.#exchanges) exchange.tick(now);
      } finally {
        // Whatever became of one, the others' time goes on.
        this.#tickWhileNeeded();
      }
    });
  }
}

/** One attempt at one server: a socket. */
interface Attempt {
  server: Upstream;
  fd: Fd;
  token: number;
  id: number;
  /** Over TCP what has come, with the length before it; and what is still to be sent. */
  stream: { received: Uint8Array; unsent: Uint8Array } | undefined;
  wasSilent: boolean;
}

const buffer = new Uint8Array(new ArrayBuffer(messageBytesMax));

/** Numbers that nobody can foresee, made many at a time. */
const randomIds = new Uint16Array(512);
let nextRandomId = randomIds.length;

function randomId(): number {
  if (nextRandomId === randomIds.length) {
    crypto.getRandomValues(randomIds);
    nextRandomId = 0;
  }
  return randomIds[nextRandomId++]!;
}

class Exchange {
  readonly outside: Outside;
  readonly #loop: EventLoop;
  readonly #servers: readonly Upstream[];
  readonly #startedAt: number;
  readonly #ended: () => void;
  readonly #open = new Set<Attempt>();
  /** How many attempts were begun. */
  #begun = 0;
  /** An error that is told when nothing better comes. */
  #error: Uint8Array | undefined;
  /** An answer that is cut, while it is asked for in full. */
  #cut: Uint8Array | undefined;
  #isOver = false;

  constructor(loop: EventLoop, outside: Outside, now: number, ended: () => void) {
    this.#loop = loop;
    this.outside = outside;
    this.#servers = inOrder(outside.servers, now);
    this.#startedAt = now;
    this.#ended = ended;
  }

  begin(now: number): void {
    this.#attempt(this.#servers[this.#begun++ % this.#servers.length]!, this.outside.overTcp, now);
  }

  tick(now: number): void {
    const elapsed = now - this.#startedAt;
    const isOver = elapsed >= giveUpAtMs;
    if (!isOver && !(elapsed >= attemptsAtMs[this.#begun]!)) return;
    this.#noteSilence(now);
    if (isOver || this.#cut !== undefined) this.#finish(this.#cut ?? this.#error);
    else this.begin(now);
  }

  /** Others are to have its place. */
  refuse(): void {
    this.#finish(errorAnswer(this.outside.query, RCODE.REFUSED));
  }

  /** Nobody wants the answer any more. */
  abandon(): void {
    this.#close();
  }

  #noteSilence(now: number): void {
    for (const attempt of this.#open) {
      if (attempt.wasSilent) continue;
      attempt.wasSilent = true;
      attempt.server.wasSilent(now);
    }
  }

  #attempt(server: Upstream, overTcp: boolean, now: number): void {
    const id = randomId();
    let fd: Fd | undefined;
    try {
      const { namespace, address } = server;
      const open = overTcp ? streamSocket : datagramSocket;
      const socket = namespace === undefined ? open(address) : inNetworkNamespace(namespace, () => open(address));
      fd = socket;
      connect(socket, address);
      const stream = overTcp ? { received: new Uint8Array(0), unsent: this.#question(id, true) } : undefined;
      if (stream === undefined) send(socket, this.#question(id, false));
      const attempt: Attempt = { server, fd: socket, token: 0, id, stream, wasSilent: false };
      attempt.token = this.#loop.watch(socket, overTcp ? EPOLLOUT : EPOLLIN, () => this.#onReady(attempt));
      this.#open.add(attempt);
    } catch (error) {
      fd?.close();
      log("debug", `name server ${server.name}`, { error: errorMessage(error) });
      this.#failed(now);
    }
  }

  #question(id: number, overTcp: boolean): Uint8Array {
    const { bytes } = this.outside.query;
    const prefix = overTcp ? 2 : 0;
    const packet = new Uint8Array(new ArrayBuffer(prefix + bytes.length));
    packet.set(bytes, prefix);
    packet[prefix] = id >> 8;
    packet[prefix + 1] = id & 0xff;
    if (!overTcp) return packet;
    packet[0] = bytes.length >> 8;
    packet[1] = bytes.length & 0xff;
    return packet;
  }

  #onReady(attempt: Attempt): void {
    try {
      if (attempt.stream === undefined) this.#receiveDatagrams(attempt);
      else this.#moveStream(attempt, attempt.stream);
    } catch (error) {
      if (!(error instanceof SyscallError)) throw error;
      log("debug", `name server ${attempt.server.name}`, { error: error.message });
      this.#drop(attempt);
      this.#failed(performance.now());
    }
  }

  #receiveDatagrams(attempt: Attempt): void {
    // An answer, whatever it is, closes the socket. One that sends without end has a turn, and then the others theirs.
    for (let count = 0; count < turnMax && !attempt.fd.closed; count++) {
      const length = receive(attempt.fd, buffer);
      if (length === undefined) return;
      // What is no answer to this question is somebody's attempt to make it one.
      if (this.#answers(attempt, buffer.subarray(0, length))) this.#onAnswer(attempt, buffer.slice(0, length));
    }
  }

  #moveStream(attempt: Attempt, stream: NonNullable<Attempt["stream"]>): void {
    while (stream.unsent.length > 0) {
      const sent = sendConnected(attempt.fd, stream.unsent);
      if (sent === undefined) return;
      stream.unsent = stream.unsent.subarray(sent);
      if (stream.unsent.length === 0) this.#loop.change(attempt.token, EPOLLIN);
    }
    for (;;) {
      const length = receive(attempt.fd, buffer);
      if (length === undefined) return;
      const joined = Buffer.concat([stream.received, buffer.subarray(0, length)]);
      stream.received = joined;
      const wanted = joined.length < 2 ? messageBytesMax : 2 + joined.readUInt16BE(0);
      const answer = joined.subarray(2, wanted);
      const isWhole = joined.length >= wanted;
      if (isWhole && this.#answers(attempt, answer)) {
        this.#onAnswer(attempt, Uint8Array.from(answer));
        return;
      }
      if (length === 0 || isWhole) {
        this.#drop(attempt);
        this.#failed(performance.now());
        return;
      }
    }
  }

  #answers(attempt: Attempt, packet: Uint8Array): boolean {
    const { bytes, questionEnd } = this.outside.query;
    return isAnswerTo(packet, bytes, questionEnd, attempt.id);
  }

  #onAnswer(attempt: Attempt, answer: Uint8Array): void {
    const { query } = this.outside;
    const isStream = attempt.stream !== undefined;
    this.#drop(attempt);
    attempt.server.answered();
    // Whoever asked gets the own id, and the own letters of the question.
    answer.set(query.bytes.subarray(0, 2));
    answer.set(query.bytes.subarray(headerBytes, query.questionEnd), headerBytes);
    const rcode = rcodeOf(answer);
    if (rcode === RCODE.SERVFAIL || rcode === RCODE.REFUSED || rcode === RCODE.NOTIMP) {
      // It cannot say; another one may.
      this.#error ??= answer;
      this.#failed(performance.now());
    } else if (isTruncated(answer) && !isStream && query.edns !== undefined) {
      // The server may have less room than the asker has; and who asks over UDP may not be able to ask otherwise.
      this.#cut = answer;
      this.#attempt(attempt.server, true, performance.now());
    } else this.#finish(answer);
  }

  /** An attempt came to nothing: the next server is asked at once, if there is one that was not asked yet. */
  #failed(now: number): void {
    if (this.#isOver) return;
    if (this.#cut === undefined && this.#begun < this.#servers.length) this.begin(now);
    else if (this.#cut !== undefined || this.#open.size === 0) this.#finish(this.#cut ?? this.#error);
  }

  #finish(answer: Uint8Array | undefined): void {
    if (this.#isOver) return;
    this.#close();
    const { query, overTcp, done } = this.outside;
    done(answer === undefined ? errorAnswer(query, RCODE.SERVFAIL) : fitAnswer(answer, query, overTcp));
  }

  #close(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    for (const attempt of this.#open) this.#drop(attempt);
    this.#ended();
  }

  #drop(attempt: Attempt): void {
    if (!this.#open.delete(attempt)) return;
    this.#loop.unwatch(attempt.token);
    attempt.fd.close();
  }
}

/** The connection may have come to nothing meanwhile. */
function sendConnected(fd: Fd, bytes: Uint8Array): number | undefined {
  const error = takeError(fd);
  if (error !== 0) throw new SyscallError("connect", error);
  return send(fd, bytes);
}
