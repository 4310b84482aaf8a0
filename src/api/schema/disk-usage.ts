/** GET /system/df and GET /tsd/df. Types only. */
import type { ContainerSummary } from "./container.ts";
import type { ImageSummary } from "./image.ts";
import type { VolumeUsageItem } from "./volume.ts";

export interface KindUsage<Item> {
  ActiveCount: number;
  TotalCount: number;
  Reclaimable: number;
  TotalSize: number;
  /** With `verbose`. */
  Items?: Item[];
}

/** All with their items; the route leaves out what was not asked for. */
export interface DiskUsageResponse {
  ImageUsage?: KindUsage<ImageSummary>;
  ContainerUsage?: KindUsage<ContainerSummary>;
  VolumeUsage?: KindUsage<VolumeUsageItem>;
  BuildCacheUsage?: KindUsage<never>;
}

export type DiskUsageKind = "container" | "image" | "volume" | "build-cache";

/** What one heading takes on the disk, as du counts. */
export interface RootUsageRow {
  Name: string;
  Count: number;
  Bytes: number;
  Inodes: number;
}

/** Every byte and inode below the daemon's root, under one heading each. */
export interface RootUsage {
  Root: string;
  Rows: RootUsageRow[];
  TotalBytes: number;
  TotalInodes: number;
  FileSystem: { TotalBytes: number; FreeBytes: number; TotalInodes: number; FreeInodes: number };
}
