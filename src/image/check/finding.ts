/** What a check of the store finds, and how it is put right. */

/** damage: something does not work. leftover: space that is wasted until it is collected. notice: nothing is wrong. */
export type Severity = "damage" | "leftover" | "notice";

/** Between two looks at what may be on its way: what is made gets its row, and what is written its file, within an instant. */
export const lookAgainMs = 300;

/** The event loop gets a turn after so many rows, or documents. */
const rowsPerTurn = 50;

/** The items, with turns of the event loop between them: a check of a thousand images must not hold up everybody else. */
export async function* withTurns<T>(items: Iterable<T>): AsyncGenerator<T> {
  let done = 0;
  for (const item of items) {
    if (++done % rowsPerTurn === 0) await new Promise(setImmediate);
    yield item;
  }
}

export interface Finding {
  /** `missing-content`, `orphan-snapshot`, … */
  kind: FindingKind;
  severity: Severity;
  /** A digest, a chain id, a path below the root, a table. */
  object: string;
  message: string;
  /** Puts it right and says how; absent where that cannot be done here. */
  repair?: () => Promise<string>;
}

export type FindingKind =
  | "corrupt-content"
  | "missing-content"
  | "wrong-size"
  | "unreferenced-content"
  | "stray-file"
  | "image-record"
  | "incomplete-image"
  | "missing-layer"
  | "missing-container-layer"
  | "orphan-snapshot"
  | "trash"
  | "stale-ingest"
  | "index"
  | "database"
  | "foreign-key"
  | "empty-lease";

export interface ReportedFinding extends Omit<Finding, "repair"> {
  /** What was done about it; absent when it was not tried. */
  repaired?: string;
  /** Why it could not be put right. */
  failed?: string;
}

export interface CheckSummary {
  blobs: number;
  blobBytes: number;
  layers: number;
  images: number;
  damage: number;
  leftovers: number;
  repaired: number;
}

export type CheckEvent =
  | { step: "hashing"; bytes: number; totalBytes: number }
  | { step: "finding"; finding: ReportedFinding }
  | { step: "done"; summary: CheckSummary };

export interface CheckOptions {
  repair: boolean;
  signal?: AbortSignal | undefined;
}
