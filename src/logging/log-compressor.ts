/**
 * Compresses the rotated files of a log, the newest last, one at a time, while the log goes on: a container does not wait
 * for it. A file that is rotated meanwhile, also out of existence, is found again by its inode. What a crash or the
 * container's end has left is done at the next start.
 */
import { closeSync, existsSync, fstatSync, openSync, renameSync, rmSync, statSync } from "node:fs";
import { errorMessage, isErrno } from "../core/errors.ts";
import { numbered } from "./log-names.ts";

export interface CompressorOptions {
  path: string;
  maxFiles: number;
  onTrouble: (message: string) => void;
}

export class LogCompressor {
  readonly #options: CompressorOptions;
  #running: Promise<void> | undefined;
  /** Rotated since the last look. */
  #again = false;
  readonly #abort = new AbortController();

  constructor(options: CompressorOptions) {
    this.#options = options;
  }

  /** There may be something to do. */
  wake(): void {
    this.#again = true;
    this.#running ??= this.#run().finally(() => {
      this.#running = undefined;
    });
  }

  /** Resolves when nothing is left to do. */
  async settled(): Promise<void> {
    await this.#running;
  }

  stop(): void {
    this.#abort.abort();
  }

  async #run(): Promise<void> {
    const { path, onTrouble } = this.#options;
    try {
      while (this.#again && !this.#abort.signal.aborted) {
        this.#again = false;
        for (let next = this.#oldest(); next !== undefined; next = this.#oldest()) await this.#compress(next);
      }
    } catch (error) {
      // A full disk: the next rotation tries again.
      if (!this.#abort.signal.aborted) onTrouble(`compress ${path}: ${errorMessage(error)}`);
    }
  }

  async #compress(number: number): Promise<void> {
    const { path } = this.#options;
    const target = `${path}.compressing`;
    const fd = openSync(numbered(path, number), "r");
    try {
      const { ino } = fstatSync(fd);
      const { compressLog } = await import("./compressed.ts");
      await compressLog(fd, target, this.#abort.signal);
      const now = this.#numberOf(ino);
      if (now === undefined) {
        rmSync(target);
        return;
      }
      renameSync(target, `${numbered(path, now)}.gz`);
      // Until then readers take the other one.
      rmSync(numbered(path, now));
    } finally {
      closeSync(fd);
    }
  }

  /** Of the rotated files that are not compressed. */
  #oldest(): number | undefined {
    const { path, maxFiles } = this.#options;
    let found: number | undefined;
    for (let number = 1; number < maxFiles; number++) {
      const name = numbered(path, number);
      if (existsSync(name)) found = number;
      else if (!existsSync(`${name}.gz`)) break;
    }
    return found;
  }

  /** Where a file is by now; undefined when it was rotated away. */
  #numberOf(inode: number): number | undefined {
    for (let number = 1; number < this.#options.maxFiles; number++) {
      try {
        if (statSync(numbered(this.#options.path, number)).ino === inode) return number;
      } catch (error) {
        if (!isErrno(error, "ENOENT")) throw error;
      }
    }
    return undefined;
  }
}
