/** The images of one daemon: pulled, found, listed, removed. Everything the engine asks of the image part goes through here. */
import type { Database } from "bun:sqlite";
import { join } from "node:path";
import { advice } from "../core/advice.ts";
import { Cleanup } from "../core/cleanup.ts";
import { type Digest, digestHex } from "../core/digest.ts";
import type { DirectoryLimits } from "../core/directory-limits.ts";
import { EngineError, errorMessage, isEngineError } from "../core/errors.ts";
import { KeyedLock } from "../core/lock.ts";
import { log } from "../core/log.ts";
import type { Platform } from "../oci/image.ts";
import { removeUnfinished } from "./archive/unfinished.ts";
import { type Documents, ImageCatalogue } from "./catalogue.ts";
import { isLayoutIndex, writeLayoutIndex } from "./content/layout.ts";
import { ContentStore } from "./content/store.ts";
import { EmbeddedImage, embeddedName, isEmbeddedReference } from "./embedded/embedded.ts";
import { type EnsureUnpackedOptions, ensureUnpacked } from "./ensure-unpacked.ts";
import { GroupSync } from "./group-sync.ts";
import type { Image, ImageSummary, ImageUser, PullProgress, RegistryCredentials, RemoveResult } from "./image.ts";
import { Leases } from "./leases.ts";
import { hostPlatform, normalise } from "./platform.ts";
import { Puller } from "./pull.ts";
import { Pusher, type PushOptions } from "./push.ts";
import { reconcileImages } from "./reconcile.ts";
import { type ImageRecord, pulledImage } from "./record.ts";
import { type Freed, ImageRecords } from "./records.ts";
import {
  canonicalReference,
  familiarReference,
  parseReference,
  parseRepository,
  type Reference,
  repositoryName,
  shownReference,
} from "./reference.ts";
import { RegistryClient, type RegistryClientOptions } from "./registry/client.ts";
import { planRemoval } from "./removal.ts";
import { throwIfAborted } from "./shared-work.ts";
import { SnapshotDirectories } from "./snapshot/directories.ts";
import { Layers } from "./snapshot/layers.ts";
import { SnapshotStore } from "./snapshot/snapshots.ts";
import { defaultUnpackLimits, type UnpackLimits } from "./unpack/protocol.ts";
import type { UnpackProgram } from "./unpack/unpacker.ts";

export interface ImageStoreOptions {
  /** The daemon's root: content and snapshots are below it. */
  root: string;
  /** Opened with imageSchema. */
  database: Database;
  registry?: RegistryClientOptions;
  limits?: UnpackLimits;
  /** Of containers' own layers; absent: they have none. */
  directoryLimits?: DirectoryLimits;
  /** The containers that hold an image; asked before it is removed. */
  usersOf?: (imageId: Digest) => ImageUser[];
  /** What unpacks layers; its default is this executable. */
  unpackProgram?: UnpackProgram;
  /** What archives trees; its default is this executable. */
  packProgram?: UnpackProgram;
  /** What the image `hello` is made of; its default is this executable. */
  executable?: string;
}

export interface PullImageOptions {
  /** Its default is the host's. */
  platform?: Platform | undefined;
  credentials?: RegistryCredentials | undefined;
  onProgress?: (event: PullProgress) => void;
  signal?: AbortSignal | undefined;
}

/** Uses of an image are recorded as exactly as this. */
const usedPrecisionMs = 60_000;

export class ImageStore {
  readonly content: ContentStore;
  readonly snapshots: SnapshotStore;
  readonly layers: Layers;
  readonly leases: Leases;
  readonly records: ImageRecords;
  readonly options: ImageStoreOptions;
  readonly directories: SnapshotDirectories;
  readonly embedded: EmbeddedImage;
  readonly #catalogue: ImageCatalogue;
  readonly registry: RegistryClient;
  readonly #puller: Puller;
  readonly #pusher: Pusher;
  readonly #lock = new KeyedLock();
  #isStarted = false;
  /** When images were last said to be used, so that a busy one is not written about at every use. */
  readonly #usedAt = new Map<string, number>();

