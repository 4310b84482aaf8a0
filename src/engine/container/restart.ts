/** `restart`: an end and a start that belong together. */
import { EngineError, isEngineError, wrapError } from "../../core/errors.ts";
import type { EngineContext } from "../context.ts";
import type { Container } from "./container.ts";
import { containerEvent } from "./event.ts";
import { removeContainer } from "./remove.ts";
import { startContainer } from "./start.ts";
import { restartLock, startSettled } from "./start-settled.ts";
import { type StopOptions, stopContainer } from "./stop.ts";

export interface RestartOptions extends StopOptions {
  /** Nobody has asked for it: who wants the container to end meanwhile has the last word. */
  yields?: true;
}

/**
 * Stops the container if it runs, and starts it. One that is to be removed with its end outlives this one. Two at once
 * are done one after the other.
 * @throws EngineError as stop and start do, with the restart named; it may then be stopped.
 */
export async function restartContainer(
  context: EngineContext,
  container: Container,
  { yields, ...options }: RestartOptions,
): Promise<void> {
  await context.locks.run(restartLock(container), async () => {
    container.restarting = true;
    try {
      await startSettled(context, container);
      if (container.isUp) await unlessSettled(stopContainer(context, container, { ...options, keepsPolicy: true }));
      if (yields && isEndedByHand(container)) return await staysEnded(context, container);
      if (container.removed) throw new EngineError("not_found", `No such container: ${container.id}`);
      await unlessSettled(startContainer(context, container));
    } catch (error) {
      throw wrapError(error, `Cannot restart container ${container.name}`, { stage: "restart" });
    } finally {
      container.restarting = false;
    }
    containerEvent(context, container, "restart");
  });
}

function isEndedByHand({ state }: Container): boolean {
  return state.status === "exited" && state.stoppedByHand === true;
}

/** That was its last end after all. */
async function staysEnded(context: EngineContext, container: Container): Promise<void> {
  if (container.autoRemove) await removeContainer(context, container, { force: false, volumes: true });
}

/** It has ended by itself, or somebody else has started it: that is what was wanted. */
async function unlessSettled(work: Promise<void>): Promise<void> {
  try {
    await work;
  } catch (error) {
    if (!isEngineError(error, "not_modified")) throw error;
  }
}
