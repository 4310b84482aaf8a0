/** The service that the API's archive routes call: images and file systems in and out. */

import { parsePlatform } from "../../oci/platform.ts";
import { containerEvent } from "../container/event.ts";
import type { EngineContext } from "../context.ts";

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

  async *exportContainer(reference: string, signal: AbortSignal): AsyncGenerator<Uint8Array, void, void> {
    const container = this.#context.containers.find(reference);
    yield* this.#context.images.exportContainer(container.id, signal);
    containerEvent(this.#context, container, "export");
  }
}
