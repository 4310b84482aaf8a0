/** How many copies there are at once: each is a process, and a daemon has many clients. */
import { EngineError } from "../../core/errors.ts";
import { Slots, throwIfAborted } from "../shared-work.ts";

export interface TurnLimits {
  atOnce: number;
  /** More than these are refused at once. */
  waiting: number;
  waitMs: number;
}

const usual: TurnLimits = { atOnce: 16, waiting: 256, waitMs: 60_000 };

export class Turns {
  readonly #what: string;
  readonly #limits: TurnLimits;
  readonly #slots: Slots;
  #waiting = 0;

  /** @param what copies are called in errors: "copies out of containers". */
  constructor(what: string, limits: Partial<TurnLimits> = {}) {
    this.#what = what;
    this.#limits = { ...usual, ...limits };
    this.#slots = new Slots(this.#limits.atOnce);
  }

  /** Until it is disposed of. @throws EngineError cancelled; unavailable when others take too long. */
  async take(signal: AbortSignal): Promise<Disposable> {
    const { atOnce, waiting, waitMs } = this.#limits;
    const busy = `${atOnce} ${this.#what} go on`;
    if (this.#waiting >= waiting) throw new EngineError("unavailable", `${busy}, and ${waiting} more wait`);
    const late = new AbortController();
    const giveUp = () => late.abort();
    const timer = setTimeout(giveUp, waitMs);
    signal.addEventListener("abort", giveUp, { once: true });
    this.#waiting++;
    try {
      if (signal.aborted) late.abort();
      return await this.#slots.take({ signal: late.signal });
    } catch {
      throwIfAborted(signal);
      throw new EngineError("unavailable", `${busy}, and none of them has ended within ${waitMs / 1000} s`);
    } finally {
      this.#waiting--;
      clearTimeout(timer);
      signal.removeEventListener("abort", giveUp);
    }
  }
}
