/** The image part's tables in metadata.db. */
import type { Schema } from "../core/database.ts";

export const imageSchema: Schema = {
  part: "image",
  steps: [
    `
    -- Unpacked layers, shared between images. A row says: its directory is whole and on the disk.
    CREATE TABLE layer_snapshots (
      chain_id TEXT PRIMARY KEY,
      parent TEXT REFERENCES layer_snapshots (chain_id),
      diff_id TEXT NOT NULL,
      directory TEXT NOT NULL UNIQUE,
      bytes INTEGER NOT NULL,
      created_at TEXT NOT NULL
    ) STRICT;
    CREATE INDEX layer_snapshots_parent ON layer_snapshots (parent);

    -- Containers' own layers. The reference keeps the layers below for as long as the container exists.
    CREATE TABLE container_snapshots (
      key TEXT PRIMARY KEY,
      chain_id TEXT REFERENCES layer_snapshots (chain_id),
      directory TEXT NOT NULL UNIQUE,
      created_at TEXT NOT NULL
    ) STRICT;
    CREATE INDEX container_snapshots_chain ON container_snapshots (chain_id);

    -- id: digest of the manifest, or of the index where the registry has one (as Docker 29).
    CREATE TABLE images (
      id TEXT PRIMARY KEY,
      media_type TEXT NOT NULL,
      size INTEGER NOT NULL,
      last_tagged_at TEXT NOT NULL,
      -- 1: every blob of it is in the store, so that other tools can read it there.
      is_stored INTEGER NOT NULL
    ) STRICT;

    -- An index's manifests that are here, whole and unpacked; the one manifest of an image without an index.
    CREATE TABLE image_platforms (
      image_id TEXT NOT NULL REFERENCES images (id) ON DELETE CASCADE,
      manifest_digest TEXT NOT NULL,
      os TEXT NOT NULL,
      architecture TEXT NOT NULL,
      variant TEXT,
      chain_id TEXT REFERENCES layer_snapshots (chain_id),
      content_bytes INTEGER NOT NULL,
      PRIMARY KEY (image_id, manifest_digest)
    ) STRICT;
    CREATE INDEX image_platforms_chain ON image_platforms (chain_id);

    -- Canonical references: docker.io/library/busybox:latest.
    CREATE TABLE image_names (
      name TEXT PRIMARY KEY,
      image_id TEXT NOT NULL REFERENCES images (id) ON DELETE CASCADE
    ) STRICT;
    CREATE INDEX image_names_image ON image_names (image_id);

    -- Which blobs an image holds, so that removing one image frees what no other has.
    CREATE TABLE image_content (
      image_id TEXT NOT NULL REFERENCES images (id) ON DELETE CASCADE,
      digest TEXT NOT NULL,
      PRIMARY KEY (image_id, digest)
    ) STRICT;
    CREATE INDEX image_content_digest ON image_content (digest);

    -- Images that tsd made of itself, and of which files.
    CREATE TABLE embedded_images (
      image_id TEXT PRIMARY KEY REFERENCES images (id) ON DELETE CASCADE,
      fingerprint TEXT NOT NULL
    ) STRICT;
    `,
    `
    -- Where it came from: pull, load, import, commit or made.
    ALTER TABLE images ADD COLUMN origin TEXT NOT NULL DEFAULT 'pull';
    ALTER TABLE images ADD COLUMN last_used_at TEXT NOT NULL DEFAULT '';
    UPDATE images SET last_used_at = last_tagged_at;
    UPDATE images SET origin = 'made' WHERE id IN (SELECT image_id FROM embedded_images);

    -- A row from now on for each manifest whose content is here, unpacked or not. top_chain: the chain id of its last
    -- layer, null without layers. chain_id: the same once the layers are unpacked, which it keeps.
    ALTER TABLE image_platforms ADD COLUMN top_chain TEXT;
    ALTER TABLE image_platforms ADD COLUMN os_version TEXT;
    UPDATE image_platforms SET top_chain = chain_id;
    CREATE INDEX image_platforms_top ON image_platforms (top_chain);

    -- Only what is in the store from now on: the layer of a made image never was. Sizes of earlier rows are filled in at
    -- the daemon's start.
    DELETE FROM image_content WHERE EXISTS (
      SELECT 1 FROM embedded_images JOIN image_platforms USING (image_id)
      WHERE image_id = image_content.image_id AND chain_id = image_content.digest);
    ALTER TABLE image_content ADD COLUMN size INTEGER;

    -- What is not to be collected although nothing refers to it yet.
    CREATE TABLE leases (
      id INTEGER PRIMARY KEY AUTOINCREMENT,
      reason TEXT NOT NULL,
      created_at TEXT NOT NULL,
      touched_at TEXT NOT NULL
    ) STRICT;
    CREATE INDEX leases_reason ON leases (reason);
    CREATE TABLE lease_resources (
      lease_id INTEGER NOT NULL REFERENCES leases (id) ON DELETE CASCADE,
      -- content: a blob's digest; chain: a layer's chain id.
      kind TEXT NOT NULL CHECK (kind IN ('content', 'chain')),
      name TEXT NOT NULL,
      PRIMARY KEY (lease_id, kind, name)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX lease_resources_name ON lease_resources (kind, name);
    `,
    `
    -- The repositories that an image was pulled from or pushed to: docker.io/library/busybox.
    CREATE TABLE image_sources (
      image_id TEXT NOT NULL REFERENCES images (id) ON DELETE CASCADE,
      repository TEXT NOT NULL,
      PRIMARY KEY (image_id, repository)
    ) STRICT;
    `,
    `
    -- Layers of other images that are mounted in a container, which keeps them for as long as it exists.
    CREATE TABLE mounted_layers (
      key TEXT NOT NULL,
      chain_id TEXT NOT NULL REFERENCES layer_snapshots (chain_id),
      PRIMARY KEY (key, chain_id)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX mounted_layers_chain ON mounted_layers (chain_id);
    `,
  ],
};

/** SQL for the chain ids of the layers that containers stand on. */
export const containerChains = `SELECT chain_id FROM container_snapshots WHERE chain_id IS NOT NULL
       UNION SELECT chain_id FROM mounted_layers`;
