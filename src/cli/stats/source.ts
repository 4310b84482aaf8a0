/**
 * Where samples of containers come from: a stream for each of the first, and for those beyond single samples once a
 * second, in turn over a few connections. Bun's fetch has 256 at once, and lets others wait for as long as those go on.
 */
import type { ContainerStats } from "../../api/schema/stats.ts";
import { isEngineError } from "../../core/errors.ts";
import { KeyedLock } from "../../core/lock.ts";

/** One sample: with what was a second before it, unless only this moment is asked for. */
export type AskOnce = (
  container: string,
  options: { oneShot: boolean; signal: AbortSignal },
) => Promise<ContainerStats>;
export type AskStream = (container: string, signal: AbortSignal) => AsyncIterable<ContainerStats>;

export interface StatsLimits {
  streams: number;
  connections: number;
  periodMs: number;
}

const defaultLimits: StatsLimits = { streams: 64, connections: 16, periodMs: 1000 };

export class StatsSource {
  readonly #once: AskOnce;
  readonly #stream: AskStream;
  readonly #limits: StatsLimits;
  readonly #connections = new KeyedLock();
  #streams = 0;
  #next = 0;

  constructor(once: AskOnce, stream: AskStream, limits = defaultLimits) {
    this.#once = once;
    this.#stream = stream;
    this.#limits = limits;
  }

  /** Until the container is removed, or the signal aborts. */
  async *follow(container: string, signal: AbortSignal): AsyncGenerator<ContainerStats> {
    if (this.#streams >= this.#limits.streams) {
      yield* this.#sampled(container, signal);
      return;
    }
    this.#streams++;
    try {
      yield* this.#stream(container, signal);
    } finally {
      this.#streams--;
    }
  }

  /** One sample, with the one before that it is compared with. */
  async *first(container: string, signal: AbortSignal): AsyncGenerator<ContainerStats> {
    if (this.#streams < this.#limits.streams) {
      this.#streams++;
      try {
        yield await this.#once(container, { oneShot: false, signal });
      } finally {
        this.#streams--;
      }
      return;
    }
    let before: ContainerStats | undefined;
    for await (const sample of this.#sampled(container, signal)) {
      // One of a container that does not run has nothing to be compared with.
      if (before !== undefined || sample.cpu_stats.system_cpu_usage === undefined) {
        yield sample;
        return;
      }
      before = sample;
    }
  }

  async *#sampled(container: string, signal: AbortSignal): AsyncGenerator<ContainerStats> {
    const connection = String(this.#next++ % this.#limits.connections);
    const ask = () => this.#once(container, { oneShot: true, signal });
    let before: ContainerStats | undefined;
    while (!signal.aborted) {
      const begunMs = performance.now();
      let sample: ContainerStats;
      try {
        sample = await this.#connections.run(connection, ask);
      } catch (error) {
        if (before !== undefined && isEngineError(error, "not_found")) return;
        throw error;
      }
      yield before === undefined ? sample : { ...sample, preread: before.read, precpu_stats: before.cpu_stats };
      before = sample;
      await Bun.sleep(Math.max(0, begunMs + this.#limits.periodMs - performance.now()));
    }
  }
}
