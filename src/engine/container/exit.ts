/** The end of a container: found out, recorded, told, and cleaned up after. */
import { existsSync, readFileSync, rmSync } from "node:fs";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { withoutSync } from "../../core/database.ts";
import { errorMessage, isEngineError, isErrno } from "../../core/errors.ts";
import { initiatedBy } from "../../core/initiator.ts";
import { log } from "../../core/log.ts";
import { parseSignal } from "../../core/signals.ts";
import type { ExitRecord } from "../../shim/protocol.ts";
import type { EngineContext } from "../context.ts";
import { releaseMountSources } from "../mount/sources.ts";
import type { ShimPart } from "../parts.ts";
import { cgroupPath } from "./bundle.ts";
import type { Container } from "./container.ts";
import { type ContainerEnd, lostEnds, type OomRecord } from "./end.ts";
import { containerEvent, networkEvent } from "./event.ts";
import { autoRemove } from "./remove.ts";
import { nextRestart } from "./restart-policy.ts";
import { type ExitedState, exitCodeOf, type RestartingState, type Restarts, restartsIn } from "./state.ts";

/**
 * Clean-up after an auto-removed container waits until whoever ran it has its answer: nobody waits for the clean-up.
 */
const courtesyMs = 5;

/** Follows a running container to its end, in nobody's name. Call it once a start; it never rejects. */
export function watchExit(context: EngineContext, container: Container, shim: ShimPart): Promise<void> {
  return initiatedBy(undefined, () => followToEnd(context, container, shim));
}

async function followToEnd(context: EngineContext, container: Container, shim: ShimPart): Promise<void> {
  container.engagedShim = shim;
  let exit: ExitRecord | undefined;
  try {
    exit = await shim.wait();
  } catch (error) {
    if (context.background.closed) return;
    exit = readExitRecord(context, container.id);
    log("error", "lost a container's shim", { container: container.id, error: errorMessage(error) });
    clearRuntime(context, container);
  }
  const end: ContainerEnd =
    exit === undefined
      ? { kind: "unknown", reason: lostEnds.shim }
      : endOf(exit, await oomRecord(context, container, exit));
  // A daemon that is closing leaves it to the next one, which finds the shim's record.
  if (context.background.closed) return;
  const recorded = recordEnd(context, container, end, exit?.finishedAt ?? new Date().toISOString());
  context.background.run("record a container's end", container.id, recorded);
}

/** How it ended, as the shim saw it. @param oom what is known beyond that. */
export function endOf(exit: ExitRecord, oom: OomRecord | undefined = exit.oom): ContainerEnd {
  const memory = { oomKilled: exit.oomKilled, ...(oom && { oom }) };
  return exit.signal === null
    ? { kind: "exited", exitCode: exit.exitCode, ...memory }
    : { kind: "signalled", signal: parseSignal(exit.signal), ...memory };
}

/** The cgroup's figures, with what the kernel's log says of the process. */
async function oomRecord(
  { kernel }: EngineContext,
  { id, state }: Container,
  { oom }: ExitRecord,
): Promise<OomRecord | undefined> {
  if (oom === undefined || state.status !== "running") return oom;
  try {
    const victim = await kernel.oomVictim(id, Date.parse(state.startedAt));
    return { ...oom, ...(victim && { victim }) };
  } catch (error) {
    log("warn", "could not find out which process wanted memory", { container: id, error: errorMessage(error) });
    return oom;
  }
}

/** The record that the shim wrote before it told anybody; undefined where there is none. */
export function readExitRecord(context: Pick<EngineContext, "layout">, id: string): ExitRecord | undefined {
  const path = context.layout.container(id).exitRecord;
  try {
    return JSON.parse(readFileSync(path, "utf8")) as ExitRecord;
  } catch (error) {
    if (isErrno(error, "ENOENT", "ENOTDIR")) return undefined;
    log("error", "could not read an exit record", { path, error: errorMessage(error) });
    return undefined;
  }
}

/**
 * Records the end, tells whoever waits, then cleans up. The record is durable before anybody is told, except for
 * containers that are removed with their end: of those nothing is to be remembered.
 */
export async function recordEnd(
  context: EngineContext,
  container: Container,
  ended: ContainerEnd,
  finishedAt: string,
): Promise<void> {
  const { sent } = container;
  const end: ContainerEnd = { ...ended, ...(sent.length > 0 && { sent: [...sent] }) };
  const startedAt = container.state.status === "running" ? container.state.startedAt : finishedAt;
  const state = stateAfter(container, end, { startedAt, finishedAt });
  const goes = container.autoRemove && !container.restarting;
  if (goes) container.setState(state);
  else context.containers.setState(container, state);
  tellEnd(context, container, end, { startedAt, finishedAt });
  container.dueCleanUp = () => cleanUpAfterEnd(context, container);
  const cleaned = context.locks.run(container.id, async () => {
    if (goes) await Bun.sleep(courtesyMs);
    await settleEnd(container);
  });
  context.endings.add(cleaned);
  container.announceExit();
  context.restarts.schedule(container);
  if (goes) autoRemove(context, container, cleaned);
  await cleaned;
}

