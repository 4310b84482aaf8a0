/**
 * The image `hello`, which needs no registry: tsd's own executable and the C library of the host. Its files are
 * reflinks where the file system can, else copies; never hard links or binds, through which a container could write
 * to the host's own (CVE-2019-5736 was such a write).
 */
import type { Database } from "bun:sqlite";
import { chmodSync, chownSync, constants, mkdirSync, statSync, utimesSync } from "node:fs";
import { copyFile, open } from "node:fs/promises";
import { dirname, join } from "node:path";
import { syncDirectory } from "../../core/atomic-file.ts";
import { type Digest, digestOf } from "../../core/digest.ts";
import { buildTime, version } from "../../core/version.ts";
import { type ImageConfig, type ImageManifest, mediaTypes } from "../../oci/image.ts";
import type { Image } from "../image.ts";
import type { ImageStore } from "../images.ts";
import type { Lease } from "../leases.ts";
import { hostPlatform } from "../platform.ts";
import { canonicalReference, parseReference } from "../reference.ts";
import { SharedWork } from "../shared-work.ts";
import { layerArchive, layerDigest } from "./layer.ts";
import { isDefaultDirectory, neededFiles } from "./libraries.ts";

export const embeddedName = "hello:latest";
const canonicalName = canonicalReference(parseReference(embeddedName));

/** Where a container expects to find a mount point, and programs a place for temporary files. */
const directories: Record<string, number> = { dev: 0o755, etc: 0o755, proc: 0o555, sys: 0o555, tmp: 0o1777 };

/** Does the reference mean the embedded image, where no other of that name was pulled? */
export function isEmbeddedReference(text: string): boolean {
  try {
    return canonicalReference(parseReference(text)) === canonicalName;
  } catch {
    return false; // an id
  }
}

interface Made {
  image_id: Digest;
  fingerprint: string;
}

export class EmbeddedImage {
  readonly #store: ImageStore;
  readonly #database: Database;
  readonly #executable: string;
  readonly #making = new SharedWork<never, Image>();

  /** @param executable tsd itself: the file that runs, even when another has taken its name meanwhile. */
  constructor(store: ImageStore, executable = "/proc/self/exe") {
    this.#store = store;
    this.#database = store.options.database;
    this.#executable = executable;
  }

  /**
   * The image, made at its first use and again when tsd or the C library was replaced. An image that the user gave
   * that name is left alone and returned.
   * @throws EngineError not_found when a library is missing, no_space.
   */
  async ensure(): Promise<Image> {
    const named = this.#store.resolve(embeddedName);
    const made = this.#made();
    if (named && !made.some(({ image_id }) => image_id === named.id)) return named;
    const files = this.#files();
    const fingerprint = fingerprintOf(files);
    if (named && made.some((one) => one.image_id === named.id && one.fingerprint === fingerprint)) return named;
    return this.#making.join(fingerprint, () => this.#make(files, fingerprint));
  }

