/**
 * How containers ended that are gone with their end (`--rm`). Clients that start such a container and then ask to wait
 * for it, one request after the other, rely on its end to take longer than their next request, and here it may not.
 */
import type { Container, ExitResult } from "./container.ts";

/** Longer than a client takes from one request to the next. */
const rememberedMs = 10_000;
const rememberedMax = 1024;

export class RecentExits {
  /** By id; the oldest first. */
  readonly #exits = new Map<string, { result: ExitResult; until: number }>();
  readonly #now: () => number;

  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
  }

  add({ id, lastExit }: Pick<Container, "id" | "lastExit">): void {
    const now = this.#now();
    for (const [old, { until }] of this.#exits) {
      if (until > now && this.#exits.size < rememberedMax) break;
      this.#exits.delete(old);
    }
    this.#exits.set(id, { result: lastExit, until: now + rememberedMs });
  }

  /** By the whole id alone: the name may be another's by now. */
  get(id: string): ExitResult | undefined {
    const exit = this.#exits.get(id);
    return exit !== undefined && exit.until > this.#now() ? exit.result : undefined;
  }
}
