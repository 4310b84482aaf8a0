import { advice } from "../../core/advice.ts";
import { EngineError } from "../../core/errors.ts";
import { currentInitiator } from "../../core/initiator.ts";
import type { Sandbox } from "../../network/sandbox.ts";
import type { ContainerHealth } from "../health/health.ts";
import type { ShimPart } from "../parts.ts";
import { Copies } from "./copies.ts";
import type { ContainerDefinition } from "./definition.ts";
import type { EndVerb, SentSignal } from "./end.ts";
import { assertTransition, type ContainerState, exitCodeOf } from "./state.ts";
import type { ContainerRecord } from "./table.ts";

/** A container may be sent signals all day, as by log rotation: only those shortly before its end matter. */
const sentMax = 4;

/** What a waiter is told. */
export interface ExitResult {
  exitCode: number;
  /** Why the exit code says nothing, where it does. */
  error?: string;
}

/**
 * One container as the running daemon has it: its record, and what does not outlive the daemon: the connection to
 * its shim, its network, who waits for it.
 */
export class Container {
  readonly id: string;
  readonly createdAt: string;
  #name: string;
  #definition: ContainerDefinition;
  #state: ContainerState;
  /** From the first attach or the start until the exit has been dealt with. */
  shim: ShimPart | undefined;
  /** The shim once it runs the container, until it is released after the end: nobody who leaves may take it along. */
  engagedShim: ShimPart | undefined;
  /** A shim that is on its way. */
  shimComing: Promise<ShimPart> | undefined;
  /** From its end until somebody who has its lock has done it. */
  dueCleanUp: (() => Promise<void>) | undefined;
  /** What it has on its networks while it runs. */
  sandbox: Sandbox | undefined;
  /** What is known of its health; undefined where nobody ever asked. */
  health: ContainerHealth | undefined;
  /** How many streams are attached through this daemon. */
  attached = 0;
  readonly copies = new Copies();
  removed = false;
  /** It is being restarted: its end is not the last, and does not take along one that is to be removed with it. */
  restarting = false;
  /** Signals to its first process since its start, as far as this daemon knows; the last few. */
  sent: SentSignal[] = [];
  readonly #exitWaiters: Waiters = new Set();
  readonly #removalWaiters: Waiters = new Set();

  constructor(record: ContainerRecord) {
    this.id = record.id;
    this.#name = record.name;
    this.createdAt = record.createdAt;
    this.#definition = record.definition;
    this.#state = record.state;
  }

  /** Without the slash. */
  get name(): string {
    return this.#name;
  }

  /** For the store, which keeps the record alike. */
  setName(name: string): void {
    this.#name = name;
  }

  get definition(): ContainerDefinition {
    return this.#definition;
  }

  /** For the store, which keeps the record alike. */
  setDefinition(definition: ContainerDefinition): void {
    this.#definition = definition;
  }

  get state(): ContainerState {
    return this.#state;
  }

  get record(): ContainerRecord {
    const { id, name, createdAt, definition, state } = this;
    return { id, name, createdAt, definition, state };
  }

  get autoRemove(): boolean {
    return this.definition.hostConfig.AutoRemove === true;
  }

  get terminal(): boolean {
    return this.definition.config.Tty === true;
  }

  /** A process runs, or is about to. */
  get active(): boolean {
    return this.#state.status === "running" || this.#state.status === "starting";
  }

  /** Docker's `Running`: it is active, or its policy starts it again. */
  get isUp(): boolean {
    return this.active || this.#state.status === "restarting";
  }

  /** Its policy is about to start it again, or does so now: Docker's `Restarting`. */
  get restartsByPolicy(): boolean {
    const { status } = this.#state;
    return status === "restarting" || (status === "starting" && this.#state.from.status === "restarting");
  }

  get paused(): boolean {
    return this.#state.status === "running" && this.#state.pausedFor !== undefined;
  }

  /** @throws EngineError internal for a transition that the table does not have. */
  setState(next: ContainerState): void {
    assertTransition(this.id, this.#state, next);
    this.#state = next;
  }

  /** Takes back a transition that could not be stored. */
  restoreState(previous: ContainerState): void {
    this.#state = previous;
  }

  /** The last exit; of a container that never ran its failed start, else 0, as Docker has it. */
  get lastExit(): ExitResult {
    const state = settledState(this.#state);
    if (state.status === "created") {
      return { exitCode: state.failure?.exitCode ?? 0 };
    }
    // Why a start failed is for whoever asked for the start; whoever waits has the status.
    if (state.failure !== undefined) return { exitCode: state.failure.exitCode };
    const exitCode = exitCodeOf(state.end);
    return state.end.kind === "unknown" ? { exitCode, error: state.end.reason } : { exitCode };
  }

  /** Stays pending when the signal aborts: nobody waits any longer. */
  nextExit(signal?: AbortSignal): Promise<ExitResult> {
    return waiting(this.#exitWaiters, signal);
  }

  /** The end of a container that goes with it: not one that belongs to a restart. */
  async lastEnd(): Promise<ExitResult> {
    for (;;) {
      const exit = await this.nextExit();
      if (this.removed || !this.restarting) return exit;
    }
  }

  removal(signal?: AbortSignal): Promise<ExitResult> {
    return this.removed ? Promise.resolve(this.lastExit) : waiting(this.#removalWaiters, signal);
  }

  noteSent(signal: number, verb: EndVerb): void {
    const initiator = currentInitiator();
    const at = new Date().toISOString();
    this.sent = [...this.sent, { signal, verb, at, ...(initiator && { initiator: { ...initiator } }) }].slice(-sentMax);
  }

  announceExit(): void {
    announce(this.#exitWaiters, this.lastExit);
  }

  /** Nobody waits any longer for what is gone: also those that waited for an exit. */
  announceRemoval(): void {
    this.removed = true;
    announce(this.#exitWaiters, this.lastExit);
    announce(this.#removalWaiters, this.lastExit);
  }

  /** @throws EngineError conflict in docker's words when nothing runs. */
  runningShim(): ShimPart {
    if (this.restartsByPolicy) throw isRestarting(this);
    if (this.#state.status !== "running" || this.shim === undefined) {
      throw new EngineError("conflict", `container ${this.id} is not running`, { hint: advice.notRunning(this.name) });
    }
    return this.shim;
  }
}

/** What cannot be done to a container that its policy is about to start again, in docker's words. */
export function isRestarting({ id, name }: Pick<Container, "id" | "name">): EngineError {
  return new EngineError("conflict", `Container ${id} is restarting, wait until the container is running`, {
    hint: advice.restarting(name),
  });
}

type Waiters = Set<(result: ExitResult) => void>;

function waiting(waiters: Waiters, signal: AbortSignal | undefined): Promise<ExitResult> {
  return new Promise((resolve) => {
    waiters.add(resolve);
    signal?.addEventListener("abort", () => waiters.delete(resolve), { once: true });
  });
}

function announce(waiters: Waiters, result: ExitResult): void {
  const told = [...waiters];
  waiters.clear();
  for (const resolve of told) resolve(result);
}

/** The state that tells of the past, below the intents. */
function settledState(state: ContainerState): Extract<ContainerState, { status: "created" | "exited" }> {
  switch (state.status) {
    case "created":
    case "exited":
      return state;
    case "starting":
    case "restarting":
    case "removing":
    case "dead":
      return settledState(state.from);
    case "running":
      return { status: "created" };
  }
}
