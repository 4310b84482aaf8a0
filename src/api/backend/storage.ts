import type { CollectResponse } from "../schema/storage.ts";

/** What looks after the disk. */
export interface StorageBackend {
  /** Removes what nothing refers to, and images when there is too little space, now. */
  collect(options: { isDryRun: boolean }): Promise<CollectResponse>;
}
