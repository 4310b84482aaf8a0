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

/** Something that is not as it should be. */
export interface FsckFinding {
  Kind: string;
  /** damage: something does not work. leftover: space that is wasted. notice: nothing is wrong. */
  Severity: "damage" | "leftover" | "notice";
  Object: string;
  Message: string;
  /** What was done about it; absent when it was not tried. */
  Repaired?: string;
  /** Why it could not be put right. */
  Failed?: string;
}

export interface FsckSummary {
  Blobs: number;
  BlobBytes: number;
  Layers: number;
  Images: number;
  Damage: number;
  Leftovers: number;
  Repaired: number;
}

/** A line of what POST /tsd/fsck answers; the last has the summary, or the error that ended it. */
export interface FsckMessage {
  Progress?: { Bytes: number; TotalBytes: number };
  Finding?: FsckFinding;
  Summary?: FsckSummary;
  Error?: { Code: string; Message: string; Hint?: string };
}
