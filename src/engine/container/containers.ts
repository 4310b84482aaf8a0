/** The service that the API's container routes call. References are looked up here; the work lies in a file a verb. */
import type {
  ContainerCreateResponse,
  ContainerInspect,
  ContainerSummary,
  ContainerUpdateResponse,
  ContainerWaitResponse,
  WaitCondition,
} from "../../api/schema/container.ts";
import type { ContainerCreateRequest, ContainerUpdateRequest } from "../../api/schema/container-config.ts";
import type { RunRequest } from "../../api/schema/run-protocol.ts";
import { EngineError, wrapError } from "../../core/errors.ts";
import type { EngineContext } from "../context.ts";
import type { ExecService } from "../exec/execs.ts";
import { attachContainer, type Stream, type StreamSelection } from "./attach.ts";
import { joinedContainer } from "./bundle.ts";
import { type Container, isRestarting } from "./container.ts";
import { type CreateOptions, createContainer } from "./create.ts";
import { descent } from "./descent.ts";
import { containerEvent } from "./event.ts";
import { namesByLinks, removeLink, shownLinks } from "./links.ts";
import { type ListOptions, selectContainers } from "./list.ts";
import { attachWithLogs, type LogOptions, type LogStream, readLogs } from "./logs.ts";
import { pauseContainer, unpauseContainer } from "./pause.ts";
import { type RemoveOptions, removeContainer } from "./remove.ts";
import { renameContainer } from "./rename.ts";
import { restartContainer } from "./restart.ts";
import { type RunSession, runContainer } from "./run.ts";
import { startContainer } from "./start.ts";
import { startSettled } from "./start-settled.ts";
import { killContainer, type StopOptions, stopContainer } from "./stop.ts";
import { updateContainer } from "./update.ts";
import { inspectView, type Sizes, summaryView } from "./view.ts";
import { waitContainer, waitResponse } from "./wait.ts";

export interface AttachOptions extends StreamSelection {
  /** Begin with what was logged so far. */
  logs: boolean;
  /** Go on with what comes. */
  stream: boolean;
}

export class ContainerService {
  readonly #context: EngineContext;
  readonly #execs: ExecService;

  constructor(context: EngineContext, execs: ExecService) {
    this.#context = context;
    this.#execs = execs;
  }

