import type { ContainerStats, TopResponse } from "../schema/stats.ts";

export interface StatsOptions {
  /** A sample each second until the container is removed; else one. */
  stream: boolean;
  /** Without a sample before it to compare with, at once. Only without `stream`. */
  oneShot: boolean;
}

/** What containers do at this moment. All methods throw EngineError not_found. */
export interface ObservationBackend {
  /**
   * @param psArguments for ps(1), in words; none: `-ef`.
   * @throws EngineError conflict when it does not run, invalid_argument for what ps does not know.
   */
  top(ref: string, psArguments: readonly string[]): Promise<TopResponse>;
  /** A reader that does not keep up misses samples. Ends when `signal` aborts. */
  stats(ref: string, options: StatsOptions, signal: AbortSignal): Promise<AsyncIterable<ContainerStats>>;
}
