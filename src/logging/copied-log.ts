/** A log that is sent away, with a copy in files, so that it can be read. */
import type { LogSeam } from "./log-position.ts";
import type { LogWriter, OutputStream } from "./log-writer.ts";

export class CopiedLog implements LogWriter {
  readonly #remote: LogWriter;
  readonly #copy: LogWriter;

  constructor(remote: LogWriter, copy: LogWriter) {
    this.#remote = remote;
    this.#copy = copy;
  }

  get lostLines(): number {
    return this.#remote.lostLines;
  }

  write(stream: OutputStream, chunk: Uint8Array): void {
    this.#copy.write(stream, chunk);
    this.#remote.write(stream, chunk);
  }

  room(): Promise<void> | undefined {
    return this.#remote.room?.();
  }

  async close(): Promise<void> {
    await this.#copy.close();
    await this.#remote.close();
  }

  seam(): Promise<LogSeam> | LogSeam | undefined {
    return this.#copy.seam();
  }
}
