/** Archives for tests of the routes: they hold what was asked for. */
import type { ArchiveBackend } from "../backend/archives.ts";

export class FakeArchives implements ArchiveBackend {
  readonly #call: (text: string) => void;

  /** @param call told of what the routes ask for. */
  constructor(call: (text: string) => void) {
    this.#call = call;
  }

  save(names: string[], { platforms }: { platforms: string[] }): AsyncIterable<Uint8Array> {
    this.#call(`save ${names.join(",")} ${platforms.join(",") || "-"}`);
    return oneChunk(`archive of ${names.join(",")}`);
  }

  exportContainer(ref: string): AsyncIterable<Uint8Array> {
    this.#call(`export ${ref}`);
    return oneChunk(`archive of ${ref}`);
  }
}

async function* oneChunk(text: string): AsyncGenerator<Uint8Array, void, void> {
  yield Buffer.from(text);
}
