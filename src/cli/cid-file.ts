/**
 * `--cidfile`: the file must be new, so that two containers do not share one, and is there before its container is. It
 * goes again when there is no container, also when this process is ended before there is one.
 */
import { O_CREAT, O_EXCL, O_WRONLY } from "../../ffi/constants/open.ts";
import type { Fd } from "../../ffi/fd.ts";
import { open, write } from "../../ffi/files.ts";
import { existsSync, rmSync } from "../../ffi/fs.ts";
import { EngineError, isErrno } from "../core/errors.ts";
import { fileError } from "./file-error.ts";

const ends = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

export class ContainerIdFile implements Disposable {
  readonly #path: string;
  #descriptor: Fd | undefined;
  #isWritten = false;

  /** @param path "" for none. @throws EngineError in docker's words. */
  constructor(path: string) {
    this.#path = path;
    if (path === "") return;
    if (existsSync(path)) throw found(path);
    try {
      this.#descriptor = open(path, O_WRONLY | O_CREAT | O_EXCL, 0o644);
    } catch (error) {
      throw isErrno(error, "EEXIST")
        ? found(path)
        : fileError("open", path, error, "failed to create the container ID file: ");
    }
    for (const signal of ends) process.once(signal, this.#end);
  }

  write(id: string): void {
    if (this.#descriptor === undefined) return;
    try {
      write(this.#descriptor, id);
    } catch (error) {
      throw fileError("open", this.#path, error, "failed to write the container ID to the file: ");
    }
    this.#isWritten = true;
    this.#leaveSignals();
  }

  readonly #end = (signal: NodeJS.Signals): void => {
    this[Symbol.dispose]();
    process.kill(process.pid, signal);
  };

  /** From here on they do what they do to any process. */
  #leaveSignals(): void {
    for (const signal of ends) process.off(signal, this.#end);
  }

  /** Takes the file away again when no container was made. */
  [Symbol.dispose](): void {
    if (this.#descriptor === undefined) return;
    this.#leaveSignals();
    this.#descriptor.close();
    this.#descriptor = undefined;
    if (!this.#isWritten) rmSync(this.#path, { force: true });
  }
}

function found(path: string): EngineError {
  return new EngineError(
    "invalid_argument",
    `container ID file found, make sure the other container isn't running or delete ${path}`,
    { path },
  );
}
