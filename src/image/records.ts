/** The image tables: what is stored about images beside their content. No rules here, only rows. */
import type { Database } from "bun:sqlite";
import type { Digest } from "../core/digest.ts";
import type { Platform } from "../oci/image.ts";

export interface ImageRow {
  id: Digest;
  mediaType: string;
  /** Bytes of the document that `id` is the digest of. */
  size: number;
  lastTaggedAt: string;
  /** Every blob of it is in the store. */
  isStored: boolean;
}

export interface PlatformRow {
  manifestDigest: Digest;
  platform: Platform;
  chainId: Digest | undefined;
  /** Bytes of manifest, configuration and compressed layers. */
  contentBytes: number;
}

export interface ImageCommit extends ImageRow, PlatformRow {
  /** Canonical reference to point at the image. */
  name: string | undefined;
  content: readonly Digest[];
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

  /** Makes an image visible, in one transaction. Another image of that name loses it. */
  commit(image: ImageCommit): void {
    const { platform } = image;
    this.#database.transaction(() => {
      this.#database.run(
        `INSERT INTO images (id, media_type, size, last_tagged_at, is_stored) VALUES (?, ?, ?, ?, ?)
         ON CONFLICT (id) DO UPDATE SET last_tagged_at = excluded.last_tagged_at`,
        [image.id, image.mediaType, image.size, image.lastTaggedAt, Number(image.isStored)],
      );
      this.#database.run(
        `INSERT OR REPLACE INTO image_platforms
           (image_id, manifest_digest, os, architecture, variant, chain_id, content_bytes) VALUES (?, ?, ?, ?, ?, ?, ?)`,
        [
          image.id,
          image.manifestDigest,
          platform.os,
          platform.architecture,
          platform.variant ?? null,
          image.chainId ?? null,
          image.contentBytes,
        ],
      );
      for (const digest of image.content) {
        this.#database.run("INSERT OR IGNORE INTO image_content (image_id, digest) VALUES (?, ?)", [image.id, digest]);
      }
      if (image.name !== undefined) this.#setName(image.name, image.id);
    })();
  }

  setName(name: string, id: Digest, at: string): void {
    this.#database.transaction(() => {
      this.#setName(name, id);
      this.#database.run("UPDATE images SET last_tagged_at = ? WHERE id = ?", [at, id]);
    })();
  }

  removeName(name: string): void {
    this.#database.run("DELETE FROM image_names WHERE name = ?", [name]);
  }

  /** Removes the image and its names. */
  remove(id: Digest): Freed {
    return this.#database.transaction(() => {
      const chains = this.platforms(id).flatMap(({ chainId }) => chainId ?? []);
      const held = this.#content(id);
      this.#database.run("DELETE FROM images WHERE id = ?", [id]);
      return { chains, content: held.filter((digest) => !this.isReferenced(digest)) };
    })();
  }

  /** Removes one platform of an image, and the image with its last one. */
  removePlatform(id: Digest, manifestDigest: Digest): void {
    this.#database.transaction(() => {
      this.#database.run("DELETE FROM image_platforms WHERE image_id = ? AND manifest_digest = ?", [
        id,
        manifestDigest,
      ]);
      if (this.platforms(id).length === 0) this.#database.run("DELETE FROM images WHERE id = ?", [id]);
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
      chain_id: Digest | null;
      content_bytes: number;
    }
    return this.#database
      .query<Row, [string]>("SELECT * FROM image_platforms WHERE image_id = ? ORDER BY rowid")
      .all(id)
      .map((row) => ({
        manifestDigest: row.manifest_digest,
        platform: { os: row.os, architecture: row.architecture, ...(row.variant !== null && { variant: row.variant }) },
        chainId: row.chain_id ?? undefined,
        contentBytes: row.content_bytes,
      }));
  }

  isReferenced(digest: Digest): boolean {
    const query = this.#database.query<unknown, [string]>("SELECT 1 FROM image_content WHERE digest = ? LIMIT 1");
    return query.get(digest) !== null;
  }

  #content(id: Digest): Digest[] {
    return this.#database
      .query<{ digest: Digest }, [string]>("SELECT digest FROM image_content WHERE image_id = ?")
      .all(id)
      .map(({ digest }) => digest);
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
        isStored: row.is_stored === 1,
      }));
  }
}
