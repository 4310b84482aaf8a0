/** Removing a container: its shim, its place on the network, its writable layer, its directories, its record. */
import { rm } from "node:fs/promises";
import { advice } from "../../core/advice.ts";
import { Cleanup } from "../../core/cleanup.ts";
import { withoutSync } from "../../core/database.ts";
import { EngineError, errorMessage, wrapError } from "../../core/errors.ts";
import { initiatedByEngine } from "../../core/initiator.ts";
import { log } from "../../core/log.ts";
import type { EngineContext } from "../context.ts";
import { remainsOf } from "../story/last-run.ts";
import type { Container } from "./container.ts";
import { containerEvent } from "./event.ts";
import { projectState } from "./state.ts";
import { forceEnd } from "./stop.ts";

export interface RemoveOptions {
  /** End it first if it runs. */
  force: boolean;
  /** With the anonymous volumes that were made for it. */
  volumes: boolean;
}

/** @throws EngineError conflict in docker's words when it runs and is not to be forced. */
export async function removeContainer(
  context: EngineContext,
  container: Container,
  options: RemoveOptions,
): Promise<void> {
  if (container.isUp && !options.force) {
    const { Status } = projectState(container.state);
    const why = container.paused
      ? "container is paused and must be unpaused first"
      : `container is ${Status === "restarting" ? Status : "running"}: stop the container before removing or force remove`;
    const hint = container.paused ? advice.paused(container.name) : advice.running(container.name);
    throw new EngineError("conflict", `cannot remove container "${container.name}": ${why}`, { hint });
  }
  for (let isRemoved = false; !isRemoved; ) {
    // An auto-removed container may be gone by its own end; a start may come in between: look again each time.
    while (container.isUp) await forceEnd(context, container);
    // One that writes has the lock.
    if (options.force) await container.copies.end(removedMeanwhile(container));
    isRemoved = await removeUnlessUp(context, container, options);
  }
}

/** @returns false when it was started meanwhile, and is to be ended again. */
function removeUnlessUp(context: EngineContext, container: Container, options: RemoveOptions): Promise<boolean> {
  return context.locks.run(container.id, async () => {
    if (container.removed) return true;
    const { state } = container;
    if (state.status === "running" || state.status === "starting" || state.status === "restarting") {
      if (options.force) return false;
      throw new EngineError("conflict", `container ${container.name} was started while it was to be removed`);
    }
    const remains = await remainsOf(context, container, state);
    try {
      if (state.status !== "removing") context.containers.setState(container, { status: "removing", from: state });
      // Of a container that was attached to and never started.
      await container.shim?.release({ force: true });
      await container.copies.end(removedMeanwhile(container));
      await removeFiles(context, container);
    } catch (error) {
      const reason = errorMessage(error);
      // What could not even be recorded has not begun.
      if (container.state === state) throw wrapError(error, `remove container ${container.name}`, { stage: "remove" });
      if (state.status === "created" || state.status === "exited") {
        context.containers.setState(container, { status: "dead", from: state, reason });
      } else if (state.status === "dead") {
        context.containers.setState(container, { ...state, reason });
      }
      throw wrapError(error, `remove container ${container.name}`, { stage: "remove" });
    }
    const volumes = options.volumes ? anonymousVolumes(container) : [];
    context.containers.delete(container, () => context.volumes.doom(volumes, container.id));
    forget(context, container);
    containerEvent(context, container, "destroy", {}, remains);
    await removeVolumes(context, container, volumes);
    return true;
  });
}

/**
 * The end of a container that is removed with its end (`--rm`). It vanishes at once, so that its name is free when
 * whoever ran it has its answer; its files follow in the background. That it is to be removed needs no further
 * record: its definition says so, and the next daemon removes what this one did not get to.
 */
export function autoRemove(context: EngineContext, container: Container, cleaned: Promise<void>): void {
  const volumes = anonymousVolumes(container);
  context.containers.recentExits.add(container);
  context.containers.deleteSoon(container, () => context.volumes.doom(volumes, container.id));
  forget(context, container);
  const removed = initiatedByEngine("auto-remove", () => removeEnded(context, container, { cleaned, volumes }));
  context.background.run("remove everything of a container", container.id, removed);
}

interface EndedRemains {
  cleaned: Promise<void>;
  volumes: string[];
}

async function removeEnded(
  context: EngineContext,
  container: Container,
  { cleaned, volumes }: EndedRemains,
): Promise<void> {
  await cleaned;
  containerEvent(context, container, "destroy", {}, await remainsOf(context, container));
  await container.copies.end(removedMeanwhile(container));
  await removeFiles(context, container);
  await removeVolumes(context, container, volumes);
}

function removedMeanwhile({ name }: Container): string {
  return `container ${name} was removed meanwhile`;
}

/** Nobody sees the container from here on. */
function forget(context: EngineContext, container: Container): void {
  for (const { Name } of container.definition.mounts) {
    if (Name !== undefined) context.volumes.users.delete(Name, container.id);
  }
  context.userRanges.release(container.id);
  container.announceRemoval();
}

/** Everything that lies on a disk under the container's id. All steps run, whichever fails. */
export async function removeFiles(context: EngineContext, container: Pick<Container, "id">): Promise<void> {
  const { id } = container;
  const paths = context.layout.container(id);
  const steps = new Cleanup(`container ${id}`);
  steps.add("remove its directory", () => rm(paths.directory, { recursive: true, force: true }));
  steps.add("remove its runtime state", () => rm(paths.state, { recursive: true, force: true }));
  steps.add("remove its writable layer", () => withoutSync(context.database, () => context.snapshots.remove(id)));
  await steps.run();
}

function anonymousVolumes(container: Container): string[] {
  return container.definition.mounts.flatMap(({ anonymous, Name }) => (anonymous && Name !== undefined ? [Name] : []));
}

/** One that cannot be removed does not keep the container, as in Docker; the next daemon tries again. */
async function removeVolumes(context: EngineContext, container: Container, names: string[]): Promise<void> {
  for (const name of names) {
    try {
      await context.volumes.removeUnused(name, container.id);
    } catch (error) {
      log("error", "could not remove a container's volume", { volume: name, error: errorMessage(error) });
    }
  }
}
