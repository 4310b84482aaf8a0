/**
 * The OCI image specification, and Docker's schema 2, which is the same shape under other media types: manifests,
 * indexes, configurations and descriptors as types, and the valibot schemas that read them from outside.
 *
 * Other people's JSON is read as `looseObject`: unknown fields are kept and ignored (considerations.md "Extensibility").
 */
import * as v from "valibot";
import { type Digest, parseDigest } from "../core/digest.ts";
import { EngineError, errorMessage } from "../core/errors.ts";
import { record } from "./record.ts";

export const mediaTypes = {
  ociIndex: "application/vnd.oci.image.index.v1+json",
  ociManifest: "application/vnd.oci.image.manifest.v1+json",
  ociConfig: "application/vnd.oci.image.config.v1+json",
  ociLayer: "application/vnd.oci.image.layer.v1.tar",
  ociLayerGzip: "application/vnd.oci.image.layer.v1.tar+gzip",
  ociLayerZstd: "application/vnd.oci.image.layer.v1.tar+zstd",
  ociEmpty: "application/vnd.oci.empty.v1+json",
  dockerIndex: "application/vnd.docker.distribution.manifest.list.v2+json",
  dockerManifest: "application/vnd.docker.distribution.manifest.v2+json",
  dockerConfig: "application/vnd.docker.container.image.v1+json",
  dockerLayer: "application/vnd.docker.image.rootfs.diff.tar",
  dockerLayerGzip: "application/vnd.docker.image.rootfs.diff.tar.gzip",
  dockerLayerZstd: "application/vnd.docker.image.rootfs.diff.tar.zstd",
} as const;

/** An index may hold an index. Deeper than this nobody has a reason to go. */
export const indexDepthMax = 3;

const layerMediaTypes: ReadonlySet<string> = new Set([
  mediaTypes.ociLayer,
  mediaTypes.ociLayerGzip,
  mediaTypes.ociLayerZstd,
  mediaTypes.dockerLayer,
  mediaTypes.dockerLayerGzip,
  mediaTypes.dockerLayerZstd,
]);

/** Of a layer that tsd can unpack. */
export function isLayerMediaType(mediaType: string): boolean {
  return layerMediaTypes.has(mediaType);
}

/**
 * Distribution specification "Pulling manifests": a registry should accept manifests of 4 MiB at least, so that
 * is where everybody stops reading. Configurations are held to the same bound.
 */
export const manifestBytesMax = 4 * 2 ** 20;

export interface Descriptor {
  mediaType: string;
  digest: Digest;
  /** Bytes. */
  size: number;
  urls?: string[] | undefined;
  annotations?: Record<string, string> | undefined;
  /** base64 */
  data?: string | undefined;
  artifactType?: string | undefined;
  platform?: Platform | undefined;
}

export interface Platform {
  os: string;
  architecture: string;
  variant?: string | undefined;
  "os.version"?: string | undefined;
  "os.features"?: string[] | undefined;
}

export interface ImageManifest {
  schemaVersion: 2;
  mediaType?: string | undefined;
  artifactType?: string | undefined;
  config: Descriptor;
  layers: Descriptor[];
  subject?: Descriptor | undefined;
  annotations?: Record<string, string> | undefined;
}

export interface ImageIndex {
  schemaVersion: 2;
  mediaType?: string | undefined;
  artifactType?: string | undefined;
  manifests: Descriptor[];
  subject?: Descriptor | undefined;
  annotations?: Record<string, string> | undefined;
}

/** What a container gets from the image unless the user says otherwise: config.json's "config". */
export interface ImageConfigDefaults {
  User?: string | null | undefined;
  ExposedPorts?: Record<string, object> | null | undefined;
  Env?: string[] | null | undefined;
  Entrypoint?: string[] | null | undefined;
  Cmd?: string[] | null | undefined;
  Volumes?: Record<string, object> | null | undefined;
  WorkingDir?: string | null | undefined;
  Labels?: Record<string, string> | null | undefined;
  StopSignal?: string | null | undefined;
  ArgsEscaped?: boolean | null | undefined;
  /** Docker's extensions of the specification. Durations are nanoseconds. */
  Healthcheck?: ImageHealthcheck | null | undefined;
  OnBuild?: string[] | null | undefined;
  Shell?: string[] | null | undefined;
  StopTimeout?: number | null | undefined;
}

