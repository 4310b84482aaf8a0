/** Where `save` and `export` write: a file that is there when it is whole, or standard output if that is no terminal. */
import { closeSync, openSync, renameSync, rmSync, statSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { isTerminal } from "../../ffi/pty.ts";
import { EngineError, isErrno } from "../core/errors.ts";
import { writeAll } from "./output.ts";

export class ArchiveOutput {
  /** Absent: standard output. */
  readonly #path: string | undefined;

  private constructor(path: string | undefined) {
    this.#path = path;
  }

  /**
   * Nothing is written yet: the daemon may refuse.
   * @param path "" for standard output. @param what failed, in front of the reason: "failed to save image".
   * @throws EngineError invalid_argument in docker's words.
   */
  static open(path: string, what: string): ArchiveOutput {
    if (path === "") {
      if (!isTerminal(1)) return new ArchiveOutput(undefined);
      throw new EngineError("invalid_argument", "cowardly refusing to save to a terminal. Use the -o flag or redirect");
    }
    const wrong = (reason: string) => new EngineError("invalid_argument", `${what}: invalid output path: ${reason}`);
    const directory = dirname(path);
    if (!statSync(directory, { throwIfNoEntry: false })) {
      throw wrong(`directory ${JSON.stringify(directory)} does not exist`);
    }
    const there = statSync(path, { throwIfNoEntry: false });
    if (there && !there.isFile()) throw wrong(`${JSON.stringify(path)} is no regular file`);
    return new ArchiveOutput(path);
  }

  /** @throws what the chunks throw; then a file that was there before is as it was. */
  async write(chunks: AsyncIterable<Uint8Array>): Promise<void> {
    if (this.#path === undefined) {
      for await (const chunk of chunks) writeAll(1, chunk);
      return;
    }
    const partial = join(dirname(this.#path), `.tmp-${basename(this.#path)}${process.pid}`);
    const file = openSync(partial, "wx", 0o600);
    try {
      for await (const chunk of chunks) writeAll(file, chunk);
      renameSync(partial, this.#path);
    } catch (error) {
      rmSync(partial, { force: true });
      if (isErrno(error, "ENOSPC", "EDQUOT"))
        throw new EngineError("no_space", `${this.#path}: no space left on device`, { cause: error });
      throw error;
    } finally {
      closeSync(file);
    }
  }
}
