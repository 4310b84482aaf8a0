/** The image tables: what is stored about images beside their content. No rules here, only rows. */
import type { Database } from "bun:sqlite";
import { withoutSync } from "../core/database.ts";
import type { Digest } from "../core/digest.ts";
import type { Platform } from "../oci/image.ts";

/** Where an image came from: what came from a registry can be fetched again. */
export type ImageOrigin = "pull" | "load" | "import" | "commit" | "made";

export interface ImageRow {
  id: Digest;
  mediaType: string;
  /** Bytes of the document that `id` is the digest of. */
  size: number;
  lastTaggedAt: string;
  /** When it was last pulled, tagged, pushed, saved, or a container of it created or started. ISO 8601. */
  lastUsedAt: string;
  origin: ImageOrigin;
  /** Every blob of it is in the store. */
  isStored: boolean;
}

export interface PlatformRow {
  manifestDigest: Digest;
  platform: Platform;
  /** Chain id of the last layer, unpacked or not; undefined without layers. */
  chainId: Digest | undefined;
  /** Its layers are unpacked, and stay so for as long as the row is there. */
  isUnpacked: boolean;
  /** Bytes of manifest, configuration and compressed layers. */
  contentBytes: number;
}

export interface StoredContent {
  digest: Digest;
  size: number;
}

export interface ImageCommit extends Omit<ImageRow, "lastUsedAt"> {
  /** Canonical reference to point at the image. */
  name: string | undefined;
  platforms: readonly PlatformRow[];
  content: readonly StoredContent[];
}

/** What an image held that may be needed by nobody now. */
export interface Freed {
  content: Digest[];
  chains: Digest[];
}

export class ImageRecords {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  /** Changes that are made all or none. */
  together(change: () => void): void {
    this.#database.transaction(change)();
  }

