import { EngineError } from "../../core/errors.ts";
import type { ExtractRequest, FileBackend, FileChange, PathStat } from "../backend/files.ts";

/** Files without containers: each path is a file of ten bytes, those below /missing are not there. */
export class FakeFiles implements FileBackend {
  readonly #tell: (call: string) => void;

  constructor(tell: (call: string) => void) {
    this.#tell = tell;
  }

  async stat(ref: string, path: string): Promise<PathStat> {
    this.#tell(`stat ${ref} ${path}`);
    return this.#statOf(ref, path);
  }

  async read(ref: string, path: string): Promise<{ stat: PathStat; archive: AsyncIterable<Uint8Array> }> {
    this.#tell(`read ${ref} ${path}`);
    return { stat: this.#statOf(ref, path), archive: bytesOf(`archive of ${path}`) };
  }

  async changes(ref: string): Promise<FileChange[]> {
    this.#tell(`changes ${ref}`);
    return [
      { path: "/etc", kind: "modified" },
      { path: "/etc/a", kind: "added" },
      { path: "/etc/b", kind: "deleted" },
    ];
  }

  async write(ref: string, request: ExtractRequest, archive: AsyncIterable<Uint8Array>): Promise<void> {
    const { path, keepsKinds, toUser, owner } = request;
    if (path.startsWith("/ro")) throw new EngineError("forbidden", "container rootfs is marked read-only");
    let bytes = 0;
    for await (const piece of archive) bytes += piece.length;
    this.#tell(`write ${ref} ${path} ${keepsKinds} ${toUser} ${owner ?? "-"} ${bytes}`);
  }

  #statOf(ref: string, path: string): PathStat {
    if (path.startsWith("/missing")) {
      throw new EngineError("not_found", `Could not find the file ${path} in container ${ref}`);
    }
    const mtime = { seconds: 1_700_000_000, nanoseconds: 120_000_000 };
    return { name: path.split("/").pop()!, size: 10, mode: 0o104755, mtime, linkTarget: "" };
  }
}

async function* bytesOf(text: string): AsyncGenerator<Uint8Array, void, void> {
  yield Buffer.from(text);
}
