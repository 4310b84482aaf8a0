import type { ContainerStats } from "../../api/schema/stats.ts";
import { numbersOf, type StatsEntry } from "./entry.ts";

/** After this long without a sample a container's numbers are not known any more. */
const silenceMs = 2000;

/** Opens the samples of a container, until the signal aborts. */
export type OpenStats = (container: string, signal: AbortSignal) => AsyncIterable<ContainerStats>;

/** One container that is looked at, and what is known of it now. */
export class WatchedContainer {
  entry: StatsEntry;
  /** Why nothing is known of it. */
  failure: unknown;
  /** Settled with the first sample, or when there will be none for now. */
  readonly first: Promise<void>;
  readonly #first = Promise.withResolvers<void>();
  readonly #left = new AbortController();

  constructor(container: string, open: OpenStats, isStream: boolean) {
    this.entry = { container, id: "", name: "" };
    this.first = this.#first.promise;
    void this.#collect(open, isStream);
  }

  /** Nobody looks at it any longer. */
  leave(): void {
    this.#left.abort();
  }

  async #collect(open: OpenStats, isStream: boolean): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    const expect = (): void => {
      clearTimeout(timer);
      if (isStream) timer = setTimeout(() => this.#forget(), silenceMs);
    };
    expect();
    try {
      for await (const stats of open(this.entry.container, this.#left.signal)) {
        const { id, name } = stats;
        this.entry = { ...this.entry, id, name, numbers: numbersOf(stats) };
        this.#first.resolve();
        if (!isStream) return;
        expect();
      }
      this.#forget();
    } catch (error) {
      this.failure = error;
      this.#forget();
    } finally {
      clearTimeout(timer);
      this.#first.resolve();
    }
  }

  /** Its id and name stay. */
  #forget(): void {
    const { numbers: _, ...rest } = this.entry;
    this.entry = rest;
    this.#first.resolve();
  }
}
