/**
 * A blob that is being fetched: its bytes and the map of them, in two files named by its digest, so that the next try
 * finds them. Bytes may come in any order of chunks; they are hashed in the order of the blob.
 */
import { type FileHandle, rm } from "node:fs/promises";
import { fdatasyncInBackground } from "../../../ffi/background-sync.ts";
import { O_RDONLY } from "../../../ffi/constants/open.ts";
import type { Fd } from "../../../ffi/fd.ts";
import { open } from "../../../ffi/files.ts";
import { type Digest, Digester, digestAlgorithm } from "../../core/digest.ts";
import { isErrno } from "../../core/errors.ts";
import { bootId, chunkBytes, type IngestMap, openForUpdate, openMap } from "./ingest-map.ts";
import type { ContentStore } from "./store.ts";

/** Read back and hashed at once: a third of a millisecond's work. */
const readBytes = 512 * 1024;
/** What a power failure may cost. */
const syncedEachBytes = 64 * 2 ** 20;

/** What somebody sees of a blob who reads it while it grows. */
export interface GrowingBlob {
  readonly size: number;
  /** Opens it for reading, under its name at that moment. */
  open(): Fd;
  /** So many bytes are there from the start. */
  readonly available: number;
  /** Another number says that it begins anew: what was read before is worth nothing. */
  readonly generation: number;
  /** Waits until one of the above, or `settled`, has changed. */
  changed(): Promise<void>;
}

export class Ingest implements GrowingBlob {
  readonly map: IngestMap;
  readonly path: string;
  readonly #blobPath: string;
  readonly #mapPath: string;
  readonly #digest: Digest;
  readonly #data: FileHandle;
  readonly #mapFile: FileHandle;
  #digester: Digester;
  #hashing: Promise<void> | undefined;
  #changed = Promise.withResolvers<void>();
  #unsyncedBytes = 0;
  #syncing: Promise<void> | undefined;
  /** Of what goes on beside: thrown to whoever needs it next. */
  #failure: unknown;
  #isClosed = false;
  generation = 0;

  private constructor(store: ContentStore, digest: Digest, data: FileHandle, map: IngestMap, mapFile: FileHandle) {
    this.path = store.ingestPath(digest);
    this.#blobPath = store.path(digest);
    this.#mapPath = store.ingestMapPath(digest);
    this.#digest = digest;
    this.#data = data;
    this.map = map;
    this.#mapFile = mapFile;
    this.#digester = new Digester(digestAlgorithm(digest));
  }

  /** Opens what an earlier try left, or begins. */
  static async open(store: ContentStore, digest: Digest, size: number): Promise<Ingest> {
    const path = store.ingestPath(digest);
    const data = await openForUpdate(path);
    try {
      const available = (await data.stat()).size;
      if (available > size) await data.truncate(size);
      const { map, file } = await openMap(store.ingestMapPath(digest), size, available);
      return new Ingest(store, digest, data, map, file);
    } catch (error) {
      await data.close();
      throw error;
    }
  }

