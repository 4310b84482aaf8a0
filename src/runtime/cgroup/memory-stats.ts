/** What the memory controller counts. */
import { parseKeyed, readNumber, readOptional } from "./files.ts";
import type { Place } from "./place.ts";
import { readPressure } from "./pressure.ts";
import type { MemoryCounter, MemoryStats } from "./stats-types.ts";

export function memoryStats(place: Place | undefined): MemoryStats | undefined {
  if (place === undefined) return undefined;
  return place.version === 2 ? statsV2(place.directory) : statsV1(place.directory);
}

function statsV1(directory: string): MemoryStats | undefined {
  const memory = counterV1(directory, "memory");
  if (memory === undefined) return undefined;
  const stat = parseKeyed(readOptional(`${directory}/memory.stat`) ?? "");
  const swap = counterV1(directory, "memory.memsw");
  const kernel = counterV1(directory, "memory.kmem");
  const kernelTcp = counterV1(directory, "memory.kmem.tcp");
  return {
    ...memory,
    // Counted together: what is not memory is swap.
    ...(swap !== undefined && { swap, swapUsageBytes: Math.max(0, swap.usageBytes - memory.usageBytes) }),
    ...(kernel !== undefined && { kernel }),
    ...(kernelTcp !== undefined && { kernelTcp }),
    inactiveFileBytes: stat.total_inactive_file ?? 0,
    cacheBytes: stat.cache ?? 0,
    stat,
  };
}

/** The memory's own numbers, without those of swap and of the kernel's memory: a few files in place of all. */
export function memoryUsage(place: Place | undefined): MemoryStats | undefined {
  if (place?.version !== 1) return memoryStats(place);
  const memory = counterV1(place.directory, "memory");
  if (memory === undefined) return undefined;
  const stat = parseKeyed(readOptional(`${place.directory}/memory.stat`) ?? "");
  return { ...memory, inactiveFileBytes: stat.total_inactive_file ?? 0, cacheBytes: stat.cache ?? 0, stat };
}

function counterV1(directory: string, prefix: string): MemoryCounter | undefined {
  const path = (name: string): string => `${directory}/${prefix}.${name}`;
  return counter(
    readNumber(path("usage_in_bytes")),
    readNumber(path("max_usage_in_bytes")),
    readNumber(path("limit_in_bytes")),
    readNumber(path("failcnt")),
  );
}

function counter(usageBytes?: number, max?: number, limit?: number, failures?: number): MemoryCounter | undefined {
  if (usageBytes === undefined) return undefined;
  return {
    usageBytes,
    ...(max !== undefined && { maxUsageBytes: max }),
    ...(limit !== undefined && { limitBytes: limit }),
    ...(failures !== undefined && { failures }),
  };
}

function statsV2(directory: string): MemoryStats | undefined {
  const eventsText = readOptional(`${directory}/memory.events`);
  const events = eventsText === undefined ? undefined : parseKeyed(eventsText);
  const memory = counterV2(directory, "memory", events?.max);
  if (memory === undefined) return undefined;
  const stat = parseKeyed(readOptional(`${directory}/memory.stat`) ?? "");
  const swapEvents = parseKeyed(readOptional(`${directory}/memory.swap.events`) ?? "");
  const swap = counterV2(directory, "memory.swap", swapEvents.max);
  const pressure = readPressure(`${directory}/memory.pressure`);
  return {
    ...memory,
    ...(swap !== undefined && { swap, swapUsageBytes: swap.usageBytes }),
    inactiveFileBytes: stat.inactive_file ?? 0,
    cacheBytes: stat.file ?? 0,
    stat,
    ...(events !== undefined && { events }),
    ...(pressure !== undefined && { pressure }),
  };
}

function counterV2(directory: string, prefix: string, failures: number | undefined): MemoryCounter | undefined {
  const read = (name: string): number | undefined => readNumber(`${directory}/${prefix}.${name}`);
  return counter(read("current"), read("peak"), read("max"), failures);
}