/** The event of an end that is on record. */
export function tellEnd(
  context: Pick<EngineContext, "events" | "ooms">,
  container: Container,
  end: ContainerEnd,
  { startedAt, finishedAt }: { startedAt: string; finishedAt: string },
): void {
  if (end.kind !== "unknown" && end.oomKilled) context.ooms.tellAtEnd(container);
  const ranMs = Math.max(0, Date.parse(finishedAt) - Date.parse(startedAt));
  const attributes = { exitCode: String(exitCodeOf(end)), execDuration: String(Math.floor(ranMs / 1000)) };
  containerEvent(context, container, "die", attributes, { end, startedAt, finishedAt });
}

/**
 * What a container is after a run: ended, or on its way to be started again by its policy.
 * @param restarts what that has done before.
 */
export function stateAfter(
  { state, definition, restarting }: Container,
  end: ContainerEnd,
  times: { startedAt: string; finishedAt: string },
  restarts: Restarts | undefined = restartsIn(state),
): ExitedState | RestartingState {
  const stoppedByHand = state.status === "running" && state.stoppedByHand === true;
  const exited: ExitedState = {
    status: "exited",
    ...times,
    end,
    ...(restarts && { restarts }),
    ...(stoppedByHand && { stoppedByHand }),
  };
  if (stoppedByHand || restarting) return exited;
  const ranMs = Date.parse(times.finishedAt) - Date.parse(times.startedAt);
  const next = nextRestart(definition.hostConfig.RestartPolicy, { end, ranMs, restarts });
  return next === undefined ? exited : restartingFrom(exited, next);
}

/** @param restarts with the one that is to come. */
export function restartingFrom(exited: ExitedState, restarts: Restarts): RestartingState {
  const restartAt = new Date(Date.parse(exited.finishedAt) + restarts.delayMs).toISOString();
  return { status: "restarting", from: { ...exited, restarts }, restartAt };
}

/** What is due of its last end is done now. The caller has the container's lock, and may have got it before the end did. */
export async function settleEnd(container: Container): Promise<void> {
  const { dueCleanUp } = container;
  container.dueCleanUp = undefined;
  await dueCleanUp?.();
}

/** What a container holds only while it runs: its place on the network, its shim, its runtime state. */
async function cleanUpAfterEnd(context: EngineContext, container: Container): Promise<void> {
  const steps: [string, () => unknown][] = [
    ["release the shim", () => releaseShim(context, container)],
    ["leave the network", () => detachNetwork(context, container)],
    ["release the mounts", () => releaseMountSources(context, container)],
    [
      "remove the runtime state",
      () => rm(context.layout.container(container.id).state, { recursive: true, force: true }),
    ],
  ];
  for (const [name, step] of steps) {
    try {
      await step();
    } catch (error) {
      log("error", `could not ${name}`, { container: container.id, error: errorMessage(error) });
    }
  }
}

export async function detachNetwork(context: EngineContext, container: Container): Promise<void> {
  const { sandbox } = container;
  if (sandbox === undefined) return;
  container.sandbox = undefined;
  await withoutSync(context.database, () => context.networks.detach(container.id));
  for (const endpoint of sandbox.endpoints) networkEvent(context, "disconnect", endpoint, container.id);
}

/** The shim goes when its attached clients have read to the end. */
async function releaseShim(context: EngineContext, container: Container): Promise<void> {
  const { shim } = container;
  container.shim = undefined;
  container.engagedShim = undefined;
  if (shim === undefined) return;
  try {
    if (!shim.isClosed) return await context.shims.giveBack(shim);
  } catch (error) {
    if (!isEngineError(error, "unavailable")) throw error;
  }
  // It was killed, perhaps after it had told of the end and before it had tidied up after it.
  if (existsSync(join(context.layout.runtime, container.id))) clearRuntime(context, container);
}

/**
 * Does what a shim would have done: a container without one has nobody who could tell of its end, so it is ended, and
 * what the runtime keeps of it is cleared away, or it could not be started again.
 */
export function clearRuntime(context: EngineContext, container: Container): void {
  try {
    context.kernel.killCgroup(cgroupPath(context, container));
    context.kernel.removeCgroup(cgroupPath(context, container));
    // Another runtime's root file system is mounted here, and not inside the container alone.
    context.kernel.unmount(context.layout.container(container.id).rootfs);
    rmSync(join(context.layout.runtime, container.id), { recursive: true, force: true });
  } catch (error) {
    log("error", "could not end what a lost shim left", { container: container.id, error: errorMessage(error) });
  }
}
