/** A container whose processes stand still: in its record, with its shim, and after a daemon that was killed. */
import { advice } from "../../core/advice.ts";
import { withoutSync } from "../../core/database.ts";
import { EngineError, errorMessage, isEngineError, wrapError } from "../../core/errors.ts";
import { log } from "../../core/log.ts";
import type { EngineContext } from "../context.ts";
import type { ShimPart } from "../parts.ts";
import type { Container } from "./container.ts";
import { isOver } from "./ended.ts";
import { containerEvent } from "./event.ts";
import { startSettled } from "./start-settled.ts";

/** @throws EngineError conflict in docker's words when it does not run, or is paused already. */
export async function pauseContainer(context: EngineContext, container: Container): Promise<void> {
  await startSettled(context, container);
  await oneByOne(context, container, async () => {
    const shim = container.runningShim();
    if (container.paused) throw new EngineError("conflict", `Container ${container.id} is already paused`);
    await halt(context, container, shim, "user");
  });
}

/** @throws EngineError conflict in docker's words when it is not paused. */
export async function unpauseContainer(context: EngineContext, container: Container): Promise<void> {
  await oneByOne(context, container, async () => {
    if (!container.paused) throw new EngineError("conflict", `Container ${container.id} is not paused`);
    await release(context, container);
  });
}

/** Lets it go on if it stands still: what was sent to it reaches it then. */
export async function goOn(context: EngineContext, container: Container): Promise<void> {
  await oneByOne(context, container, async () => {
    if (container.paused) await release(context, container);
  });
}

/** @returns false when it stands still already: because it does not run, or somebody has paused it. */
export async function pauseForCommit(context: EngineContext, container: Container): Promise<boolean> {
  return oneByOne(context, container, async () => {
    if (container.state.status !== "running" || container.shim === undefined || container.paused) return false;
    try {
      await halt(context, container, container.shim, "commit");
      return true;
    } catch (error) {
      if (container.state.status !== "running") return false;
      throw error;
    }
  });
}

/** One that somebody has let go on meanwhile, or killed, is left alone. */
export async function resumeAfterCommit(context: EngineContext, container: Container): Promise<void> {
  await oneByOne(context, container, async () => {
    const { state } = container;
    if (state.status === "running" && state.pausedFor === "commit") await release(context, container);
  });
}

/**
 * Makes record and processes of a container that lives on agree, after a daemon that may have been killed in the middle:
 * what a user has paused stays so; what nobody was told of is undone.
 */
export async function settlePause(
  context: EngineContext,
  container: Container,
  { shim, paused }: { shim: ShimPart; paused: boolean },
): Promise<void> {
  const { state } = container;
  if (state.status !== "running" || (paused && state.pausedFor === "user")) return;
  if (state.pausedFor !== undefined) record(context, container, undefined);
  if (!paused) return;
  try {
    await shim.resume();
    log("info", "resumed a container that nobody wants paused", { container: container.id });
  } catch (error) {
    log("warn", "could not resume a container", { container: container.id, error: errorMessage(error) });
  }
}

/** Not the container's own lock: that is held for as long as somebody copies files into it. */
function oneByOne<T>(context: EngineContext, { id }: Container, work: () => Promise<T>): Promise<T> {
  return context.locks.run(`pause ${id}`, work);
}

async function halt(
  context: EngineContext,
  container: Container,
  shim: ShimPart,
  pausedFor: "user" | "commit",
): Promise<void> {
  record(context, container, pausedFor);
  try {
    await shim.pause();
  } catch (error) {
    record(context, container, undefined);
    if (await isOver(container, shim)) throw notRunning(container);
    throw wrapError(error, `Cannot pause container ${container.id}`, { stage: "pause" });
  }
  // It may have ended in the same moment.
  if (container.state.status === "running") containerEvent(context, container, "pause");
}

async function release(context: EngineContext, container: Container): Promise<void> {
  const { state } = container;
  if (state.status !== "running") return;
  record(context, container, undefined);
  const shim = container.runningShim();
  try {
    await shim.resume();
  } catch (error) {
    if (await isOver(container, shim)) return;
    // SIGKILL has thawed it already.
    if (!isEngineError(error, "conflict")) {
      record(context, container, state.pausedFor);
      throw wrapError(error, `Cannot unpause container ${container.id}`, { stage: "unpause" });
    }
  }
  containerEvent(context, container, "unpause");
}

/** For this boot only: no need to wait for the disk. */
function record(context: EngineContext, container: Container, pausedFor: "user" | "commit" | undefined): void {
  const { state } = container;
  if (state.status !== "running") return;
  const { pausedFor: _before, ...running } = state;
  const next = pausedFor === undefined ? running : { ...running, pausedFor };
  withoutSync(context.database, () => context.containers.setState(container, next));
}

function notRunning({ id, name }: Container): EngineError {
  return new EngineError("conflict", `container ${id} is not running`, { hint: advice.notRunning(name) });
}
