/**
 * The engine's events: published once, kept for `since`, and delivered to every subscriber in the order in which they
 * happened.
 */

import { currentInitiator, type Initiator } from "../../core/initiator.ts";
import { LongTimer } from "../../core/long-timer.ts";
import type { ContainerEnd, EndVerb } from "../container/end.ts";
import type { StartFailure } from "../container/state.ts";
import type { EventHistory } from "./history.ts";

export type EventType = "container" | "image" | "network" | "volume" | "daemon";

/** What is kept beside what Docker tells, for the stories of containers. */
export interface EventDetails {
  /** Of `die` and `destroy`: how its last run ended. */
  end?: ContainerEnd;
  /** RFC 3339, as `finishedAt`. */
  startedAt?: string;
  finishedAt?: string;
  /** Of `destroy`: its last start came to nothing. */
  failure?: StartFailure;
  /** Of `destroy`, when the end was no success: the last that it wrote. */
  lastLines?: string[];
  /** Of `health_status: unhealthy`: the probe that was the last straw, and the beginning of what it said. */
  probe?: { exitCode: number; output: string };
  /** Of `kill`: what was asked of tsd. */
  verb?: EndVerb;
}

/** What happened to whom. The attributes are Docker's: labels, name, image, exitCode, signal … */
export interface EngineEvent {
  type: EventType;
  action: string;
  actor: { id: string; attributes: Record<string, string> };
  /** Microseconds since the epoch, later than that of the event before, unless the clock was set back. */
  timeMicros: number;
  /** Who wanted it; absent where nobody did, or it is not known. */
  initiator?: Initiator;
  details?: EventDetails;
}

/** How far the times of many events of one millisecond may run ahead of the clock. */
const burstMicrosMax = 1e6;

/** A subscriber that is this far behind is cut off: it must not hold the daemon's memory. */
const backlogMax = 16_384;

export interface Subscription {
  /** Microseconds since the epoch; what is kept from then on is delivered first. */
  sinceMicros?: number;
  /** The subscription ends by itself at this time; in the past: after what is kept. */
  untilMicros?: number;
  signal?: AbortSignal;
}

type Listener = (event: EngineEvent) => void;

export class EventBus {
  readonly #history: EventHistory;
  readonly #listeners = new Set<Listener>();
  readonly #observers = new Set<Listener>();
  #lastMicros: number;

  constructor(history: EventHistory) {
    this.#history = history;
    this.#lastMicros = history.lastMicros;
  }

  publish(
    type: EventType,
    action: string,
    id: string,
    attributes: Record<string, string> = {},
    details?: EventDetails,
  ): EngineEvent {
    const timeMicros = this.#timeOfNext();
    const initiator = currentInitiator();
    // Its name is looked up now: it may be gone when the event is written.
    if (initiator?.kind === "client") void initiator.command;
    const actor = { id, attributes };
    const beside = { ...(initiator && { initiator }), ...(details && { details }) };
    const event: EngineEvent = { type, action, actor, timeMicros, ...beside };
    if (!isPassing(event)) this.#history.add(event);
    for (const listener of [...this.#observers, ...this.#listeners]) listener(event);
    return event;
  }

  /** A clock that was wrong, and is right again, is believed: or all events would have the wrong time for ever. */
  #timeOfNext(): number {
    const nowMicros = Date.now() * 1000;
    const isSetBack = this.#lastMicros - nowMicros > burstMicrosMax;
    this.#lastMicros = isSetBack ? nowMicros : Math.max(nowMicros, this.#lastMicros + 1);
    return this.#lastMicros;
  }

  /**
   * The events of that time, first those that are kept, then as they happen, from this call on and not only from the
   * first read. Ends at `untilMicros`, when the signal aborts, or when the consumer stops; a consumer that falls
   * too far behind gets what was queued, then the end.
   */
  subscribe(subscription: Subscription): AsyncGenerator<EngineEvent, void, void> {
    const { sinceMicros, untilMicros = Number.POSITIVE_INFINITY, signal } = subscription;
    const isPast = sinceMicros !== undefined || untilMicros !== Number.POSITIVE_INFINITY;
    // What happens from here on goes to the queue.
    const fromMicros = sinceMicros ?? 0;
    const throughSequence = this.#history.lastSequence;
    const past = isPast ? this.#history.read({ fromMicros, untilMicros, throughSequence }) : undefined;
    const queue: EngineEvent[] = [];
    let wake: () => void = () => undefined;
    let ended = false;
    const listener: Listener = (event) => {
      if (event.timeMicros < fromMicros || event.timeMicros > untilMicros) return;
      queue.push(event);
      if (queue.length >= backlogMax) end();
      wake();
    };
    const end = () => {
      ended = true;
      timer?.cancel();
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
        if (past !== undefined) {
          for await (const event of past) {
            if (signal?.aborted) return;
            yield event;
          }
        }
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

  /** For the engine itself: called at once, and not counted among those that listen. @returns what ends that. */
  observe(listener: Listener): () => void {
    this.#observers.add(listener);
    return () => this.#observers.delete(listener);
  }

  /** How many are listening: for `info`. */
  get listeners(): number {
    return this.#listeners.size;
  }
}

/**
 * The processes of health checks: of hundreds of containers they would drive everything else out of what is kept, and
 * what they find is told by events of its own.
 */
function isPassing({ action, initiator }: EngineEvent): boolean {
  return initiator?.kind === "engine" && initiator.reason === "health" && action.startsWith("exec_");
}

function endTimer(untilMicros: number, end: () => void): LongTimer | undefined {
  return untilMicros === Number.POSITIVE_INFINITY ? undefined : new LongTimer(end, untilMicros / 1000 - Date.now());
}
