import type { DiskUsageKind, DiskUsageResponse, RootUsage } from "../schema/disk-usage.ts";
import type { Filters } from "../schema/filters.ts";
import type { ContainersPruneResponse, ImagesPruneResponse } from "../schema/prune.ts";
import type { CollectResponse, FsckMessage } from "../schema/storage.ts";

/** What looks after the disk. */
export interface StorageBackend {
  /** Removes what nothing refers to, and images when there is too little space, now. */
  collect(options: { isDryRun: boolean }): Promise<CollectResponse>;
  /** Checks everything that is stored, and puts it right if asked to. An error is the last message. */
  fsck(options: { repair: boolean }, signal: AbortSignal): AsyncIterable<FsckMessage>;
  /** What images, containers and volumes take. */
  diskUsage(kinds: readonly DiskUsageKind[]): Promise<DiskUsageResponse>;
  /** What everything below the root takes. */
  rootUsage(): Promise<RootUsage>;
  /** Removes images that no container has: those without a name, or with `dangling=false` all. */
  pruneImages(filters: Filters): Promise<ImagesPruneResponse>;
  /** Removes containers that do not run. */
  pruneContainers(filters: Filters): Promise<ContainersPruneResponse>;
}
