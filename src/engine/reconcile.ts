/**
 * What a daemon does before it answers: it compares the records with the shims and the kernel and makes them agree.
 * The one before it may have been killed at any instant, and so may the shims, or the power may have gone.
 */
import { readFileSync } from "node:fs";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { namesIn } from "../core/directory.ts";
import { errorMessage, isErrno } from "../core/errors.ts";
import { log } from "../core/log.ts";
import type { ShimRecord } from "../shim/protocol.ts";
import { reconnect } from "./container/connect.ts";
import type { Container } from "./container/container.ts";
import { type ContainerEnd, lostEnds } from "./container/end.ts";
import { updateEtcFiles } from "./container/etc-files.ts";
import {
  clearRuntime,
  detachNetwork,
  endOf,
  readExitRecord,
  restartingFrom,
  stateAfter,
  tellEnd,
  watchExit,
} from "./container/exit.ts";
import { settlePause } from "./container/pause.ts";
import { removeContainer, removeFiles } from "./container/remove.ts";
import { settleNames } from "./container/rename.ts";
import { failedStart, startTicks } from "./container/start.ts";
import { type RestartingState, type Restarts, type RunningState, restartsIn } from "./container/state.ts";
import { settleUpdate } from "./container/update.ts";
import type { EngineContext } from "./context.ts";
import { removeMountPlaces } from "./mount/places.ts";
import { sweepSharedMemory } from "./mount/shared-memory.ts";
import { restoreMountSources } from "./mount/sources.ts";
import type { ShimPart, SurvivingShim } from "./parts.ts";
import { rangesOf } from "./userns/mapping.ts";

export interface Reconciliation {
  /** Containers that went on running. */
  adopted: number;
  /** Containers whose end was found out only now. */
  ended: number;
  /** Things without a record: directories, shims, snapshots. */
  leftovers: number;
}

/** @param sameBoot whether the kernel is the one that the last daemon ran on. */
export async function reconcile(context: EngineContext, sameBoot: boolean): Promise<Reconciliation> {
  const result: Reconciliation = { adopted: 0, ended: 0, leftovers: 0 };
  for (const container of context.containers.all()) {
    holdUserRange(context, container);
    for (const { Type, Name } of container.definition.mounts) {
      if (Type === "volume" && Name !== undefined) context.volumes.users.add(Name, container.id);
    }
    identifyNetworks(context, container);
  }
  const survivors = new Map((await context.shims.survivors()).map((found) => [found.containerId, found]));
  const adopted = new Set<string>();
  /** Those whose process, and with it their network, is still there. */
  const live = new Map<string, { namespacePath: string }>();
  const running: Container[] = [];
  for (const container of context.containers.all()) {
    if (!container.active) continue;
    const found = survivors.get(container.id);
    if (found !== undefined) {
      adopted.add(container.id);
      if (!found.ended) {
        live.set(container.id, { namespacePath: `/proc/${found.pid}/ns/net` });
        running.push(container);
        await holdVolumes(context, container);
      }
      await adopt(context, container, found);
      result.adopted++;
    } else {
      settle(context, container, sameBoot);
      result.ended++;
    }
  }
  for (const container of context.containers.all()) {
    const { late } = survivors.get(container.id) ?? {};
    if (late === undefined) await settleUpdate(context, container);
    else void settleLate(context, container, late);
  }
  for (const { containerId, shim, late } of survivors.values()) {
    if (adopted.has(containerId)) continue;
    const ended = endShim(containerId, shim);
    // One that does not answer yet is ended when it does.
    if (late === undefined) await ended;
  }
  await context.networks.restore(live);
  // Whoever was starting has what it needs of them by now.
  removeMountPlaces(context.layout.mountPlaces);
  sweepSharedMemory(context.layout.sharedMemory, new Set(running.map(({ id }) => id)));
  for (const container of running) await context.locks.run(container.id, () => settleNetworks(context, container));
  await finishRemovals(context);
  result.leftovers = await removeLeftovers(context, adopted);
  return result;
}

function holdUserRange({ userRanges }: EngineContext, { id, definition }: Container): void {
  const { userNamespace } = definition;
  if (userNamespace?.isOwn) for (const range of rangesOf(userNamespace)) userRanges.hold(id, range);
}

/** Before its end can be heard of, with which it lets go of them. */
async function holdVolumes(context: EngineContext, container: Container): Promise<void> {
  try {
    await restoreMountSources(context, container);
  } catch (error) {
    log("error", "could not hold a running container's volumes", {
      container: container.id,
      error: errorMessage(error),
    });
  }
}

/** A container of a tsd that knew the built-in networks alone has their names on record, and not their ids. */
function identifyNetworks({ containers, networks }: EngineContext, container: Container): void {
  const { endpoints } = container.definition;
  const nameless = Object.entries(endpoints).filter(([, { NetworkID }]) => !NetworkID);
  const identified = nameless.flatMap(([name, settings]) => {
    const network = networks.list().find((each) => each.name === name && each.isBuiltIn);
    return network === undefined ? [] : [[name, { ...settings, NetworkID: network.id }] as const];
  });
  if (identified.length > 0) {
    containers.setEndpoints(container, { ...endpoints, ...Object.fromEntries(identified) });
  }
}

/** What was half done to the networks of a container that lives on is finished. */
async function settleNetworks(context: EngineContext, container: Container): Promise<void> {
  try {
    container.sandbox = context.networks.sandbox(container.id);
    if (!container.active) {
      // It has ended while the networks were restored: there was nothing yet that it could have left.
      await detachNetwork(context, container);
      return;
    }
    await reconnect(context, container);
    await settleNames(context, container);
    updateEtcFiles(context, container);
  } catch (error) {
    log("error", "could not settle a container's networks", { container: container.id, error: errorMessage(error) });
  }
}

