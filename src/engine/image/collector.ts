/** When garbage is collected: on a schedule, shortly after something was removed, and when somebody asks for it. */
import { errorMessage } from "../../core/errors.ts";
import { initiatedByEngine } from "../../core/initiator.ts";
import { log } from "../../core/log.ts";
import type { Collected, CollectionPolicy } from "../../image/collection/collected.ts";
import { familiarReference, parseReference } from "../../image/reference.ts";
import type { EngineContext } from "../context.ts";

/** A daemon that has just started has better things to do. */
const firstRunMs = 60_000;
/** Removals come in groups. */
const afterRemovalMs = 5000;
/** Where no policy was given: what nothing refers to, and no image. */
const noBudget: CollectionPolicy = { keepForMs: 0 };

export class Collector {
  readonly #context: EngineContext;
  readonly #closed = new AbortController();
  #timer: NodeJS.Timeout | undefined;
  #dueMs = Number.POSITIVE_INFINITY;
  /** One collection at a time. */
  #running: Promise<unknown> = Promise.resolve();

  constructor(context: EngineContext) {
    this.#context = context;
  }

  /** Begins the schedule, if there is to be one. */
  start(): void {
    const gc = this.#context.configuration.gc;
    if (!gc?.isOn) return;
    this.#schedule(Math.min(gc.intervalMs, firstRunMs));
    // A container takes what was its own alone with it when it goes; an image may leave what a lease held.
    this.#context.events.observe(({ type, action, actor }) => {
      const isRemoval = type === "image" && action === "delete" && actor.attributes.reason === undefined;
      if (isRemoval) this.#schedule(Math.min(gc.intervalMs, afterRemovalMs));
    });
  }

  /** Collects now. @returns what went, or with `isDryRun` what would go. */
  async collect(isDryRun: boolean): Promise<Collected[]> {
    const run = this.#running.then(() => this.#collect(isDryRun));
    this.#running = run.catch(() => undefined);
    return run;
  }

  /** Ends the schedule, and what is being collected after the thing that is being removed. */
  async close(): Promise<void> {
    this.#closed.abort();
    clearTimeout(this.#timer);
    await this.#running;
  }

  /** The next collection is due after so long, or earlier if it was due earlier. */
  #schedule(delayMs: number): void {
    const dueMs = performance.now() + delayMs;
    if (this.#closed.signal.aborted || this.#dueMs <= dueMs) return;
    clearTimeout(this.#timer);
    this.#dueMs = dueMs;
    this.#timer = setTimeout(() => void this.#runScheduled(), delayMs);
    this.#timer.unref();
  }

  async #runScheduled(): Promise<void> {
    this.#dueMs = Number.POSITIVE_INFINITY;
    try {
      await initiatedByEngine("gc", () => this.collect(false));
    } catch (error) {
      if (!this.#closed.signal.aborted) log("error", "could not collect garbage", { error: errorMessage(error) });
    }
    this.#schedule(this.#context.configuration.gc!.intervalMs);
  }

  async #collect(isDryRun: boolean): Promise<Collected[]> {
    const { images, configuration } = this.#context;
    return images.collect({
      ...(configuration.gc ?? noBudget),
      isDryRun,
      signal: this.#closed.signal,
      onCollected: (item) => {
        if (!isDryRun) this.#tell(item);
      },
    });
  }

  /** An event and a line in the log for each thing that went, which say why. */
  #tell({ kind, id, names, bytes, why, error }: Collected): void {
    if (error !== undefined) {
      log("error", `could not remove ${kind} ${id}`, { error, reason: why });
      return;
    }
    log("info", `removed ${kind} ${id}`, { reason: why, bytes, ...(names.length > 0 && { names: names.join(" ") }) });
    const { events } = this.#context;
    const attributes = { reason: why, bytes: String(bytes) };
    if (kind !== "image") {
      events.publish("image", "collect", id, { ...attributes, kind });
      return;
    }
    for (const name of names) {
      const familiar = familiarReference(parseReference(name));
      events.publish("image", "untag", id, { ...attributes, name: familiar });
    }
    events.publish("image", "delete", id, { ...attributes, name: id });
  }
}