export interface ImageHealthcheck {
  Test?: string[] | null | undefined;
  Interval?: number | null | undefined;
  Timeout?: number | null | undefined;
  StartPeriod?: number | null | undefined;
  StartInterval?: number | null | undefined;
  Retries?: number | null | undefined;
  /** tsd's own, in images that were committed of its containers. */
  HTTP?: string | null | undefined;
  TCP?: string | null | undefined;
  OnFailure?: string | null | undefined;
}

export interface ImageHistory {
  created?: string | null | undefined;
  author?: string | undefined;
  created_by?: string | undefined;
  comment?: string | undefined;
  empty_layer?: boolean | undefined;
}

export interface ImageConfig {
  created?: string | null | undefined;
  author?: string | undefined;
  os: string;
  architecture: string;
  variant?: string | undefined;
  "os.version"?: string | undefined;
  "os.features"?: string[] | null | undefined;
  config?: ImageConfigDefaults | null | undefined;
  rootfs: { type: "layers"; diff_ids: Digest[] };
  history?: ImageHistory[] | null | undefined;
}

const digestSchema = v.pipe(
  v.string(),
  v.rawTransform(({ dataset, addIssue, NEVER }): Digest => {
    try {
      return parseDigest(dataset.value);
    } catch (error) {
      addIssue({ message: errorMessage(error) });
      return NEVER;
    }
  }),
);
const sizeSchema = v.pipe(v.number(), v.safeInteger(), v.minValue(0));
const strings = v.array(v.string());
const stringMap = record(v.string());
const objectMap = record(v.looseObject({}));

const platformSchema = v.looseObject({
  os: v.string(),
  architecture: v.string(),
  variant: v.optional(v.string()),
  "os.version": v.optional(v.string()),
  "os.features": v.optional(strings),
});

export const descriptorSchema = v.looseObject({
  mediaType: v.string(),
  digest: digestSchema,
  size: sizeSchema,
  urls: v.optional(strings),
  annotations: v.optional(stringMap),
  data: v.optional(v.string()),
  artifactType: v.optional(v.string()),
  platform: v.optional(platformSchema),
});

export const manifestSchema = v.looseObject({
  schemaVersion: v.literal(2),
  mediaType: v.optional(v.string()),
  artifactType: v.optional(v.string()),
  config: descriptorSchema,
  layers: v.array(descriptorSchema),
  subject: v.optional(descriptorSchema),
  annotations: v.optional(stringMap),
});

export const indexSchema = v.looseObject({
  schemaVersion: v.literal(2),
  mediaType: v.optional(v.string()),
  artifactType: v.optional(v.string()),
  manifests: v.array(descriptorSchema),
  subject: v.optional(descriptorSchema),
  annotations: v.optional(stringMap),
});

const healthcheckSchema = v.looseObject({
  Test: v.nullish(strings),
  Interval: v.nullish(v.number()),
  Timeout: v.nullish(v.number()),
  StartPeriod: v.nullish(v.number()),
  StartInterval: v.nullish(v.number()),
  Retries: v.nullish(v.number()),
  HTTP: v.nullish(v.string()),
  TCP: v.nullish(v.string()),
  OnFailure: v.nullish(v.string()),
});

