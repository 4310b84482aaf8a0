/** GET /containers/{id}/stats and /top, in the order of Docker's fields. Types only. */

/** Whole numbers that a double does not hold are bigints; on the wire all are plain numbers. */
export type Count = number | bigint;

export interface CpuStats {
  /** Nanoseconds. */
  cpu_usage: {
    total_usage: number;
    /** By CPU; cgroup v1 only. */
    percpu_usage?: number[];
    usage_in_kernelmode: number;
    usage_in_usermode: number;
  };
  /** Nanoseconds of all CPUs, idle ones too. */
  system_cpu_usage?: number;
  online_cpus?: number;
  /** `throttled_time` in nanoseconds. */
  throttling_data: { periods: number; throttled_periods: number; throttled_time: number };
}

/** In bytes; 0 is left out. */
export interface MemoryStats {
  usage?: number;
  /** cgroup v1 only. */
  max_usage?: number;
  /** memory.stat. */
  stats?: Record<string, Count>;
  failcnt?: number;
  /** The container's, else what the machine has. */
  limit?: number;
}

export interface InterfaceStats {
  rx_bytes: number;
  rx_packets: number;
  rx_errors: number;
  rx_dropped: number;
  tx_bytes: number;
  tx_packets: number;
  tx_errors: number;
  tx_dropped: number;
}

export interface BlockIoStatEntry {
  major: number;
  minor: number;
  op: string;
  value: number;
}

/** cgroup v2 has the first list alone; null is none. */
export interface BlockIoStats {
  io_service_bytes_recursive: BlockIoStatEntry[] | null;
  io_serviced_recursive: BlockIoStatEntry[] | null;
  io_queue_recursive: BlockIoStatEntry[] | null;
  io_service_time_recursive: BlockIoStatEntry[] | null;
  io_wait_time_recursive: BlockIoStatEntry[] | null;
  io_merged_recursive: BlockIoStatEntry[] | null;
  io_time_recursive: BlockIoStatEntry[] | null;
  sectors_recursive: BlockIoStatEntry[] | null;
}

export interface ContainerStats {
  id: string;
  /** With a leading slash. */
  name: string;
  os_type: "linux";
  /** RFC 3339; `0001-01-01T00:00:00Z` of a container that does not run. */
  read: string;
  cpu_stats: CpuStats;
  memory_stats: MemoryStats;
  /** By the names that interfaces have in the container. */
  networks?: Record<string, InterfaceStats>;
  pids_stats: { current?: number; limit?: Count };
  blkio_stats: BlockIoStats;
  /** Of Windows. */
  num_procs: 0;
  storage_stats: Record<never, never>;
  /** Of the sample before. */
  preread: string;
  precpu_stats: CpuStats;
}

export interface TopResponse {
  /** A cell for each title. */
  Processes: string[][] | null;
  Titles: string[];
}
