/**
 * Unpacked layers, one directory a layer, shared between images: the key is the chain id, which says what lies below
 * as well (image specification, config.md "Layer ChainID").
 */
import type { Database } from "bun:sqlite";
import { withoutSync } from "../../core/database.ts";
import { type Digest, digestAlgorithm, digestHex, digestOf } from "../../core/digest.ts";
import { EngineError, errorMessage, isEngineError, wrapError } from "../../core/errors.ts";
import type { GrowingBlob } from "../content/ingest.ts";
import type { GroupSync } from "../group-sync.ts";
import type { Leases } from "../leases.ts";
import { SharedWork, Slots } from "../shared-work.ts";
import { Feeding } from "../unpack/feeding.ts";
import type { UnpackLimits, UnpackReport } from "../unpack/protocol.ts";
import { type UnpackOptions, type UnpackProgram, unpackLayer } from "../unpack/unpacker.ts";
import type { SnapshotDirectories } from "./directories.ts";
import { settleLayer } from "./settle.ts";

export interface LayerSource {
  diffId: Digest;
  /** Of the archive, as its manifest names it: errors say it. */
  digest?: Digest;
  /** It need not be unpacked again. */
  ahead?: UnpackedAhead | undefined;
  /**
   * Makes the compressed layer available and says where it is. It is only asked for when the layer has to be unpacked.
   */
  fetch(signal: AbortSignal, emit: (event: LayerEvent) => void): Promise<LayerArchive>;
}

/** A compressed layer: a file, a file that grows, or its bytes as they are made. */
export type LayerArchive = { path: string } | GrowingLayer | ReadableStream<Uint8Array>;

export interface GrowingLayer {
  blob: GrowingBlob;
  /** When it is whole, verified and stored: where it is. Rejects when it cannot be fetched. */
  stored: Promise<{ path: string }>;
}

/** Unpacked before it was known what the layer is: of its archive only the digest is known, and not what lies below. */
export interface UnpackedAhead {
  /** Of its directory, which is nobody's yet. */
  name: string;
  report: UnpackReport;
}

export type LayerEvent =
  | { step: "waiting" }
  | { step: "downloading"; bytes: number }
  | { step: "verifying" }
  | { step: "downloaded" }
  | { step: "extracting"; bytes: number };

export interface LayerRow {
  chainId: Digest;
  parent: Digest | undefined;
  directory: string;
  bytes: number;
}

export interface LayersOptions {
  database: Database;
  directories: SnapshotDirectories;
  leases: Leases;
  sync: GroupSync;
  limits: UnpackLimits;
  /** What unpacks layers; its default is this executable. */
  unpackProgram?: UnpackProgram | undefined;
}

/** Unpacking is bound by the processor: more children than this would only take turns, and 70 MB each. */
const unpackedAtOnce = 2;
/** With those that wait for the network: one more than there are downloads at once. */
const childrenMax = 4;

/** The chain ids of all layers from the bottom up. */
export function chainIds(diffIds: readonly Digest[]): Digest[] {
  const chain: Digest[] = [];
  for (const diffId of diffIds) {
    const below = chain.at(-1);
    chain.push(below === undefined ? diffId : digestOf(`${below} ${diffId}`, digestAlgorithm(diffId)));
  }
  return chain;
}

export class Layers {
  readonly #options: LayersOptions;
  readonly #shared = new SharedWork<LayerEvent, LayerRow>();
  readonly #slots = new Slots(unpackedAtOnce);
  readonly #children = new Slots(childrenMax);

  constructor(options: LayersOptions) {
    this.#options = options;
  }

  /** The layer's row, when it is unpacked. */
  get(chainId: Digest): LayerRow | undefined {
    const row = this.#options.database
      .query<{ parent: Digest | null; directory: string; bytes: number }, [string]>(
        "SELECT parent, directory, bytes FROM layer_snapshots WHERE chain_id = ?",
      )
      .get(chainId);
    return row ? { chainId, parent: row.parent ?? undefined, directory: row.directory, bytes: row.bytes } : undefined;
  }

  /** The layer's row, when it is unpacked and its files are there. */
  whole(chainId: Digest): LayerRow | undefined {
    const row = this.get(chainId);
    return row && this.#options.directories.has(row.directory) ? row : undefined;
  }