  /** At the start of a daemon: what another tsd, or this one with another C library, made, is made anew when it is next wanted. */
  async removeOutdated(): Promise<void> {
    const made = this.#made();
    if (made.length === 0) return;
    const fingerprint = fingerprintOf(this.#files());
    const outdated = made.filter((one) => one.fingerprint !== fingerprint);
    const named = this.#store.resolve(embeddedName);
    if (outdated.some(({ image_id }) => image_id === named?.id)) this.#store.records.removeName(canonicalName);
    await this.#removeUnused(outdated);
  }

  /** Is this the layer of an embedded image, whose archive can be written? */
  isArchive(digest: Digest): boolean {
    return this.#made().some(({ image_id }) => this.#store.resolve(image_id)?.chainId === digest);
  }

  /** The layer's archive, written from its unpacked files: it is not stored. Undefined for other layers. */
  archive(diffId: Digest): ReadableStream<Uint8Array> | undefined {
    const layer = this.#layer(diffId);
    return layer && layerArchive(join(this.#store.directories.path(layer.directory), "fs"));
  }

  /** Is it a layer whose archive can be made? */
  has(diffId: Digest): boolean {
    return this.#layer(diffId) !== undefined;
  }

  #layer(diffId: Digest) {
    const isMade = this.#made().some(({ image_id }) => this.#store.resolve(image_id)?.chainId === diffId);
    return isMade ? this.#store.layers.get(diffId) : undefined;
  }

  #files(): string[] {
    return [this.#executable, ...neededFiles(this.#executable).map(({ path }) => path)];
  }

  #made(): Made[] {
    return this.#database.query<Made, []>("SELECT image_id, fingerprint FROM embedded_images").all();
  }

  async #make(files: readonly string[], fingerprint: string): Promise<Image> {
    const before = this.#made();
    using lease = this.#store.leases.take(`make ${canonicalName}`);
    const { diffId, size } = await this.#makeLayer(files, lease);
    const libraries = files.slice(1).map((path) => dirname(path));
    const config = encode(imageConfig(diffId, libraries));
    const manifest: ImageManifest = {
      schemaVersion: 2,
      mediaType: mediaTypes.ociManifest,
      config: { mediaType: mediaTypes.ociConfig, digest: digestOf(config), size: config.length },
      layers: [{ mediaType: mediaTypes.ociLayer, digest: diffId, size }],
    };
    const bytes = encode(manifest);
    const id = digestOf(bytes);
    lease.add({ content: [manifest.config.digest, id] });
    await this.#store.content.write(config, manifest.config.digest);
    await this.#store.content.write(bytes, id);
    await this.#store.record({
      id,
      mediaType: mediaTypes.ociManifest,
      size: bytes.length,
      name: canonicalName,
      // The layer is unpacked, and in no blob.
      content: [
        { digest: id, size: bytes.length },
        { digest: manifest.config.digest, size: config.length },
      ],
      platforms: [{ manifestDigest: id, platform: hostPlatform(), diffIds: [diffId], isUnpacked: true }],
      origin: "made",
    });
    this.#database.run("INSERT OR REPLACE INTO embedded_images (image_id, fingerprint) VALUES (?, ?)", [
      id,
      fingerprint,
    ]);
    await this.#removeUnused(before.filter(({ image_id }) => image_id !== id));
    return this.#store.get(id);
  }

  /** Puts the files into a directory of their own and records it as a layer. */
  async #makeLayer(files: readonly string[], lease: Lease): Promise<{ diffId: Digest; size: number }> {
    const partial = this.#store.directories.makePartial();
    try {
      const root = join(this.#store.directories.path(partial), "fs");
      for (const [name, mode] of Object.entries(directories)) makeDirectory(root, name, mode);
      for (const [index, path] of files.entries()) {
        const name = index === 0 ? "tsd" : path.slice(1);
        makeDirectory(root, dirname(name), 0o755);
        await copyDurably(path, join(root, name));
      }
      await syncDirectory(root);
      const { digest, size } = await layerDigest(root);
      lease.add({ chains: [digest] });
      await this.#store.layers.adopt(
        partial,
        digest,
        files.reduce((sum, path) => sum + statSync(path).size, 0),
      );
      return { diffId: digest, size };
    } catch (error) {
      this.#store.directories.discard(partial);
      throw error;
    }
  }

  /** Those of earlier versions: whole when no container uses them, else they stay without their name. */
  async #removeUnused(made: readonly Made[]): Promise<void> {
    for (const { image_id } of made) {
      if ((this.#store.options.usersOf?.(image_id) ?? []).length > 0) continue;
      if (this.#store.records.names(image_id).length > 0) continue; // the user gave it another name
      await this.#store.free(this.#store.records.remove(image_id));
    }
  }
}

function imageConfig(diffId: Digest, libraryDirectories: readonly string[]): ImageConfig {
  const { os, architecture } = hostPlatform();
  const unusual = [...new Set(libraryDirectories)].filter((directory) => !isDefaultDirectory(directory));
  return {
    created: buildTime,
    os,
    architecture,
    config: {
      Env: ["PATH=/", ...(unusual.length > 0 ? [`LD_LIBRARY_PATH=${unusual.join(":")}`] : [])],
      Entrypoint: ["/tsd", "hello-report"],
      WorkingDir: "/",
      Labels: { "org.opencontainers.image.title": "hello", "org.opencontainers.image.version": version },
    },
    rootfs: { type: "layers", diff_ids: [diffId] },
    history: [{ created: buildTime, created_by: "tsd", comment: "tsd's own executable and the host's C library" }],
  };
}

function encode(document: object): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(document));
}

/** Changes when one of the files is replaced, and costs no reading of them. */
function fingerprintOf(files: readonly string[]): string {
  const facts = files.map((path) => {
    const { dev, ino, size, mtimeNs, ctimeNs } = statSync(path, { bigint: true });
    return `${path} ${dev} ${ino} ${size} ${mtimeNs} ${ctimeNs}`;
  });
  return digestOf(`${version}\n${facts.join("\n")}`);
}

function makeDirectory(root: string, path: string, mode: number): void {
  const parent = dirname(path);
  if (path === "." || statSync(join(root, path), { throwIfNoEntry: false })) return;
  makeDirectory(root, parent, 0o755);
  mkdirSync(join(root, path));
  // Whatever the umask.
  chmodSync(join(root, path), mode);
}

async function copyDurably(from: string, to: string): Promise<void> {
  // COPYFILE_FICLONE: shares blocks where the file system can, and copies where not.
  await copyFile(from, to, constants.COPYFILE_FICLONE);
  chownSync(to, 0, 0);
  chmodSync(to, 0o755);
  utimesSync(to, 0, 0);
  const file = await open(to, "r+");
  try {
    await file.sync();
  } finally {
    await file.close();
  }
}
