/**
 * Asks containers how they are. It hears of their lives by the engine's own events, and needs one timer for each that is
 * asked; between two probes nothing is done.
 */
import { timeNow } from "../../core/clock.ts";
import { errorMessage } from "../../core/errors.ts";
import { initiatedByEngine } from "../../core/initiator.ts";
import { log } from "../../core/log.ts";
import { LongTimer } from "../../core/long-timer.ts";
import type { Container } from "../container/container.ts";
import { isOver } from "../container/ended.ts";
import { containerEvent } from "../container/event.ts";
import type { EngineContext } from "../context.ts";
import type { EngineEvent, EventDetails } from "../event/bus.ts";
import type { ExecService } from "../exec/execs.ts";
import { commandProbe, endLeftProbes } from "./command-probe.ts";
import { type ContainerHealth, endedHealth, intervalMs, judge, startingHealth } from "./health.ts";
import { httpProbe, tcpProbe } from "./network-probe.ts";
import { actOnFailure } from "./on-failure.ts";
import { type FailureAction, type HealthPlan, healthPlan, type ProbeKind } from "./plan.ts";
import { type Probe, type ProbeOutcome, type RunningProbe, startProbe } from "./probe.ts";
import { HealthTable } from "./table.ts";

/** What a probe adds to the log alone waits this long for company before it is stored. */
const gatherMs = 1000;
/** Containers whose probes are overdue at the daemon's start are asked one after another. */
const overdueStepMs = 20;
/** As many characters of what a probe said are kept with the event. */
const toldMax = 400;

/** A container that runs, and is asked. */
interface Watch {
  readonly container: Container;
  readonly plan: HealthPlan;
  /** RFC 3339. */
  readonly startedAt: string;
  timer?: LongTimer;
  probe?: RunningProbe;
  /** Until a probe is judged, or is waited for no longer. */
  isAsking: boolean;
  /** It stands still: nobody could answer. */
  paused: boolean;
  /** It has ended, or the daemon ends. */
  over: boolean;
}

export class HealthMonitor {
  readonly #context: EngineContext;
  readonly #execs: ExecService;
  readonly #table: HealthTable;
  readonly #watches = new Map<string, Watch>();
  readonly #acting = new Set<string>();
  readonly #due = new Map<string, ContainerHealth>();
  #storing: NodeJS.Timeout | undefined;

  constructor(context: EngineContext, execs: ExecService) {
    this.#context = context;
    this.#execs = execs;
    this.#table = new HealthTable(context.database);
    for (const [id, health] of this.#table.all()) {
      const container = context.containers.get(id);
      if (container !== undefined) container.health = health;
    }
    context.events.observe((event) => this.#hear(event));
  }

  /** Goes on with containers that an earlier daemon has started. */
  adopt(): void {
    let overdue = 0;
    for (const container of this.#context.containers.all()) {
      const { state, health, shim } = container;
      if (health?.due !== undefined) this.#act(container, health.due);
      if (state.status !== "running") {
        if (health !== undefined && health.status !== "unhealthy") this.#become(container, endedHealth(health));
        continue;
      }
      if (this.#watches.has(container.id)) continue;
      const watch = this.#watch(container);
      if (watch === undefined || shim === undefined) continue;
      if (container.health === undefined) this.#become(container, startingHealth(undefined));
      watch.paused = container.paused;
      const left = endLeftProbes(shim);
      this.#context.background.run("end a health check of an earlier daemon", container.id, left);
      // Of a clock that was put back nobody waits longer than the interval.
      const delayMs = Math.min(this.#dueAtMs(watch) - Date.now(), this.#intervalMs(watch));
      this.#schedule(watch, delayMs > 0 ? delayMs : overdue++ * overdueStepMs);
    }
  }

  /** The daemon ends: probes are ended in the background, and containers are not. */
  close(): void {
    for (const watch of [...this.#watches.values()]) {
      this.#end(watch);
      if (watch.probe !== undefined) {
        this.#context.background.run("end a health check", watch.container.id, watch.probe.over);
      }
    }
    this.#store();
  }

  #hear({ type, action, actor }: EngineEvent): void {
    if (type !== "container") return;
    const heard = this.#reactions[action];
    if (heard === undefined) return;
    try {
      heard(actor.id);
    } catch (error) {
      // It is told in the middle of what happens to the container, which must not fail for this.
      log("error", "could not follow a container's health", { container: actor.id, error: errorMessage(error) });
    }
  }

  readonly #reactions: Readonly<Record<string, (id: string) => void>> = {
    start: (id) => this.#started(id),
    die: (id) => this.#died(id),
    pause: (id) => this.#paused(id, true),
    unpause: (id) => this.#paused(id, false),
    destroy: (id) => this.#due.delete(id),
  };

  #started(id: string): void {
    const container = this.#context.containers.get(id);
    const watch = container && this.#watch(container);
    if (watch === undefined) return;
    this.#become(watch.container, startingHealth(watch.container.health));
    this.#schedule(watch, this.#intervalMs(watch));
  }

  #died(id: string): void {
    const watch = this.#watches.get(id);
    if (watch === undefined) return;
    this.#end(watch);
    const { container } = watch;
    if (container.health !== undefined) this.#become(container, endedHealth(container.health));
  }

