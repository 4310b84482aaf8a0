/** From a stored container to a running process. */
import { readFileSync } from "node:fs";
import { rm } from "node:fs/promises";
import { type Cleanup, withCleanup } from "../../core/cleanup.ts";
import { withoutSync } from "../../core/database.ts";
import { EngineError, errorMessage, isEngineError, isErrno, wrapError } from "../../core/errors.ts";
import { log } from "../../core/log.ts";
import type { Sandbox, SandboxRequest } from "../../network/sandbox.ts";
import type { CheckpointPlace } from "../../shim/protocol.ts";
import type { EngineContext } from "../context.ts";
import { imagesOf } from "../mount/image-mount.ts";
import { openMountSources, releaseMountSources } from "../mount/sources.ts";
import { makeNextUserNamespace, openUserNamespace } from "../userns/open.ts";
import { ensureShim } from "./attach.ts";
import { waitsForNeeded } from "./boot-order.ts";
import { prepareBundle } from "./bundle.ts";
import type { Container } from "./container.ts";
import { updateEtcFiles } from "./etc-files.ts";
import { containerEvent, networkEvent } from "./event.ts";
import { clearRuntime, detachNetwork, settleEnd, watchExit } from "./exit.ts";
import { checkLinked, linkedFrom } from "./links.ts";
import { autoRemove } from "./remove.ts";
import { sandboxRequest } from "./sandbox-request.ts";
import {
  type CreatedState,
  type ExitedState,
  type RunningState,
  restartsIn,
  type StartFailure,
  type StartingState,
} from "./state.ts";

/**
 * @param restore where its processes come from when it is not its program that is started.
 * @throws EngineError not_modified when it runs already, conflict when it is being removed, command_not_found and
 * command_not_executable as the kernel refused the program; whatever it is, the container is then as it was before,
 * with the failure on record, or gone when it was to be removed with its end.
 */
export async function startContainer(
  context: EngineContext,
  container: Container,
  restore?: CheckpointPlace,
): Promise<void> {
  await context.endings.over(container);
  await context.locks.run(container.id, async () => {
    await settleEnd(container);
    const { state } = container;
    if (container.paused) throw new EngineError("conflict", "cannot start a paused container, try unpause instead");
    if (container.isUp) {
      throw new EngineError("not_modified", `container ${container.name} is already running`);
    }
    if (container.removed || (state.status !== "created" && state.status !== "exited")) {
      throw new EngineError("conflict", "container is marked for removal and cannot be started");
    }
    const { failure: _past, ...from } = state;
    const starting: StartingState = { status: "starting", from };
    context.containers.setState(container, starting);
    await launch(context, container, starting, restore);
  });
}

/**
 * Starts a container whose policy waits for that, unless somebody came first. A failure is on record, and is the end.
 * One that cannot be started without another, which is being restarted too, goes on waiting.
 */
export async function restartByPolicy(context: EngineContext, container: Container): Promise<void> {
  await context.endings.over(container);
  await context.locks.run(container.id, async () => {
    const { state } = container;
    if (state.status !== "restarting" || container.removed) return;
    if (waitsForNeeded(context.containers, container)) return;
    await settleEnd(container);
    const starting: StartingState = { status: "starting", from: state };
    context.containers.setState(container, starting);
    await launch(context, container, starting);
  });
}

/** Starts a container whose intent is on record. The caller holds its lock. */
export async function launch(
  context: EngineContext,
  container: Container,
  starting: StartingState,
  restore?: CheckpointPlace,
): Promise<void> {
  container.sent = [];
  try {
    const begun = await withCleanup(`start container ${container.id}`, (cleanup) =>
      run(context, container, cleanup, restore),
    );
    const restarts = restartsIn(starting);
    const running: RunningState = { ...begun, ...(restarts && { restarts }) };
    // The next daemon would see it from the shim's own record: no need to hold up the answer.
    context.containers.setStateSoon(container, running);
  } catch (error) {
    throw failStart(context, container, starting, error);
  }
  for (const id of imagesOf(container.definition)) context.images.touch(id);
  containerEvent(context, container, "start");
  tellLinked(context, container);
  void watchExit(context, container, container.shim!);
}

