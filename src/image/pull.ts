/** One pull: from a reference to an image whose layers are unpacked, with docker's progress on the way. */
import { type Digest, digestHex } from "../core/digest.ts";
import { isEngineError } from "../core/errors.ts";
import type { Descriptor } from "../oci/image.ts";
import { Connections } from "./content/connections.ts";
import { type DownloadEvent, download } from "./content/download.ts";
import type { GrowingBlob } from "./content/ingest.ts";
import type { ContentStore } from "./content/store.ts";
import { type FetchedImage, type FetchOptions, fetchImage } from "./fetch-image.ts";
import type { GroupSync } from "./group-sync.ts";
import type { PullProgress } from "./image.ts";
import type { Reference } from "./reference.ts";
import type { RegistryClient } from "./registry/client.ts";
import { SharedWork, Slots } from "./shared-work.ts";
import { chainIds, type LayerArchive, type LayerEvent, type LayerSource, type Layers } from "./snapshot/layers.ts";

export interface PullOptions extends FetchOptions {
  onProgress: (event: PullProgress) => void;
}

/** Docker's default of max-concurrent-downloads, for the whole daemon as there. */
const downloadedAtOnce = 3;

/** Fetches images for a daemon: pulls that want the same blob or layer share the work. */
export class Puller {
  readonly #client: RegistryClient;
  readonly #store: ContentStore;
  readonly #layers: Layers;
  readonly #sync: GroupSync;
  readonly #connections = new Connections();
  readonly #downloads = new SharedWork<DownloadEvent | LayerEvent, void>();
  readonly #slots = new Slots(downloadedAtOnce);
  /** What is being fetched at this moment. */
  readonly #growing = new Map<Digest, GrowingBlob>();

  constructor(client: RegistryClient, store: ContentStore, layers: Layers, sync: GroupSync) {
    this.#client = client;
    this.#store = store;
    this.#layers = layers;
    this.#sync = sync;
  }

  /** When it returns, all content is stored and all layers are unpacked; the image is not recorded yet. */
  async pull(reference: Reference, options: PullOptions): Promise<FetchedImage> {
    const image = await fetchImage(this.#client, this.#store, reference, options);
    const { manifest, config } = image;
    const chain = chainIds(config.rootfs.diff_ids);
    options.lease.add({ content: manifest.layers.map(({ digest }) => digest), chains: chain });
    const sources = manifest.layers.map((layer, index) =>
      this.#source(reference, layer, config.rootfs.diff_ids[index]!, options),
    );
    // One that fails ends the others' part in it.
    const failed = new AbortController();
    const signal = AbortSignal.any([options.signal, failed.signal]);
    const work = manifest.layers.map((layer, index) => {
      const below = sources.slice(0, index + 1);
      return this.#pullLayer(reference, layer, chain[index]!, below, { ...options, signal });
    });
    try {
      await Promise.all(work);
    } catch (error) {
      failed.abort();
      await Promise.allSettled(work);
      if (isEngineError(error, "no_space")) this.#giveBack(manifest.layers);
      throw error;
    }
    return image;
  }

  /** Partial blobs that fill the disk must not go on doing so, whether it was their bytes or their files that found it full. */
  #giveBack(layers: readonly Descriptor[]): void {
    for (const { digest } of layers) {
      if (!this.#downloads.isRunning(digest)) this.#store.discardIngest(digest);
    }
  }

  async #pullLayer(
    reference: Reference,
    layer: Descriptor,
    chainId: Digest,
    sources: readonly LayerSource[],
    options: PullOptions,
  ): Promise<void> {
    const id = shortLayerId(layer);
    const tell = (status: string) => options.onProgress({ id, status });
    const isUnpacked = this.#layers.whole(chainId) !== undefined;
    if (isUnpacked && this.#store.has(layer.digest, layer.size)) {
      tell("Already exists");
      return;
    }
    tell("Pulling fs layer");
    const onEvent = (event: LayerEvent) => options.onProgress(progressOf(id, event, layer.size));
    if (isUnpacked) {
      // Another compression of the same files: the store holds what the manifest names, so that it can be read and
      // pushed; the files need not be unpacked twice.
      await this.#download(reference, layer, options, onEvent, options.signal);
    } else await this.#layers.ensure(sources, { signal: options.signal, onEvent });
    tell("Pull complete");
  }

  #source(reference: Reference, layer: Descriptor, diffId: Digest, options: PullOptions): LayerSource {
    return {
      diffId,
      digest: layer.digest,
      fetch: async (signal, emit) => {
        const path = this.#store.path(layer.digest);
        const begun = Promise.withResolvers<LayerArchive>();
        const onGrowing = (blob: GrowingBlob) => begun.resolve({ blob, stored });
        // In a later turn, for another pull may have begun it already.
        const stored: Promise<{ path: string }> = Promise.resolve()
          .then(() => this.#download(reference, layer, options, emit, signal, onGrowing))
          .then(() => ({ path }));
        stored.then(begun.resolve, begun.reject);
        return begun.promise;
      },
    };
  }

  /** Emits what happens to the one download of that blob, however many wait for it. */
  async #download(
    reference: Reference,
    layer: Descriptor,
    { credentials }: PullOptions,
    onEvent: (event: LayerEvent) => void,
    signal: AbortSignal,
    onGrowing: (blob: GrowingBlob) => void = () => undefined,
  ): Promise<void> {
    const { digest, size } = layer;
    const work = async (shared: AbortSignal, emit: (event: DownloadEvent | LayerEvent) => void) => {
      try {
        await download(this.#store, {
          digest,
          size,
          source: (offset, end, inner, whileBusy) =>
            this.#client.blob(reference, digest, offset, { end, credentials, signal: inner, whileBusy }),
          onEvent: (event) => {
            if (event.step === "growing") this.#growing.set(digest, event.blob);
            emit(event);
          },
          signal: shared,
          turn: () => this.#slots.take({ signal: shared, onWait: () => emit({ step: "waiting" }) }),
          sync: () => this.#sync.sync(),
          connections: this.#connections.host(reference.registry),
          ...(this.#client.options.retryDelayMs !== undefined && { retryDelayMs: this.#client.options.retryDelayMs }),
        });
        emit({ step: "downloaded" });
      } finally {
        this.#growing.delete(digest);
      }
    };
    const listener = (event: DownloadEvent | LayerEvent) => {
      if (event.step === "growing") onGrowing(event.blob);
      else onEvent(event);
    };
    const joined = this.#downloads.join(digest, work, { onEvent: listener, signal });
    const growing = this.#growing.get(digest);
    if (growing !== undefined) onGrowing(growing);
    await joined;
  }
}

export function shortLayerId(layer: Pick<Descriptor, "digest">): string {
  return digestHex(layer.digest).slice(0, 12);
}

/** In docker's words. @param total bytes of the compressed layer. */
export function progressOf(id: string, event: LayerEvent, total: number): PullProgress {
  switch (event.step) {
    case "waiting":
      return { id, status: "Waiting" };
    case "downloading":
      return { id, status: "Downloading", current: event.bytes, total };
    case "verifying":
      return { id, status: "Verifying Checksum" };
    case "downloaded":
      return { id, status: "Download complete" };
    case "extracting":
      return { id, status: "Extracting", current: event.bytes, total };
  }
}
