import { errorMessage } from "../core/errors.ts";
import { log } from "../core/log.ts";

/**
 * What then still goes on waits for a process that somebody has stopped, most likely. It is given up like all else when a
 * daemon is killed: the next one finds what was half done.
 */
const closeMsMax = 10_000;

interface Work {
  what: string;
  container: string;
}

/** Work that nobody waits for, except the end of the daemon. */
export class Background {
  readonly #running = new Map<Promise<void>, Work>();
  #closed = false;

  /** @param what said in the log when it fails: `remove everything of a container`. */
  run(what: string, container: string, work: Promise<unknown>): void {
    const running = work.then(
      () => undefined,
      (error: unknown) => log("error", `could not ${what}`, { container, error: errorMessage(error) }),
    );
    this.#running.set(running, { what, container });
    void running.then(() => this.#running.delete(running));
  }

  /** Nothing that happens from now on is for this daemon to deal with. */
  get closed(): boolean {
    return this.#closed;
  }

  /** Waits for what runs, and for what that begins, but not for ever. */
  async close(waitMs = closeMsMax): Promise<void> {
    this.#closed = true;
    const late = Promise.withResolvers<void>();
    let isLate = false;
    const timer = setTimeout(() => {
      isLate = true;
      late.resolve();
    }, waitMs);
    while (this.#running.size > 0 && !isLate) {
      await Promise.race([Promise.all(this.#running.keys()), late.promise]);
    }
    clearTimeout(timer);
    for (const { what, container } of this.#running.values()) {
      log("warn", `the daemon ends before it could ${what}`, { container });
    }
  }
}