  /** The layer and all below it, top first. @throws EngineError corrupt when one is missing. */
  chain(top: Digest): LayerRow[] {
    interface Row {
      chain_id: Digest;
      parent: Digest | null;
      directory: string;
      bytes: number;
    }
    // One query for all: a list of images asks for the chain of each.
    const rows = this.#options.database
      .query<Row, [string]>(
        `WITH RECURSIVE chain (chain_id, parent, directory, bytes, depth) AS (
           SELECT chain_id, parent, directory, bytes, 0 FROM layer_snapshots WHERE chain_id = ?
           UNION ALL
           SELECT below.chain_id, below.parent, below.directory, below.bytes, depth + 1
             FROM layer_snapshots AS below JOIN chain ON below.chain_id = chain.parent)
         SELECT chain_id, parent, directory, bytes FROM chain ORDER BY depth`,
      )
      .all(top);
    const missing = rows.length === 0 ? top : rows.at(-1)!.parent;
    if (missing !== null) throw new EngineError("corrupt", `layer ${missing} is not unpacked`);
    return rows.map(({ chain_id, parent, directory, bytes }) => {
      return { chainId: chain_id, parent: parent ?? undefined, directory, bytes };
    });
  }

  /** The `fs` directories of a chain, top first. */
  paths(top: Digest): string[] {
    return this.chain(top).map(({ directory }) => this.#filesPath(directory));
  }

  /**
   * Unpacks the last of these layers, and those below it, unless they are. Layers are fetched and unpacked side by
   * side; each becomes visible only after the one below it.
   * @param sources from the bottom up. @param onEvent told about the last layer alone.
   */
  async ensure(
    sources: readonly LayerSource[],
    options: { signal?: AbortSignal | undefined; onEvent?: (event: LayerEvent) => void } = {},
  ): Promise<LayerRow> {
    const chain = chainIds(sources.map(({ diffId }) => diffId));
    const chainId = chain.at(-1);
    if (chainId === undefined) throw new EngineError("internal", "an image without layers has none to unpack");
    for (;;) {
      const whole = this.whole(chainId);
      if (whole !== undefined) return whole;
      let isOwn = false;
      const make = (signal: AbortSignal, emit: (event: LayerEvent) => void) => {
        isOwn = true;
        return this.#make(chain, sources, signal, emit);
      };
      try {
        return await this.#shared.join(chainId, make, options);
      } catch (error) {
        // It was fetched from elsewhere, or as somebody else: that this failed says nothing of the caller's own sources.
        if (isOwn || options.signal?.aborted || isEngineError(error, "no_space")) throw error;
      }
    }
  }

  /**
   * Unpacks a layer of which nothing is known but its archive. What nobody makes use of by `ensure` is to be discarded.
   * @throws as unpackLayer.
   */
  async unpackAhead(
    archive: { path: string } | ReadableStream<Uint8Array>,
    signal: AbortSignal,
  ): Promise<UnpackedAhead> {
    const unpack = () => this.#unpackInto({ signal }, archive);
    // A stream is read by whoever makes it: it must not wait for its turn.
    return archive instanceof ReadableStream ? unpack() : this.#slots.run(unpack, { signal });
  }

  discardAhead({ name }: UnpackedAhead): void {
    this.#options.directories.discard(name);
  }

  /** Records a finished directory as a layer with nothing below it. If there is one already, that one stays. */
  async adopt(partial: string, diffId: Digest, bytes: number): Promise<LayerRow> {
    const known = this.get(diffId);
    if (known && this.#options.directories.has(known.directory)) {
      this.#options.directories.discard(partial);
      return known;
    }
    await this.#options.sync.sync();
    return this.#finish(partial, { chainId: diffId, parent: undefined, bytes }, diffId);
  }

  /**
   * Removes layers of these chains that no image, no container, no lease and no other layer needs any more.
   * @returns the chain ids that went, top first.
   */
  collect(tops: Iterable<Digest>): Digest[] {
    const removed: Digest[] = [];
    for (const top of tops) {
      let row = this.get(top);
      while (row && this.removeUnused(row.chainId)) {
        removed.push(row.chainId);
        row = row.parent && this.get(row.parent);
      }
    }
    return removed;
  }

  /** Removes a layer unless something needs it, and says whether it did. */
  removeUnused(chainId: Digest): boolean {
    const row = this.get(chainId);
    if (!row || !this.#isUnused(chainId)) return false;
    this.#options.database.run("DELETE FROM layer_snapshots WHERE chain_id = ?", [chainId]);
    this.#options.directories.discard(row.directory);
    return true;
  }

  all(): LayerRow[] {
    return this.#options.database
      .query<{ chain_id: Digest }, []>("SELECT chain_id FROM layer_snapshots")
      .all()
      .map(({ chain_id }) => this.get(chain_id)!);
  }

  directoryNames(): string[] {
    return this.#options.database
      .query<{ directory: string }, []>("SELECT directory FROM layer_snapshots")
      .all()
      .map(({ directory }) => directory);
  }

  /** Unpacks a damaged layer again, in the place where its row says that it is. */
  async restore(row: LayerRow, source: LayerSource): Promise<void> {
    // A pull may be at the same: one of them does it.
    await this.#shared.join(row.chainId, async (signal, emit) => {
      const whole = this.whole(row.chainId);
      if (whole !== undefined) return whole;
      const partial = await this.#unpack(source, row.parent, signal, emit);
      let restored = row;
      await this.#options.directories.finish(partial.name, (directory) => {
        restored = { ...row, directory };
        const sql = "UPDATE layer_snapshots SET directory = ? WHERE chain_id = ?";
        return this.#options.database.run(sql, [directory, row.chainId]).changes > 0;
      });
      this.#options.directories.discard(row.directory);
      return restored;
    });
  }

  #isUnused(chainId: Digest): boolean {
    if (this.#options.leases.holdsChain(chainId)) return false;
    const users = this.#options.database
      .query<{ count: number }, { id: string }>(
        `SELECT (SELECT count(*) FROM layer_snapshots WHERE parent = $id)
              + (SELECT count(*) FROM image_platforms WHERE chain_id = $id)
              + (SELECT count(*) FROM container_snapshots WHERE chain_id = $id)
              + (SELECT count(*) FROM mounted_layers WHERE chain_id = $id) AS count`,
      )
      .get({ id: chainId });
    return users?.count === 0;
  }

  async #make(
    chain: readonly Digest[],
    sources: readonly LayerSource[],
    signal: AbortSignal,
    emit: (event: LayerEvent) => void,
  ): Promise<LayerRow> {
    const chainId = chain.at(-1)!;
    const source = sources.at(-1)!;
    const done = this.whole(chainId);
    if (done) return done;
    // As a caller of its own: this layer outlives whoever asked for it first, and so must what it stands on.
    const failed = new AbortController();
    const joined = AbortSignal.any([signal, failed.signal]);
    const below = sources.length > 1 ? this.ensure(sources.slice(0, -1), { signal: joined }) : undefined;
    below?.catch(() => undefined); // looked at in its turn
    const parent = chain.at(-2);
    let partial: { name: string; bytes: number };
    try {
      partial = await this.#unpack(source, parent, signal, emit, below);
    } catch (error) {
      failed.abort();
      await below?.catch(() => undefined);
      throw error;
    }
    return this.#finish(partial.name, { chainId, parent, bytes: partial.bytes }, source.diffId);
  }

  /** Makes a layer of a partial directory that is on the disk. */
  async #finish(partial: string, layer: Omit<LayerRow, "directory">, diffId: Digest): Promise<LayerRow> {
    const row: LayerRow = { ...layer, directory: "" };
    await this.#options.directories.finish(partial, (directory) => {
      row.directory = directory;
      this.#record(row, diffId);
      return true;
    });
    return row;
  }

  #record({ chainId, parent, directory, bytes }: LayerRow, diffId: Digest): void {
    // It means nothing without the image's record, which waits for the disk; and the event loop should not, each time.
    withoutSync(this.#options.database, () =>
      this.#options.database.run(
        `INSERT INTO layer_snapshots (chain_id, parent, diff_id, directory, bytes, created_at) VALUES (?, ?, ?, ?, ?, ?)
         ON CONFLICT (chain_id) DO UPDATE SET directory = excluded.directory`,
        [chainId, parent ?? null, diffId, directory, bytes, new Date().toISOString()],
      ),
    );
  }

  /** @returns a partial directory that is as it is to be, and on the disk. */
  async #unpack(
    source: LayerSource,
    parent: Digest | undefined,
    signal: AbortSignal,
    emit: (event: LayerEvent) => void,
    below?: Promise<LayerRow>,
  ): Promise<{ name: string; bytes: number }> {
    const { directories, sync } = this.#options;
    const failed = new AbortController();
    const inner = AbortSignal.any([signal, failed.signal]);
    let unpacked = source.ahead;
    let stored: Promise<unknown> | undefined;
    try {
      if (unpacked === undefined) {
        const layer = await source.fetch(inner, emit);
        if ("stored" in layer) stored = layer.stored;
        unpacked = await this.#unpackArchive(source.diffId, layer, inner, emit);
      }
      const { name, report } = unpacked;
      await below;
      const lower = parent === undefined ? [] : this.paths(parent);
      const copied = await settleLayer(this.#filesPath(name), lower, report);
      // Renaming makes a directory's name durable, not what is in it: everything must be on the disk before the
      // database says that the snapshot is there.
      await Promise.all([sync.sync(), stored]);
      return { name, bytes: report.bytes + copied };
    } catch (error) {
      failed.abort();
      if (unpacked !== undefined) directories.discard(unpacked.name);
      // Nothing of it goes on behind the caller's back.
      await stored?.catch(() => undefined);
      throw failedLayer(error, source.digest);
    }
  }

  async #unpackArchive(
    diffId: Digest,
    layer: LayerArchive,
    signal: AbortSignal,
    emit: (event: LayerEvent) => void,
  ): Promise<UnpackedAhead> {
    const onProgress = (bytes: number) => emit({ step: "extracting", bytes });
    if (!("stored" in layer)) {
      return this.#slots.run(() => this.#unpackInto({ diffId, signal, onProgress }, layer), { signal });
    }
    const { blob, stored } = layer;
    const { generation } = blob;
    try {
      return await this.#unpackGrowing(diffId, layer, signal, onProgress);
    } catch (error) {
      if (isEngineError(error, "no_space")) throw error;
      // Of bytes that turn out to be wrong nothing else needs to be said.
      const whole = await stored;
      if (blob.generation === generation) throw error;
      return this.#slots.run(() => this.#unpackInto({ diffId, signal, onProgress }, whole), { signal });
    }
  }

  async #unpackGrowing(
    diffId: Digest,
    { blob, stored }: GrowingLayer,
    signal: AbortSignal,
    onProgress: (bytes: number) => void,
  ): Promise<UnpackedAhead> {
    const given = new AbortController();
    let isStored = false;
    stored.then(
      () => {
        isStored = true;
      },
      () => given.abort(),
    );
    const inner = AbortSignal.any([signal, given.signal]);
    using feeding = new Feeding(blob, this.#slots, inner);
    // What waits for its first bytes needs no child yet, and must not keep others from theirs.
    await feeding.fed();
    using _child = await this.#children.take({ signal: inner });
    await feeding.ready();
    // While it is still fetched that is what is told.
    const tell = (bytes: number) => isStored && onProgress(bytes);
    return await this.#unpackInto({ diffId, signal: inner, onProgress: tell }, { blob, feeding });
  }

  async #unpackInto(
    options: { diffId?: Digest; signal: AbortSignal; onProgress?: (bytes: number) => void },
    source: UnpackOptions["source"],
  ): Promise<UnpackedAhead> {
    const { directories, limits, unpackProgram: program } = this.#options;
    const { diffId, ...others } = options;
    const name = directories.makePartial();
    try {
      const request = { target: this.#filesPath(name), form: "overlay", diffId, limits } as const;
      return { name, report: await unpackLayer(request, { source, program, ...others }) };
    } catch (error) {
      directories.discard(name);
      throw error;
    }
  }

  #filesPath(directory: string): string {
    return `${this.#options.directories.path(directory)}/fs`;
  }
}

/** With the layer's name, unless it is there already, as that of a blob which could not be fetched. */
function failedLayer(error: unknown, digest: Digest | undefined): unknown {
  if (digest === undefined || isEngineError(error, "cancelled")) return error;
  return errorMessage(error).includes(digestHex(digest).slice(0, 12)) ? error : wrapError(error, `layer ${digest}`);
}
