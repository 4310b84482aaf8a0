/** An image from its configuration and layers: the documents are written, the topmost layer unpacked, the image recorded. */
import { Cleanup } from "../../core/cleanup.ts";
import { type Digest, digestOf } from "../../core/digest.ts";
import { type Descriptor, type ImageConfig, mediaTypes, type Platform } from "../../oci/image.ts";
import type { ImageStore } from "../images.ts";
import type { Lease } from "../leases.ts";
import type { ImageOrigin } from "../records.ts";
import { chainIds, type LayerSource, type UnpackedAhead } from "../snapshot/layers.ts";

/** What has been put into the store for an image, to be taken back when it comes to nothing. */
export interface Kept {
  content: Digest[];
  chains: Digest[];
}

/** To be called when its lease is gone: what no other image has goes. The reason is the caller's to throw. */
export async function giveBack(store: ImageStore, kept: Kept): Promise<void> {
  const cleanup = new Cleanup("an image that has come to nothing");
  cleanup.add("give back what was taken in", () => store.free(kept));
  await cleanup.runAndLog();
}

export interface NewImage {
  config: ImageConfig;
  /** From the bottom up; their content is stored, and all but the last are unpacked. */
  layers: readonly Descriptor[];
  /** The last one, where it is unpacked and not yet in its place. */
  ahead?: UnpackedAhead | undefined;
  platform: Platform;
  /** Canonical. */
  name: string | undefined;
  origin: ImageOrigin;
}

/** @returns the image's id. @throws EngineError not_found when a layer's content is gone, corrupt, no_space, cancelled. */
export async function buildImage(
  store: ImageStore,
  image: NewImage,
  { lease, kept, signal }: { lease: Lease; kept: Kept; signal: AbortSignal },
): Promise<Digest> {
  const { config, layers, ahead, platform, name, origin } = image;
  const diffIds = config.rootfs.diff_ids;
  const documents: Descriptor[] = [];
  const write = async (mediaType: string, document: object): Promise<Descriptor> => {
    const bytes = Buffer.from(JSON.stringify(document));
    const descriptor = { mediaType, digest: digestOf(bytes), size: bytes.length };
    lease.add({ content: [descriptor.digest] });
    kept.content.push(descriptor.digest);
    await store.content.write(bytes, descriptor.digest);
    documents.push(descriptor);
    return descriptor;
  };
  const chain = chainIds(diffIds);
  const top = chain.at(-1);
  if (top !== undefined) {
    lease.add({ chains: chain, content: layers.map(({ digest }) => digest) });
    kept.chains.push(top);
    const sources = layers.map(
      (layer, index): LayerSource => ({
        diffId: diffIds[index]!,
        ahead: index === layers.length - 1 ? ahead : undefined,
        fetch: async () => ({ path: store.content.path(layer.digest) }),
      }),
    );
    await store.layers.ensure(sources, { signal });
  }
  const configDescriptor = await write(mediaTypes.ociConfig, config);
  const manifest = await write(mediaTypes.ociManifest, {
    schemaVersion: 2,
    mediaType: mediaTypes.ociManifest,
    config: configDescriptor,
    layers,
  });
  await store.record({
    id: manifest.digest,
    mediaType: manifest.mediaType,
    size: manifest.size,
    name,
    content: [...documents, ...layers].map(({ digest, size }) => ({ digest, size })),
    platforms: [{ manifestDigest: manifest.digest, platform, diffIds, isUnpacked: true }],
    origin,
  });
  return manifest.digest;
}