  constructor(options: ImageStoreOptions) {
    const { root, database, limits = defaultUnpackLimits, unpackProgram } = options;
    this.options = options;
    this.content = new ContentStore(join(root, "content"));
    this.directories = new SnapshotDirectories(join(root, "snapshots"), options.directoryLimits);
    const sync = new GroupSync([this.content.root, this.directories.root]);
    this.leases = new Leases(database);
    const { directories, leases } = this;
    this.layers = new Layers({ database, directories, leases, sync, limits, unpackProgram });
    this.snapshots = new SnapshotStore(database, this.directories, this.layers);
    this.records = new ImageRecords(database);
    this.#catalogue = new ImageCatalogue(this.content, this.layers, this.records);
    this.registry = new RegistryClient(options.registry);
    this.#puller = new Puller(this.registry, this.content, this.layers, sync);
    this.#pusher = new Pusher(this);
    this.embedded = new EmbeddedImage(this, options.executable);
  }

  /** It serves a daemon: others work with it at the same time. */
  get isStarted(): boolean {
    return this.#isStarted;
  }

  /** Puts right what a killed daemon left. To be called once, before anything else. */
  async start(): Promise<void> {
    this.#isStarted = true;
    // First, as long as their leases say what they held.
    await removeUnfinished(this);
    this.leases.dropUnresumable();
    await reconcileImages(this);
    await this.embedded.removeOutdated();
    await this.publish();
  }

  /** Waits for deletions that go on in the background. */
  async settled(): Promise<void> {
    await this.directories.settled();
  }

