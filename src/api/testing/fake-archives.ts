/** Archives for tests of the routes: they hold what was asked for. */
import type { ArchiveBackend, CommitRequest, ImportOptions, ImportSource } from "../backend/archives.ts";
import type { JsonMessage } from "../schema/progress.ts";

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

  async *load(
    archive: AsyncIterable<Uint8Array>,
    { quiet, platforms }: { quiet: boolean; platforms: string[] },
  ): AsyncGenerator<JsonMessage, void, void> {
    this.#call(`load ${quiet} ${platforms.join(",") || "-"}`);
    let bytes = 0;
    for await (const chunk of archive) bytes += chunk.length;
    yield { stream: `Loaded image: of ${bytes} bytes\n` };
  }

  async *importImage(source: ImportSource, options: ImportOptions): AsyncGenerator<JsonMessage, void, void> {
    this.#call(`import ${"url" in source ? source.url : "-"} ${JSON.stringify(options)}`);
    yield { status: `sha256:${"0".repeat(64)}` };
  }

  async commit(ref: string, request: CommitRequest): Promise<{ Id: string }> {
    this.#call(`commit ${ref} ${JSON.stringify(request)}`);
    return { Id: `sha256:${"1".repeat(64)}` };
  }

  exportContainer(ref: string): AsyncIterable<Uint8Array> {
    this.#call(`export ${ref}`);
    return oneChunk(`archive of ${ref}`);
  }
}

async function* oneChunk(text: string): AsyncGenerator<Uint8Array, void, void> {
  yield Buffer.from(text);
}
