/** What an update comes to: the limits that a container has afterwards, and those that have to be written. */
import type { LinuxResources } from "../oci/runtime.ts";

/** A device's entry of blockIO, or a page size's: what tells one from the other. */
type Entry = Record<string, unknown>;

/** Fields in which 0, or no text, is what clients in Go write for "leave it". */
const unsetWhenZero: Partial<Record<keyof LinuxResources, string[]>> = {
  memory: ["limit", "reservation", "swap", "kernel", "kernelTCP"],
  cpu: ["shares", "quota", "period", "realtimePeriod", "realtimeRuntime", "cpus", "mems"],
  blockIO: ["weight", "leafWeight"],
  network: ["classID"],
};

/** Takes out what is written down but changes nothing. */
export function changesOf(resources: LinuxResources): LinuxResources {
  const changes: Record<string, unknown> = { ...resources };
  for (const [name, fields] of Object.entries(unsetWhenZero)) {
    const part = changes[name] as Entry | undefined;
    if (part === undefined) continue;
    changes[name] = Object.fromEntries(Object.entries(part).filter(([key, value]) => value || !fields.includes(key)));
  }
  return changes as LinuxResources;
}

/**
 * The limits after an update: those of before, with the changes in their place. Lists of devices and of page sizes are
 * merged entry by entry; device rules, which have an order, are replaced as a whole.
 */
export function mergeResources(before: LinuxResources, changes: LinuxResources, version: 1 | 2): LinuxResources {
  const { memory, cpu, pids, blockIO, hugepageLimits, network, rdma, unified, devices } = changes;
  return {
    ...before,
    ...(memory && { memory: mergeMemory(before.memory ?? {}, memory, version) }),
    ...(cpu && { cpu: { ...before.cpu, ...cpu } }),
    ...(pids && { pids: { ...before.pids, ...pids } }),
    ...(blockIO && { blockIO: mergeLists(before.blockIO ?? {}, blockIO, deviceKey) }),
    ...(hugepageLimits && {
      hugepageLimits: mergeList(before.hugepageLimits ?? [], hugepageLimits, ({ pageSize }) => String(pageSize)),
    }),
    ...(network && { network: mergeLists(before.network ?? {}, network, ({ name }) => String(name)) }),
    ...(rdma && { rdma: mergeMaps(before.rdma ?? {}, rdma) }),
    ...(unified && { unified: { ...before.unified, ...unified } }),
    ...(devices && { devices }),
  };
}

type Memory = NonNullable<LinuxResources["memory"]>;

/** `swap` is memory and swap together. v2 limits swap alone, and keeps that limit when only memory's is changed. */
function mergeMemory(before: Memory, changes: Memory, version: 1 | 2): Memory {
  const merged = { ...before, ...changes };
  if (changes.limit === undefined || changes.swap !== undefined) return merged;
  if (changes.limit === -1) return { ...merged, swap: -1 };
  const hadBoth = (before.limit ?? 0) > 0 && (before.swap ?? 0) > 0;
  return version === 2 && hadBoth ? { ...merged, swap: before.swap! - before.limit! + changes.limit } : merged;
}

/**
 * What is written: the changes, with those of the other limits that the kernel, or this runtime, takes together with
 * them.
 */
export function withCompanions(changes: LinuxResources, merged: LinuxResources): LinuxResources {
  const { cpu, memory } = changes;
  const completed: LinuxResources = { ...changes };
  if (cpu !== undefined && (cpu.quota !== undefined || cpu.period !== undefined)) {
    // cpu.max of v2 is one file of both.
    const { quota, period } = merged.cpu ?? {};
    completed.cpu = { ...cpu, ...(quota !== undefined && { quota }), ...(period !== undefined && { period }) };
  }
  if (memory !== undefined) {
    const { limit, checkBeforeUpdate } = merged.memory ?? {};
    completed.memory = {
      ...memory,
      // The limit of swap alone, which v2 wants, is the difference of the two.
      ...(memory.swap !== undefined && limit !== undefined && { limit }),
      ...(checkBeforeUpdate !== undefined && { checkBeforeUpdate }),
    };
  }
  return completed;
}

function deviceKey({ major, minor }: Entry): string {
  return `${major}:${minor}`;
}

/** Properties that are lists are merged by their entries' keys, others are replaced. */
function mergeLists<T extends object>(before: T, changes: T, keyOf: (entry: Entry) => string): T {
  const merged = { ...before } as Record<string, unknown>;
  for (const [name, value] of Object.entries(changes)) {
    const old = merged[name];
    merged[name] = Array.isArray(value) && Array.isArray(old) ? mergeList(old, value, keyOf) : value;
  }
  return merged as T;
}

function mergeList<T extends object>(
  before: readonly T[],
  changes: readonly T[],
  keyOf: (entry: Entry) => string,
): T[] {
  const entries = new Map(before.map((entry) => [keyOf(entry as Entry), entry]));
  for (const entry of changes) {
    const key = keyOf(entry as Entry);
    entries.set(key, { ...entries.get(key), ...entry });
  }
  return [...entries.values()];
}

function mergeMaps<T extends object>(before: Record<string, T>, changes: Record<string, T>): Record<string, T> {
  const merged = { ...before };
  for (const [name, value] of Object.entries(changes)) merged[name] = { ...merged[name], ...value };
  return merged;
}