  /**
   * Fetches an image and makes it visible under the reference's name, all of it or nothing. `hello` comes from no
   * registry: it is made of this executable.
   * @throws EngineError invalid_argument, not_found, unauthorized, unavailable, unsupported, corrupt, no_space, cancelled.
   */
  async pull(text: string, options: PullImageOptions = {}): Promise<Image> {
    const reference = parseReference(text);
    const { onProgress: tell = () => undefined } = options;
    const signal = options.signal ?? new AbortController().signal;
    throwIfAborted(signal);
    if (isEmbeddedReference(text)) return this.#makeEmbedded(tell);
    const onProgress = announced(reference, tell);
    const name = storedName(reference);
    const here = this.#whole(name, options.platform ?? hostPlatform());
    if (here && (await this.#isNewest(here, reference, { ...options, signal }))) {
      this.touch(here.id);
      tellResult(reference, here.id, "Image is up to date", onProgress);
      return here;
    }
    using lease = this.leases.take(`pull ${name}`);
    try {
      const image = await this.#puller.pull(reference, {
        platform: normalise(options.platform ?? hostPlatform()),
        isExplicit: options.platform !== undefined,
        credentials: options.credentials,
        signal,
        onProgress,
        lease,
      });
      throwIfAborted(signal);
      await this.record(pulledImage(image, name));
      // A registry that does not answer HEAD with a digest shows only now that it has nothing new.
      const isSame = here?.id === image.id && here.manifestDigest === image.manifestDigest;
      tellResult(reference, image.id, isSame ? "Image is up to date" : "Downloaded newer image", onProgress);
      return this.load(image.id, image.manifestDigest);
    } catch (error) {
      lease.keep();
      throw error;
    }
  }

  /**
   * Brings an image, or without tag and digest all of a repository, to its registry.
   * @throws EngineError invalid_argument, not_found, conflict, unauthorized, unavailable, corrupt, cancelled.
   */
  push(reference: Reference, options: PushOptions): Promise<void> {
    return this.#pusher.push(reference, options);
  }

  /**
   * What a name, digest or id stands for here; undefined where there is no such image, or not for that platform.
   * Without a platform it is the host's, or where there is none for the host, the one there is.
   * @throws EngineError invalid_argument for a malformed reference or an ambiguous prefix.
   */
  resolve(text: string, platform?: Platform): Image | undefined {
    const id = this.#find(text);
    return id && this.#catalogue.select(id, platform);
  }

  /** @throws EngineError not_found in docker's words. */
  get(text: string, platform?: Platform): Image {
    const image = this.resolve(text, platform);
    if (!image) throw new EngineError("not_found", `No such image: ${shownReference(text)}`, { hint: advice.noImage });
    return image;
  }

  /** One platform of an image. @throws EngineError not_found. */
  load(id: Digest, manifestDigest: Digest): Image {
    return this.#catalogue.load(id, manifestDigest);
  }

  /** The image with its layers unpacked. @throws EngineError not_found when a layer's content is gone, no_space, cancelled. */
  async ensureUnpacked(image: Image, options: EnsureUnpackedOptions = {}): Promise<Image> {
    return ensureUnpacked(this, image, options);
  }

  /** The image is used now: what is used least goes first when space is needed. Cheap enough for every start. */
  touch(id: string): void {
    const now = Date.now();
    if (now - (this.#usedAt.get(id) ?? 0) < usedPrecisionMs) return;
    this.#usedAt.set(id, now);
    try {
      this.records.setUsed(id, new Date(now).toISOString());
    } catch (error) {
      // On a full disk containers start all the same.
      log("warn", "an image's use could not be recorded", { image: id, error: errorMessage(error) });
    }
  }

  list(): ImageSummary[] {
    return this.#catalogue.list();
  }

  /** Gives an image another name. @throws EngineError invalid_argument. */
  async tag(id: Digest, name: string): Promise<void> {
    const reference = parseReference(name);
    if (reference.digest !== undefined) {
      throw new EngineError("invalid_argument", "refusing to create a tag with a digest reference");
    }
    await this.#lock.run("images", async () => {
      if (!this.records.get(id)) throw new EngineError("not_found", `No such image: ${id}`);
      this.records.setName(canonicalReference(reference), id, new Date().toISOString());
      await this.publish();
    });
  }

  /**
   * Removes a name, and with the last one the image; by id the image with all its names.
   * @throws EngineError not_found, conflict in docker's words.
   */
  async remove(text: string, options: { force?: boolean } = {}): Promise<RemoveResult[]> {
    return this.#lock.run("images", async () => {
      const id = this.identify(text);
      const isById = isIdPrefix(text, id);
      const names = this.records.names(id);
      const users = this.options.usersOf?.(id) ?? [];
      const plan = planRemoval({
        id,
        names,
        users,
        force: options.force === true,
        reference: isById ? undefined : text,
      });
      for (const name of plan.untag) this.records.removeName(name);
      if (plan.removesImage) await this.free(this.records.remove(id));
      await this.publish();
      return plan.results;
    });
  }

  /** Does something to the rows of images while nobody else does. */
  exclusively<T>(work: () => Promise<T>): Promise<T> {
    return this.#lock.run("images", work);
  }

  /** What a name, digest or id stands for here. @throws EngineError not_found in docker's words, invalid_argument. */
  identify(text: string): Digest {
    const id = this.#find(text);
    if (id === undefined)
      throw new EngineError("not_found", `No such image: ${shownReference(text)}`, { hint: advice.noImage });
    return id;
  }

  /**
   * Makes an image visible whose content is stored, or adds platforms to one. The caller holds the content by a lease.
   * @throws EngineError not_found when some of the content is not there.
   */
  record(image: ImageRecord): Promise<void> {
    return this.recordAll([image]);
  }

  /** All of them, or when one cannot be recorded none. @throws as `record`. */
  async recordAll(images: readonly ImageRecord[]): Promise<void> {
    await this.#lock.run("images", async () => {
      for (const { id, content } of images) {
        const missing = content.find(({ digest, size }) => !this.content.has(digest, size));
        if (missing) throw new EngineError("not_found", `image ${id}: content ${missing.digest} is not in the store`);
      }
      this.records.together(() => {
        for (const image of images) this.#commit(image);
      });
      await this.publish();
    });
  }

  #commit({ platforms, content, ...image }: ImageRecord): void {
    this.records.commit({
      ...image,
      name: image.name,
      platforms: platforms.map((platform) => this.#catalogue.platformRow(platform)),
      content,
      lastTaggedAt: new Date().toISOString(),
      isStored: this.#catalogue.isStored([...this.records.platforms(image.id), ...platforms]),
    });
    if (image.origin === "pull" && image.name !== undefined) {
      this.records.addSource(image.id, repositoryName(parseReference(image.name)));
    }
  }

  /** Deletes content and layers that nothing needs any more: all that can be. @throws AggregateError for what cannot. */
  async free({ content, chains }: Freed): Promise<void> {
    const cleanup = new Cleanup("what nothing needs");
    for (const digest of content) {
      cleanup.add(`remove ${digest}`, async () => {
        if (!this.isContentNeeded(digest)) await this.content.remove(digest);
      });
    }
    for (const chain of chains) cleanup.add(`remove layers from ${chain} down`, () => this.layers.collect([chain]));
    await cleanup.run();
  }

  isContentNeeded(digest: Digest): boolean {
    return this.records.isReferenced(digest) || this.leases.holdsContent(digest);
  }

  /** Manifest and configuration. @throws EngineError not_found, corrupt when the store lost them. */
  documents(manifestDigest: Digest): Documents {
    return this.#catalogue.documents(manifestDigest);
  }

  /** Manifest and configuration; undefined when the store lost them. */
  readable(manifestDigest: Digest): Documents | undefined {
    return this.#catalogue.readable(manifestDigest);
  }

  /** Says in index.json what images there are, for other tools that read the layout. */
  async publish(): Promise<void> {
    // One after the other: what is read last is what stays written.
    await this.#lock.run("index", () => writeLayoutIndex(this.content.root, this.#catalogue.published()));
  }

  /** Does index.json say so? */
  isPublished(): boolean {
    return isLayoutIndex(this.content.root, this.#catalogue.published());
  }

  async #makeEmbedded(onProgress: (event: PullProgress) => void): Promise<Image> {
    const before = this.resolve(embeddedName)?.id;
    const image = await this.embedded.ensure();
    const result = image.id === before ? "Image is up to date" : "Made newer image";
    tellResult(parseReference(embeddedName), image.id, result, onProgress);
    return image;
  }

  /** The image of that name, unless a pull has to complete it. */
  #whole(name: string, platform: Platform): Image | undefined {
    const row = this.records.byName(name);
    const image = row && this.#catalogue.select(row.id, platform);
    // An index's other manifests may be absent, but not the index itself.
    if (!image?.isUnpacked || !this.content.has(image.id) || !this.#catalogue.isStored([image])) return undefined;
    const layers = image.chainId === undefined ? [] : this.layers.chain(image.chainId);
    return layers.every(({ directory }) => this.directories.has(directory)) ? image : undefined;
  }

  async #isNewest(image: Image, reference: Reference, options: PullImageOptions): Promise<boolean> {
    return (reference.digest ?? (await this.#newest(reference, options))) === image.id;
  }

  /** Undefined where HEAD does not tell: GET then says what is wrong, if anything is. */
  async #newest(reference: Reference, options: PullImageOptions): Promise<Digest | undefined> {
    try {
      return await this.registry.resolve(reference, options);
    } catch (error) {
      if (isEngineError(error, "unavailable")) return undefined;
      throw error;
    }
  }

  #find(text: string): Digest | undefined {
    if (/^[a-f0-9]{64}$/.test(text)) return this.records.get(`sha256:${text}`)?.id;
    if (/^[a-z0-9]+:[a-f0-9]{64,}$/.test(text) && this.records.get(text as Digest)) return text as Digest;
    return this.#findByName(text) ?? this.#findByPrefix(text);
  }

  #findByName(text: string): Digest | undefined {
    let reference: Reference;
    try {
      reference = parseReference(text);
    } catch (error) {
      if (/^sha256:[a-f0-9]+$/.test(text)) return undefined;
      throw error;
    }
    const named = this.records.byName(storedName(reference));
    if (named || reference.digest === undefined) return named?.id;
    // name@digest: the digest decides, if the image is of that repository.
    const image = this.records.get(reference.digest);
    const sameRepository = (name: string) => {
      const other = parseRepository(name);
      return other.registry === reference.registry && other.repository === reference.repository;
    };
    return image && this.records.names(image.id).some(sameRepository) ? image.id : undefined;
  }

  #findByPrefix(text: string): Digest | undefined {
    const prefix = /^(?:sha256:)?([a-f0-9]{4,64})$/.exec(text)?.[1];
    if (prefix === undefined) return undefined;
    const [first, second] = this.records.byIdPrefix(`sha256:${prefix}`);
    if (second) throw new EngineError("invalid_argument", `image id prefix ${prefix} is ambiguous`);
    return first?.id;
  }
}

/** With docker's first line before the first of what is told, so that a pull that is refused says nothing but that. */
function announced(
  { repository, tag, digest }: Reference,
  tell: (event: PullProgress) => void,
): (event: PullProgress) => void {
  let isAnnounced = false;
  return (event) => {
    if (!isAnnounced) tell({ id: digest ?? tag!, status: `Pulling from ${repository}` });
    isAnnounced = true;
    tell(event);
  };
}

function tellResult(reference: Reference, id: Digest, result: string, onProgress: (event: PullProgress) => void): void {
  onProgress({ status: `Digest: ${id}` });
  onProgress({ status: `Status: ${result} for ${familiarReference(reference)}` });
}

/** What an image is filed under: with a digest the tag says nothing more, and docker drops it. */
function storedName({ registry, repository, tag, digest }: Reference): string {
  return canonicalReference({ registry, repository, ...(digest === undefined ? { tag: tag! } : { digest }) });
}

function isIdPrefix(text: string, id: Digest): boolean {
  const hex = text.replace(/^sha256:/, "");
  return id === text || (/^[a-f0-9]+$/.test(hex) && digestHex(id).startsWith(hex));
}
