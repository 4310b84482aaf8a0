/** What the volume routes answer and are asked: Docker's JSON field for field. Types only. */

export interface VolumeInspect {
  /** RFC 3339, to the second, in the daemon's time zone; absent where the driver does not know. */
  CreatedAt?: string;
  Driver: string;
  Labels: Record<string, string> | null;
  /** Where the data is on the host; "" where only the driver knows. */
  Mountpoint: string;
  Name: string;
  /** Of the driver; null where none were given. */
  Options: Record<string, string> | null;
  Scope: "local" | "global";
  /** What the driver has to say, of a single volume that is inspected. */
  Status?: Record<string, unknown>;
}

export interface VolumeUsageItem extends VolumeInspect {
  /** Of the disk and of containers, -1 for what is not known. */
  UsageData: { RefCount: number; Size: number };
}

export interface VolumeListResponse {
  Volumes: VolumeInspect[];
  /** Of drivers that did not answer; on the wire null where all did. */
  Warnings: string[] | null;
}

/** Body of POST /volumes/create. */
export interface VolumeCreateRequest {
  /** Absent or "": an anonymous volume. */
  Name?: string;
  /** Absent or "": local. */
  Driver?: string;
  DriverOpts?: Record<string, string>;
  Labels?: Record<string, string>;
  /** A volume of a swarm's. */
  ClusterVolumeSpec?: object;
}
