/** The service that the API's archive routes call: images and file systems in and out. */
import { containerEvent } from "../container/event.ts";
import type { EngineContext } from "../context.ts";

export class ArchiveService {
  readonly #context: EngineContext;

  constructor(context: EngineContext) {
    this.#context = context;
  }

  async *exportContainer(reference: string, signal: AbortSignal): AsyncGenerator<Uint8Array, void, void> {
    const container = this.#context.containers.find(reference);
    yield* this.#context.images.exportContainer(container.id, signal);
    containerEvent(this.#context, container, "export");
  }
}
