/** Containers that wait for their restart policy to start them again. */
import type { Background } from "../background.ts";
import type { Container } from "./container.ts";

/** Starts a container whose time has come, or leaves it alone when somebody came first. */
type Restart = (container: Container) => Promise<void>;

/** When it is tried again with one that could not even be tried to start. */
const againMs = 500;

export class PolicyRestarts {
  readonly #background: Background;
  readonly #restart: Restart;
  readonly #timers = new Map<string, NodeJS.Timeout>();
  #isOpen = false;

  constructor(background: Background, restart: Restart) {
    this.#background = background;
    this.#restart = restart;
  }

  /** Until then a daemon is still finding out what there is: containers wait, on record, for whoever opens. */
  open(): void {
    this.#isOpen = true;
  }

  /** Those that wait go on waiting, on record, for the next daemon. */
  close(): void {
    this.#isOpen = false;
    for (const timer of this.#timers.values()) clearTimeout(timer);
    this.#timers.clear();
  }

  /** Of a container that is restarting. */
  schedule(container: Container): void {
    const { state } = container;
    if (!this.#isOpen || state.status !== "restarting") return;
    // Of a clock that was put back nobody waits longer than the policy has it.
    this.#in(Math.min(Date.parse(state.restartAt) - Date.now(), state.from.restarts.delayMs), container);
  }

  #in(delayMs: number, container: Container): void {
    const { id } = container;
    this.cancel(container);
    const timer = setTimeout(() => {
      this.#timers.delete(id);
      this.#background.run("restart a container", id, this.#restartNow(container));
    }, delayMs).unref();
    this.#timers.set(id, timer);
  }

  async #restartNow(container: Container): Promise<void> {
    try {
      await this.#restart(container);
    } finally {
      // It waits for another one; or not even the attempt could be recorded, on a full disk most likely.
      if (this.#isOpen && container.state.status === "restarting") this.#in(againMs, container);
    }
  }

  cancel({ id }: Pick<Container, "id">): void {
    clearTimeout(this.#timers.get(id));
    this.#timers.delete(id);
  }
}
