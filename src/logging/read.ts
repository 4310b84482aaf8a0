/**
 * Reads a container's log as `docker logs` shows it: the last lines, a span of time, followed as it grows. A last record
 * that is not whole is being written, or was torn by a crash: it is shown when it is whole.
 */
import { mkdir } from "node:fs/promises";
import { basename, dirname } from "node:path";
import { isErrno, wrapError } from "../core/errors.ts";
import { watchDirectory } from "./directory-watch.ts";
import type { DecodeOptions } from "./json-decoder.ts";
import { jsonFormat } from "./json-format.ts";
import { localFormat } from "./local-decoder.ts";
import { LogFiles } from "./log-files.ts";
import type { LogFormat, LogFormatName } from "./log-format.ts";
import type { LogPosition } from "./log-position.ts";

export interface ReadLogOptions extends DecodeOptions {
  /** json-file when absent. */
  format?: LogFormatName;
  /** The last so many records of both streams together; all when absent. */
  tail?: number;
  /**
   * Goes on with what is added. The end of the container must be told by `ended`, once everything is in the log:
   * the rest is read, and the output ends.
   */
  follow?: { ended: Promise<unknown> };
  /** Only what stands before it; nothing when that has been rotated away. Not with `follow` or `tail`. */
  before?: LogPosition;
  /** Ends the output at once. */
  signal?: AbortSignal;
  /** Told once its files are open: from then on it is read whole, also when it is removed. */
  onOpened?: () => void;
}

const formats: Record<LogFormatName, LogFormat> = { "json-file": jsonFormat, local: localFormat };

/**
 * Yields pieces of output, up to about 256 KiB each, in docker's frames or bare: see DecodeOptions. Nothing is read
 * before it is asked for. A log that does not exist (yet) is empty. Unless followed it ends where it ended at the first
 * look, however fast it grows.
 */
export async function* readLog(path: string, options: ReadLogOptions): AsyncGenerator<Uint8Array> {
  const format = formats[options.format ?? "json-file"];
  const decoder = format.decoder(options);
  const { follow, before, tail, since } = options;
  try {
    // Watched before anything is read, so that nothing falls in between.
    using changes = follow === undefined ? undefined : await Changes.of(path, options);
    using files = new LogFiles(path, decoder, { format, grows: follow !== undefined, before, tail, since });
    await files.open();
    if (changes !== undefined) changes.onChange = () => files.keepUp();
    options.onOpened?.();
    for (;;) {
      const over = changes?.over ?? true;
      for (;;) {
        if (options.signal?.aborted) return;
        const output = await files.read();
        if (output === undefined) break;
        if (output.length > 0) yield output;
        if (decoder.ended) return;
      }
      if (over) return;
      await changes?.next();
    }
  } catch (error) {
    throw wrapError(error, `read log ${path}`, { path });
  }
}

/**
 * As readLog, of a log that is open when this resolves. The first piece is read ahead. To be iterated, or the signal
 * aborted: that closes it.
 */
export async function openLog(
  path: string,
  options: ReadLogOptions & { signal: AbortSignal },
): Promise<AsyncIterable<Uint8Array>> {
  const opened = Promise.withResolvers<void>();
  const pieces = readLog(path, { ...options, onOpened: opened.resolve });
  const first = pieces.next();
  // A failure is told when the log is read.
  await Promise.race([opened.promise, first.catch(() => undefined)]);
  const close = () => void pieces.return(undefined);
  options.signal.addEventListener("abort", close, { once: true });
  return (async function* () {
    try {
      for (let piece = await first; !piece.done; piece = await pieces.next()) yield piece.value;
    } finally {
      options.signal.removeEventListener("abort", close);
      await pieces.return(undefined);
    }
  })();
}

/** Waits for changes of a file, and for the reasons to stop waiting for them. */
class Changes implements Disposable {
  readonly #watch: Disposable;
  readonly #stop: () => void;
  readonly #signal: AbortSignal | undefined;
  #timer: Timer | undefined;
  #changed = false;
  #wake: (() => void) | undefined;
  /** Nothing more will come: the container has ended, or the time is up. */
  over = false;
  /** Called at every change of the files, also while nobody waits. */
  onChange: (() => void) | undefined;

  /** The directory need not be there yet, but the one above. @throws the kernel's error. */
  static async of(path: string, options: ReadLogOptions): Promise<Changes> {
    try {
      return new Changes(path, options);
    } catch (error) {
      if (!isErrno(error, "ENOENT")) throw error;
    }
    await mkdir(dirname(path), { mode: 0o700 });
    return new Changes(path, options);
  }

  private constructor(path: string, options: ReadLogOptions) {
    const name = basename(path);
    // The directory and not the file: a rotation puts another file in its place.
    this.#watch = watchDirectory(dirname(path), (changed) => {
      if (changed !== undefined && changed !== name) return;
      try {
        this.onChange?.();
      } catch {
        // Who reads next is told the same.
      }
      this.#change();
    });
    this.#stop = () => {
      this.over = true;
      this.#change();
    };
    options.follow?.ended.then(this.#stop, this.#stop);
    this.#signal = options.signal;
    this.#signal?.addEventListener("abort", this.#stop);
    if (options.until !== undefined) {
      const leftMs = Number(options.until / 1_000_000n) - Date.now() + 1;
      // setTimeout takes 32 bits; a follower of 24 days finds the end by a record's time.
      if (leftMs < 2 ** 31) this.#timer = setTimeout(this.#stop, Math.max(0, leftMs));
    }
  }

  /** Resolves at the next change, at once when there was one since the last call. */
  async next(): Promise<void> {
    if (!this.#changed) {
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#wake = resolve;
      await promise;
    }
    this.#changed = false;
  }

  #change(): void {
    this.#changed = true;
    this.#wake?.();
    this.#wake = undefined;
  }

  [Symbol.dispose](): void {
    this.#watch[Symbol.dispose]();
    clearTimeout(this.#timer);
    this.#signal?.removeEventListener("abort", this.#stop);
  }
}
