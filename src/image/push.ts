/** Pushes: an image's content to a repository, exactly as it lies in the store, with docker's progress on the way. */
import { advice } from "../core/advice.ts";
import type { Digest } from "../core/digest.ts";
import { EngineError, wrapError } from "../core/errors.ts";
import type { Descriptor, Platform } from "../oci/image.ts";
import type { RegistryCredentials } from "./image.ts";
import { type ContentBlob, type ImageNode, missingManifests, readImageTree } from "./image-tree.ts";
import type { ImageStore } from "./images.ts";
import { shortLayerId } from "./pull.ts";
import { chooseForPush } from "./push-choice.ts";
import { canonicalReference, familiarName, familiarReference, type Reference, repositoryName } from "./reference.ts";
import { credentialsKey } from "./registry/authorization.ts";
import { hasManifest, uploadManifest } from "./registry/manifest-upload.ts";
import { type UploadBlob, type UploadResult, uploadBlob } from "./registry/upload.ts";
import { SharedWork, Slots, throwIfAborted } from "./shared-work.ts";

export interface PushOptions {
  /** One manifest of the index. */
  platform?: Platform | undefined;
  credentials?: RegistryCredentials | undefined;
  onProgress: (event: PushProgress) => void;
  signal: AbortSignal;
}

interface BlobPushOptions extends PushOptions {
  /** Of the image that they belong to. */
  root: Digest;
}

/** Docker's status words; `id` is a layer's (12 digits of its digest). */
export interface PushProgress {
  id?: string;
  status?: string;
  /** Bytes. */
  current?: number;
  total?: number;
  aux?: PushedImage | PushedInsteadOfIndex;
}

export interface PushedImage {
  Tag: string;
  Digest: Digest;
  Size: number;
}

/** Docker 29's word for an index of which not all is here. */
export interface PushedInsteadOfIndex {
  manifestPushedInsteadOfIndex: true;
  originalIndex: Descriptor;
  selectedManifest: Descriptor;
}

type UploadEvent = { step: "waiting" } | { step: "pushing"; bytes: number };

/** Docker's default of max-concurrent-uploads, for the whole daemon as there. */
const uploadedAtOnce = 5;
const pieceBytes = 2 ** 18;

/** Pushes images for a daemon: pushes of one blob to one repository share the work. */
export class Pusher {
  readonly #store: ImageStore;
  readonly #uploads = new SharedWork<UploadEvent, UploadResult>();
  readonly #slots = new Slots(uploadedAtOnce);

  constructor(store: ImageStore) {
    this.#store = store;
  }

  /**
   * @param reference with a tag or a digest: that image; with neither: all of the repository's.
   * @throws EngineError not_found, conflict where a platform has to be said, unauthorized, unavailable, corrupt,
   * cancelled.
   */
  async push(reference: Reference, options: PushOptions): Promise<void> {
    const targets = this.#targets(reference);
    options.onProgress({ status: `The push refers to repository [${repositoryName(reference)}]` });
    for (const target of targets) await this.#pushOne(target, options);
  }

