/** What a container has changed, as a layer upon those of its image: a new image. */
import { randomBytes } from "node:crypto";
import { statSync } from "node:fs";
import { rm } from "node:fs/promises";
import { O_CREAT, O_EXCL, O_WRONLY } from "../../../ffi/constants/open.ts";
import { open } from "../../../ffi/files.ts";
import type { Digest } from "../../core/digest.ts";
import { EngineError, isEngineError, wrapError } from "../../core/errors.ts";
import { type Descriptor, type ImageConfig, type ImageConfigDefaults, mediaTypes } from "../../oci/image.ts";
import type { Image } from "../image.ts";
import type { ImageStore } from "../images.ts";
import type { Lease } from "../leases.ts";
import { packInto } from "../pack/packer.ts";
import type { PackReport } from "../pack/protocol.ts";
import { buildImage, giveBack, type Kept } from "./build-image.ts";
import { newName } from "./import.ts";
import { opaqueDirectories } from "./opaque-directories.ts";

export interface CommitOptions {
  /** As the user wrote it; absent: the image gets no name. */
  name?: string | undefined;
  /** What containers of the new image are to be like. */
  config: ImageConfigDefaults;
  /** The words that the container ran, for the history. */
  command: readonly string[];
  author: string;
  comment: string;
  /** Where the container has something mounted: what lies under it there is not the container's, if it is empty. */
  mountPoints: readonly string[];
  signal: AbortSignal;
  /** Holds the container still while its files are read. */
  whileStill: <T>(work: () => Promise<T>) => Promise<T>;
}

/**
 * @param key the container's id. @param parent its image.
 * @returns the new image's id.
 * @throws EngineError invalid_argument for a name that is none, not_found when the container is removed meanwhile or a
 * layer of its image is not stored, unsupported, no_space, cancelled. Nothing is left then.
 */
export async function commitContainer(
  store: ImageStore,
  key: string,
  parent: Image,
  options: CommitOptions,
): Promise<Digest> {
  const name = options.name === undefined ? undefined : newName(options.name);
  const kept: Kept = { content: [], chains: [] };
  const staged = store.content.stagingPath(randomBytes(8).toString("hex"));
  try {
    using lease = store.leases.take(`commit ${key} ${crypto.randomUUID()}`);
    const report = await options.whileStill(() => packChanges(store, key, staged, options));
    store.snapshots.mounts(key); // not removed while it was read: then something would be missing
    await storeParentLayers(store, parent, lease);
    const layer = report.entries === 0 ? undefined : await keepLayer(store, staged, report, { lease, kept });
    const config = committedConfig(parent.config, options, report.entries === 0 ? undefined : report.diffId!);
    const layers = [...parent.manifest.layers.map(plainDescriptor), ...(layer ? [layer] : [])];
    const image = { config, layers, platform: parent.platform, name, origin: "commit" } as const;
    return await buildImage(store, image, { lease, kept, signal: options.signal });
  } catch (error) {
    await giveBack(store, kept);
    throw isEngineError(error) ? error : wrapError(error, `commit container ${key}`, { stage: "commit" });
  } finally {
    await rm(staged, { force: true });
  }
}

async function packChanges(
  store: ImageStore,
  key: string,
  staged: string,
  { mountPoints, signal }: CommitOptions,
): Promise<PackReport> {
  const { upper, lower } = store.snapshots.mounts(key);
  const opaque = await opaqueDirectories(upper);
  using file = open(staged, O_WRONLY | O_CREAT | O_EXCL, 0o600);
  return packInto(
    { directory: upper },
    {
      form: "layer",
      compression: "gzip",
      digests: true,
      opaque: [...opaque],
      mountPoints: mountPoints.map((path) => Buffer.from(path.replace(/^\/+|\/+$/g, "")).toString("latin1")),
      describesRoot: isChanged(upper, lower[0]!),
    },
    file,
    { signal, program: store.options.packProgram },
  );
}

/** The root began with the attributes of the image's own. */
function isChanged(upper: string, lower: string): boolean {
  const [own, below] = [statSync(upper), statSync(lower)];
  return own.mode !== below.mode || own.uid !== below.uid || own.gid !== below.gid;
}

async function keepLayer(
  store: ImageStore,
  staged: string,
  { digest, size }: PackReport,
  { lease, kept }: { lease: Lease; kept: Kept },
): Promise<Descriptor> {
  lease.add({ content: [digest!] });
  kept.content.push(digest!);
  if (!store.content.has(digest!, size)) await store.content.adopt(staged, digest!);
  return { mediaType: mediaTypes.ociLayerGzip, digest: digest!, size };
}

/** The layer of the embedded image is made when it is wanted; below another image it has to stay. */
async function storeParentLayers(store: ImageStore, parent: Image, lease: Lease): Promise<void> {
  for (const [index, layer] of parent.manifest.layers.entries()) {
    lease.add({ content: [layer.digest] });
    if (store.content.has(layer.digest, layer.size)) continue;
    const archive = store.embedded.archive(parent.config.rootfs.diff_ids[index]!);
    if (!archive) {
      throw new EngineError("not_found", `layer ${layer.digest} of image ${parent.id} is not stored`, {
        hint: "pull the image again",
      });
    }
    await store.content.writeStream(archive, layer);
  }
}

function committedConfig(
  parent: ImageConfig,
  { config, command, author, comment }: CommitOptions,
  diffId: Digest | undefined,
): ImageConfig {
  const created = new Date().toISOString();
  const by = author || parent.author;
  const { created: _created, author: _author, architecture, os, config: _config, rootfs, history, ...others } = parent;
  return {
    created,
    ...(by && { author: by }),
    architecture,
    os,
    ...others,
    config,
    rootfs: { type: "layers", diff_ids: [...rootfs.diff_ids, ...(diffId ? [diffId] : [])] },
    history: [
      ...(history ?? []),
      {
        created,
        created_by: command.join(" "),
        ...(by && { author: by }),
        ...(comment && { comment }),
        ...(diffId === undefined && { empty_layer: true }),
      },
    ],
  };
}

/** A manifest's layer as another manifest has it. */
function plainDescriptor({ mediaType, digest, size, urls, annotations }: Descriptor): Descriptor {
  return { mediaType, digest, size, ...(urls && { urls }), ...(annotations && { annotations }) };
}
