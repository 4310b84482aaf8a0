/** What all kinds of `prune` have in common. */
import type { Filters } from "../../api/schema/filters.ts";
import { EngineError, type ErrorCode, errorMessage, isEngineError } from "../../core/errors.ts";
import { log } from "../../core/log.ts";
import { parseTimestamp } from "../../core/timestamp.ts";
import { matchesLabels } from "../label-filter.ts";

/** What is being pruned now: two at once would only take each other's things. */
export class PruneLock {
  readonly #running = new Set<string>();

  /** @throws EngineError conflict in docker's words while another prune of that kind runs. */
  async run<T>(kind: string, work: () => Promise<T>): Promise<T> {
    if (this.#running.has(kind)) throw new EngineError("conflict", "a prune operation is already running");
    this.#running.add(kind);
    try {
      return await work();
    } finally {
      this.#running.delete(kind);
    }
  }
}

/**
 * Docker's filters `until`, `label` and `label!`.
 * @throws EngineError invalid_argument for an instant that is none.
 */
export function pruneFilter(
  filters: Filters,
): (candidate: { createdAt: string; labels: Readonly<Record<string, string>> }) => boolean {
  const bounds = (filters.until ?? []).map(instantMs);
  return ({ createdAt, labels }) =>
    bounds.every((bound) => Date.parse(createdAt) < bound) &&
    matchesLabels(filters.label ?? [], labels) &&
    (filters["label!"] ?? []).every((label) => !matchesLabels([label], labels));
}

/** It was started, or removed by somebody else, since it was looked at. */
const settled: readonly ErrorCode[] = ["conflict", "forbidden", "not_found"];

/** One that cannot be removed stays, with a line in the log, and does not keep the others. */
export async function attemptPrune<T>(what: string, work: () => Promise<T>): Promise<T | undefined> {
  try {
    return await work();
  } catch (error) {
    const isSettled = isEngineError(error) && settled.includes(error.code);
    log(isSettled ? "info" : "error", `could not prune ${what}`, { error: errorMessage(error) });
    return undefined;
  }
}

function instantMs(text: string): number {
  const seconds = parseTimestamp(text);
  if (seconds !== undefined) return Number(seconds) * 1000;
  throw new EngineError("invalid_argument", `invalid filter 'until=${text}': neither a time nor a duration`);
}
