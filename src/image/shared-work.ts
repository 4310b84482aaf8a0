/**
 * Work that several callers want at once is done once: two pulls of one layer share its download. Each caller may
 * give up for itself; the work is aborted when the last one has.
 */
import { EngineError, isEngineError } from "../core/errors.ts";

interface Running<Event, Result> {
  controller: AbortController;
  promise: Promise<Result>;
  listeners: Set<(event: Event) => void>;
  /** Told at once to whoever joins later. */
  lastEvent: Event | undefined;
  callers: number;
}

export interface JoinOptions<Event> {
  onEvent?: (event: Event) => void;
  signal?: AbortSignal | undefined;
}

export class SharedWork<Event, Result> {
  readonly #running = new Map<string, Running<Event, Result>>();

  /**
   * Takes part in the work of that key, which is started if nobody else did.
   * @throws EngineError cancelled when `signal` aborts; whatever the work throws.
   */
  async join(
    key: string,
    work: (signal: AbortSignal, emit: (event: Event) => void) => Promise<Result>,
    options: JoinOptions<Event> = {},
  ): Promise<Result> {
    throwIfAborted(options.signal);
    const running = this.#running.get(key);
    if (running?.controller.signal.aborted) {
      // Everybody else left and it is being wound up: it must be out of the way before it can start anew.
      await running.promise.catch(() => undefined);
      return this.join(key, work, options);
    }
    return this.#wait(running ?? this.#start(key, work), options);
  }

  /** Somebody is at it, or it is being wound up. */
  isRunning(key: string): boolean {
    return this.#running.has(key);
  }

  #start(key: string, work: (signal: AbortSignal, emit: (event: Event) => void) => Promise<Result>) {
    const controller = new AbortController();
    const listeners = new Set<(event: Event) => void>();
    const emit = (event: Event) => {
      running.lastEvent = event;
      for (const listener of listeners) listener(event);
    };
    // Starts in a later turn, when the first caller listens.
    const promise = Promise.resolve().then(() => work(controller.signal, emit));
    const running: Running<Event, Result> = { controller, promise, listeners, lastEvent: undefined, callers: 0 };
    this.#running.set(key, running);
    const done = () => this.#running.delete(key);
    promise.then(done, done);
    return running;
  }

  async #wait(running: Running<Event, Result>, { onEvent, signal }: JoinOptions<Event>): Promise<Result> {
    running.callers++;
    // Of its own, so that one caller that listens twice is told twice.
    const listener = (event: Event) => onEvent?.(event);
    if (running.lastEvent !== undefined) listener(running.lastEvent);
    running.listeners.add(listener);
    const given = Promise.withResolvers<never>();
    const giveUp = () => given.reject(cancelled());
    signal?.addEventListener("abort", giveUp, { once: true });
    try {
      return await Promise.race([running.promise, given.promise]);
    } finally {
      signal?.removeEventListener("abort", giveUp);
      running.listeners.delete(listener);
      if (--running.callers === 0) {
        running.controller.abort(cancelled());
        // The last to leave waits until nothing is left of it.
        await running.promise.catch(() => undefined);
      }
    }
  }
}

/** So many at a time; the others wait in the order in which they came. */
export class Slots {
  #free: number;
  readonly #waiting: (() => void)[] = [];

  constructor(count: number) {
    this.#free = count;
  }

  /** @throws EngineError cancelled when `signal` aborts while waiting. */
  async run<T>(work: () => Promise<T>, options: { signal?: AbortSignal; onWait?: () => void } = {}): Promise<T> {
    using _slot = await this.take(options);
    return await work();
  }

  /** A slot until it is disposed of. @throws EngineError cancelled when `signal` aborts while waiting. */
  async take(options: { signal?: AbortSignal; onWait?: () => void } = {}): Promise<Disposable> {
    throwIfAborted(options.signal);
    if (this.#free > 0) this.#free--;
    else {
      options.onWait?.();
      await this.#turn(options.signal);
    }
    return {
      [Symbol.dispose]: () => {
        const next = this.#waiting.shift();
        if (next) next();
        else this.#free++;
      },
    };
  }

  async #turn(signal: AbortSignal | undefined): Promise<void> {
    const turn = Promise.withResolvers<void>();
    const giveUp = () => {
      const place = this.#waiting.indexOf(turn.resolve);
      // It may have got its turn in this very moment; whoever waits last must not pay for that.
      if (place < 0) return;
      this.#waiting.splice(place, 1);
      turn.reject(cancelled());
    };
    this.#waiting.push(turn.resolve);
    signal?.addEventListener("abort", giveUp, { once: true });
    try {
      await turn.promise;
    } finally {
      signal?.removeEventListener("abort", giveUp);
    }
  }
}

/** @throws EngineError cancelled, or the reason where whoever aborted gave one. */
export function throwIfAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted) throw isEngineError(signal.reason) ? signal.reason : cancelled();
}

function cancelled(): EngineError {
  return new EngineError("cancelled", "cancelled");
}