  #targets(reference: Reference): Reference[] {
    const { records } = this.#store;
    if (reference.tag !== undefined || reference.digest !== undefined) {
      if (this.#find(reference) === undefined) {
        throw new EngineError("not_found", `tag does not exist: ${familiarReference(reference)}`, {
          hint: advice.noImage,
        });
      }
      return [reference];
    }
    const prefix = `${repositoryName(reference)}:`;
    const tags = records
      .all()
      .flatMap(({ id }) => records.names(id))
      .filter((name) => name.startsWith(prefix))
      .map((name) => name.slice(prefix.length))
      .sort();
    if (tags.length > 0) return tags.map((tag) => ({ ...reference, tag }));
    throw new EngineError("not_found", `An image does not exist locally with the tag: ${familiarName(reference)}`, {
      hint: advice.noImage,
    });
  }

  /** What the name stands for: of an index the index. */
  #find(reference: Reference): Descriptor | undefined {
    const { records } = this.#store;
    const { registry, repository, tag, digest } = reference;
    const row =
      digest === undefined
        ? records.byName(canonicalReference({ registry, repository, tag: tag! }))
        : records.get(digest);
    return row && { mediaType: row.mediaType, digest: row.id, size: row.size };
  }

  async #pushOne(reference: Reference, options: PushOptions): Promise<void> {
    const { onProgress, signal } = options;
    const name = familiarReference(reference);
    const root = this.#find(reference);
    if (root === undefined) throw new EngineError("not_found", `tag does not exist: ${name}`, { hint: advice.noImage });
    using lease = this.#store.leases.take(`push ${canonicalReference(reference)}`);
    lease.add({ content: [root.digest] });
    this.#store.touch(root.digest);
    const tree = readImageTree(this.#store, root);
    const remote = await this.#remote(reference, tree, options);
    const chosen = chooseForPush(tree, { name, platform: options.platform, remote });
    const { blobs, manifests } = contentOf(chosen);
    lease.add({
      content: [...blobs, ...manifests.map(({ descriptor }) => descriptor)].map(({ digest }) => digest),
      chains: blobs.flatMap(({ digest, diffId }) => (diffId === digest ? [diffId] : [])),
    });
    const { requests } = this.#store.registry;
    // Who cannot be reached, or refuses, says so once and at once, not for each blob.
    await hasManifest(requests, reference, chosen.descriptor.digest, options);
    await this.#pushBlobs(reference, blobs, { ...options, root: root.digest });
    for (const { descriptor, bytes } of manifests) {
      throwIfAborted(signal);
      const { digest, mediaType } = descriptor;
      const isRoot = digest === chosen.descriptor.digest;
      const target = (isRoot ? (reference.tag ?? reference.digest) : undefined) ?? digest;
      await uploadManifest(requests, reference, target, { bytes, digest, mediaType }, options);
    }
    // Unless somebody removed it meanwhile.
    const { records } = this.#store;
    if (records.get(root.digest)) records.addSource(root.digest, repositoryName(reference));
    const { digest, size } = chosen.descriptor;
    const tag = reference.tag ?? digest;
    onProgress({ status: `${tag}: digest: ${digest} size: ${size}` });
    onProgress({ aux: { Tag: tag, Digest: digest, Size: size } });
    if (tree.kind === "index" && chosen !== tree) {
      const { descriptor: originalIndex } = tree;
      onProgress({ aux: { manifestPushedInsteadOfIndex: true, originalIndex, selectedManifest: chosen.descriptor } });
    }
  }

  /** Of what is not here: what the repository has already, so that the index can name it all the same. */
  async #remote(reference: Reference, tree: ImageNode, options: PushOptions): Promise<Set<string>> {
    const found = new Set<string>();
    if (options.platform !== undefined) return found;
    for (const { digest } of missingManifests(tree)) {
      if (!(await hasManifest(this.#store.registry.requests, reference, digest, options))) break;
      found.add(digest);
    }
    return found;
  }

  async #pushBlobs(reference: Reference, blobs: readonly ContentBlob[], options: BlobPushOptions): Promise<void> {
    for (const blob of blobs) {
      if (blob.isLayer) options.onProgress({ id: shortLayerId(blob), status: "Preparing" });
    }
    // One that fails ends the others.
    const failed = new AbortController();
    const signal = AbortSignal.any([options.signal, failed.signal]);
    const work = blobs.map((blob) => this.#pushBlob(reference, blob, { ...options, signal }));
    try {
      await Promise.all(work);
    } catch (error) {
      failed.abort();
      await Promise.allSettled(work);
      throw error;
    }
  }

  async #pushBlob(reference: Reference, blob: ContentBlob, options: BlobPushOptions): Promise<void> {
    const { credentials, signal } = options;
    const id = shortLayerId(blob);
    const tell = (event: PushProgress) => (blob.isLayer ? options.onProgress({ id, ...event }) : undefined);
    const sources = this.#mountable(blob.digest, options.root, reference);
    const work = (shared: AbortSignal, emit: (event: UploadEvent) => void) =>
      this.#slots.run(
        () =>
          uploadBlob(this.#store.registry.requests, reference, this.#content(blob), {
            credentials,
            signal: shared,
            sources,
            onProgress: (bytes) => emit({ step: "pushing", bytes }),
          }),
        { signal: shared, onWait: () => emit({ step: "waiting" }) },
      );
    const onEvent = (event: UploadEvent) =>
      tell(
        event.step === "waiting"
          ? { status: "Waiting" }
          : { status: "Pushing", current: event.bytes, total: blob.size },
      );
    const key = `${repositoryName(reference)} ${blob.digest} ${credentialsKey(credentials)}`;
    const result = await this.#uploads.join(key, work, { onEvent, signal });
    tell({ status: statusOf(result) });
  }

  /** Other repositories of that registry which have the blob. */
  #mountable(digest: Digest, root: Digest, reference: Reference): string[] {
    const prefix = `${reference.registry}/`;
    const { records } = this.#store;
    // The layer of a made image is not among the stored blobs: where the image is, it is.
    const names = new Set([...records.blobSources(digest), ...records.sources(root)]);
    return [...names]
      .filter((name) => name.startsWith(prefix) && name !== repositoryName(reference))
      .map((name) => name.slice(prefix.length));
  }

  #content({ digest, size, diffId }: ContentBlob): UploadBlob {
    const { content, embedded } = this.#store;
    if (content.has(digest, size)) {
      return { digest, size, open: (start, end) => filePieces(content.path(digest), start, end) };
    }
    const archive = () => {
      const made = diffId === undefined ? undefined : embedded.archive(diffId);
      if (made) return made;
      throw new EngineError("not_found", `layer ${shortLayerId({ digest })} is not stored`);
    };
    return { digest, size, open: (start, end) => partOf(archive(), start, end) };
  }
}

