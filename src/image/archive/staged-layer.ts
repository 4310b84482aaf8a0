/** One layer's archive, compressed or not, taken in as it comes: stored as it is, hashed, and unpacked at the same time. */

import { randomBytes } from "node:crypto";
import { type FileHandle, open as openFile, rm } from "node:fs/promises";
import { Cleanup } from "../../core/cleanup.ts";
import { type Digest, Digester } from "../../core/digest.ts";
import { EngineError } from "../../core/errors.ts";
import { type Compression, detectCompression, magicBytes } from "../../tar/decompress.ts";
import type { ImageStore } from "../images.ts";
import type { Lease } from "../leases.ts";
import { throwIfAborted } from "../shared-work.ts";
import type { UnpackedAhead } from "../snapshot/layers.ts";
import { defaultUnpackLimits } from "../unpack/protocol.ts";
import type { Kept } from "./build-image.ts";

export interface StagedLayerOptions {
  signal: AbortSignal;
  /** Bytes that have come. */
  onProgress?: (bytes: number) => void;
}

export class StagedLayer implements AsyncDisposable {
  readonly digest: Digest;
  readonly size: number;
  readonly compression: Compression;
  readonly ahead: UnpackedAhead;
  readonly #store: ImageStore;
  readonly #path: string;

  private constructor(
    store: ImageStore,
    path: string,
    taken: { digest: Digest; size: number; compression: Compression; ahead: UnpackedAhead },
  ) {
    this.#store = store;
    this.#path = path;
    this.digest = taken.digest;
    this.size = taken.size;
    this.compression = taken.compression;
    this.ahead = taken.ahead;
  }

  /** Of the archive before its compression. */
  get diffId(): Digest {
    return this.ahead.report.diffId;
  }

  /** @throws EngineError corrupt, invalid_argument, unsupported for what the archive is; no_space, cancelled. */
  static async take(
    store: ImageStore,
    archive: AsyncIterable<Uint8Array>,
    options: StagedLayerOptions,
  ): Promise<StagedLayer> {
    const path = store.content.stagingPath(randomBytes(8).toString("hex"));
    const file = await openFile(path, "wx", 0o600);
    try {
      return new StagedLayer(store, path, await takeIn(store, file, archive, options));
    } catch (error) {
      await rm(path, { force: true });
      throw error;
    } finally {
      await file.close();
    }
  }

  /** Gives the archive its name in the store. */
  async keep(lease: Lease, kept: Kept): Promise<void> {
    lease.add({ content: [this.digest] });
    kept.content.push(this.digest);
    if (!this.#store.content.has(this.digest, this.size)) await this.#store.content.adopt(this.#path, this.digest);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const cleanup = new Cleanup("a layer's archive");
    cleanup.add(`remove ${this.#path}`, () => rm(this.#path, { force: true }));
    cleanup.add("discard what was unpacked of it", () => this.#store.layers.discardAhead(this.ahead));
    await cleanup.runAndLog();
  }
}

async function takeIn(
  store: ImageStore,
  file: FileHandle,
  archive: AsyncIterable<Uint8Array>,
  { signal, onProgress }: StagedLayerOptions,
): Promise<{ digest: Digest; size: number; compression: Compression; ahead: UnpackedAhead }> {
  const { bytesMax } = store.options.limits ?? defaultUnpackLimits;
  const digester = new Digester();
  const { readable, writable } = new TransformStream<Uint8Array, Uint8Array>();
  const unpacking = store.layers.unpackAhead(readable, signal);
  unpacking.catch(() => undefined); // looked at in its turn
  const writer = writable.getWriter();
  writer.closed.catch(() => undefined);
  let start: Uint8Array = new Uint8Array();
  try {
    for await (const piece of archive) {
      throwIfAborted(signal);
      if (start.length < magicBytes) start = Buffer.concat([start, piece]).subarray(0, magicBytes);
      if (start.length === magicBytes) detectCompression(start, "archive");
      digester.update(piece);
      if (digester.size > bytesMax)
        throw new EngineError("invalid_argument", `archive has more than ${bytesMax} bytes`);
      for (let rest = piece; rest.length > 0; ) rest = rest.subarray((await file.write(rest)).bytesWritten);
      await writer.write(piece).catch(async (error: unknown) => {
        // The child has stopped reading: what it says is why.
        await unpacking;
        throw error;
      });
      onProgress?.(digester.size);
    }
    throwIfAborted(signal);
    if (digester.size === 0) throw new EngineError("invalid_argument", "archive is empty");
    await writer.close().catch(() => undefined);
    const ahead = await unpacking;
    try {
      await file.datasync();
    } catch (error) {
      store.layers.discardAhead(ahead);
      throw error;
    }
    return { digest: digester.digest(), size: digester.size, compression: detectCompression(start), ahead };
  } catch (error) {
    await writer.abort(error).catch(() => undefined);
    const ahead = await unpacking.catch(() => undefined);
    if (ahead) store.layers.discardAhead(ahead);
    throw error;
  }
}