  #paused(id: string, paused: boolean): void {
    const watch = this.#watches.get(id);
    if (watch === undefined || watch.paused === paused) return;
    watch.paused = paused;
    watch.timer?.cancel();
    // Standing still it takes no notice; the signal is there when it goes on.
    watch.probe?.stop();
    if (!paused) this.#schedule(watch, this.#intervalMs(watch));
  }

  /** @returns undefined for a container that is not asked. */
  #watch(container: Container): Watch | undefined {
    const plan = healthPlan(container.definition.config);
    if (plan === undefined || container.state.status !== "running") return undefined;
    const watch: Watch = {
      container,
      plan,
      startedAt: container.state.startedAt,
      isAsking: false,
      paused: false,
      over: false,
    };
    this.#watches.set(container.id, watch);
    return watch;
  }

  #end(watch: Watch): void {
    watch.over = true;
    watch.timer?.cancel();
    const { id } = watch.container;
    if (this.#watches.get(id) === watch) this.#watches.delete(id);
    watch.probe?.stop();
  }

  /** By the clock on the wall: of a container that another daemon has asked last. */
  #dueAtMs(watch: Watch): number {
    const last = watch.container.health?.log.at(-1);
    const lastMs = Math.max(Date.parse(last?.End ?? watch.startedAt), Date.parse(watch.startedAt));
    return lastMs + this.#intervalMs(watch);
  }

  #intervalMs({ container, plan, startedAt }: Watch): number {
    return intervalMs(container.health!, plan, Date.now() - Date.parse(startedAt));
  }

  #schedule(watch: Watch, delayMs: number): void {
    if (watch.over || watch.paused) return;
    watch.timer?.cancel();
    // What it makes happen is not the doing of whoever started the container.
    const goOff = () =>
      initiatedByEngine("health", () =>
        this.#context.background.run("probe the health", watch.container.id, this.#ask(watch)),
      );
    watch.timer = new LongTimer(goOff, delayMs);
  }

  async #ask(watch: Watch): Promise<void> {
    // It was paused and let go on while it was asked: the next probe comes after that one.
    if (watch.isAsking) return;
    watch.isAsking = true;
    try {
      await this.#askOnce(watch);
    } finally {
      watch.isAsking = false;
    }
    this.#schedule(watch, this.#intervalMs(watch));
  }

  async #askOnce(watch: Watch): Promise<void> {
    const { container, plan } = watch;
    // One that does not end, though it was killed, is waited for: there is never more than one.
    await watch.probe?.over;
    if (watch.over || watch.paused) return;
    const Start = timeNow();
    const probe = startProbe(this.#probe(container, plan.probe), plan.timeoutMs);
    watch.probe = probe;
    const outcome = await probe.outcome;
    const End = timeNow();
    if (!probe.wasStopped && !(await this.#hasEnded(watch, outcome)) && !watch.over && !watch.paused) {
      const result = { Start, End, ExitCode: outcome.exitCode, Output: outcome.output };
      const judged = judge(container.health!, result, plan, watch.startedAt);
      this.#become(container, judged);
      if (judged.due !== undefined) this.#act(container, judged.due);
    }
  }

  #probe(container: Container, probe: ProbeKind): Probe {
    switch (probe.kind) {
      case "command":
        return commandProbe(this.#execs, container, probe.command);
      case "http":
        return httpProbe(container, probe.target);
      case "tcp":
        return tcpProbe(container, probe.target);
    }
  }

  /** Beside what is done already nothing is begun. */
  #act(container: Container, action: FailureAction): void {
    const { id } = container;
    if (this.#acting.has(id)) return;
    this.#acting.add(id);
    const act = async () => {
      try {
        await actOnFailure(this.#context, container, action);
      } finally {
        this.#acting.delete(id);
        const { due, ...health } = container.health!;
        if (due !== undefined) this.#become(container, health);
      }
    };
    this.#context.background.run(`${action} an unhealthy container`, id, initiatedByEngine("health", act));
  }

  /** A container that ends takes its probe along, which says nothing about its health. */
  async #hasEnded({ container }: Watch, { exitCode, isLate }: ProbeOutcome): Promise<boolean> {
    if (exitCode === 0 || isLate) return false;
    return container.shim === undefined || isOver(container, container.shim);
  }

  #become(container: Container, health: ContainerHealth): void {
    const before = container.health?.status;
    container.health = health;
    this.#due.set(container.id, health);
    if (before === health.status) {
      this.#storing ??= setTimeout(() => this.#store(), gatherMs).unref();
      return;
    }
    // Before anybody is told.
    this.#store();
    const isChange = container.state.status === "running" && health.status !== "starting";
    if (isChange) containerEvent(this.#context, container, `health_status: ${health.status}`, {}, lastProbe(health));
  }

  #store(): void {
    clearTimeout(this.#storing);
    this.#storing = undefined;
    if (this.#due.size === 0) return;
    const due = new Map(this.#due);
    this.#due.clear();
    try {
      this.#table.store(due);
    } catch (error) {
      // A full disk, most likely: what is due goes with the next.
      for (const [id, health] of due) if (!this.#due.has(id)) this.#due.set(id, health);
      log("error", "could not store containers' health", { error: errorMessage(error) });
    }
  }
}

/** For the story of a container that ends for its health. */
function lastProbe({ status, log: results }: ContainerHealth): EventDetails | undefined {
  const last = results.at(-1);
  if (status !== "unhealthy" || last === undefined) return undefined;
  return { probe: { exitCode: last.ExitCode, output: last.Output.slice(0, toldMax) } };
}
