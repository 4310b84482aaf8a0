/**
 * A cgroup's numbers in the shape that `runc events` gives them. What is left out when it is 0, and what is a 0 then,
 * is as there: callers decode it with the same types.
 */
import type { CgroupStats } from "../cgroup/cgroup.ts";
import type { BlockIoEntry, BlockIoStats, MemoryCounter } from "../cgroup/stats-types.ts";

/** What the kernel calls no limit, PAGE_COUNTER_MAX pages in v1; in v2 it is the largest number that there is. */
const noLimit = { 1: 2n ** 63n - 4096n, 2: 2n ** 64n - 1n } as const;

const blockIoNames: Record<keyof BlockIoStats, string> = {
  serviceBytes: "ioServiceBytesRecursive",
  serviced: "ioServicedRecursive",
  queued: "ioQueueRecursive",
  serviceTime: "ioServiceTimeRecursive",
  waitTime: "ioWaitTimeRecursive",
  merged: "ioMergedRecursive",
  time: "ioTimeRecursive",
  sectors: "sectorsRecursive",
};

export function statsView(stats: CgroupStats, version: 1 | 2): object {
  return {
    cpu: cpuView(stats.cpu),
    cpuset: cpusetView(stats.cpuset),
    memory: memoryView(stats.memory, version),
    pids: set({ current: stats.pids?.current, limit: stats.pids?.limit }),
    blkio: blockIoView(stats),
    hugetlb: hugetlbView(stats.hugetlb ?? {}),
    intel_rdt: {},
    // The runtime makes no interfaces: who made them counts them.
    network_interfaces: null,
  };
}

function cpuView(cpu: CgroupStats["cpu"]): object {
  const perCpu = (name: "usageNs" | "userNs" | "systemNs") => cpu?.perCpu?.map((times) => times[name]);
  return {
    usage: {
      ...set({
        total: cpu?.usageNs,
        percpu: perCpu("usageNs"),
        percpu_kernel: perCpu("systemNs"),
        percpu_user: perCpu("userNs"),
      }),
      kernel: cpu?.systemNs ?? 0,
      user: cpu?.userNs ?? 0,
    },
    throttling: set({
      periods: cpu?.periods,
      throttledPeriods: cpu?.throttledPeriods,
      throttledTime: cpu?.throttledNs,
    }),
    ...set({ psi: cpu?.pressure }),
  };
}

function cpusetView(cpuset: CgroupStats["cpuset"]): object {
  const flag = (name: string): number => cpuset?.flags[name] ?? 0;
  return {
    ...set({ cpus: cpuset?.cpus }),
    cpu_exclusive: flag("cpu_exclusive"),
    ...set({ mems: cpuset?.mems }),
    mem_hardwall: flag("mem_hardwall"),
    mem_exclusive: flag("mem_exclusive"),
    memory_migrate: flag("memory_migrate"),
    memory_spread_page: flag("memory_spread_page"),
    memory_spread_slab: flag("memory_spread_slab"),
    memory_pressure: flag("memory_pressure"),
    sched_load_balance: flag("sched_load_balance"),
    sched_relax_domain_level: flag("sched_relax_domain_level"),
  };
}

function memoryView(memory: CgroupStats["memory"], version: 1 | 2): object {
  const counter = (of: MemoryCounter | undefined): object => ({
    limit: of === undefined ? 0 : (of.limitBytes ?? noLimit[version]),
    ...set({ usage: of?.usageBytes, max: of?.maxUsageBytes }),
    failcnt: of?.failures ?? 0,
  });
  const raw = Object.entries(memory?.stat ?? {}).map(([name, value]) => [name, exact(value)] as const);
  return {
    ...set({ cache: memory?.cacheBytes }),
    usage: counter(memory),
    swap: counter(version === 1 ? memory?.swap : withSwap(memory)),
    kernel: counter(memory?.kernel),
    kernelTCP: counter(memory?.kernelTcp),
    ...(raw.length > 0 && { raw: Object.fromEntries(raw.sort(([a], [b]) => (a < b ? -1 : 1))) }),
    ...set({ psi: memory?.pressure }),
  };
}

/** v2 counts swap alone; the entry is memory and swap together, as v1 counts them. There is no peak of a sum. */
function withSwap(memory: CgroupStats["memory"]): MemoryCounter | undefined {
  if (memory === undefined) return undefined;
  const { swap } = memory;
  const bounded = memory.limitBytes !== undefined && (swap === undefined || swap.limitBytes !== undefined);
  return {
    usageBytes: memory.usageBytes + (swap?.usageBytes ?? 0),
    ...(bounded && { limitBytes: memory.limitBytes! + (swap?.limitBytes ?? 0) }),
    failures: swap?.failures ?? 0,
  };
}

function blockIoView({ blockIO, ioPressure }: CgroupStats): object {
  const lists = (Object.keys(blockIoNames) as (keyof BlockIoStats)[]).map((list) => [
    blockIoNames[list],
    blockIO?.[list].map(({ major, minor, op, value }: BlockIoEntry) => set({ major, minor, op, value })),
  ]);
  return { ...set(Object.fromEntries(lists)), ...set({ psi: ioPressure }) };
}

function hugetlbView(sizes: NonNullable<CgroupStats["hugetlb"]>): object {
  const entries = Object.entries(sizes).sort(([a], [b]) => (a < b ? -1 : 1));
  return Object.fromEntries(
    entries.map(([size, { usageBytes, maxUsageBytes, failures }]) => [
      size,
      { ...set({ usage: usageBytes, max: maxUsageBytes }), failcnt: failures },
    ]),
  );
}

/** Without what Go's "omitempty" leaves out: 0, empty texts and lists, and what is not there. */
function set(fields: Record<string, unknown>): Record<string, unknown> {
  const kept = Object.entries(fields).filter(([, value]) => {
    return value !== undefined && value !== 0 && value !== "" && !(Array.isArray(value) && value.length === 0);
  });
  return Object.fromEntries(kept.map(([name, value]) => [name, typeof value === "number" ? exact(value) : value]));
}

/** Written out digit by digit: JSON rounds what lies beyond 2^53. */
function exact(value: number): number | bigint {
  return Number.isInteger(value) && !Number.isSafeInteger(value) ? BigInt(value) : value;
}
