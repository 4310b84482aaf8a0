/**
 * The engine's events: published once, kept in a bounded ring for `since`, and delivered to every subscriber in
 * the order in which they happened.
 */
import { currentInitiator, type Initiator } from "../../core/initiator.ts";

export type EventType = "container" | "image" | "network" | "volume" | "daemon";

/** What happened to whom. The attributes are Docker's: labels, name, image, exitCode, signal … */
export interface EngineEvent {
  type: EventType;
  action: string;
  actor: { id: string; attributes: Record<string, string> };
  /** Microseconds since the epoch; no two events have the same. */
  timeMicros: number;
  /** Who wanted it; absent where nobody did, or it is not known. */
  initiator?: Initiator;
}

/** Docker keeps as many. */
const ringSize = 256;
/** A subscriber that is this far behind is cut off: it must not hold the daemon's memory. */
const backlogMax = 16_384;

export interface Subscription {
  /** Microseconds since the epoch; events of the ring from then on are delivered first. */
  sinceMicros?: number;
  /** The subscription ends by itself at this time; in the past: after what the ring has. */
  untilMicros?: number;
  signal?: AbortSignal;
}

type Listener = (event: EngineEvent) => void;

export class EventBus {
  readonly #ring: EngineEvent[] = [];
  readonly #listeners = new Set<Listener>();
  readonly #observers: Listener[] = [];
  #lastMicros = 0;

  publish(type: EventType, action: string, id: string, attributes: Record<string, string> = {}): EngineEvent {
    const timeMicros = Math.max(Date.now() * 1000, this.#lastMicros + 1);
    this.#lastMicros = timeMicros;
    const initiator = currentInitiator();
    const actor = { id, attributes };
    const event: EngineEvent = { type, action, actor, timeMicros, ...(initiator && { initiator }) };
    this.#ring.push(event);
    if (this.#ring.length > ringSize) this.#ring.shift();
    for (const listener of [...this.#observers, ...this.#listeners]) listener(event);
    return event;
  }

  /**
   * The events of that time, first those of the ring, then as they happen, from this call on and not only from the
   * first read. Ends at `untilMicros`, when the signal aborts, or when the consumer stops; a consumer that falls
   * too far behind gets what was queued, then the end.
   */
  subscribe(subscription: Subscription): AsyncGenerator<EngineEvent, void, void> {
    const { sinceMicros, untilMicros = Number.POSITIVE_INFINITY, signal } = subscription;
    const wanted = ({ timeMicros }: EngineEvent) => timeMicros >= (sinceMicros ?? 0) && timeMicros <= untilMicros;
    const past = sinceMicros !== undefined || untilMicros !== Number.POSITIVE_INFINITY;
    const queue: EngineEvent[] = past ? this.#ring.filter(wanted) : [];
    let wake: () => void = () => undefined;
    let ended = false;
    const listener: Listener = (event) => {
      if (!wanted(event)) return;
      queue.push(event);
      if (queue.length >= backlogMax) end();
      wake();
    };
    const end = () => {
      ended = true;
      clearTimeout(timer);
      this.#listeners.delete(listener);
      signal?.removeEventListener("abort", end);
      wake();
    };
    const timer = endTimer(untilMicros, end);
    this.#listeners.add(listener);
    if (signal?.aborted) end();
    else signal?.addEventListener("abort", end);
    return (async function* () {
      try {
        while (true) {
          for (let event = queue.shift(); event !== undefined; event = queue.shift()) yield event;
          if (ended) return;
          await new Promise<void>((resolve) => {
            wake = resolve;
          });
        }
      } finally {
        end();
      }
    })();
  }

  /** For the engine itself: called at once, and not counted among those that listen. */
  observe(listener: Listener): void {
    this.#observers.push(listener);
  }

  /** How many are listening: for `info`. */
  get listeners(): number {
    return this.#listeners.size;
  }
}

/** setTimeout counts in 32 bits; what is further away is waited for in pieces. */
const timerMaxMs = 2 ** 31 - 1;

function endTimer(untilMicros: number, end: () => void): NodeJS.Timeout | undefined {
  if (untilMicros === Number.POSITIVE_INFINITY) return undefined;
  const remainingMs = Math.max(0, untilMicros / 1000 - Date.now());
  const timer = setTimeout(
    () => {
      if (remainingMs <= timerMaxMs) end();
      else endTimer(untilMicros, end);
    },
    Math.min(remainingMs, timerMaxMs),
  );
  timer.unref();
  return timer;
}
