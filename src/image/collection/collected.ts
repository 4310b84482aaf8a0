/** What collecting reports: each thing that went, or would go, and why. */

export type CollectedKind = "image" | "layer" | "content" | "ingest" | "lease";

export interface Collected {
  kind: CollectedKind;
  /** An image's or blob's digest, a layer's chain id, a lease's number. */
  id: string;
  /** Of an image: its canonical names, which go with it. */
  names: string[];
  /** What the file system gets back, as far as it is known. */
  bytes: number;
  /** One clause: `no image needs it`. */
  why: string;
  /** Why it is still there although it should have gone. */
  error?: string;
}

/** A size, or a part of the file system that the root lies on. */
export type SpaceLimit = { bytes: number } | { percent: number; bytesMax?: number };

export interface CollectionPolicy {
  /** What images may take at most, layers and downloads included; absent: as much as there is. */
  maxUsed?: SpaceLimit | undefined;
  /** What has to stay free on the file system. */
  minFree?: SpaceLimit | undefined;
  /** What was used within this time is not removed to make space, in ms. */
  keepForMs: number;
}

export interface CollectOptions extends CollectionPolicy {
  /** Says what would go, and removes nothing. */
  isDryRun: boolean;
  /** Told of each thing as it goes. */
  onCollected?: (item: Collected) => void;
  signal?: AbortSignal | undefined;
}
