/** What images an archive holds: as an OCI layout says it, or docker's manifest.json. Nothing of either is believed. */
import * as v from "valibot";
import { type Digest, digestOf } from "../../core/digest.ts";
import { EngineError, errorMessage } from "../../core/errors.ts";
import {
  type Descriptor,
  isIndexMediaType,
  isManifestMediaType,
  manifestBytesMax,
  mediaTypes,
  parseImageConfig,
  parseManifest,
} from "../../oci/image.ts";
import { canonicalReference, parseReference, type Reference } from "../reference.ts";
import { type ArchiveSpool, layerCompression } from "./spool.ts";

/** The documents that say what is in an archive. */
const listBytesMax = 4 * 2 ** 20;
/** Names and images without one: each is a record. */
const namesMax = 10_000;

export interface LoadableImage {
  root: Descriptor;
  /** Canonical; empty for an image without a name. */
  names: string[];
  /** Of an image that has no manifest of its own, the one that was made for it. */
  made?: Uint8Array;
}

const layoutSchema = v.looseObject({ imageLayoutVersion: v.string() });
const dockerSchema = v.array(
  v.looseObject({
    Config: v.string(),
    RepoTags: v.nullish(v.array(v.string())),
    Layers: v.nullish(v.array(v.string())),
  }),
);

/** @throws EngineError invalid_argument for an archive that holds no images, or that contradicts itself. */
export function findImages(spool: ArchiveSpool): LoadableImage[] {
  const images = spool.has("index.json") && spool.has("oci-layout") ? layoutImages(spool) : dockerImages(spool);
  if (images.length === 0) throw new EngineError("invalid_argument", "archive holds no images");
  const names = images.reduce((sum, image) => sum + Math.max(1, image.names.length), 0);
  if (names > namesMax) throw tooManyNames();
  return images;
}

function layoutImages(spool: ArchiveSpool): LoadableImage[] {
  const layout = v.safeParse(layoutSchema, readJson(spool, "oci-layout"));
  if (!layout.success) throw new EngineError("invalid_argument", "archive: oci-layout: imageLayoutVersion is missing");
  const { imageLayoutVersion } = layout.output;
  if (imageLayoutVersion !== "1.0.0") {
    throw new EngineError("unsupported", `archive: OCI layout of version ${JSON.stringify(imageLayoutVersion)}`);
  }
  const bytes = spool.read(spool.file("index.json"), listBytesMax);
  const document = parseManifest(bytes, mediaTypes.ociIndex, "archive: index.json");
  if (document.kind !== "index") throw new EngineError("internal", "archive: index.json is no index");
  const names = dockerNames(spool);
  const images = new Map<string, LoadableImage>();
  const unnamed = new Set<Digest>();
  for (const root of document.index.manifests) {
    if (!isIndexMediaType(root.mediaType) && !isManifestMediaType(root.mediaType)) continue;
    const image = images.get(root.digest) ?? { root, names: [] };
    const name = annotatedName(root);
    if (name !== undefined) image.names.push(name);
    else if (!unnamed.has(root.digest)) image.names.push(...namesOf(spool, root, names));
    if (name === undefined) unnamed.add(root.digest);
    images.set(root.digest, image);
  }
  return [...images.values()].map((image) => ({ ...image, names: [...new Set(image.names)] }));
}

/** containerd's annotation is a whole name; the specification's may be, and is often no more than a tag. */
function annotatedName({ annotations = {}, digest }: Descriptor): string | undefined {
  const full = annotations["io.containerd.image.name"];
  const name = full ?? annotations["org.opencontainers.image.ref.name"];
  if (name === undefined || (full === undefined && !/[/:]/.test(name))) return undefined;
  return canonicalName(name, digest);
}

/** In an archive that is both, docker's list knows the names that the index does not say. */
function namesOf(spool: ArchiveSpool, root: Descriptor, names: ReadonlyMap<string, string[]>): string[] {
  const file = names.size > 0 && isManifestMediaType(root.mediaType) ? spool.byDigest(root.digest) : undefined;
  if (!file) return [];
  const document = parseManifest(spool.read(file, manifestBytesMax), root.mediaType, `manifest ${root.digest}`);
  return document.kind === "manifest" ? (names.get(document.manifest.config.digest) ?? []) : [];
}

