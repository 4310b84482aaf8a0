/** Shims of containers that belong together, in one process for each group. */
import { errorMessage } from "../../core/errors.ts";
import { log } from "../../core/log.ts";

export interface GroupedShim<Shim> {
  readonly isClosed: boolean;
  readonly closed: Promise<void>;
  /** Has its process serve one more container, at a socket of its own. */
  share(socketPath: string): Promise<Shim>;
  close(): void;
}

/** A process that somebody has stopped (SIGSTOP) would keep its whole group from ever starting anything. */
const answerMs = 2000;

export class ShimGroups<Shim extends GroupedShim<Shim>> {
  readonly #members = new Map<string, Set<Shim>>();
  /** Of each group one is taken after the other: the first of two that start at once is whom the second joins. */
  readonly #turns = new Map<string, Promise<unknown>>();

  readonly #answerMs: number;

  constructor(options: { answerMs: number } = { answerMs }) {
    this.#answerMs = options.answerMs;
  }

  /**
   * @param first a process for a group that has none. Those of an earlier daemon, which may be of another version, are
   * not joined.
   * @throws what `first` throws.
   */
  take(group: string, socketPath: () => string, first: () => Promise<Shim>): Promise<Shim> {
    const before = this.#turns.get(group);
    const turn = (async () => {
      await before?.catch(() => undefined);
      const shim = (await this.#join(group, socketPath)) ?? (await first());
      this.#add(group, shim);
      return shim;
    })();
    this.#turns.set(group, turn);
    const over = () => {
      if (this.#turns.get(group) === turn) this.#turns.delete(group);
    };
    turn.then(over, over);
    return turn;
  }

  async #join(group: string, socketPath: () => string): Promise<Shim | undefined> {
    const members = this.#members.get(group) ?? new Set();
    for (const member of members) {
      if (member.isClosed) continue;
      try {
        const shim = await inTime(member.share(socketPath()), this.#answerMs);
        if (shim !== undefined) return shim;
        // None of them is asked again: most are of the same process, and each start would wait as long.
        members.clear();
        log("warn", "the shim of a group does not answer: the next container has another", { group });
      } catch (error) {
        // It ends with its last container, which may be now.
        log("debug", "could not join the shim of a group", { group, error: errorMessage(error) });
      }
    }
    return undefined;
  }

  #add(group: string, shim: Shim): void {
    const members = this.#members.get(group) ?? new Set();
    this.#members.set(group, members);
    members.add(shim);
    void shim.closed.then(() => {
      members.delete(shim);
      if (members.size === 0 && this.#members.get(group) === members) this.#members.delete(group);
    });
  }
}

/** @returns undefined when it takes longer; what comes later is let go. */
async function inTime<Shim extends { close(): void }>(
  coming: Promise<Shim>,
  limitMs: number,
): Promise<Shim | undefined> {
  const over = Promise.withResolvers<undefined>();
  const timer = setTimeout(() => {
    over.resolve(undefined);
    coming.then(
      (late) => late.close(),
      (error) => log("debug", "could not join the shim of a group", { error: errorMessage(error) }),
    );
  }, limitMs);
  try {
    return await Promise.race([coming, over.promise]);
  } finally {
    clearTimeout(timer);
  }
}
