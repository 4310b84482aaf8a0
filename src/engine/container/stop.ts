/** Signals to containers, and waiting for what they lead to. */
import { advice } from "../../core/advice.ts";
import { withoutSync } from "../../core/database.ts";
import { EngineError, isEngineError } from "../../core/errors.ts";
import { LongTimer } from "../../core/long-timer.ts";
import { parseSignal, signalNumbers } from "../../core/signals.ts";
import type { EngineContext } from "../context.ts";
import type { Container, ExitResult } from "./container.ts";
import type { EndVerb } from "./end.ts";
import { containerEvent } from "./event.ts";
import { goOn } from "./pause.ts";
import { restartSettled, startSettled } from "./start-settled.ts";

/** Docker's own. */
const stopTimeoutSecondsDefault = 10;
/** A process that SIGKILL does not end within this is stuck in the kernel. */
const killTimeoutMs = 10_000;

export interface StopOptions {
  signal?: string;
  /** Seconds; negative waits for ever. */
  timeoutSeconds?: number;
  /** Nobody wants it to stay ended: its restart policy still counts. */
  keepsPolicy?: true;
}

/**
 * Asks the container to end with its stop signal, then makes it.
 * @throws EngineError not_modified when it does not run.
 */
export async function stopContainer(context: EngineContext, container: Container, options: StopOptions): Promise<void> {
  const { StopSignal, StopTimeout } = container.definition.config;
  const signal = parseSignal(options.signal || StopSignal || "SIGTERM");
  const seconds = options.timeoutSeconds ?? StopTimeout ?? stopTimeoutSecondsDefault;
  const byHand = options.keepsPolicy !== true;
  await (byHand ? restartSettled(context, container) : startSettled(context, container));
  if (giveUpRestart(context, container, byHand)) {
    containerEvent(context, container, "stop");
    return;
  }
  if (container.state.status !== "running") {
    throw new EngineError("not_modified", `container ${container.name} is already stopped`);
  }
  const verb = container.restarting ? "restart" : "stop";
  const exited = container.nextExit();
  if (byHand) noteByHand(context, container);
  // A shim that somebody has stopped does not answer: the time is counted from here on all the same.
  const stopped = Promise.all([sendSignal(context, container, signal, verb), exited]);
  const ended = await (seconds < 0 ? stopped : within(stopped, seconds * 1000));
  if (ended === undefined) await killAndWait(context, container, exited, verb);
  containerEvent(context, container, "stop");
}

/**
 * A signal that is to end the container is a wish that it stay ended, as `stop` is. One that waits for its policy gets
 * no signal: it is not started again.
 * @throws EngineError conflict when the container does not run; with SIGKILL it waits for the end.
 */
export async function killContainer(context: EngineContext, container: Container, signalText: string): Promise<void> {
  const signal = parseSignal(signalText || "SIGKILL");
  await restartSettled(context, container);
  const byHand = isToEnd(container, signal);
  if (container.state.status === "restarting") {
    if (byHand) giveUpRestart(context, container, byHand);
    return;
  }
  if (container.state.status !== "running") {
    throw new EngineError("conflict", `container ${container.id} is not running`, {
      hint: advice.notRunning(container.name),
    });
  }
  const exited = container.nextExit();
  if (byHand) noteByHand(context, container);
  if (signal === signalNumbers.KILL) await killAndWait(context, container, exited, "kill");
  else await sendSignal(context, container, signal, "kill");
}

/** Ends a container that is to be removed. */
export async function forceEnd(context: EngineContext, container: Container): Promise<void> {
  await startSettled(context, container);
  if (giveUpRestart(context, container, true) || container.state.status !== "running") return;
  noteByHand(context, container);
  await killAndWait(context, container, container.nextExit(), "remove");
}

/**
 * On record before the signal, for a daemon that hears of the end after this one was killed.
 * @returns false where it was noted already.
 */
export function noteByHand({ containers, database }: EngineContext, container: Container): boolean {
  const { state } = container;
  if (state.status !== "running" || state.stoppedByHand) return false;
  withoutSync(database, () => containers.setState(container, { ...state, stoppedByHand: true }));
  return true;
}

/** It did not come to that, and the container goes on. */
export function takeBackByHand({ containers, database }: EngineContext, container: Container): void {
  const { state } = container;
  if (state.status !== "running") return;
  const { stoppedByHand: _, ...running } = state;
  withoutSync(database, () => containers.setState(container, running));
}

/** One that waits for its policy to start it again has ended. @returns false where none waits. */
function giveUpRestart({ containers, restarts }: EngineContext, container: Container, byHand: boolean): boolean {
  const { state } = container;
  if (state.status !== "restarting") return false;
  restarts.cancel(container);
  containers.setState(container, { ...state.from, ...(byHand && { stoppedByHand: true }) });
  container.announceExit();
  return true;
}

async function killAndWait(
  context: EngineContext,
  container: Container,
  exited: Promise<ExitResult>,
  verb: EndVerb,
): Promise<void> {
  let isSent = false;
  const sent = sendSignal(context, container, signalNumbers.KILL!, verb).then(() => {
    isSent = true;
  });
  if ((await within(Promise.all([sent, exited]), killTimeoutMs)) !== undefined) return;
  const seconds = killTimeoutMs / 1000;
  const text = isSent ? `did not end within ${seconds} s of SIGKILL` : `its shim did not answer within ${seconds} s`;
  const hint = isSent
    ? "its process hangs in the kernel: look at /proc/PID/stack"
    : `the shim is a process that somebody has stopped: its number is in ${context.layout.container(container.id).shimRecord}`;
  throw new EngineError("timeout", `container ${container.id}: ${text}`, { hint });
}

async function sendSignal(context: EngineContext, container: Container, signal: number, verb: EndVerb): Promise<void> {
  // Before it is: the end that it leads to may be heard of first.
  container.noteSent(signal, verb);
  try {
    await container.runningShim().signal(signal);
  } catch (error) {
    // It ended by itself in the meantime, or its shim did and the end is about to be recorded.
    if (
      !isEngineError(error, "unavailable") &&
      !isEngineError(error, "conflict") &&
      !isEngineError(error, "not_found")
    ) {
      throw error;
    }
  }
  containerEvent(context, container, "kill", { signal: String(signal) }, { verb });
  if (container.paused && isToEnd(container, signal)) await goOn(context, container);
}

/** Docker's rule: what stands still is let go for a signal that is to end it, and gets others when it goes on. */
function isToEnd({ definition }: Container, signal: number): boolean {
  const { StopSignal } = definition.config;
  return signal === signalNumbers.KILL || !StopSignal || parseSignal(StopSignal) === signal;
}

/** @returns undefined when that time is over first. */
async function within<T>(work: Promise<T>, durationMs: number): Promise<T | undefined> {
  const late = Promise.withResolvers<undefined>();
  const timer = new LongTimer(() => late.resolve(undefined), durationMs);
  try {
    return await Promise.race([work, late.promise]);
  } finally {
    timer.cancel();
  }
}
