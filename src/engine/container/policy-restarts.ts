/** Containers that wait for their restart policy to start them again. */
import type { Background } from "../background.ts";
import type { Container } from "./container.ts";

/** Starts a container whose time has come, or leaves it alone when somebody came first. */
type Restart = (container: Container) => Promise<void>;

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
    const { state, id } = container;
    if (!this.#isOpen || state.status !== "restarting") return;
    this.cancel(container);
    // Of a clock that was put back nobody waits longer than the policy has it.
    const leftMs = Math.min(Date.parse(state.restartAt) - Date.now(), state.from.restarts.delayMs);
    const timer = setTimeout(() => {
      this.#timers.delete(id);
      this.#background.run("restart a container", id, this.#restart(container));
    }, leftMs).unref();
    this.#timers.set(id, timer);
  }

  cancel({ id }: Pick<Container, "id">): void {
    clearTimeout(this.#timers.get(id));
    this.#timers.delete(id);
  }
}