function readShimRecord(context: EngineContext, id: string): ShimRecord | undefined {
  const path = context.layout.container(id).shimRecord;
  try {
    return JSON.parse(readFileSync(path, "utf8")) as ShimRecord;
  } catch (error) {
    if (!isErrno(error, "ENOENT", "ENOTDIR")) {
      log("warn", "could not read a shim's record", { path, error: errorMessage(error) });
    }
    return undefined;
  }
}

/** A shim whose container has no record, or one that says that nothing runs. */
async function endShim(containerId: string, shim: ShimPart): Promise<void> {
  try {
    await shim.release({ force: true });
  } catch (error) {
    log("warn", "could not end a shim that nobody needs", { container: containerId, error: errorMessage(error) });
  }
  shim.close();
}

/** Takes over a container whose shim lives. Its end, which may have been meanwhile, comes like every other. */
async function adopt(context: EngineContext, container: Container, found: SurvivingShim): Promise<void> {
  const { shim, pid, startedAt } = found;
  container.shim = shim;
  if (container.state.status === "starting") {
    const restarts = restartsIn(container.state);
    const running: RunningState = { status: "running", pid, pidStartTicks: startTicks(pid), startedAt };
    context.containers.setState(container, { ...running, ...(restarts && { restarts }) });
  }
  const watched = watchExit(context, container, shim);
  // On record before anybody looks for what is to be started.
  if (found.ended && found.late === undefined) await watched;
  if (!found.ended && found.late === undefined) await settlePause(context, container, found);
}

/** What was half done to a container whose shim answers only later, if it is still the one that has it. */
async function settleLate(
  context: EngineContext,
  container: Container,
  late: NonNullable<SurvivingShim["late"]>,
): Promise<void> {
  const found = await late;
  if (found === undefined || container.shim !== found.shim || context.background.closed) return;
  log("info", "a shim answers at last", { container: container.id });
  try {
    await settlePause(context, container, found);
    await settleUpdate(context, container);
  } catch (error) {
    log("error", "could not settle a container", { container: container.id, error: errorMessage(error) });
  }
}

/** Records the end of a container that has no shim any more, as far as it can be known. */
function settle(context: EngineContext, container: Container, sameBoot: boolean): void {
  const { state, id } = container;
  const exit = readExitRecord(context, id);
  const started = readShimRecord(context, id);
  clearRuntime(context, container);
  if (state.status === "starting" && exit === undefined && sameBoot && (started?.pid ?? null) === null) {
    const failure = { exitCode: 128, message: "the daemon was killed before the container was started" };
    // What a policy has begun it goes on with.
    const isByPolicy = state.from.status === "restarting";
    context.containers.setState(container, isByPolicy ? state.from : failedStart(state, failure));
    return;
  }
  const finishedAt = exit?.finishedAt ?? new Date().toISOString();
  const end: ContainerEnd =
    exit !== undefined ? endOf(exit) : { kind: "unknown", reason: sameBoot ? lostEnds.shim : lostEnds.host };
  const startedAt = state.status === "running" ? state.startedAt : (started?.startedAt ?? finishedAt);
  // A host that was restarted is nobody's failure: the policy begins to count.
  const after = stateAfter(container, end, { startedAt, finishedAt }, sameBoot ? undefined : none);
  if (after.status !== "restarting") context.containers.setState(container, after);
  // With all others that are due now: so they are started in order.
  else context.containers.setState(container, dueAt(finishedAt, sameBoot ? after : restartingFrom(after.from, none)));
  tellEnd(context, container, end, { startedAt, finishedAt });
}

const none: Restarts = { count: 0, delayMs: 0 };

function dueAt(restartAt: string, state: RestartingState): RestartingState {
  return { ...state, restartAt };
}

/** Removals that were begun, and containers that are removed with their end, which has come. */
async function finishRemovals(context: EngineContext): Promise<void> {
  for (const container of context.containers.all()) {
    const { state } = container;
    const ended = state.status === "exited" || (state.status === "created" && state.failure !== undefined);
    if (state.status !== "removing" && !(container.autoRemove && ended)) continue;
    try {
      await removeContainer(context, container, { force: false, volumes: container.autoRemove });
    } catch (error) {
      log("error", "could not finish a removal", { container: container.id, error: errorMessage(error) });
    }
  }
}

/** What has no record was being made, or was being removed, when the last daemon ended. */
async function removeLeftovers(context: EngineContext, adopted: ReadonlySet<string>): Promise<number> {
  const { layout, containers, snapshots, volumes } = context;
  const known = new Set(containers.all().map(({ id }) => id));
  const strangers = new Set(
    // One that was taken over may have ended and been removed by now: that goes on by itself.
    [...ids(layout.containers), ...ids(layout.containerStates)].filter((id) => !known.has(id) && !adopted.has(id)),
  );
  for (const id of strangers) {
    context.kernel.killCgroup(`${context.configuration.cgroupParent}/${id}`);
    context.kernel.removeCgroup(`${context.configuration.cgroupParent}/${id}`);
    context.kernel.unmount(layout.container(id).rootfs);
    await removeFiles(context, { id });
  }
  for (const id of known) {
    if (!adopted.has(id)) await rm(layout.container(id).state, { recursive: true, force: true });
  }
  for (const id of ids(layout.runtime)) {
    if (!adopted.has(id)) await rm(join(layout.runtime, id), { recursive: true, force: true });
  }
  snapshots.retain(known);
  const volumeNames = await volumes.removeLeftovers();
  return strangers.size + volumeNames.length;
}

/** The containers that have something in the directory. */
function ids(directory: string): string[] {
  return namesIn(directory).filter((name) => /^[0-9a-f]{64}$/.test(name));
}
