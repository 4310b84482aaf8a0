/** What images take on the disk, each byte below content/ and snapshots/ under one heading. */
import { lstat } from "node:fs/promises";
import { join } from "node:path";
import type { Digest } from "../core/digest.ts";
import { type CountedFiles, countTree, type DiskUsage, namesIn, sum } from "../core/disk-usage.ts";
import { isErrno } from "../core/errors.ts";
import { Usage } from "./collection/usage.ts";
import type { ImageStore } from "./images.ts";
import { containerChains } from "./schema.ts";

export interface CountedUsage extends DiskUsage {
  count: number;
}

export interface StoreUsage {
  /** Blobs of images: compressed layers, manifests, configurations. */
  content: CountedUsage;
  /** Those of images that are not unpacked, which are among the above. */
  contentNotUnpacked: CountedUsage;
  layers: CountedUsage;
  /** Blobs, layers that only a lease holds, and partial downloads: unfinished work. */
  unfinished: CountedUsage;
  /** Blobs and layers that nothing needs: garbage collection removes them. */
  unreferenced: CountedUsage;
  /** Containers' own layers. */
  containers: CountedUsage;
  trash: CountedUsage;
  /** The directories between, index.json, and what belongs to nothing. */
  other: CountedUsage;
}

export interface ImageTotals {
  /** Bytes of all blobs of images and all unpacked layers. */
  totalBytes: number;
  /** What removing every image without a container would free. */
  reclaimableBytes: number;
  activeImages: number;
  images: number;
}

const none = (): CountedUsage => ({ bytes: 0, inodes: 0, count: 0 });

/** By the records, without looking at the layers' files. */
export async function imageTotals(store: ImageStore): Promise<ImageTotals> {
  const { database, usersOf } = store.options;
  const needed = store.records.allContent();
  const blobs = (await store.content.list()).filter(({ digest }) => needed.has(digest));
  const usage = new Usage(database, new Map(blobs.map(({ digest, size }) => [digest, size])));
  const { totalBytes } = usage;
  const rows = store.records.all();
  const unused = rows.filter(({ id }) => (usersOf?.(id) ?? []).length === 0);
  const reclaimableBytes = unused.reduce((bytes, { id }) => bytes + usage.remove(id), 0);
  return { totalBytes, reclaimableBytes, activeImages: rows.length - unused.length, images: rows.length };
}

/** Looks at every file; layers, which do not change, once in a daemon's life. */
export class StoreMeter {
  readonly #store: ImageStore;
  readonly #layers = new Map<string, DiskUsage>();

  constructor(store: ImageStore) {
    this.#store = store;
  }

  async measure(counted: CountedFiles): Promise<StoreUsage> {
    const usage: StoreUsage = {
      content: none(),
      contentNotUnpacked: none(),
      layers: none(),
      unfinished: none(),
      unreferenced: none(),
      containers: none(),
      trash: none(),
      other: none(),
    };
    await this.#measureContent(usage, counted);
    await this.#measureSnapshots(usage, counted);
    return usage;
  }

  async #measureContent(usage: StoreUsage, counted: CountedFiles): Promise<void> {
    const { content, records, leases } = this.#store;
    const needed = records.allContent();
    const notUnpacked = this.#notUnpacked();
    const blobs = new Map((await content.list()).map(({ digest }) => [content.path(digest), digest]));
    for (const directory of ["", "blobs", "ingest", "trash"]) {
      const path = join(content.root, directory);
      add(usage.other, await ownUsage(path), 0);
      for (const name of await namesIn(path)) {
        const child = join(path, name);
        if (directory === "blobs") {
          add(usage.other, await ownUsage(child), 0);
          for (const blob of await namesIn(child)) {
            const digest = blobs.get(join(child, blob));
            const taken = await countTree(join(child, blob), counted);
            if (digest === undefined) add(usage.other, taken);
            else if (needed.has(digest)) {
              add(usage.content, taken);
              if (notUnpacked.has(digest)) add(usage.contentNotUnpacked, taken);
            } else add(leases.holdsContent(digest) ? usage.unfinished : usage.unreferenced, taken);
          }
        } else if (directory === "ingest") add(usage.unfinished, await countTree(child, counted));
        else if (directory === "trash") add(usage.trash, await countTree(child, counted));
        else if (!["blobs", "ingest", "trash"].includes(name)) add(usage.other, await countTree(child, counted));
      }
    }
  }

  async #measureSnapshots(usage: StoreUsage, counted: CountedFiles): Promise<void> {
    const { directories, layers, snapshots, leases } = this.#store;
    const rows = new Map(layers.all().map((row) => [row.directory, row]));
    const own = new Set(snapshots.directoryNames());
    const used = this.#usedLayers();
    for (const name of this.#layers.keys()) if (!rows.has(name)) this.#layers.delete(name);
    add(usage.other, await ownUsage(directories.root), 0);
    for (const name of await namesIn(directories.root)) {
      const path = directories.path(name);
      const row = rows.get(name);
      if (name === "trash") {
        add(usage.other, await ownUsage(path), 0);
        for (const entry of await namesIn(path)) add(usage.trash, await countTree(join(path, entry), counted));
      } else if (row) {
        const part = used.has(row.chainId)
          ? usage.layers
          : leases.holdsChain(row.chainId)
            ? usage.unfinished
            : usage.unreferenced;
        add(part, await this.#layer(name, counted));
      } else if (own.has(name)) add(usage.containers, await countTree(path, counted));
      else
        add(
          directories.isOwn(name) && name !== "empty" ? usage.unfinished : usage.other,
          await countTree(path, counted),
        );
    }
  }

  async #layer(name: string, counted: CountedFiles): Promise<DiskUsage> {
    const known = this.#layers.get(name);
    if (known) return known;
    const usage = await countTree(this.#store.directories.path(name), counted);
    this.#layers.set(name, usage);
    return usage;
  }

  /** Layers that an image or a container stands on. */
  #usedLayers(): Set<Digest> {
    const { layers, records, options } = this.#store;
    const tops = records
      .all()
      .flatMap(({ id }) =>
        records.platforms(id).flatMap(({ chainId, isUnpacked }) => (isUnpacked && chainId ? chainId : [])),
      );
    const containers = options.database.query<{ chain_id: Digest }, []>(containerChains).all();
    const used = new Set<Digest>();
    for (const top of [...tops, ...containers.map(({ chain_id }) => chain_id)]) {
      for (let row = layers.get(top); row && !used.has(row.chainId); row = row.parent && layers.get(row.parent)) {
        used.add(row.chainId);
      }
    }
    return used;
  }

  /** Blobs of images of which no platform is unpacked. */
  #notUnpacked(): Set<Digest> {
    const { records } = this.#store;
    const packed = new Set<Digest>();
    const unpacked = new Set<Digest>();
    for (const { id } of records.all()) {
      const into = records.platforms(id).some(({ isUnpacked }) => isUnpacked) ? unpacked : packed;
      for (const { digest } of records.content(id)) into.add(digest);
    }
    return packed.difference(unpacked);
  }
}

function add(usage: CountedUsage, taken: DiskUsage, count = 1): void {
  Object.assign(usage, sum(usage, taken));
  usage.count += count;
}

/** Of a directory without what is in it. */
async function ownUsage(path: string): Promise<DiskUsage> {
  const status = await lstat(path).catch((error) => {
    if (isErrno(error, "ENOENT")) return undefined;
    throw error;
  });
  return status ? { bytes: status.blocks * 512, inodes: 1 } : { bytes: 0, inodes: 0 };
}
