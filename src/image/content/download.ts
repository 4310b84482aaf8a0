/**
 * Fetches one blob into the store: hashed as it comes, resumed where an earlier try stopped, never visible before
 * size and digest are right.
 */
import { type FileHandle, open, rm } from "node:fs/promises";
import { type Digest, Digester, digestAlgorithm } from "../../core/digest.ts";
import { EngineError, isEngineError, isErrno, wrapError } from "../../core/errors.ts";
import { throwIfAborted } from "../shared-work.ts";
import type { ContentStore } from "./store.ts";

/** Where the bytes come from: a registry, from any offset. */
export type BlobSource = (
  offset: number,
  signal: AbortSignal,
) => Promise<{ offset: number; body: AsyncIterable<Uint8Array> }>;

export type DownloadEvent = { step: "downloading"; bytes: number } | { step: "verifying" };

export interface DownloadOptions {
  digest: Digest;
  size: number;
  source: BlobSource;
  onEvent: (event: DownloadEvent) => void;
  signal: AbortSignal;
  /** Waiting time before the first repetition; doubled each time. */
  retryDelayMs?: number;
}

/** Repetitions without a single new byte before it is given up. As long as bytes come it goes on for ever. */
const fruitlessTriesMax = 5;
const defaultRetryDelayMs = 200;
/** Gathered before they are written: one system call a chunk of the network would cost more than the copy. */
const writeBytes = 2 ** 20;
const eventIntervalMs = 100;

/**
 * @throws EngineError corrupt for wrong or too many bytes; unavailable when the source fails for good; not_found and
 * unauthorized as the source says; no_space; cancelled. All but corrupt and no_space keep what was fetched.
 */
export async function download(store: ContentStore, options: DownloadOptions): Promise<void> {
  const { digest, size } = options;
  if (store.has(digest, size)) return;
  const path = store.ingestPath(digest);
  const ingest = new Ingest(options, await open(path, "a+", 0o600));
  try {
    await ingest.fill();
    await ingest.close();
  } catch (error) {
    await ingest.close();
    const isFull = isErrno(error, "ENOSPC", "EDQUOT");
    // A partial blob that fills the disk must not go on doing so.
    if (isFull || isEngineError(error, "corrupt")) await rm(path, { force: true });
    throw isEngineError(error) ? error : wrapError(error, `blob ${digest}`, { stage: "download" });
  }
  await store.commit(digest);
}

class Ingest {
  readonly #options: DownloadOptions;
  readonly #file: FileHandle;
  #digester: Digester;
  #pieces: Uint8Array[] = [];
  #pieceBytes = 0;
  #toldAt = 0;

  constructor(options: DownloadOptions, file: FileHandle) {
    this.#options = options;
    this.#file = file;
    this.#digester = new Digester(digestAlgorithm(options.digest));
  }

  async close(): Promise<void> {
    await this.#file.close();
  }

  /** Fetches what is missing until the blob is whole, verified and on the disk. */
  async fill(): Promise<void> {
    const { digest, size, onEvent } = this.#options;
    const hadBytes = await this.#readBack();
    await this.#fetchAll();
    onEvent({ step: "verifying" });
    const actual = this.#digester.digest();
    if (actual === digest) {
      await this.#file.datasync();
      return;
    }
    if (hadBytes === 0) {
      throw new EngineError("corrupt", `blob ${digest}: verification failed: ${size} bytes with digest ${actual}`);
    }
    // What an earlier try left may be what is wrong, after a power failure for example: once more, from nothing.
    await this.#restart();
    await this.fill();
  }

  /** Hashes what an earlier try left. */
  async #readBack(): Promise<number> {
    const { size } = await this.#file.stat();
    if (size > this.#options.size) {
      await this.#restart();
      return 0;
    }
    const buffer = new Uint8Array(writeBytes);
    for (let at = 0; at < size; ) {
      throwIfAborted(this.#options.signal);
      const { bytesRead } = await this.#file.read(buffer, 0, buffer.length, at);
      if (bytesRead === 0) break;
      this.#digester.update(buffer.subarray(0, bytesRead));
      at += bytesRead;
    }
    return size;
  }

  async #fetchAll(): Promise<void> {
    const { signal, size, digest } = this.#options;
    let delayMs = this.#options.retryDelayMs ?? defaultRetryDelayMs;
    let best = this.#digester.size;
    for (let fruitless = 0; this.#digester.size < size; ) {
      let failure: EngineError;
      try {
        await this.#fetchSome();
        if (this.#digester.size === size) return;
        failure = new EngineError(
          "unavailable",
          `blob ${digest}: truncated: got ${this.#digester.size} of ${size} bytes`,
        );
      } catch (error) {
        throwIfAborted(signal);
        if (!isEngineError(error, "unavailable")) throw error;
        failure = error;
      }
      const isFruitful = this.#digester.size > best;
      best = Math.max(best, this.#digester.size);
      fruitless = isFruitful ? 0 : fruitless + 1;
      if (fruitless > fruitlessTriesMax) throw failure;
      await sleep(delayMs, signal);
      delayMs = isFruitful ? (this.#options.retryDelayMs ?? defaultRetryDelayMs) : delayMs * 2;
    }
  }

  async #fetchSome(): Promise<void> {
    const { source, size, digest, signal } = this.#options;
    const { offset, body } = await source(this.#digester.size, signal);
    // The source knows no ranges and starts again.
    if (offset !== this.#digester.size) await this.#restart();
    try {
      for await (const piece of body) {
        if (this.#digester.size + piece.length > size) {
          throw new EngineError("corrupt", `blob ${digest}: more than the ${size} bytes that its descriptor says`);
        }
        this.#digester.update(piece);
        this.#pieces.push(piece);
        this.#pieceBytes += piece.length;
        if (this.#pieceBytes >= writeBytes) await this.#flush();
        this.#tell();
      }
    } finally {
      // What came before a failure is kept too.
      await this.#flush();
    }
  }

  async #flush(): Promise<void> {
    if (this.#pieceBytes === 0) return;
    const whole = Buffer.concat(this.#pieces, this.#pieceBytes);
    this.#pieces = [];
    this.#pieceBytes = 0;
    // O_APPEND: it goes to the end whatever was read in between.
    for (let rest: Uint8Array = whole; rest.length > 0; ) {
      rest = rest.subarray((await this.#file.write(rest)).bytesWritten);
    }
  }

  async #restart(): Promise<void> {
    await this.#file.truncate(0);
    this.#digester = new Digester(digestAlgorithm(this.#options.digest));
  }

  #tell(): void {
    const now = performance.now();
    if (now - this.#toldAt < eventIntervalMs) return;
    this.#toldAt = now;
    this.#options.onEvent({ step: "downloading", bytes: this.#digester.size });
  }
}

async function sleep(delayMs: number, signal: AbortSignal): Promise<void> {
  const done = Promise.withResolvers<void>();
  const timer = setTimeout(done.resolve, delayMs);
  signal.addEventListener("abort", () => done.resolve(), { once: true });
  await done.promise;
  clearTimeout(timer);
  throwIfAborted(signal);
}
