/** Looks at containers once a second for as long as somebody watches them: once each, however many watch. */
import { errorMessage } from "../../core/errors.ts";
import { log } from "../../core/log.ts";
import type { Container } from "../container/container.ts";
import { emptySample, type Sample } from "./sample.ts";

/** What a watcher is told next is at least this much later than what it was told before. */
const apartMs = 500;
/** The event loop is given back when looking took this long. */
const turnMs = 5;

/** The samples of one container for one reader: the newest is kept for it, older ones that it did not read are not. */
export class Watch {
  readonly #stop: (watch: Watch) => void;
  #newest: Sample | undefined;
  #toldMs = Number.NEGATIVE_INFINITY;
  #ended = false;
  #wake: (() => void) | undefined;

  constructor(stop: (watch: Watch) => void) {
    this.#stop = stop;
  }

  offer(sample: Sample, nowMs: number): void {
    if (nowMs - this.#toldMs < apartMs) return;
    this.#toldMs = nowMs;
    this.#newest = sample;
    this.#wake?.();
  }

  /** @returns undefined when there will be none. */
  async next(): Promise<Sample | undefined> {
    while (this.#newest === undefined && !this.#ended) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    const sample = this.#newest;
    this.#newest = undefined;
    return sample;
  }

  end(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#stop(this);
    this.#wake?.();
  }
}

export class Sampler {
  readonly #look: (container: Container) => Sample;
  readonly #intervalMs: number;
  readonly #watched = new Map<Container, Set<Watch>>();
  #timer: NodeJS.Timeout | undefined;

  /** @param look may throw: then nothing is known of the container for that second. */
  constructor(look: (container: Container) => Sample, intervalMs = 1000) {
    this.#look = look;
    this.#intervalMs = intervalMs;
  }

  /** Its first sample is there at once. It ends with the container's removal, or when the signal aborts. */
  watch(container: Container, signal: AbortSignal): Watch {
    const watches = this.#watched.get(container) ?? new Set();
    const over = new AbortController();
    const watch = new Watch((ended) => {
      over.abort();
      watches.delete(ended);
      if (watches.size === 0) this.#watched.delete(container);
    });
    watches.add(watch);
    this.#watched.set(container, watches);
    watch.offer(this.#sample(container), performance.now());
    void container.removal(over.signal).then(() => watch.end());
    if (signal.aborted) watch.end();
    else signal.addEventListener("abort", () => watch.end(), { once: true, signal: over.signal });
    this.#timer ??= this.#later(performance.now() + this.#intervalMs);
    return watch;
  }

  /** Of now, for nobody else. */
  now(container: Container): Sample {
    return this.#sample(container);
  }

  #later(dueMs: number): NodeJS.Timeout {
    const timer = setTimeout(() => void this.#round(dueMs), Math.max(0, dueMs - performance.now()));
    timer.unref();
    return timer;
  }

  async #round(dueMs: number): Promise<void> {
    let begunMs = performance.now();
    for (const container of [...this.#watched.keys()]) {
      const nowMs = performance.now();
      const sample = this.#sample(container);
      for (const watch of this.#watched.get(container) ?? []) watch.offer(sample, nowMs);
      if (performance.now() - begunMs < turnMs) continue;
      await new Promise<void>((resolve) => setImmediate(resolve));
      begunMs = performance.now();
    }
    const nextMs = Math.max(dueMs + this.#intervalMs, performance.now());
    this.#timer = this.#watched.size === 0 ? undefined : this.#later(nextMs);
  }

  #sample(container: Container): Sample {
    try {
      return this.#look(container);
    } catch (error) {
      log("error", "could not read what a container uses", { container: container.id, error: errorMessage(error) });
      return emptySample;
    }
  }
}
