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
  ],
};
