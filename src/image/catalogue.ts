/** Images as the rest of the engine sees them, put together from rows and stored documents. */
import type { Digest } from "../core/digest.ts";
import { EngineError, isEngineError } from "../core/errors.ts";
import { log } from "../core/log.ts";
import { type ImageConfig, type ImageManifest, type Platform, parseImageConfig, parseManifest } from "../oci/image.ts";
import type { NamedContent } from "./content/layout.ts";
import type { ContentStore } from "./content/store.ts";
import type { Image, ImageSummary } from "./image.ts";
import { hostPlatform, satisfies } from "./platform.ts";
import type { RecordedPlatform } from "./record.ts";
import type { ImageRecords, ImageRow, PlatformRow } from "./records.ts";
import { familiarName, familiarReference, parseReference } from "./reference.ts";
import { chainIds, type Layers } from "./snapshot/layers.ts";

export interface Documents {
  manifest: ImageManifest;
  config: ImageConfig;
}

/**
 * Manifests are immutable and are kept parsed: a list reads one of every image, and would read them all from the disk
 * again where there are more than are kept. One takes some 10 kB.
 */
const cachedMax = 512;

export class ImageCatalogue {
  readonly #content: ContentStore;
  readonly #layers: Layers;
  readonly #records: ImageRecords;
  readonly #documents = new Map<Digest, Documents>();

  constructor(content: ContentStore, layers: Layers, records: ImageRecords) {
    this.#content = content;
    this.#layers = layers;
    this.#records = records;
  }

  /** The platform that fits, or without one asked for, that fits best. */
  select(id: Digest, platform: Platform | undefined): Image | undefined {
    const row = this.#records.get(id);
    if (!row) return undefined;
    const platforms = this.#records.platforms(id).filter(({ manifestDigest }) => this.readable(manifestDigest));
    const wanted = platform ?? hostPlatform();
    const fitting = platforms.find((candidate) => satisfies(candidate.platform, wanted));
    const chosen = fitting ?? (platform === undefined ? platforms[0] : undefined);
    return chosen && this.#image(row, chosen);
  }

  /** @throws EngineError not_found. */
  load(id: Digest, manifestDigest: Digest): Image {
    const row = this.#records.get(id);
    const platform = this.#records.platforms(id).find((candidate) => candidate.manifestDigest === manifestDigest);
    if (!row || !platform) throw new EngineError("not_found", `No such image: ${id}`);
    return this.#image(row, platform);
  }