export const configSchema = v.looseObject({
  created: v.nullish(v.string()),
  author: v.optional(v.string()),
  os: v.string(),
  architecture: v.string(),
  variant: v.optional(v.string()),
  "os.version": v.optional(v.string()),
  "os.features": v.nullish(strings),
  config: v.nullish(
    v.looseObject({
      User: v.nullish(v.string()),
      ExposedPorts: v.nullish(objectMap),
      Env: v.nullish(strings),
      Entrypoint: v.nullish(strings),
      Cmd: v.nullish(strings),
      Volumes: v.nullish(objectMap),
      WorkingDir: v.nullish(v.string()),
      Labels: v.nullish(stringMap),
      StopSignal: v.nullish(v.string()),
      ArgsEscaped: v.nullish(v.boolean()),
      Healthcheck: v.nullish(healthcheckSchema),
      OnBuild: v.nullish(strings),
      Shell: v.nullish(strings),
      StopTimeout: v.nullish(v.number()),
    }),
  ),
  rootfs: v.looseObject({ type: v.literal("layers"), diff_ids: v.array(digestSchema) }),
  history: v.nullish(
    v.array(
      v.looseObject({
        created: v.nullish(v.string()),
        author: v.optional(v.string()),
        created_by: v.optional(v.string()),
        comment: v.optional(v.string()),
        empty_layer: v.optional(v.boolean()),
      }),
    ),
  ),
});

export function isIndexMediaType(mediaType: string): boolean {
  return mediaType === mediaTypes.ociIndex || mediaType === mediaTypes.dockerIndex;
}

export function isManifestMediaType(mediaType: string): boolean {
  return mediaType === mediaTypes.ociManifest || mediaType === mediaTypes.dockerManifest;
}

/** What a manifest's bytes turned out to be. */
export type ManifestDocument =
  | { kind: "index"; mediaType: string; index: ImageIndex }
  | { kind: "manifest"; mediaType: string; manifest: ImageManifest };

/**
 * Reads an index or a manifest. The type is `mediaType` (a descriptor's, or a response's Content-Type); the
 * document's own must agree with it, else the same bytes could be read as two things (CVE-2021-41190).
 *
 * @param name what to call the document in errors, for example `manifest of busybox:latest`.
 * @throws EngineError unsupported for a media type that tsd does not know, invalid_argument for malformed JSON.
 */
export function parseManifest(bytes: Uint8Array, mediaType: string, name: string): ManifestDocument {
  const json = parseJson(bytes, name);
  const own = (json as { mediaType?: unknown }).mediaType;
  if (typeof own === "string" && own !== mediaType) {
    throw new EngineError("corrupt", `${name}: served as ${mediaType}, but it says it is ${own}`);
  }
  if (isIndexMediaType(mediaType)) {
    if ("layers" in json || "config" in json) throw bothIndexAndManifest(name);
    return { kind: "index", mediaType, index: check(indexSchema, json, name) };
  }
  if (isManifestMediaType(mediaType)) {
    if ("manifests" in json) throw bothIndexAndManifest(name);
    return { kind: "manifest", mediaType, manifest: check(manifestSchema, json, name) };
  }
  throw new EngineError("unsupported", `${name}: unsupported media type ${JSON.stringify(mediaType)}`);
}

/**
 * @param name what to call the document in errors.
 * @throws EngineError invalid_argument naming the field that is wrong.
 */
export function parseImageConfig(bytes: Uint8Array, name: string): ImageConfig {
  return check(configSchema, parseJson(bytes, name), name);
}

function bothIndexAndManifest(name: string): EngineError {
  return new EngineError("corrupt", `${name}: has the fields of an index and of a manifest`);
}

function parseJson(bytes: Uint8Array, name: string): object {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch (error) {
    throw new EngineError("invalid_argument", `${name}: not JSON: ${errorMessage(error)}`);
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new EngineError("invalid_argument", `${name}: not a JSON object`);
  }
  return value;
}

function check<Schema extends v.GenericSchema>(schema: Schema, value: unknown, name: string): v.InferOutput<Schema> {
  const result = v.safeParse(schema, value, { abortEarly: true });
  if (result.success) return result.output;
  const issue = result.issues[0];
  throw new EngineError("invalid_argument", `${name}: ${v.getDotPath(issue) ?? "document"}: ${issue.message}`);
}
