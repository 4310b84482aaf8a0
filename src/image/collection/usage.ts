/** Who shares what: for each image, what it alone needs, and what would go with it. Read once; it does not follow changes. */
import type { Database } from "bun:sqlite";
import type { Digest } from "../../core/digest.ts";
import { containerChains } from "../schema.ts";

interface LayerNode {
  parent: Digest | undefined;
  bytes: number;
  /** Layers above it, images, containers and leases that stand on it. */
  references: number;
}

interface ImageNode {
  /** The topmost unpacked layer of each platform. */
  tops: Digest[];
  content: Digest[];
}

export class Usage {
  readonly layers = new Map<Digest, LayerNode>();
  readonly #images = new Map<Digest, ImageNode>();
  readonly #contentReferences = new Map<Digest, number>();
  readonly #sizes: ReadonlyMap<Digest, number>;

  /** @param sizes of the blobs that are in the store, in bytes. */
  constructor(database: Database, sizes: ReadonlyMap<Digest, number>) {
    this.#sizes = sizes;
    this.#readLayers(database);
    this.#readImages(database);
    this.#readLeases(database);
  }

  /** Bytes of blobs and unpacked layers that an image has, each once, and of those that it shares with other images. */
  of(id: Digest): { bytes: number; sharedBytes: number } {
    const image = this.#images.get(id) ?? { tops: [], content: [] };
    const chain = this.#chain(image.tops);
    const sum = (digests: Iterable<Digest>, size: (digest: Digest) => number) =>
      [...digests].reduce((total, digest) => total + size(digest), 0);
    const contentSize = (digest: Digest) => this.#sizes.get(digest) ?? 0;
    const layerSize = (chainId: Digest) => this.layers.get(chainId)!.bytes;
    const others = this.#othersLayers(id);
    return {
      bytes: sum(image.content, contentSize) + sum(chain, layerSize),
      sharedBytes:
        sum(
          image.content.filter((digest) => this.#contentReferences.get(digest)! > 1),
          contentSize,
        ) +
        sum(
          [...chain].filter((chainId) => others.has(chainId)),
          layerSize,
        ),
    };
  }

  /** Takes the image out of the account. @returns the bytes that go with it. */
  remove(id: Digest): number {
    const image = this.#images.get(id);
    if (!image) return 0;
    this.#images.delete(id);
    let bytes = 0;
    for (const digest of image.content) {
      const left = this.#contentReferences.get(digest)! - 1;
      this.#contentReferences.set(digest, left);
      if (left === 0) bytes += this.#sizes.get(digest) ?? 0;
    }
    for (const top of image.tops) bytes += this.#release(top);
    return bytes;
  }

  /** Bytes of everything that images share, each once. */
  get totalBytes(): number {
    let bytes = 0;
    for (const { bytes: own } of this.layers.values()) bytes += own;
    for (const size of this.#sizes.values()) bytes += size;
    return bytes;
  }

  #release(chainId: Digest): number {
    const layer = this.layers.get(chainId);
    if (!layer || --layer.references > 0) return 0;
    return layer.bytes + (layer.parent === undefined ? 0 : this.#release(layer.parent));
  }

  #chain(tops: readonly Digest[]): Set<Digest> {
    const chain = new Set<Digest>();
    for (let at of tops as (Digest | undefined)[]) {
      for (; at !== undefined && !chain.has(at); at = this.layers.get(at)?.parent) chain.add(at);
    }
    return chain;
  }

  #othersLayers(id: Digest): Set<Digest> {
    return this.#chain([...this.#images].flatMap(([other, { tops }]) => (other === id ? [] : tops)));
  }

  #readLayers(database: Database): void {
    const rows = database
      .query<{ chain_id: Digest; parent: Digest | null; bytes: number }, []>(
        "SELECT chain_id, parent, bytes FROM layer_snapshots",
      )
      .all();
    for (const { chain_id, parent, bytes } of rows) {
      this.layers.set(chain_id, { parent: parent ?? undefined, bytes, references: 0 });
    }
    for (const { parent } of this.layers.values()) this.#count(parent);
    const containers = database.query<{ chain_id: Digest }, []>(containerChains).all();
    for (const { chain_id } of containers) this.#count(chain_id);
  }

  #readImages(database: Database): void {
    for (const { id } of database.query<{ id: Digest }, []>("SELECT id FROM images").all()) {
      this.#images.set(id, { tops: [], content: [] });
    }
    const tops = database
      .query<{ image_id: Digest; chain_id: Digest }, []>(
        "SELECT image_id, chain_id FROM image_platforms WHERE chain_id IS NOT NULL",
      )
      .all();
    for (const { image_id, chain_id } of tops) {
      this.#images.get(image_id)!.tops.push(chain_id);
      this.#count(chain_id);
    }
    const content = database
      .query<{ image_id: Digest; digest: Digest }, []>("SELECT image_id, digest FROM image_content")
      .all();
    for (const { image_id, digest } of content) {
      this.#images.get(image_id)!.content.push(digest);
      this.#contentReferences.set(digest, (this.#contentReferences.get(digest) ?? 0) + 1);
    }
  }

  #readLeases(database: Database): void {
    const rows = database
      .query<{ kind: "content" | "chain"; name: Digest }, []>("SELECT kind, name FROM lease_resources")
      .all();
    for (const { kind, name } of rows) {
      if (kind === "chain") this.#count(name);
      else this.#contentReferences.set(name, (this.#contentReferences.get(name) ?? 0) + 1);
    }
  }

  #count(chainId: Digest | undefined): void {
    const layer = chainId === undefined ? undefined : this.layers.get(chainId);
    if (layer) layer.references++;
  }
}