async function run(
  context: EngineContext,
  container: Container,
  cleanup: Cleanup,
  restore: CheckpointPlace | undefined,
): Promise<RunningState> {
  checkLinked(context, container);
  // They hold the writable layer mounted; what is mounted over it twice at once goes to ruin.
  await container.copies.endLive(`container ${container.name} was started again meanwhile`);
  using userNamespace = openUserNamespace(context, container);
  const request = sandboxRequest(context, container, userNamespace);
  // Whatever comes first, both are waited for: what was made must be undone when the other fails.
  const [shimResult, sandboxResult, sourcesResult] = await Promise.allSettled([
    ensureShim(context, container),
    // What it writes it writes at once, and for this boot only: no need to wait for the disk.
    attachNetwork(context, container, request),
    openMountSources(context, container, container.id, userNamespace),
  ]).then(([shim, sandbox, sources]) => {
    if (sandbox.status === "fulfilled") cleanup.add("leave the network", () => abandonNetwork(context, container));
    const { state } = context.layout.container(container.id);
    cleanup.add(`remove ${state}`, () => rm(state, { recursive: true, force: true }));
    cleanup.add("release the shim", () => abandonShim(context, container));
    if (sources.status === "fulfilled") {
      cleanup.add("release the mounts", () => releaseMountSources(context, container));
    }
    return [shim, sandbox, sources] as const;
  });
  if (sourcesResult.status === "rejected") throw sourcesResult.reason;
  using sources = sourcesResult.value;
  if (shimResult.status === "rejected") throw shimResult.reason;
  if (sandboxResult.status === "rejected") throw sandboxResult.reason;
  const sandbox = sandboxResult.value;
  container.sandbox = sandbox;
  const prepared = prepareBundle(context, container, { sandbox, sources, userNamespace });
  const shimContainer = restore === undefined ? prepared : { ...prepared, restore };
  using _room = context.snapshots.roomToMount(container.id);
  const { pid, startedAt } = await shimResult.value.run(shimContainer);
  connected(context, container, sandbox);
  makeNextUserNamespace(context, container, sandbox);
  return { status: "running", pid, pidStartTicks: startTicks(pid), startedAt };
}

/** An end that could not let go of the network, because something failed just then, is not in the way for good. */
async function attachNetwork(context: EngineContext, { id }: Container, request: SandboxRequest): Promise<Sandbox> {
  const attach = () => withoutSync(context.database, () => context.networks.attach(id, request));
  try {
    return await attach();
  } catch (error) {
    if (!isEngineError(error, "conflict") || context.networks.sandbox(id) === undefined) throw error;
    log("warn", "letting go of networks that an earlier end has left", { container: id });
    await withoutSync(context.database, () => context.networks.detach(id));
    return attach();
  }
}

function connected(context: EngineContext, container: Container, sandbox: Sandbox): void {
  for (const endpoint of sandbox.endpoints) networkEvent(context, "connect", endpoint, container.id);
}

/** Its address may be another one now, which stands in /etc/hosts of those that are linked to it. */
function tellLinked(context: EngineContext, container: Container): void {
  for (const linked of linkedFrom(context, container)) {
    try {
      updateEtcFiles(context, linked);
    } catch (error) {
      const fields = { container: linked.id, linkedTo: container.id, error: errorMessage(error) };
      log("error", "could not tell a container of another that it is linked to", fields);
    }
  }
}

async function abandonNetwork(context: EngineContext, container: Container): Promise<void> {
  if (container.sandbox !== undefined) await detachNetwork(context, container);
  else await withoutSync(context.database, () => context.networks.detach(container.id));
}

/** A shim whose container did not start has nothing left to do; whoever is attached sees the end. */
async function abandonShim(context: EngineContext, container: Container): Promise<void> {
  const { shim } = container;
  container.shim = undefined;
  if (shim === undefined) return;
  try {
    await shim.release({ force: true });
    shim.close();
  } catch (error) {
    if (!isEngineError(error, "unavailable")) throw error;
    // It was killed in the middle of the start, and has left what it had made of the container.
    clearRuntime(context, container);
  }
}

/** Puts the failure on record, tells whoever waits, and returns it with the start named. */
export function failStart(
  context: EngineContext,
  container: Container,
  starting: StartingState,
  error: unknown,
): EngineError {
  const wrapped = wrapError(error, `start container ${container.name}`, { stage: "start" });
  const failed = failedStart(starting, { exitCode: failureStatus(error), message: errorMessage(error) });
  try {
    if (container.autoRemove) container.setState(failed);
    else context.containers.setState(container, failed);
  } catch (storing) {
    log("error", "could not record a failed start", { container: container.id, error: errorMessage(storing) });
    container.restoreState(failed);
  }
  container.announceExit();
  if (container.autoRemove) autoRemove(context, container, Promise.resolve());
  return wrapped;
}

/** What it was before, with the failure. As in Docker a policy does not try again what could not be started. */
export function failedStart({ from }: StartingState, failure: StartFailure): CreatedState | ExitedState {
  return { ...(from.status === "restarting" ? from.from : from), failure };
}

/** Docker's exit statuses for what never ran: 127 no such program, 126 not executable, 128 anything else. */
function failureStatus(error: unknown): number {
  if (isEngineError(error, "command_not_found")) return 127;
  if (isEngineError(error, "command_not_executable")) return 126;
  return 128;
}

/** proc_pid_stat(5), field 22; 0 for a process that has ended already. */
export function startTicks(pid: number): number {
  let stat: string;
  try {
    stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  } catch (error) {
    if (isErrno(error, "ENOENT", "ESRCH")) return 0;
    throw error;
  }
  // The command's name, in parentheses, may itself contain anything: fields are counted from its end.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return Number(fields[19]);
}
