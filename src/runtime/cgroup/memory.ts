/** linux.resources.memory. Documentation/admin-guide/cgroup-v1/memory.rst and cgroup-v2.rst. */
import { EngineError } from "../../core/errors.ts";
import type { LinuxResources } from "../../oci/runtime.ts";
import { readCgroupFile, readOptional, tryWriteField, writeField } from "./files.ts";
import type { Place, Places } from "./place.ts";

type Memory = NonNullable<LinuxResources["memory"]>;
const field = "linux.resources.memory";

/**
 * `kernel`, `kernelTCP` and `useHierarchy` are passed over, as runc does: Linux took the limits away in 5.16 and made
 * every cgroup hierarchical in 5.11.
 */
export function applyMemory(memory: Memory, places: Places): void {
  const { limit, reservation, swap, swappiness, disableOOMKiller } = memory;
  const wanted = [limit, reservation, swap, swappiness].some((value) => value !== undefined) || disableOOMKiller;
  if (!wanted) return;
  const first = ["limit", "reservation", "swap", "swappiness"].find(
    (name) => memory[name as keyof Memory] !== undefined,
  );
  const place = places.require("memory", `${field}.${first ?? "disableOOMKiller"}`);
  if (memory.checkBeforeUpdate) checkUsage(memory, place);
  if (place.version === 2) applyV2(memory, place.directory);
  else applyV1(memory, place.directory);
}

/** config-linux.md, "checkBeforeUpdate": no limit below what is used, which would end in the OOM killer. */
function checkUsage({ limit = -1 }: Memory, { version, directory }: Place): void {
  if (limit <= 0) return;
  const path = `${directory}/memory.${version === 2 ? "current" : "usage_in_bytes"}`;
  const usage = Number(readCgroupFile(path));
  if (usage <= limit) return;
  throw new EngineError("conflict", `${field}.limit: ${limit} is below the present usage of ${usage} bytes`, { path });
}

/** A limit of 0 is no limit that anybody asked for, as in runc: clients in Go write it for "unset". */
function isSet(value: number | undefined): value is number {
  return value !== undefined && value !== 0;
}

function applyV1(memory: Memory, directory: string): void {
  const { reservation, swappiness } = memory;
  setLimitsV1(memory, directory);
  if (isSet(reservation)) {
    writeField(`${field}.reservation`, `${directory}/memory.soft_limit_in_bytes`, String(reservation));
  }
  if (memory.disableOOMKiller) writeField(`${field}.disableOOMKiller`, `${directory}/memory.oom_control`, "1");
  if (swappiness !== undefined) {
    if (swappiness > 100) {
      throw new EngineError("invalid_argument", `${field}.swappiness: ${swappiness} is not between 0 and 100`);
    }
    writeField(`${field}.swappiness`, `${directory}/memory.swappiness`, String(swappiness));
  }
}

/** The kernel refuses a memory limit above that of memory and swap: which goes first depends on the direction. */
function setLimitsV1({ limit, swap: wantedSwap }: Memory, directory: string): void {
  const swapPath = `${directory}/memory.memsw.limit_in_bytes`;
  const hasSwap = readOptional(swapPath) !== undefined;
  // No limit of memory means none of swap either, unless one is given.
  const swap = limit === -1 && !isSet(wantedSwap) && hasSwap ? -1 : wantedSwap;
  const setLimit = (): void => {
    if (isSet(limit)) writeLimitV1(directory, limit);
  };
  const setSwap = (): void => {
    if (!isSet(swap) || (swap === -1 && !hasSwap)) return;
    writeField(`${field}.swap`, swapPath, String(swap));
  };
  const current = Number(readOptional(`${directory}/memory.limit_in_bytes`) ?? 0);
  if (isSet(limit) && isSet(swap) && (swap === -1 || current < swap)) {
    setSwap();
    setLimit();
  } else {
    setLimit();
    setSwap();
  }
}

function writeLimitV1(directory: string, limit: number): void {
  const read = (name: string) => readOptional(`${directory}/memory.${name}`)?.trim();
  // EBUSY: more is in use and cannot be reclaimed.
  writeField(`${field}.limit`, `${directory}/memory.limit_in_bytes`, String(limit), () => {
    return ` (${read("usage_in_bytes")} bytes in use, ${read("max_usage_in_bytes")} at most so far)`;
  });
}

function applyV2(memory: Memory, directory: string): void {
  const { limit, reservation, swappiness } = memory;
  if (memory.disableOOMKiller) {
    throw new EngineError("unsupported", `${field}.disableOOMKiller: cgroup v2 cannot disable the OOM killer`);
  }
  if (swappiness !== undefined) {
    throw new EngineError("unsupported", `${field}.swappiness: cgroup v2 has no swappiness of a cgroup's own`);
  }
  const swap = swapOnly(memory);
  if (swap !== undefined) {
    const value = swap === -1 ? "max" : String(swap);
    // Without swap accounting there is no such file: then "none" and "any" are as good as set.
    const expected = swap <= 0 ? ["ENOENT"] : [];
    tryWriteField(`${field}.swap`, `${directory}/memory.swap.max`, value, ...expected);
  }
  if (isSet(limit)) writeField(`${field}.limit`, `${directory}/memory.max`, limit === -1 ? "max" : String(limit));
  if (isSet(reservation)) {
    const value = reservation === -1 ? "max" : String(reservation);
    writeField(`${field}.reservation`, `${directory}/memory.low`, value);
  }
}

/**
 * v2 counts swap alone, config.json memory and swap together as v1 does. Undefined: leave it; -1: no limit.
 * @throws EngineError invalid_argument for a sum that is less than its part, or without it.
 */
export function swapOnly({ limit, swap }: Memory): number | undefined {
  if (!isSet(swap)) return limit === -1 ? -1 : undefined;
  if (swap === -1 || limit === -1) return swap;
  if (!isSet(limit)) {
    throw new EngineError("invalid_argument", `${field}.swap: cgroup v2 needs ${field}.limit beside it`);
  }
  if (swap < limit) {
    const message = `${field}.swap: ${swap} is memory and swap together, and below the limit of memory, ${limit}`;
    throw new EngineError("invalid_argument", message);
  }
  return swap - limit;
}
