/**
 * Fetches one blob into the store: hashed as it comes, in parallel ranges where it is large and the registry gives
 * ranges, continued where an earlier try stopped, never visible before size and digest are right.
 */
import type { Digest } from "../../core/digest.ts";
import { EngineError, isEngineError, isErrno, wrapError } from "../../core/errors.ts";
import { RegistryBusy } from "../registry/failure.ts";
import { throwIfAborted } from "../shared-work.ts";
import type { HostConnections } from "./connections.ts";
import { type GrowingBlob, Ingest } from "./ingest.ts";
import { chunkBytes, type Gap } from "./ingest-map.ts";
import type { ContentStore } from "./store.ts";

/** Where the bytes come from: a registry, from any offset. */
export type BlobSource = (
  offset: number,
  /** The first byte that is not wanted any more; undefined: to the blob's end. */
  end: number | undefined,
  signal: AbortSignal,
  /** To wait with when the registry asks for patience; absent: anyhow. */
  aside?: Aside,
) => Promise<{ offset: number; isRange: boolean; body: AsyncIterable<Uint8Array> }>;

/** Waits while others have the turn. */
export type Aside = (wait: () => Promise<void>) => Promise<void>;

export type DownloadEvent =
  | { step: "growing"; blob: GrowingBlob }
  | { step: "downloading"; bytes: number }
  | { step: "verifying" };

export interface DownloadOptions {
  digest: Digest;
  size: number;
  source: BlobSource;
  onEvent: (event: DownloadEvent) => void;
  signal: AbortSignal;
  /** Waiting time before the first repetition; doubled each time. */
  retryDelayMs?: number;
  /** To where the blob comes from. */
  connections: HostConnections;
  /** Waits for this download's turn, which is given back by disposing of it: between two tries and when all is fetched. */
  turn: () => Promise<Disposable>;
  /** Waits until everything written to the store's file system is on the disk. */
  sync: () => Promise<void>;
}

/** Repetitions without a single new byte before it is given up. As long as bytes come it goes on for ever. */
const fruitlessTriesMax = 5;
const defaultRetryDelayMs = 200;
/** Gathered before they are written: one system call a chunk of the network would cost more than the copy. */
const writeBytes = 256 * 1024;
const eventIntervalMs = 100;
/** Another connection has to be worth its while. */
const bytesPerConnection = 8 * 2 ** 20;
const connectionsMax = 4;

/**
 * @throws EngineError corrupt for wrong or too many bytes; unavailable when the source fails for good; not_found and
 * unauthorized as the source says; no_space; cancelled. All but corrupt and no_space keep what was fetched.
 */
export async function download(store: ContentStore, options: DownloadOptions): Promise<void> {
  const { digest, size, sync } = options;
  if (store.has(digest, size)) return;
  let ingest: Ingest | undefined;
  try {
    const opened = await Ingest.open(store, digest, size);
    ingest = opened;
    await new Download(options, opened).run();
    await ingest.close();
    await sync();
    await store.commit(digest);
    await ingest.removeMap();
  } catch (error) {
    await ingest?.close();
    const isFull = isErrno(error, "ENOSPC", "EDQUOT");
    // A partial blob that fills the disk must not go on doing so.
    if (isFull || isEngineError(error, "corrupt")) await ingest?.remove();
    throw isEngineError(error) ? error : wrapError(error, `blob ${digest}`, { stage: "download" });
  } finally {
    ingest?.announce();
  }
}

class Download {
  readonly #options: DownloadOptions;
  readonly #ingest: Ingest;
  /** Chunks that a connection fills. */
  readonly #busy = new Set<number>();
  /** The registry has answered with a range: it may be asked for several at once. */
  #givesRanges = false;
  #others: Promise<void>[] = [];
  /** Of one of those, which is the whole download's. */
  #failure: unknown;
  readonly #ended = new AbortController();
  readonly #signal: AbortSignal;
  #toldAt = 0;
  #turn: Disposable | undefined;

  constructor(options: DownloadOptions, ingest: Ingest) {
    this.#options = options;
    this.#ingest = ingest;
    this.#signal = AbortSignal.any([options.signal, this.#ended.signal]);
  }

  /** Fetches what is missing until the blob is whole and verified. */
  async run(): Promise<void> {
    const { digest, size, onEvent } = this.#options;
    const hadBytes = this.#ingest.map.present;
    await this.#takeTurn();
    try {
      onEvent({ step: "growing", blob: this.#ingest });
      await this.#fetchAll();
    } catch (error) {
      this.#ended.abort();
      await Promise.all(this.#others);
      throw error;
    } finally {
      this.#giveTurn();
    }
    onEvent({ step: "verifying" });
    const actual = await this.#ingest.digest();
    if (actual === digest) return;
    if (hadBytes === 0) {
      throw new EngineError("corrupt", `blob ${digest}: verification failed: ${size} bytes with digest ${actual}`);
    }
    // What an earlier try left may be what is wrong, after a power failure for example: once more, from nothing.
    await this.#ingest.restart();
    await this.run();
  }

  async #takeTurn(): Promise<void> {
    this.#turn = await this.#options.turn();
  }

  #giveTurn(): void {
    this.#turn?.[Symbol.dispose]();
    this.#turn = undefined;
  }

  /** Others download meanwhile: a registry that is busy or away must not keep them from theirs. */
  async #aside(wait: () => Promise<void>): Promise<void> {
    this.#giveTurn();
    await wait();
    await this.#takeTurn();
  }

