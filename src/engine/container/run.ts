/** The fast path: create, attach and start as one operation, with as few waits and writes as that needs. */
import type { ContainerCreateResponse, ContainerWaitResponse } from "../../api/schema/container.ts";
import type { RunRequest } from "../../api/schema/run-protocol.ts";
import type { EngineContext } from "../context.ts";
import type { ShimPart, ShimStreamPart } from "../parts.ts";
import { followStream, type Stream } from "./attach.ts";
import type { Container } from "./container.ts";
import { type CreatedContainer, createContainer } from "./create.ts";
import { shimGroup } from "./shim-group.ts";
import { failStart, launch } from "./start.ts";
import type { StartingState } from "./state.ts";
import { waitResponse } from "./wait.ts";

export interface RunSession {
  id: string;
  stream?: Stream;
  exited: Promise<ContainerWaitResponse>;
}

const starting: StartingState = { status: "starting", from: { status: "created" } };

/**
 * The container's record is written once, with the intent to start it. Whatever happens then is either on record with
 * the shim, or the next daemon finds the intent and settles it.
 */
export async function runContainer(
  context: EngineContext,
  request: RunRequest,
  onCreated: (created: ContainerCreateResponse) => void,
  signal: AbortSignal,
): Promise<RunSession> {
  const { create, name, platform } = request;
  const opening = openShim(context, request);
  // Heard of when it is asked for; until then it must not count as unhandled.
  opening.catch(() => undefined);
  let created: CreatedContainer;
  try {
    // So that the shim has something to do while the disk is waited for.
    await new Promise((resolve) => setImmediate(resolve));
    const options = { ...(name && { name }), ...(platform && { platform }) };
    created = await createContainer(context, create, options, starting);
  } catch (error) {
    void opening.then(closeShim, () => undefined);
    throw error;
  }
  const { container, response } = created;
  return context.locks.run(container.id, async () => {
    onCreated(response);
    // Docker's client waits for the removal of one that goes with its end: that need not be waited for, but an end that
    // belongs to a restart is not its last.
    const exited = (container.autoRemove ? container.lastEnd() : container.nextExit()).then(waitResponse);
    const stream = await takeShim(context, container, opening, { stdin: wantsStdin(request), signal });
    await context.endings.over(container);
    await launch(context, container, starting);
    return { id: container.id, ...(stream && { stream }), exited };
  });
}

interface OpenedShim {
  shim: ShimPart;
  connection?: ShimStreamPart;
}

/** A shim, already attached to, for a container that does not exist yet. */
async function openShim(context: EngineContext, request: RunRequest): Promise<OpenedShim> {
  const { attach, detach } = request;
  const shim = await context.shims.take(shimGroup(context, request.create.Labels));
  if (detach || !(attach.stdin || attach.stdout || attach.stderr)) return { shim };
  try {
    return { shim, connection: await shim.attach({ ...attach, stdin: wantsStdin(request) }) };
  } catch (error) {
    shim.close();
    throw error;
  }
}

function wantsStdin({ attach, create }: RunRequest): boolean {
  return attach.stdin && create.OpenStdin === true;
}

function closeShim({ shim, connection }: OpenedShim): void {
  connection?.close();
  shim.close();
}

async function takeShim(
  context: EngineContext,
  container: Container,
  opening: Promise<OpenedShim>,
  options: { stdin: boolean; signal: AbortSignal },
): Promise<Stream | undefined> {
  try {
    const { shim, connection } = await opening;
    container.shim = shim;
    return connection && followStream(context, container, connection, options);
  } catch (error) {
    throw failStart(context, container, starting, error);
  }
}
