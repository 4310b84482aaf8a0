/**
 * A connection and the one that it is passed on by. Bytes go by splice(2) and never through this process's memory; what
 * one side does not take is not read from the other.
 */
import { EPOLLERR, EPOLLHUP, EPOLLIN, EPOLLOUT, SHUT_WR } from "../../../../ffi/constants/socket.ts";
import type { Fd } from "../../../../ffi/fd.ts";
import { resetOnClose, shutdown, takeError } from "../../../../ffi/socket/socket.ts";
import { splice } from "../../../../ffi/splice.ts";
import { errorMessage, isKernelError } from "../../../core/errors.ts";
import { log } from "../../../core/log.ts";
import type { EventLoop } from "../../companion/loop.ts";
import type { Pipe, PipePool } from "./pipes.ts";

/** Of one call. */
const spliceBytes = 1024 * 1024;
/** Of one turn: then the others get theirs. */
const turnBytes = 4 * 1024 * 1024;

/** One of the two connections, and the direction that it is read for. */
interface Side {
  readonly fd: Fd;
  token: number | undefined;
  /** What was read here and the other side has not taken. */
  pipe: Pipe | undefined;
  pipeBytes: number;
  /** Its end was read. */
  ended: boolean;
  /** The other side was told of the end. */
  passedOn: boolean;
}

export class Relay {
  readonly #loop: EventLoop;
  readonly #pipes: PipePool;
  readonly #client: Side;
  readonly #target: Side;
  readonly #onEnd: (wasConnected: boolean) => void;
  #connecting: boolean;
  #closed = false;

  /**
   * Takes over both connections.
   * @param connecting the target's is under way. The client's bytes wait where they are meanwhile.
   */
  constructor(
    loop: EventLoop,
    pipes: PipePool,
    connections: { client: Fd; target: Fd; connecting: boolean },
    onEnd: (wasConnected: boolean) => void,
  ) {
    this.#loop = loop;
    this.#pipes = pipes;
    this.#client = side(connections.client);
    this.#target = side(connections.target);
    this.#connecting = connections.connecting;
    this.#onEnd = onEnd;
    try {
      // Even where nothing is waited for: a peer that gives up is always told of.
      this.#client.token = this.#start(this.#client, this.#target, 0);
      this.#target.token = this.#start(this.#target, this.#client, 0);
      this.#update();
    } catch (error) {
      // The kernel watches no more descriptors: max_user_watches of epoll(7).
      this.abort();
      throw error;
    }
  }

  /** Ends both at once: the peers get a reset. */
  abort(): void {
    if (this.#closed) return;
    for (const { fd } of [this.#client, this.#target]) resetOnClose(fd);
    this.#close();
  }

  #onReady(side: Side, other: Side, events: number): void {
    try {
      if (this.#isBroken(side, events)) {
        this.abort();
        return;
      }
      if (side === this.#target && (events & EPOLLOUT) !== 0) this.#connecting = false;
      if (!this.#connecting) {
        if ((events & EPOLLOUT) !== 0) this.#flush(other, side);
        if ((events & (EPOLLIN | EPOLLHUP)) !== 0) this.#read(side, other);
        // Nothing is read from it now, and it would report its end again and again.
        if ((events & EPOLLHUP) !== 0 && side.pipeBytes > 0) this.#silence(side);
      }
      this.#update();
    } catch (error) {
      if (!isKernelError(error)) log("error", "a connection was passed on wrongly", { error: errorMessage(error) });
      this.abort();
    }
  }

  /** A reset, a refusal, or a hang-up of a connection whose other direction nobody has ended. */
  #isBroken(side: Side, events: number): boolean {
    if ((events & EPOLLERR) !== 0 && takeError(side.fd) !== 0) return true;
    return (events & EPOLLHUP) !== 0 && (this.#connecting || side.passedOn);
  }

  /** Reads until there is nothing, the other side does not keep up, or others have waited long enough. */
  #read(from: Side, to: Side): void {
    for (let bytes = 0; bytes < turnBytes && from.pipeBytes === 0 && !from.ended; ) {
      from.pipe ??= this.#pipes.take();
      const length = splice(from.fd, from.pipe.writer, spliceBytes);
      if (length === undefined) break;
      if (length === 0) from.ended = true;
      from.pipeBytes += length;
      bytes += length;
      this.#flush(from, to);
    }
    this.#settle(from, to);
  }

  /** Writes what was read from `from`. */
  #flush(from: Side, to: Side): void {
    while (from.pipeBytes > 0) {
      const length = splice(from.pipe!.reader, to.fd, from.pipeBytes);
      if (length === undefined) return;
      from.pipeBytes -= length;
    }
    this.#settle(from, to);
  }

  /** With nothing under way the pipe is for others, and an end is passed on. */
  #settle(from: Side, to: Side): void {
    if (from.pipeBytes > 0) return;
    if (from.pipe !== undefined) this.#pipes.giveBack(from.pipe);
    from.pipe = undefined;
    if (!from.ended || from.passedOn) return;
    shutdown(to.fd, SHUT_WR);
    from.passedOn = true;
  }

  /** Waits for what can go on. */
  #update(): void {
    if (this.#closed) return;
    if (this.#client.passedOn && this.#target.passedOn) {
      this.#close();
      return;
    }
    this.#watch(this.#client, this.#target, this.#connecting ? 0 : wanted(this.#client, this.#target));
    this.#watch(this.#target, this.#client, this.#connecting ? EPOLLOUT : wanted(this.#target, this.#client));
  }

  #watch(side: Side, other: Side, events: number): void {
    if (side.token !== undefined) this.#loop.change(side.token, events);
    else if (events !== 0) side.token = this.#start(side, other, events);
  }

  #start(side: Side, other: Side, events: number): number {
    return this.#loop.watch(side.fd, events, (ready) => this.#onReady(side, other, ready));
  }

  #silence(side: Side): void {
    if (side.token === undefined) return;
    this.#loop.unwatch(side.token);
    side.token = undefined;
  }

  #close(): void {
    if (this.#closed) return;
    this.#closed = true;
    for (const side of [this.#client, this.#target]) {
      this.#silence(side);
      side.fd.close();
      if (side.pipe === undefined) continue;
      if (side.pipeBytes === 0) this.#pipes.giveBack(side.pipe);
      else this.#pipes.discard(side.pipe);
      side.pipe = undefined;
    }
    this.#onEnd(!this.#connecting);
  }
}

function side(fd: Fd): Side {
  return { fd, token: undefined, pipe: undefined, pipeBytes: 0, ended: false, passedOn: false };
}

function wanted(side: Side, other: Side): number {
  const reads = !side.ended && side.pipeBytes === 0 ? EPOLLIN : 0;
  return reads | (other.pipeBytes > 0 ? EPOLLOUT : 0);
}
