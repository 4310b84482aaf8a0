/**
 * The event loop of a companion: epoll(7) and timers. All that it calls is synchronous, and nothing of Bun's own loop
 * runs meanwhile: no promise settles and no stream moves.
 */
import { Epoll } from "../../../ffi/epoll.ts";
import { type Descriptor, descriptorNumber } from "../../../ffi/fd.ts";
import { errorMessage } from "../../core/errors.ts";
import { log } from "../../core/log.ts";

/** Called with EPOLL*. */
export type ReadyHandler = (events: number) => void;

interface Watched {
  /** Its number: whoever owns it may hand it on meanwhile. */
  fd: number;
  events: number;
  handler: ReadyHandler;
}

export interface LoopTimer {
  at: number;
  run: (() => void) | undefined;
}

export class EventLoop implements Disposable {
  readonly #epoll = new Epoll();
  readonly #watched = new Map<number, Watched>();
  /** The earliest last. */
  readonly #timers: LoopTimer[] = [];
  #lastToken = 0;
  #stopped = false;

  /**
   * Calls `handler` whenever one of the events (EPOLL*) is there, until `unwatch`.
   * @returns a token. @throws SyscallError
   */
  watch(fd: Descriptor, events: number, handler: ReadyHandler): number {
    do this.#lastToken = (this.#lastToken + 1) >>> 0;
    while (this.#watched.has(this.#lastToken));
    this.#epoll.add(fd, events, this.#lastToken);
    this.#watched.set(this.#lastToken, { fd: descriptorNumber(fd), events, handler });
    return this.#lastToken;
  }

  /** Waits for other events from now on; 0 for none but errors and the end, which are always told. */
  change(token: number, events: number): void {
    const watched = this.#watched.get(token)!;
    if (watched.events === events) return;
    watched.events = events;
    this.#epoll.modify(watched.fd, events, token);
  }

  /** The handler is not called any more, not even for what is ready already. To be called before the descriptor is closed. */
  unwatch(token: number): void {
    const watched = this.#watched.get(token);
    if (watched === undefined) return;
    this.#watched.delete(token);
    this.#epoll.remove(watched.fd);
  }

  /** Calls `run` once, after that time. */
  after(ms: number, run: () => void): LoopTimer {
    const timer = { at: performance.now() + ms, run };
    let [low, high] = [0, this.#timers.length];
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#timers[middle]!.at > timer.at) low = middle + 1;
      else high = middle;
    }
    this.#timers.splice(low, 0, timer);
    return timer;
  }

  cancel(timer: LoopTimer | undefined): void {
    // It stays in its place until its time has come.
    if (timer !== undefined) timer.run = undefined;
  }

  stop(): void {
    this.#stopped = true;
  }

  /** Runs until `stop`. What a handler throws is logged: one connection's mistake must not end all others. */
  run(): void {
    while (!this.#stopped) {
      const count = this.#epoll.wait(this.#untilNextTimer());
      for (let n = 0; n < count && !this.#stopped; n++) {
        // One that an earlier event of the same wait has ended is not there any more.
        const watched = this.#watched.get(this.#epoll.token(n));
        if (watched !== undefined) guarded(watched.handler, this.#epoll.events(n));
      }
      this.#runTimers();
    }
  }

  [Symbol.dispose](): void {
    this.#epoll[Symbol.dispose]();
  }

  #untilNextTimer(): number {
    for (let next = this.#timers.at(-1); next !== undefined; next = this.#timers.at(-1)) {
      if (next.run !== undefined) return Math.max(0, next.at - performance.now());
      this.#timers.pop();
    }
    return -1;
  }

  #runTimers(): void {
    const now = performance.now();
    for (let next = this.#timers.at(-1); next !== undefined && next.at <= now; next = this.#timers.at(-1)) {
      this.#timers.pop();
      if (next.run !== undefined && !this.#stopped) guarded(next.run, 0);
    }
  }
}

function guarded(handler: ReadyHandler, events: number): void {
  try {
    handler(events);
  } catch (error) {
    log("error", errorMessage(error), { stack: error instanceof Error ? error.stack : undefined });
  }
}
