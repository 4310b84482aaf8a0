import { errorMessage } from "../core/errors.ts";
import { log } from "../core/log.ts";

/** Work that nobody waits for, except the end of the daemon. */
export class Background {
  readonly #running = new Set<Promise<void>>();
  #closed = false;

  /** @param what said in the log when it fails: `remove everything of a container`. */
  run(what: string, container: string, work: Promise<unknown>): void {
    const running = work.then(
      () => undefined,
      (error: unknown) => log("error", `could not ${what}`, { container, error: errorMessage(error) }),
    );
    this.#running.add(running);
    void running.then(() => this.#running.delete(running));
  }

  /** Nothing that happens from now on is for this daemon to deal with. */
  get closed(): boolean {
    return this.#closed;
  }

  /** Waits for what runs, and for what that begins. */
  async close(): Promise<void> {
    this.#closed = true;
    while (this.#running.size > 0) await Promise.all(this.#running);
  }
}