  async #fetchAll(): Promise<void> {
    const { signal, retryDelayMs = defaultRetryDelayMs } = this.#options;
    const { map } = this.#ingest;
    let delayMs = retryDelayMs;
    let best = map.present;
    for (let fruitless = 0; !map.isWhole; ) {
      let failure: EngineError;
      try {
        await this.#fetchGaps();
        if (map.isWhole) return;
        failure = this.#truncated();
      } catch (error) {
        throwIfAborted(signal);
        if (!isEngineError(error, "unavailable")) throw error;
        failure = error;
      }
      const isFruitful = map.present > best;
      best = Math.max(best, map.present);
      fruitless = isFruitful ? 0 : fruitless + 1;
      const isWaitedFor = failure instanceof RegistryBusy && !isFruitful;
      if (isWaitedFor || fruitless > fruitlessTriesMax) throw failure;
      const pauseMs = delayMs;
      await this.#aside(() => sleep(pauseMs, signal));
      delayMs = isFruitful ? retryDelayMs : delayMs * 2;
    }
  }

  /** On the connection that every download has: gap after gap, until none is left that no other connection is at. */
  async #fetchGaps(): Promise<void> {
    for (let gap = this.#nextGap(); gap !== undefined; gap = this.#nextGap()) {
      const isRange = await this.#fetch(gap);
      if (isRange) this.#givesRanges = true;
      this.#callOthers();
    }
    await Promise.all(this.#others);
    if (this.#failure !== undefined) throw this.#failure;
  }

  /** Further connections, as many as are to be had. Where one fails, the others do its work. */
  #callOthers(): void {
    const { connections } = this.#options;
    const missing = this.#options.size - this.#ingest.map.present;
    const wanted = Math.min(connectionsMax, Math.floor(missing / bytesPerConnection)) - 1;
    while (this.#givesRanges && this.#others.length < wanted) {
      const connection = connections.extra();
      if (connection === undefined) return;
      const work: Promise<void> = this.#fetchBeside()
        .catch((error: unknown) => {
          // Too many connections for the registry, perhaps. What is wrong with the blob or the disk stays wrong.
          if (!isEngineError(error, "unavailable")) this.#failure ??= error;
        })
        .finally(() => {
          connection[Symbol.dispose]();
          this.#others.splice(this.#others.indexOf(work), 1);
        });
      this.#others.push(work);
    }
  }

  async #fetchBeside(): Promise<void> {
    for (let gap = this.#nextGap(); gap !== undefined; gap = this.#nextGap()) {
      if (!this.#givesRanges || this.#failure !== undefined) return;
      await this.#fetch(gap, true);
    }
  }

  #nextGap(): Gap | undefined {
    if (this.#failure !== undefined) throw this.#failure;
    return this.#ingest.map.gap(this.#busy, this.#options.connections.rangeBytes);
  }

  /**
   * Fills a gap, or where the registry gives no ranges the whole blob, from the first byte.
   * @param isBeside the whole blob is of no use: another connection gets it.
   * @returns whether it gave a range.
   */
  async #fetch(gap: Gap, isBeside = false): Promise<boolean> {
    const { size, source, connections } = this.#options;
    const chunks: number[] = [];
    for (let chunk = Math.floor(gap.start / chunkBytes); chunk * chunkBytes < gap.end; chunk++) chunks.push(chunk);
    for (const chunk of chunks) this.#busy.add(chunk);
    try {
      const isWhole = gap.start === 0 && gap.end === size;
      using turn = await connections.turn(this.#signal);
      const asked = performance.now();
      const aside: Aside = (wait) => {
        turn[Symbol.dispose]();
        // Of several connections one gives up the download's turn for all.
        return isBeside ? wait() : this.#aside(wait);
      };
      const { offset, isRange, body } = await source(gap.start, isWhole ? undefined : gap.end, this.#signal, aside);
      const answered = performance.now();
      if (!isRange) {
        this.#givesRanges = false;
        turn[Symbol.dispose]();
        if (isBeside) {
          for await (const _ of body) break;
          return false;
        }
        // The whole blob goes over what they are at.
        await Promise.all(this.#others);
      }
      const end = isRange ? gap.end : size;
      const received = await this.#receive(body, offset, end, isRange);
      connections.note(answered - asked, performance.now() - answered, received);
      if (offset + received < end) throw this.#truncated();
      return isRange;
    } finally {
      for (const chunk of chunks) this.#busy.delete(chunk);
    }
  }

  /** @param end a range may go on behind it; the whole blob must not. */
  async #receive(body: AsyncIterable<Uint8Array>, offset: number, end: number, isRange: boolean): Promise<number> {
    const { digest, size } = this.#options;
    let at = offset;
    let pieces: Uint8Array[] = [];
    let gathered = 0;
    const flush = async () => {
      if (gathered === 0) return;
      const bytes = pieces.length === 1 ? pieces[0]! : Buffer.concat(pieces, gathered);
      pieces = [];
      gathered = 0;
      await this.#ingest.write(at - bytes.length, bytes);
    };
    try {
      for await (const piece of body) {
        if (at + piece.length > end && !isRange) {
          throw new EngineError("corrupt", `blob ${digest}: more than the ${size} bytes that its descriptor says`);
        }
        const taken = at + piece.length > end ? piece.subarray(0, end - at) : piece;
        pieces.push(taken);
        gathered += taken.length;
        at += taken.length;
        if (gathered >= writeBytes) await flush();
        this.#tell();
        if (isRange && at === end) break;
      }
    } finally {
      // What came before a failure is kept too.
      await flush();
    }
    return at - offset;
  }

  #truncated(): EngineError {
    const { digest, size } = this.#options;
    const { present } = this.#ingest.map;
    return new EngineError("unavailable", `blob ${digest}: truncated: got ${present} of ${size} bytes`);
  }

  #tell(): void {
    const now = performance.now();
    if (now - this.#toldAt < eventIntervalMs) return;
    this.#toldAt = now;
    this.#options.onEvent({ step: "downloading", bytes: this.#ingest.map.present });
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