  /**
   * Makes an image visible, or what is added to one, in one transaction. Another image of that name loses it. One that
   * was pulled once stays one that can be fetched again.
   */
  commit(image: ImageCommit): void {
    const { id, lastTaggedAt } = image;
    this.#database.transaction(() => {
      this.#database.run(
        `INSERT INTO images (id, media_type, size, last_tagged_at, last_used_at, is_stored, origin)
         VALUES (?, ?, ?, ?, ?, ?, ?)
         ON CONFLICT (id) DO UPDATE SET last_tagged_at = excluded.last_tagged_at, last_used_at = excluded.last_used_at,
           is_stored = excluded.is_stored, origin = CASE origin WHEN 'pull' THEN 'pull' ELSE excluded.origin END`,
        [id, image.mediaType, image.size, lastTaggedAt, lastTaggedAt, Number(image.isStored), image.origin],
      );
      for (const row of image.platforms) this.#setPlatform(id, row);
      for (const { digest, size } of image.content) {
        this.#database.run("INSERT OR REPLACE INTO image_content (image_id, digest, size) VALUES (?, ?, ?)", [
          id,
          digest,
          size,
        ]);
      }
      if (image.name !== undefined) this.#setName(image.name, id);
    })();
  }

  /** Says that the chain's layers are unpacked, of whatever image they are. */
  setUnpacked(chainId: Digest): void {
    this.#database.run("UPDATE image_platforms SET chain_id = top_chain WHERE top_chain = ?", [chainId]);
  }

  /** Whether every blob of it is in the store. */
  setStored(id: Digest, isStored: boolean): void {
    this.#database.run("UPDATE images SET is_stored = ? WHERE id = ?", [Number(isStored), id]);
  }

  /** Does not wait for the disk: what is lost with the power is a recent use. */
  setUsed(id: string, at: string): void {
    withoutSync(this.#database, () => this.#database.run("UPDATE images SET last_used_at = ? WHERE id = ?", [at, id]));
  }

  setName(name: string, id: Digest, at: string): void {
    this.#database.transaction(() => {
      this.#setName(name, id);
      this.#database.run("UPDATE images SET last_tagged_at = ?, last_used_at = ? WHERE id = ?", [at, at, id]);
    })();
  }

  removeName(name: string): void {
    this.#database.run("DELETE FROM image_names WHERE name = ?", [name]);
  }

  /** Removes the image and its names. */
  remove(id: Digest): Freed {
    return this.#database.transaction(() => {
      const chains = this.platforms(id).flatMap(({ chainId }) => chainId ?? []);
      const held = this.content(id).map(({ digest }) => digest);
      this.#database.run("DELETE FROM images WHERE id = ?", [id]);
      return { chains, content: held.filter((digest) => !this.isReferenced(digest)) };
    })();
  }

  /** Removes one platform of an image that has others, with the content that is its alone. */
  removePlatform(id: Digest, { manifestDigest, chainId }: PlatformRow, content: readonly Digest[]): Freed {
    return this.#database.transaction(() => {
      const row = [id, manifestDigest];
      this.#database.run("DELETE FROM image_platforms WHERE image_id = ? AND manifest_digest = ?", row);
      for (const digest of content) {
        this.#database.run("DELETE FROM image_content WHERE image_id = ? AND digest = ?", [id, digest]);
      }
      return { chains: chainId === undefined ? [] : [chainId], content: [...content] };
    })();
  }

  /**
   * One platform of an image is damaged. An image without a platform is incomplete: nobody sees it, but it keeps its
   * names and what is left of its content, so that the next pull fetches only what is missing.
   */
  losePlatform(id: Digest, manifestDigest: Digest): void {
    this.#database.transaction(() => {
      this.#database.run("DELETE FROM image_platforms WHERE image_id = ? AND manifest_digest = ?", [
        id,
        manifestDigest,
      ]);
      this.setStored(id, false);
    })();
  }

  get(id: Digest): ImageRow | undefined {
    return this.#rows("SELECT * FROM images WHERE id = $value", id)[0];
  }

  all(): ImageRow[] {
    return this.#rows("SELECT * FROM images WHERE $value = '' ORDER BY last_tagged_at DESC, id", "");
  }

  byName(name: string): ImageRow | undefined {
    const query = "SELECT images.* FROM images JOIN image_names ON image_id = id WHERE name = $value";
    return this.#rows(query, name)[0];
  }

  /** At most two: more than one is all that matters. */
  byIdPrefix(prefix: string): ImageRow[] {
    return this.#rows("SELECT * FROM images WHERE substr(id, 1, length($value)) = $value LIMIT 2", prefix);
  }

  names(id: Digest): string[] {
    return this.#database
      .query<{ name: string }, [string]>("SELECT name FROM image_names WHERE image_id = ? ORDER BY name")
      .all(id)
      .map(({ name }) => name);
  }

  platforms(id: Digest): PlatformRow[] {
    interface Row {
      manifest_digest: Digest;
      os: string;
      architecture: string;
      variant: string | null;
      os_version: string | null;
      chain_id: Digest | null;
      top_chain: Digest | null;
      content_bytes: number;
    }
    return this.#database
      .query<Row, [string]>("SELECT * FROM image_platforms WHERE image_id = ? ORDER BY rowid")
      .all(id)
      .map((row) => ({
        manifestDigest: row.manifest_digest,
        platform: {
          os: row.os,
          architecture: row.architecture,
          ...(row.variant !== null && { variant: row.variant }),
          ...(row.os_version !== null && { "os.version": row.os_version }),
        },
        chainId: row.top_chain ?? undefined,
        isUnpacked: row.chain_id === row.top_chain,
        contentBytes: row.content_bytes,
      }));
  }

  isReferenced(digest: Digest): boolean {
    const query = this.#database.query<unknown, [string]>("SELECT 1 FROM image_content WHERE digest = ? LIMIT 1");
    return query.get(digest) !== null;
  }

  /** The blobs that were stored for an image. The size is unknown only until a daemon's start has filled it in. */
  content(id: Digest): { digest: Digest; size: number | undefined }[] {
    return this.#database
      .query<{ digest: Digest; size: number | null }, [string]>(
        "SELECT digest, size FROM image_content WHERE image_id = ? ORDER BY rowid",
      )
      .all(id)
      .map(({ digest, size }) => ({ digest, size: size ?? undefined }));
  }

  /** The registry has it under that repository, as was seen: it was pulled from there, or pushed. */
  addSource(id: Digest, repository: string): void {
    this.#database.run("INSERT OR IGNORE INTO image_sources (image_id, repository) VALUES (?, ?)", [id, repository]);
  }

  /** Repositories that images with that blob were pulled from or pushed to, the newest first. */
  blobSources(digest: Digest): string[] {
    return this.#database
      .query<{ repository: string }, [string]>(
        `SELECT DISTINCT repository FROM image_content JOIN image_sources USING (image_id) WHERE digest = ?
         ORDER BY image_sources.rowid DESC`,
      )
      .all(digest)
      .map(({ repository }) => repository);
  }

  sources(id: Digest): string[] {
    return this.#database
      .query<{ repository: string }, [string]>("SELECT repository FROM image_sources WHERE image_id = ? ORDER BY rowid")
      .all(id)
      .map(({ repository }) => repository);
  }

  imagesWith(digest: Digest): Digest[] {
    return this.#database
      .query<{ image_id: Digest }, [string]>("SELECT image_id FROM image_content WHERE digest = ? ORDER BY image_id")
      .all(digest)
      .map(({ image_id }) => image_id);
  }

  /** The blob is lost; the image waits for a pull to bring it back. */
  forgetContent(id: Digest, digest: Digest): void {
    this.#database.run("DELETE FROM image_content WHERE image_id = ? AND digest = ?", [id, digest]);
  }

  /** Fills in what an earlier version did not store. */
  setSize({ digest, size }: StoredContent): void {
    this.#database.run("UPDATE image_content SET size = ? WHERE digest = ? AND size IS NULL", [size, digest]);
  }

  /** Every blob that some image has, with the size that it must have. */
  allContent(): Map<Digest, number | undefined> {
    return new Map(
      this.#database
        .query<{ digest: Digest; size: number | null }, []>(
          "SELECT digest, max(size) AS size FROM image_content GROUP BY digest",
        )
        .all()
        .map(({ digest, size }) => [digest, size ?? undefined]),
    );
  }

  #setPlatform(id: Digest, row: PlatformRow): void {
    const { manifestDigest, platform, chainId, isUnpacked, contentBytes } = row;
    this.#database.run(
      `INSERT INTO image_platforms
         (image_id, manifest_digest, os, architecture, variant, os_version, top_chain, chain_id, content_bytes)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
       ON CONFLICT (image_id, manifest_digest) DO UPDATE SET os = excluded.os, architecture = excluded.architecture,
         variant = excluded.variant, os_version = excluded.os_version, chain_id = coalesce(excluded.chain_id, chain_id),
         content_bytes = excluded.content_bytes`,
      [
        id,
        manifestDigest,
        platform.os,
        platform.architecture,
        platform.variant ?? null,
        platform["os.version"] ?? null,
        chainId ?? null,
        (isUnpacked ? chainId : undefined) ?? null,
        contentBytes,
      ],
    );
  }

  #setName(name: string, id: Digest): void {
    this.#database.run("INSERT OR REPLACE INTO image_names (name, image_id) VALUES (?, ?)", [name, id]);
  }

  #rows(sql: string, value: string): ImageRow[] {
    interface Row {
      id: Digest;
      media_type: string;
      size: number;
      last_tagged_at: string;
      last_used_at: string;
      origin: ImageOrigin;
      is_stored: number;
    }
    return this.#database
      .query<Row, { value: string }>(sql)
      .all({ value })
      .map((row) => ({
        id: row.id,
        mediaType: row.media_type,
        size: row.size,
        lastTaggedAt: row.last_tagged_at,
        lastUsedAt: row.last_used_at,
        origin: row.origin,
        isStored: row.is_stored === 1,
      }));
  }
}
