/** The event `oom`: told when it happens, and at the latest with the end. */
import { errorMessage } from "../../core/errors.ts";
import { initiatedBy } from "../../core/initiator.ts";
import { log } from "../../core/log.ts";
import { cgroupPath } from "../container/bundle.ts";
import type { Container } from "../container/container.ts";
import { containerEvent } from "../container/event.ts";
import type { EngineContext } from "../context.ts";
import type { EngineEvent } from "../event/bus.ts";

/** What ends before costs nothing: its end tells. */
const settleMs = 100;
/** Of one run, of which that it ran out of memory is told among the last. */
const eventsMax = 100;

type Context = Pick<EngineContext, "configuration" | "containers" | "events" | "eventHistory" | "kernel">;

export class OomEvents {
  readonly #context: Context;
  /** How to stop waiting, or listening, by container. */
  readonly #stops = new Map<string, () => void>();

  constructor(context: Context) {
    this.#context = context;
    context.events.observe((event) => this.#heed(event));
  }

  /** Those that run when the daemon starts. What happened to them before was told then, or is with their end. */
  adopt(): void {
    for (const container of this.#context.containers.all()) {
      if (container.state.status === "running") this.#follow(container, { past: false });
    }
  }

  /** One that has ended, and of which something was ended for want of memory: once for a run. */
  tellAtEnd(container: Container): void {
    const events = this.#context.eventHistory.ofContainer(container.id, eventsMax);
    const run = events.slice(events.findLastIndex(({ action }) => action === "start") + 1);
    if (!run.some(({ action }) => action === "oom")) this.#tell(container);
  }

  close(): void {
    for (const stop of this.#stops.values()) stop();
    this.#stops.clear();
  }

  #heed({ type, action, actor: { id } }: EngineEvent): void {
    if (type !== "container") return;
    if (action === "die") this.#stop(id);
    else if (action === "start") this.#soon(id);
    // It may have its first limit now.
    else if (action === "update" && !this.#stops.has(id)) this.#soon(id);
  }

  #soon(id: string): void {
    this.#stop(id);
    const timer = setTimeout(() => {
      this.#stops.delete(id);
      const container = this.#context.containers.get(id);
      if (container?.state.status === "running") this.#follow(container, { past: true });
    }, settleMs).unref();
    this.#stops.set(id, () => clearTimeout(timer));
  }

  #stop(id: string): void {
    this.#stops.get(id)?.();
    this.#stops.delete(id);
  }

  #follow(container: Container, options: { past: boolean }): void {
    const path = cgroupPath(this.#context, container);
    try {
      const stop = initiatedBy(undefined, () =>
        this.#context.kernel.followOom(path, () => this.#tell(container), options),
      );
      if (stop !== undefined) this.#stops.set(container.id, stop);
    } catch (error) {
      // It ends at this moment, or inotify's limits are reached.
      log("warn", "cannot hear of a container without memory", { container: container.id, error: errorMessage(error) });
    }
  }

  #tell(container: Container): void {
    initiatedBy(undefined, () => containerEvent(this.#context, container, "oom"));
  }
}