function statusOf(result: UploadResult): string {
  if (result.how === "mounted") return `Mounted from ${result.from}`;
  return result.how === "existed" ? "Layer already exists" : "Pushed";
}

/** Each blob once, and the manifests in the order in which a registry takes them: what an index names before it. */
function contentOf(node: ImageNode): {
  blobs: ContentBlob[];
  manifests: { descriptor: Descriptor; bytes: Uint8Array }[];
} {
  const blobs = new Map<Digest, ContentBlob>();
  const manifests = new Map<Digest, { descriptor: Descriptor; bytes: Uint8Array }>();
  const visit = (one: ImageNode) => {
    if (one.kind === "missing") return;
    if (one.kind === "index") for (const child of one.children) visit(child);
    else for (const blob of one.blobs) blobs.set(blob.digest, blob);
    manifests.set(one.descriptor.digest, one);
  };
  visit(node);
  return { blobs: [...blobs.values()], manifests: [...manifests.values()] };
}

async function* filePieces(path: string, start: number, end: number): AsyncGenerator<Uint8Array> {
  const file = Bun.file(path);
  for (let at = start; at < end; at += pieceBytes) {
    try {
      yield await file.slice(at, Math.min(end, at + pieceBytes)).bytes();
    } catch (error) {
      throw wrapError(error, `read ${path}`);
    }
  }
}

async function* partOf(stream: ReadableStream<Uint8Array>, start: number, end: number): AsyncGenerator<Uint8Array> {
  let at = 0;
  for await (const piece of stream) {
    const part = piece.subarray(Math.max(0, start - at), Math.max(0, end - at));
    at += piece.length;
    if (part.length > 0) yield part;
    if (at >= end) return;
  }
}
