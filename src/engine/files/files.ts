/** The service that the API's routes for single files of containers call. */
import { begun, withEnding } from "../../core/ending.ts";
import { EngineError, isEngineError, wrapError } from "../../core/errors.ts";
import type { Reading } from "../../image/copy/copier.ts";
import type { PathStat } from "../../image/copy/protocol.ts";
import { changesOf, type FileChange } from "../../image/snapshot/changes.ts";
import { usualMountPoints } from "../container/commit.ts";
import type { Container } from "../container/container.ts";
import { type GoingCopy, whyEnded } from "../container/copies.ts";
import { containerEvent } from "../container/event.ts";
import type { EngineContext } from "../context.ts";
import { withTree } from "./container-tree.ts";

export interface ExtractRequest {
  /** Of a directory. */
  path: string;
  /** A directory in the place of anything else, and the reverse, is an error. */
  keepsKinds: boolean;
  /** To the container's user, where it has one. */
  toUser: boolean;
  /** To this user instead: `user[:group]`, names of the container's own or numbers. */
  owner?: string;
}

export class FileService {
  readonly #context: EngineContext;

  constructor(context: EngineContext) {
    this.#context = context;
  }

  async stat(reference: string, path: string, signal: AbortSignal): Promise<PathStat> {
    const container = this.#context.containers.find(reference);
    try {
      return await withTree(this.#context, container, { access: "read", signal }, (root, copy) =>
        this.#context.files.stat(root, path, copy),
      );
    } catch (error) {
      throw named(error, reference, path);
    }
  }

  /** The archive is to be read to its end, or returned. */
  async read(
    reference: string,
    path: string,
    signal: AbortSignal,
  ): Promise<{ stat: PathStat; archive: AsyncIterable<Uint8Array> }> {
    const container = this.#context.containers.find(reference);
    const begun = Promise.withResolvers<{ reading: Reading; copy: GoingCopy }>();
    const held = withTree(this.#context, container, { access: "read", signal }, async (root, copy) => {
      const reading = await this.#context.files.read(root, path, copy);
      begun.resolve({ reading, copy });
      await reading.over;
    });
    held.catch(begun.reject);
    try {
      const { reading, copy } = await begun.promise;
      const { stat, archive } = reading;
      return { stat, archive: withEnding(this.#telling(container, archive, copy), () => ended(archive)) };
    } catch (error) {
      throw named(error, reference, path);
    }
  }

  async *#telling(
    container: Container,
    archive: AsyncIterable<Uint8Array>,
    copy: GoingCopy,
  ): AsyncGenerator<Uint8Array, void, void> {
    containerEvent(this.#context, container, "archive-path");
    try {
      yield* archive;
    } catch (error) {
      throw whyEnded(copy) ?? error;
    }
  }

  async write(
    reference: string,
    request: ExtractRequest,
    archive: AsyncIterable<Uint8Array>,
    signal: AbortSignal,
  ): Promise<void> {
    const container = this.#context.containers.find(reference);
    const { path, keepsKinds } = request;
    const owner = this.#ownerOf(container, request);
    try {
      // Others wait for the container: only when there is something to be written.
      await using coming = await begun(archive);
      await withTree(this.#context, container, { access: "write", signal }, (root, copy) =>
        this.#context.files.write(root, { path, keepsKinds, ...(owner && { owner }) }, coming, copy),
      );
    } catch (error) {
      throw named(error, reference, path);
    }
    containerEvent(this.#context, container, "extract-to-dir");
  }

  /** What it has changed of its image's files. @throws EngineError unsupported for a tree that is too deep. */
  async changes(reference: string): Promise<FileChange[]> {
    const container = this.#context.containers.find(reference);
    const { upper, lower } = this.#context.snapshots.mounts(container.id);
    return changesOf(upper, lower, usualMountPoints);
  }

  #ownerOf(container: Container, { owner, toUser }: ExtractRequest): { uid: number; gid: number } | undefined {
    const user = owner ?? (toUser ? container.definition.config.User : undefined);
    if (user === undefined || user === "") return undefined;
    const { upper, lower } = this.#context.snapshots.mounts(container.id);
    const { uid, gid } = this.#context.bundles.user([upper, ...lower], user, []);
    return { uid, gid };
  }
}

async function ended(archive: AsyncGenerator<Uint8Array, void, void>): Promise<void> {
  await archive.return();
}

/** In docker's words where it has some. */
function named(error: unknown, reference: string, path: string): EngineError {
  if (isEngineError(error, "not_found")) {
    return new EngineError("not_found", `Could not find the file ${path} in container ${reference}`, { path });
  }
  const isPlain = isEngineError(error) && ["invalid_argument", "forbidden", "cancelled"].includes(error.code);
  return isPlain ? error : wrapError(error, `container ${reference}: ${path}`, { stage: "copy" });
}