  open(): Fd {
    try {
      return open(this.path, O_RDONLY);
    } catch (error) {
      if (!isErrno(error, "ENOENT")) throw error;
      return open(this.#blobPath, O_RDONLY);
    }
  }

  get size(): number {
    return this.map.size;
  }

  get available(): number {
    return this.map.front;
  }

  changed(): Promise<void> {
    return this.#changed.promise;
  }

  /** Wakes whoever waits for a change. */
  announce(): void {
    this.#changed.resolve();
    this.#changed = Promise.withResolvers<void>();
  }

  /**
   * Stores bytes at a place; those that are there already are left alone. Within each chunk there must be no gap before
   * them. When it returns they survive the death of this process.
   */
  async write(offset: number, bytes: Uint8Array): Promise<void> {
    for (let done = 0; done < bytes.length; ) {
      const at = offset + done;
      const chunkEnd = Math.min((Math.floor(at / chunkBytes) + 1) * chunkBytes, this.size);
      const part = bytes.subarray(done, done + Math.min(bytes.length - done, chunkEnd - at));
      done += part.length;
      const known = this.map.filledEnd(at) - at;
      if (part.length > known) await this.#fill(at + known, part.subarray(known));
    }
  }

  async #fill(at: number, bytes: Uint8Array): Promise<void> {
    await writeAll(this.#data, bytes, at);
    this.map.fill(at, bytes.length);
    const entry = this.map.entry(at);
    await writeAll(this.#mapFile, entry.bytes, entry.position);
    // Usually the bytes come in order, and need not be read back. While others are hashed they have to wait.
    if (this.#hashing === undefined && this.#digester.size === at) this.#digester.update(bytes);
    this.#hashOn();
    this.announce();
    this.#unsyncedBytes += bytes.length;
    if (this.#unsyncedBytes >= syncedEachBytes && this.#syncing === undefined) {
      this.#syncing = this.#beside(this.sync()).finally(() => {
        this.#syncing = undefined;
      });
    }
    this.#throwFailure();
  }

  /** Waits until all that is there is on the disk, and says so in the map. */
  async sync(): Promise<void> {
    const snapshot = this.map.snapshot();
    const { generation } = this;
    this.#unsyncedBytes = 0;
    await fdatasyncInBackground(this.#data.fd, this.path);
    if (generation !== this.generation) return;
    this.map.markDurable(snapshot);
    const { bytes, position } = this.map.durableTable();
    await writeAll(this.#mapFile, bytes, position);
    await fdatasyncInBackground(this.#mapFile.fd, this.#mapPath);
  }

  /** The digest of what is there; call it when it is whole. */
  async digest(): Promise<Digest> {
    while (this.#digester.size < this.size) {
      this.#hashOn();
      await this.#hashing;
      this.#throwFailure();
    }
    return this.#digester.digest();
  }

  /** Begins anew, with nothing. */
  async restart(): Promise<void> {
    await this.#quiet();
    this.generation++;
    this.map.clear();
    this.#digester = new Digester(digestAlgorithm(this.#digest));
    await this.#mapFile.truncate(0);
    await this.#data.truncate(0);
    await writeAll(this.#mapFile, this.map.format(await bootId()), 0);
    this.announce();
  }

  /** Nothing is written any more. May be called again. */
  async close(): Promise<void> {
    await this.#quiet();
    if (this.#isClosed) return;
    this.#isClosed = true;
    await this.#data.close();
    await this.#mapFile.close();
  }

  /** Removes both files. */
  async remove(): Promise<void> {
    await rm(this.path, { force: true });
    await this.removeMap();
  }

  /** To be called when the blob has got its name. */
  async removeMap(): Promise<void> {
    await rm(this.#mapPath, { force: true });
  }

  /** Hashes what is there behind what has been hashed, unless that goes on already. */
  #hashOn(): void {
    if (this.#hashing !== undefined || this.#digester.size >= this.map.front) return;
    this.#hashing = this.#beside(this.#hashFront()).finally(() => {
      this.#hashing = undefined;
    });
  }

  async #hashFront(): Promise<void> {
    const buffer = new Uint8Array(readBytes);
    for (let at = this.#digester.size; at < this.map.front; at = this.#digester.size) {
      const length = Math.min(buffer.length, this.map.front - at);
      const { bytesRead } = await this.#data.read(buffer, 0, length, at);
      if (bytesRead === 0) throw new Error(`${this.path} ends at ${at}, its map says ${this.map.front}`);
      this.#digester.update(buffer.subarray(0, bytesRead));
    }
  }

  async #beside(work: Promise<void>): Promise<void> {
    try {
      await work;
    } catch (error) {
      this.#failure ??= error;
    }
  }

  #throwFailure(): void {
    if (this.#failure !== undefined) throw this.#failure;
  }

  async #quiet(): Promise<void> {
    await this.#hashing;
    await this.#syncing;
  }
}

async function writeAll(file: FileHandle, bytes: Uint8Array, position: number): Promise<void> {
  for (let done = 0; done < bytes.length; ) {
    done += (await file.write(bytes, done, bytes.length - done, position + done)).bytesWritten;
  }
}
