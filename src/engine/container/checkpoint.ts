/** Checkpoints of containers: their processes on the disk, by names, to be started from again. */
import { existsSync, mkdirSync, readdirSync, renameSync } from "node:fs";
import { rm } from "node:fs/promises";
import { isAbsolute, join } from "node:path";
import { EngineError, isErrno, wrapError } from "../../core/errors.ts";
import { signalNumbers } from "../../core/signals.ts";
import type { CheckpointPlace } from "../../shim/protocol.ts";
import type { EngineContext } from "../context.ts";
import type { Container } from "./container.ts";
import { containerEvent } from "./event.ts";
import { startContainer } from "./start.ts";
import { startSettled } from "./start-settled.ts";
import { noteByHand, takeBackByHand } from "./stop.ts";

export interface CheckpointName {
  name: string;
  /** Absolute, in place of the container's own. */
  directory?: string | undefined;
}

/** What the routes of checkpoints call; references are looked up here. */
export class CheckpointService {
  readonly #context: EngineContext;

  constructor(context: EngineContext) {
    this.#context = context;
  }

  /**
   * @throws EngineError conflict when it does not run or there is one of that name, unsupported without criu, internal
   * with criu's reason: the container goes on then, and nothing is left of the checkpoint.
   */
  async create(reference: string, checkpoint: CheckpointName, options: { leaveRunning: boolean }): Promise<void> {
    const context = this.#context;
    const container = context.containers.find(reference);
    await startSettled(context, container);
    const place = this.#place(container, checkpoint);
    const failed = `cannot checkpoint container ${reference}`;
    await context.locks.run(`checkpoint ${container.id}`, async () => {
      const shim = container.runningShim();
      if (existsSync(place.images)) {
        const reason = `checkpoint with name ${checkpoint.name} already exists for container ${container.name}`;
        throw new EngineError("conflict", `${failed}: ${reason}`, { path: place.images });
      }
      if (container.definition.userNamespace !== undefined) {
        throw new EngineError(
          "unsupported",
          `${failed}: it has a user namespace of its own, which criu cannot restore`,
        );
      }
      const { sent } = container;
      // Its end is what is asked for: no policy starts it again.
      const isNoted = !options.leaveRunning && noteByHand(context, container);
      try {
        mkdirSync(join(place.images, ".."), { recursive: true, mode: 0o700 });
        if (!options.leaveRunning) container.noteSent(signalNumbers.KILL!, "checkpoint");
        await shim.checkpoint({ ...place, leaveRunning: options.leaveRunning });
      } catch (error) {
        container.sent = sent;
        if (isNoted) takeBackByHand(context, container);
        throw wrapError(error, failed, { stage: "checkpoint" });
      }
    });
    containerEvent(context, container, "checkpoint");
  }

  /** Those that are whole, by name. */
  async list(reference: string, directory?: string): Promise<string[]> {
    const container = this.#context.containers.find(reference);
    const parent = this.#parent(container, directory);
    try {
      const entries = readdirSync(parent, { withFileTypes: true });
      const names = entries.flatMap((entry) => (entry.isDirectory() && isName(entry.name) ? [entry.name] : []));
      return names.filter((name) => isCheckpoint(join(parent, name))).sort();
    } catch (error) {
      if (isErrno(error, "ENOENT")) return [];
      throw wrapError(error, `list the checkpoints of container ${reference}`, { path: parent });
    }
  }

  /** @throws EngineError not_found, also for a directory that is no checkpoint. */
  async remove(reference: string, checkpoint: CheckpointName): Promise<void> {
    const container = this.#context.containers.find(reference);
    await this.#context.locks.run(`checkpoint ${container.id}`, async () => {
      const { images } = this.#existing(container, checkpoint);
      const doomed = join(images, "..", `.${checkpoint.name}.removed`);
      try {
        await rm(doomed, { recursive: true, force: true });
        // What is ended in the middle leaves no half of a checkpoint under its name.
        renameSync(images, doomed);
        await rm(doomed, { recursive: true, force: true });
      } catch (error) {
        throw wrapError(error, `remove checkpoint ${checkpoint.name} of container ${container.name}`, { path: images });
      }
    });
  }

  /** @throws EngineError not_found for the checkpoint; as startContainer. */
  async start(reference: string, checkpoint: CheckpointName): Promise<void> {
    const container = this.#context.containers.find(reference);
    const place = this.#existing(container, checkpoint);
    await startContainer(this.#context, container, place);
  }

  #existing(container: Container, checkpoint: CheckpointName): CheckpointPlace {
    const place = this.#place(container, checkpoint);
    if (isCheckpoint(place.images)) return place;
    const reason = `checkpoint ${checkpoint.name} does not exist for container ${container.name}`;
    throw new EngineError("not_found", reason, { path: place.images });
  }

  #place(container: Container, { name, directory }: CheckpointName): CheckpointPlace {
    if (!isName(name)) {
      throw new EngineError(
        "invalid_argument",
        `Invalid checkpoint ID (${name}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed`,
      );
    }
    const { criuLogs } = this.#context.layout.container(container.id);
    return { images: join(this.#parent(container, directory), name), work: criuLogs };
  }

  #parent({ id }: Container, directory: string | undefined): string {
    if (directory === undefined) return this.#context.layout.container(id).checkpoints;
    if (isAbsolute(directory)) return directory;
    throw new EngineError("invalid_argument", `checkpoint directory ${directory}: it has to be absolute`);
  }
}

/** criu writes this file with each: other directories, wherever `--checkpoint-dir` leads, are nobody's to remove. */
function isCheckpoint(images: string): boolean {
  return existsSync(join(images, "inventory.img"));
}

/** What is not whole yet has a name with a dot in front. */
function isName(name: string): boolean {
  return /^[a-zA-Z0-9][a-zA-Z0-9_.-]+$/.test(name);
}
