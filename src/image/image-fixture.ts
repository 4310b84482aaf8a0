/** Images for tests, in a test registry. */
import { gzipSync, zstdCompressSync } from "node:zlib";
import { type Digest, digestOf } from "../core/digest.ts";
import { type Descriptor, mediaTypes } from "../oci/image.ts";
import { archive, type FixtureEntry } from "../tar/tar-fixture.ts";
import type { TestRegistry } from "./registry/hostile-registry.ts";

export interface FixtureImage {
  layers: Descriptor[];
  diffIds: Digest[];
  manifest: Digest;
  config: Digest;
}

export interface FixtureImageOptions {
  tag?: string;
  compression?: "gzip" | "zstd" | "none";
  architecture?: string;
  config?: object;
  /** Changes the manifest before it is filed. */
  edit?: (manifest: Record<string, unknown>) => void;
  editConfig?: (config: Record<string, unknown>) => void;
  docker?: boolean;
}

export function addImage(
  registry: TestRegistry,
  layers: FixtureEntry[][],
  options: FixtureImageOptions = {},
): FixtureImage {
  const archives = layers.map((entries) => archive(entries));
  const compression = options.compression ?? "gzip";
  const types = options.docker
    ? { gzip: mediaTypes.dockerLayerGzip, zstd: mediaTypes.dockerLayerZstd, none: mediaTypes.dockerLayer }
    : { gzip: mediaTypes.ociLayerGzip, zstd: mediaTypes.ociLayerZstd, none: mediaTypes.ociLayer };
  const descriptors = archives.map((bytes) => ({
    mediaType: types[compression] as string,
    ...registry.addBlob(compress(bytes, compression)),
  }));
  const config: Record<string, unknown> = {
    created: "2024-01-02T03:04:05Z",
    os: "linux",
    architecture: options.architecture ?? "amd64",
    config: { Cmd: ["sh"], ...options.config },
    rootfs: { type: "layers", diff_ids: archives.map((bytes) => digestOf(bytes)) },
  };
  options.editConfig?.(config);
  const configBlob = registry.addBlob(Buffer.from(JSON.stringify(config)));
  const manifest: Record<string, unknown> = {
    schemaVersion: 2,
    mediaType: options.docker ? mediaTypes.dockerManifest : mediaTypes.ociManifest,
    config: { mediaType: options.docker ? mediaTypes.dockerConfig : mediaTypes.ociConfig, ...configBlob },
    layers: descriptors,
  };
  options.edit?.(manifest);
  return {
    layers: descriptors,
    diffIds: archives.map((bytes) => digestOf(bytes)),
    manifest: registry.addManifest(manifest, options.tag === undefined ? {} : { tag: options.tag }),
    config: configBlob.digest,
  };
}

export function addIndex(
  registry: TestRegistry,
  manifests: { digest: Digest; architecture: string }[],
  tag: string,
): Digest {
  const entries = manifests.map(({ digest, architecture }) => {
    const { bytes, mediaType } = registry.manifests.get(digest)!;
    return { mediaType, digest, size: bytes.length, platform: { os: "linux", architecture } };
  });
  return registry.addManifest({ schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests: entries }, { tag });
}

function compress(bytes: Uint8Array, compression: "gzip" | "zstd" | "none"): Uint8Array {
  if (compression === "none") return bytes;
  return compression === "gzip" ? gzipSync(bytes) : zstdCompressSync(bytes);
}