  list(): ImageSummary[] {
    return this.#records.all().flatMap((row) => {
      const image = this.select(row.id, undefined);
      return image ? [this.#summary(image)] : [];
    });
  }

  /** Of the platform that is looked at without another wish, with the sizes of all. */
  #summary(image: Image): ImageSummary {
    const references = image.names.map((name) => parseReference(name));
    const repositories = new Set(references.map(familiarName));
    const platforms = this.#records.platforms(image.id);
    const layers = platforms.flatMap(({ chainId, isUnpacked }) =>
      chainId === undefined || !isUnpacked ? [] : this.#layers.chain(chainId),
    );
    const bytes = [...platforms.map(({ contentBytes }) => contentBytes), ...layers.map((layer) => layer.bytes)];
    return {
      id: image.id,
      repoTags: references.filter(({ tag }) => tag !== undefined).map(familiarReference),
      repoDigests: [...repositories].map((name) => `${name}@${image.id}`),
      manifestDigest: image.manifestDigest,
      mediaType: image.mediaType,
      documentBytes: image.documentBytes,
      platform: image.platform,
      sizeBytes: bytes.reduce((sum, size) => sum + size, 0),
      layers,
      createdAt: image.createdAt,
      labels: image.config.config?.Labels ?? {},
    };
  }

  /** What other tools can read: images all of whose content is stored. */
  published(): NamedContent[] {
    return this.#records.all().flatMap(({ id: digest, mediaType, size, isStored }): NamedContent[] => {
      if (!isStored) return [];
      const names: (string | undefined)[] = this.#records.names(digest);
      return (names.length > 0 ? names : [undefined]).map((name) => ({ name, mediaType, digest, size }));
    });
  }

  /** The row of one manifest whose content is here. @throws EngineError internal when it is said to be unpacked and is not. */
  platformRow({ manifestDigest, platform, diffIds, isUnpacked }: RecordedPlatform): PlatformRow {
    const chainId = chainIds(diffIds).at(-1);
    const isThere = chainId === undefined || this.#layers.get(chainId) !== undefined;
    if (isUnpacked && !isThere) {
      throw new EngineError("internal", `manifest ${manifestDigest}: layer ${chainId} is not unpacked`);
    }
    const { manifest } = this.documents(manifestDigest);
    const blobs = [manifest.config, ...manifest.layers];
    const contentBytes = blobs.reduce((sum, { size }) => sum + size, this.#content.size(manifestDigest) ?? 0);
    return { manifestDigest, platform, chainId, isUnpacked: isThere, contentBytes };
  }

  /** Is every blob of the image's manifests in the store? */
  isStored(platforms: readonly Pick<PlatformRow, "manifestDigest">[]): boolean {
    return platforms.every(({ manifestDigest }) => {
      if (!this.#content.has(manifestDigest)) return false;
      const documents = this.readable(manifestDigest);
      if (documents === undefined) return false;
      const { config, layers } = documents.manifest;
      return [config, ...layers].every(({ digest, size }) => this.#content.has(digest, size));
    });
  }

  #image(row: ImageRow, platform: PlatformRow): Image {
    const { manifest, config } = this.documents(platform.manifestDigest);
    const { chainId, isUnpacked } = platform;
    const chain = chainId === undefined || !isUnpacked ? [] : this.#layers.chain(chainId);
    const unpackedBytes = chain.reduce((sum, layer) => sum + layer.bytes, 0);
    return {
      id: row.id,
      names: this.#records.names(row.id),
      manifestDigest: platform.manifestDigest,
      mediaType: row.mediaType,
      documentBytes: row.size,
      manifest,
      configDigest: manifest.config.digest,
      config,
      platform: platform.platform,
      chainId,
      isUnpacked,
      sizeBytes: platform.contentBytes + unpackedBytes,
      unpackedBytes,
      createdAt: config.created ?? undefined,
      lastTaggedAt: row.lastTaggedAt,
      lastUsedAt: row.lastUsedAt,
    };
  }

  /** Manifest and configuration; undefined when the store lost them. */
  readable(manifestDigest: Digest): Documents | undefined {
    try {
      return this.documents(manifestDigest);
    } catch (error) {
      if (!isEngineError(error, "corrupt") && !isEngineError(error, "not_found")) throw error;
      log("warn", "manifest cannot be read", { manifest: manifestDigest, error: error.message });
      return undefined;
    }
  }

  /** @throws EngineError not_found, corrupt when the store lost them. */
  documents(manifestDigest: Digest): Documents {
    const cached = this.#documents.get(manifestDigest);
    if (cached) return cached;
    const name = `manifest ${manifestDigest}`;
    const bytes = this.#content.read(manifestDigest);
    // Stored under its digest, it is what was verified when it was fetched: of these two types it can say which.
    const own = (JSON.parse(Buffer.from(bytes).toString()) as { mediaType?: string }).mediaType;
    const document = parseManifest(bytes, own ?? "application/vnd.oci.image.manifest.v1+json", name);
    if (document.kind !== "manifest") throw new EngineError("corrupt", `${name} is an index`);
    const { digest } = document.manifest.config;
    const documents = {
      manifest: document.manifest,
      config: parseImageConfig(this.#content.read(digest), `configuration ${digest}`),
    };
    this.#documents.set(manifestDigest, documents);
    if (this.#documents.size > cachedMax) this.#documents.delete(this.#documents.keys().next().value!);
    return documents;
  }
}
