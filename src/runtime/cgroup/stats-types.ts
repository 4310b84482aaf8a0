/** Numbers that a cgroup counts. What the kernel does not count, or whose controller is missing, is absent. */
export interface CgroupStats {
  cpu?: CpuStats;
  /** Where its processes may run; cgroup v1 only. */
  cpuset?: CpusetStats;
  memory?: MemoryStats;
  pids?: { current: number; limit?: number };
  /** By device, what docker's stats add up. */
  io?: { major: number; minor: number; readBytes: number; writeBytes: number; reads: number; writes: number }[];
  /** All that is counted of block devices, as the kernel lists it. */
  blockIO?: BlockIoStats;
  /** cgroup v2. */
  ioPressure?: Pressure;
  /** By the size of a page, as the kernel spells it: `2MB`. */
  hugetlb?: Record<string, HugetlbStats>;
  /** By device. */
  rdma?: Record<string, { current: RdmaCounts; limit: RdmaCounts }>;
}

export interface CpuStats {
  /** Nanoseconds, as are user, system and throttled time. */
  usageNs: number;
  userNs: number;
  systemNs: number;
  periods: number;
  throttledPeriods: number;
  throttledNs: number;
  /** By the number of the CPU, also of those that are off; cgroup v1 only. */
  perCpu?: { usageNs: number; userNs: number; systemNs: number }[];
  pressure?: Pressure;
}

/** The files of cpuset(7) by their names without `cpuset.`, flags as 0 and 1. */
export interface CpusetStats {
  cpus: number[];
  mems: number[];
  flags: Record<string, number>;
}

/** A usage with its limit. */
export interface MemoryCounter {
  usageBytes: number;
  /** High-water mark; absent where the kernel keeps none. */
  maxUsageBytes?: number;
  /** Absent: no limit. */
  limitBytes?: number;
  /** How often the limit was hit; absent where the kernel does not count it. */
  failures?: number;
}

export interface MemoryStats extends MemoryCounter {
  swapUsageBytes?: number;
  /** Page cache that could be dropped: what docker subtracts from the usage. */
  inactiveFileBytes: number;
  /** Page cache. */
  cacheBytes: number;
  /** Memory and swap together in v1; swap alone in v2. */
  swap?: MemoryCounter;
  /** cgroup v1 only. */
  kernel?: MemoryCounter;
  kernelTcp?: MemoryCounter;
  /** memory.stat as it stands. */
  stat: Record<string, number>;
  /** cgroup v2: memory.events as it stands. */
  events?: Record<string, number>;
  pressure?: Pressure;
}

export interface HugetlbStats {
  usageBytes: number;
  /** High-water mark; cgroup v1 only. */
  maxUsageBytes?: number;
  failures: number;
}

export interface RdmaCounts {
  /** Absent in a limit: none. */
  handles?: number;
  objects?: number;
}

/** Pressure stall information: Documentation/accounting/psi.rst. */
export interface Pressure {
  some: PressureTimes;
  full: PressureTimes;
}

export interface PressureTimes {
  /** Percent of the last 10, 60 and 300 seconds. */
  avg10: number;
  avg60: number;
  avg300: number;
  /** Microseconds. */
  total: number;
}

/** `op` is the kernel's word: Read, Write, Sync, Async, Discard, Total; empty where there is none. */
export interface BlockIoEntry {
  major: number;
  minor: number;
  op: string;
  value: number;
}

/** Lists that the I/O scheduler in use does not keep are empty. */
export interface BlockIoStats {
  serviceBytes: BlockIoEntry[];
  serviced: BlockIoEntry[];
  queued: BlockIoEntry[];
  serviceTime: BlockIoEntry[];
  waitTime: BlockIoEntry[];
  merged: BlockIoEntry[];
  time: BlockIoEntry[];
  sectors: BlockIoEntry[];
}
