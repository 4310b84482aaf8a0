/** Routes of tsd's own that look after the disk. Types only. */

/** One thing that POST /tsd/gc removed, or would remove. */
export interface CollectedItem {
  Kind: "image" | "layer" | "content" | "ingest" | "lease";
  ID: string;
  Names: string[];
  /** Bytes that the file system gets back, as far as it is known. */
  Size: number;
  Reason: string;
  /** Why it is still there although it should have gone. */
  Error?: string;
}

export interface CollectResponse {
  Items: CollectedItem[];
  SpaceReclaimed: number;
}
