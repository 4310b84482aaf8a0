/** What the image part shows to the engine: images, their summaries, and what pulling and removing report. */
import type { Digest } from "../core/digest.ts";
import type { ImageConfig, ImageManifest, Platform } from "../oci/image.ts";

/** One image, of one platform, whose content is here. */
export interface Image {
  /** The digest that its name points at: of the index when the registry has one, else of the manifest, as in Docker 29. */
  id: Digest;
  /** Canonical references: `docker.io/library/busybox:latest`. Empty for a dangling image. */
  names: string[];
  manifestDigest: Digest;
  /** Media type of what `id` is the digest of. */
  mediaType: string;
  /** Bytes of the document that `id` is the digest of. */
  documentBytes: number;
  manifest: ImageManifest;
  configDigest: Digest;
  config: ImageConfig;
  platform: Platform;
  /** Chain id of the last layer (image specification, config.md "Layer ChainID"); undefined without layers. */
  chainId: Digest | undefined;
  /** Its layers are unpacked; else `ImageStore.ensureUnpacked` does it before the files are needed. */
  isUnpacked: boolean;
  /** Compressed content and unpacked files together, as Docker 29 counts. */
  sizeBytes: number;
  /** Bytes of the unpacked files alone; 0 while they are not. */
  unpackedBytes: number;
  /** From the configuration; ISO 8601. Undefined where the image does not say. */
  createdAt: string | undefined;
  /** When one of its names was last set here; ISO 8601. */
  lastTaggedAt: string;
  /** When it was last pulled, tagged, pushed, saved, or a container of it created or started; ISO 8601. */
  lastUsedAt: string;
}

/** A line of `tsd images`. */
export interface ImageSummary {
  id: Digest;
  /** Familiar, `busybox:latest`. */
  repoTags: string[];
  /** Familiar, `busybox@sha256:…`. */
  repoDigests: string[];
  manifestDigest: Digest;
  mediaType: string;
  documentBytes: number;
  platform: Platform;
  /** Of all platforms that are here, compressed content and unpacked files together. */
  sizeBytes: number;
  /** The unpacked layers of all its platforms. */
  layers: UnpackedLayer[];
  /** From the configuration; ISO 8601. Undefined where the image does not say. */
  createdAt: string | undefined;
  labels: Record<string, string>;
}

export interface UnpackedLayer {
  chainId: Digest;
  bytes: number;
}

/** One line of what `rmi` prints. The digests and names are as docker prints them. */
export type RemoveResult = { untagged: string } | { deleted: string };

/** A container that holds an image. */
export interface ImageUser {
  containerId: string;
  running: boolean;
}

/** Docker's status words; `id` is a layer's (12 digits of its digest) or, at the start, the tag. */
export interface PullProgress {
  id?: string;
  status: string;
  /** Bytes, while downloading or extracting. */
  current?: number;
  total?: number;
}

/** What to mount as a container's root: overlayfs, lower directories top first. */
export interface OverlayMount {
  lower: string[];
  upper: string;
  work: string;
}

/** What X-Registry-Auth carries. Name and password are empty where a token stands for them. */
export interface RegistryCredentials {
  username: string;
  password: string;
  /** What a token server gave at login for the password (OAuth 2's refresh token). */
  identityToken?: string | undefined;
  /** A bearer token for the registry itself. */
  registryToken?: string | undefined;
}
