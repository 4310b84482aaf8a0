/** The service that the API's archive routes call: images and file systems in and out. */

import type { JsonMessage } from "../../api/schema/progress.ts";
import { parsePlatform } from "../../oci/platform.ts";
import { type CommitRequest, commitContainer } from "../container/commit.ts";
import { containerEvent } from "../container/event.ts";
import type { EngineContext } from "../context.ts";
import { reported } from "../image/progress.ts";

export type ImportSource = { archive: AsyncIterable<Uint8Array> } | { url: string };

export interface ImportRequest {
  name?: string;
  message: string;
  changes: string[];
  /** `os[/arch[/variant]]`. */
  platform?: string;
}

export class ArchiveService {
  readonly #context: EngineContext;

  constructor(context: EngineContext) {
    this.#context = context;
  }

  async *save(
    names: string[],
    options: { platforms: string[] },
    signal: AbortSignal,
  ): AsyncGenerator<Uint8Array, void, void> {
    const { ids, archive } = this.#context.images.save(names, options.platforms.map(parsePlatform), signal);
    yield* archive;
    for (const id of ids) this.#context.events.publish("image", "save", id, { name: id });
  }

  load(
    archive: AsyncIterable<Uint8Array>,
    { quiet, platforms }: { quiet: boolean; platforms: string[] },
    signal: AbortSignal,
  ): AsyncGenerator<JsonMessage, void, void> {
    return reported(async (report) => {
      const loaded = await this.#context.images.loadArchive(archive, {
        platforms: platforms.map(parsePlatform),
        signal,
        ...(!quiet && {
          onProgress: ({ id, current, total }) =>
            report({ status: "Loading layer", id, progressDetail: { current, total } }),
        }),
      });
      for (const { id, names } of loaded) {
        this.#context.events.publish("image", "load", id, { name: id });
        for (const name of names) report({ stream: `Loaded image: ${name}\n` });
        if (names.length === 0) report({ stream: `Loaded image ID: ${id}\n` });
      }
    });
  }

  importImage(
    source: ImportSource,
    { name, message, changes, platform }: ImportRequest,
    signal: AbortSignal,
  ): AsyncGenerator<JsonMessage, void, void> {
    return reported(async (report) => {
      const options = { name, message, changes, signal, ...(platform && { platform: parsePlatform(platform) }) };
      const { images } = this.#context;
      let id: string;
      if ("archive" in source) id = await images.importArchive(source.archive, options);
      else {
        const { url, body, size } = await images.downloadArchive(source.url, signal);
        report({ status: `Downloading from ${url}` });
        const onProgress = (current: number) =>
          report({ status: "Importing", progressDetail: { current, ...(size !== undefined && { total: size }) } });
        id = await images.importArchive(body, { ...options, onProgress });
      }
      this.#context.events.publish("image", "import", id, { name: id });
      report({ status: id });
    });
  }

  async commit(reference: string, request: CommitRequest, signal: AbortSignal): Promise<{ Id: string }> {
    const container = this.#context.containers.find(reference);
    return { Id: await commitContainer(this.#context, container, request, signal) };
  }

  async *exportContainer(reference: string, signal: AbortSignal): AsyncGenerator<Uint8Array, void, void> {
    const container = this.#context.containers.find(reference);
    yield* this.#context.images.exportContainer(container.id, signal);
    containerEvent(this.#context, container, "export");
  }
}