  async create(request: ContainerCreateRequest, options: CreateOptions): Promise<ContainerCreateResponse> {
    return (await createContainer(this.#context, request, options)).response;
  }

  run(
    request: RunRequest,
    onCreated: (created: ContainerCreateResponse) => void,
    signal: AbortSignal,
  ): Promise<RunSession> {
    return runContainer(this.#context, request, onCreated, signal);
  }

  async list(options: ListOptions & { size: boolean }): Promise<ContainerSummary[]> {
    const { containers, images } = this.#context;
    const descends = descent((reference) => images.resolve(reference));
    const linkNames = namesByLinks(this.#context);
    const nowMs = Date.now();
    const selected = selectContainers({ containers, descends }, options);
    // Many containers have few images, and to look one up is most of what a row costs.
    const resolved = new Map<string, string | undefined>();
    const resolve = (name: string): string | undefined => {
      if (!resolved.has(name)) resolved.set(name, images.resolve(name)?.id);
      return resolved.get(name);
    };
    const row = (container: Container, size?: Sizes) =>
      summaryView(container, shownImage(container, resolve), linkNames.get(container.id) ?? [], nowMs, size);
    if (!options.size) return selected.map((container) => row(container));
    return Promise.all(selected.map(async (container) => row(container, await this.#sizes(container))));
  }

  async inspect(reference: string, options: { size: boolean }): Promise<ContainerInspect> {
    const container = this.#find(reference);
    return inspectView(container, {
      layout: this.#context.layout,
      etcOwner: this.#etcOwner(container),
      links: shownLinks(this.#context, container),
      execIds: this.#execs.idsOf(container),
      ...(options.size && { size: await this.#sizes(container) }),
    });
  }

  start(reference: string): Promise<void> {
    return startContainer(this.#context, this.#find(reference));
  }

  stop(reference: string, options: StopOptions): Promise<void> {
    return stopContainer(this.#context, this.#find(reference), options);
  }

  restart(reference: string, options: StopOptions): Promise<void> {
    return restartContainer(this.#context, this.#find(reference), options);
  }

  async update(reference: string, request: ContainerUpdateRequest): Promise<ContainerUpdateResponse> {
    return { Warnings: await updateContainer(this.#context, this.#find(reference), request) };
  }

  rename(reference: string, name: string): Promise<void> {
    return renameContainer(this.#context, this.#find(reference), name);
  }

  pause(reference: string): Promise<void> {
    return pauseContainer(this.#context, this.#find(reference));
  }

  unpause(reference: string): Promise<void> {
    return unpauseContainer(this.#context, this.#find(reference));
  }

  async kill(reference: string, signal: string): Promise<void> {
    try {
      await killContainer(this.#context, this.#find(reference), signal);
    } catch (error) {
      // Docker says so of whatever is wrong, and by the name that it was given.
      throw wrapError(error, `cannot kill container: ${reference}`);
    }
  }

  /** The waiting is registered when this resolves; it is given up when the signal aborts. */
  async wait(
    reference: string,
    condition: WaitCondition,
    signal: AbortSignal,
  ): Promise<{ exited: Promise<ContainerWaitResponse> }> {
    const over = condition === "next-exit" ? undefined : this.#context.containers.recentExits.get(reference);
    if (over !== undefined) return { exited: Promise.resolve(waitResponse(over)) };
    return { exited: waitContainer(this.#find(reference), condition, signal) };
  }

  async attach(reference: string, options: AttachOptions, signal: AbortSignal): Promise<Stream> {
    const container = this.#find(reference);
    await startSettled(this.#context, container);
    if (container.paused) {
      throw new EngineError("conflict", `Container ${reference} is paused, unpause the container before attach`);
    }
    if (container.state.status === "restarting") throw isRestarting(container);
    if (options.logs) return attachWithLogs(this.#context, container, options, signal);
    return options.stream ? attachContainer(this.#context, container, options, signal) : emptyStream(container);
  }

  async logs(reference: string, options: LogOptions, signal: AbortSignal): Promise<LogStream> {
    return readLogs(this.#context, this.#find(reference), options, signal);
  }

  async resize(reference: string, size: { rows: number; columns: number }): Promise<void> {
    const container = this.#find(reference);
    await container.runningShim().resize(size.rows, size.columns);
    containerEvent(this.#context, container, "resize", { height: String(size.rows), width: String(size.columns) });
  }

  async remove(reference: string, options: RemoveOptions & { link: boolean }): Promise<void> {
    if (options.link) {
      removeLink(this.#context, reference);
      return;
    }
    const container = this.#find(reference);
    await removeContainer(this.#context, container, options);
  }

  #find(reference: string): Container {
    return this.#context.containers.find(reference);
  }

  async #sizes(container: Container): Promise<Sizes> {
    const { bytes: writable } = await this.#context.snapshots.usage(container.id);
    const image = this.#context.images.resolve(container.definition.imageId);
    return { writable, total: writable + (image?.unpackedBytes ?? 0) };
  }

  #etcOwner(container: Container): string {
    try {
      return joinedContainer(this.#context, container)?.id ?? container.id;
    } catch (error) {
      // The other container is gone: what remains is this one's own directory.
      if (error instanceof EngineError && error.code === "not_found") return container.id;
      throw error;
    }
  }
}

/** As the user wrote it, unless that name has come to mean another image. */
function shownImage({ definition }: Container, resolve: (name: string) => string | undefined): string {
  const { imageId, config } = definition;
  const name = config.Image ?? "";
  return resolve(name) === imageId ? name : imageId;
}

function emptyStream(container: Container): Stream {
  return { terminal: container.terminal, output: nothing };
}

const nothing: AsyncIterable<Uint8Array> = {
  [Symbol.asyncIterator]: () => ({ next: async () => ({ done: true, value: undefined }) }),
};