function dockerNames(spool: ArchiveSpool): Map<string, string[]> {
  const names = new Map<string, string[]>();
  if (!spool.has("manifest.json")) return names;
  for (const { Config, RepoTags } of parseDocker(readJson(spool, "manifest.json"))) {
    if (spool.has(Config))
      names.set(
        spool.file(Config).digest,
        (RepoTags ?? []).map((name) => canonicalName(name)),
      );
  }
  return names;
}

function dockerImages(spool: ArchiveSpool): LoadableImage[] {
  if (!spool.has("manifest.json")) {
    throw new EngineError("invalid_argument", "archive holds no images: it has neither index.json nor manifest.json", {
      hint: "a root file system is imported, not loaded",
    });
  }
  const images = new Map<string, LoadableImage>();
  for (const { Config, RepoTags, Layers } of parseDocker(readJson(spool, "manifest.json"))) {
    const made = makeManifest(spool, Config, Layers ?? []);
    const digest = digestOf(made);
    const image = images.get(digest) ?? {
      root: { mediaType: mediaTypes.dockerManifest, digest, size: made.length },
      names: [],
      made,
    };
    image.names.push(...(RepoTags ?? []).map((name) => canonicalName(name, digest)));
    images.set(digest, image);
  }
  return [...images.values()].map((image) => ({ ...image, names: [...new Set(image.names)] }));
}

/** The manifest that such an image has in a registry: the same files always make the same, and it is containerd's too. */
function makeManifest(spool: ArchiveSpool, configPath: string, layerPaths: readonly string[]): Uint8Array {
  const file = spool.file(configPath);
  const config = parseImageConfig(spool.read(file, manifestBytesMax), `archive entry ${configPath}`);
  const diffIds = config.rootfs.diff_ids;
  if (diffIds.length !== layerPaths.length) {
    throw new EngineError(
      "invalid_argument",
      `archive: manifest.json names ${layerPaths.length} layers, configuration ${configPath} has ${diffIds.length}`,
    );
  }
  const types = { none: mediaTypes.dockerLayer, gzip: mediaTypes.dockerLayerGzip, zstd: mediaTypes.dockerLayerZstd };
  const layers = layerPaths.map((path, index) => {
    const layer = spool.file(path);
    const compression = layer.isStored ? undefined : layerCompression(layer);
    if (compression === "none" && layer.digest !== diffIds[index]) {
      throw new EngineError(
        "corrupt",
        `archive entry ${path} has diff id ${layer.digest}, the configuration says ${diffIds[index]}`,
      );
    }
    const isPlain = compression === undefined ? layer.digest === diffIds[index] : compression === "none";
    const mediaType = types[isPlain ? "none" : (compression ?? "gzip")];
    return { mediaType, digest: layer.digest, size: layer.size };
  });
  const manifest = {
    schemaVersion: 2,
    mediaType: mediaTypes.dockerManifest,
    config: { mediaType: mediaTypes.dockerConfig, digest: file.digest, size: file.size },
    layers,
  };
  return Buffer.from(JSON.stringify(manifest));
}

function parseDocker(json: unknown): v.InferOutput<typeof dockerSchema> {
  const result = v.safeParse(dockerSchema, json, { abortEarly: true });
  if (result.success) {
    const names = result.output.reduce((sum, { RepoTags }) => sum + Math.max(1, RepoTags?.length ?? 0), 0);
    if (names > namesMax) throw tooManyNames();
    return result.output;
  }
  const issue = result.issues[0];
  throw new EngineError(
    "invalid_argument",
    `archive: manifest.json: ${v.getDotPath(issue) ?? "document"}: ${issue.message}`,
  );
}

function tooManyNames(): EngineError {
  return new EngineError("invalid_argument", `archive has more than ${namesMax} names of images`);
}

function readJson(spool: ArchiveSpool, path: string): unknown {
  const bytes = spool.read(spool.file(path), listBytesMax);
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch (error) {
    throw new EngineError("invalid_argument", `archive: ${path}: not JSON: ${errorMessage(error)}`, { cause: error });
  }
}

/** @param digest of the image: a name that has another would have everybody find this one under it. */
function canonicalName(name: string, digest?: Digest): string {
  const shown = `archive: image name ${JSON.stringify(name.slice(0, 300))}`;
  let reference: Reference;
  try {
    reference = parseReference(name);
  } catch (error) {
    throw new EngineError("invalid_argument", `${shown}: ${errorMessage(error)}`, { cause: error });
  }
  if (reference.digest !== undefined && reference.digest !== digest) {
    throw new EngineError("invalid_argument", `${shown}: the image has another digest`);
  }
  return canonicalReference(reference);
}
