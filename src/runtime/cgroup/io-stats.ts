/** What is counted of block devices. */
import { readOptional } from "./files.ts";
import type { Place } from "./place.ts";
import type { BlockIoEntry, BlockIoStats, CgroupStats } from "./stats-types.ts";

type List = keyof BlockIoStats;

/** v1's files after their prefix. Those of the BFQ scheduler carry its name; throttling counts two of them. */
const files: Record<List, string> = {
  serviceBytes: "io_service_bytes_recursive",
  serviced: "io_serviced_recursive",
  queued: "io_queued_recursive",
  serviceTime: "io_service_time_recursive",
  waitTime: "io_wait_time_recursive",
  merged: "io_merged_recursive",
  time: "time_recursive",
  sectors: "sectors_recursive",
};

/** What v2 counts, by v1's words for it. */
const keysV2: Partial<Record<List, Record<string, string>>> = {
  serviceBytes: { rbytes: "Read", wbytes: "Write", dbytes: "Discard" },
  serviced: { rios: "Read", wios: "Write", dios: "Discard" },
};

function noEntries(): BlockIoStats {
  const names = Object.keys(files) as List[];
  return Object.fromEntries(names.map((name) => [name, []])) as unknown as BlockIoStats;
}

export function blockIoStats(place: Place | undefined): BlockIoStats | undefined {
  if (place === undefined) return undefined;
  return place.version === 2 ? statsV2(place.directory) : statsV1(place.directory);
}

/** The scheduler's own numbers where it keeps some; what throttling counts is there with every scheduler. */
function statsV1(directory: string): BlockIoStats {
  const stats = noEntries();
  for (const prefix of ["blkio.bfq", "blkio", "blkio.throttle"]) {
    for (const [list, name] of Object.entries(files) as [List, string][]) {
      stats[list] = parseListV1(readOptional(`${directory}/${prefix}.${name}`) ?? "");
    }
    if (stats.serviced.length > 0) break;
  }
  return stats;
}

/**
 * What an old scheduler (CFQ) keeps, where the kernel has it, and else what throttling counts: of v1 what docker shows.
 * A few files in place of all.
 */
export function blockIoUsage(place: Place | undefined): BlockIoStats | undefined {
  if (place === undefined) return undefined;
  const { version, directory } = place;
  if (version === 2) return statsV2(directory);
  const stats = noEntries();
  const scheduled = readOptional(`${directory}/blkio.io_serviced_recursive`);
  const [prefix, lists] =
    scheduled === undefined
      ? ["blkio.throttle", ["serviceBytes", "serviced"] as List[]]
      : ["blkio", Object.keys(files)];
  for (const list of lists as List[]) {
    stats[list] = parseListV1(readOptional(`${directory}/${prefix}.${files[list]}`) ?? "");
  }
  return stats;
}

/** `8:0 Read 4096` or `8:0 4096`; the sum of all devices, `Total 4096`, names none and is left out. */
export function parseListV1(text: string): BlockIoEntry[] {
  const entries: BlockIoEntry[] = [];
  for (const line of text.split("\n")) {
    const match = /^(\d+):(\d+) (?:([A-Z][a-z]+) )?(\d+)$/.exec(line);
    if (match === null) continue;
    entries.push({ major: Number(match[1]), minor: Number(match[2]), op: match[3] ?? "", value: Number(match[4]) });
  }
  return entries;
}

/** io.stat: `8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=5 dios=6`; a device without numbers stands alone. */
function statsV2(directory: string): BlockIoStats {
  const stats = noEntries();
  for (const line of (readOptional(`${directory}/io.stat`) ?? "").split("\n")) {
    const [device = "", ...fields] = line.split(" ");
    const [major, minor] = device.split(":").map(Number);
    if (major === undefined || minor === undefined) continue;
    for (const field of fields) {
      const [key = "", value] = field.split("=");
      for (const [list, words] of Object.entries(keysV2) as [List, Record<string, string>][]) {
        const op = words[key];
        if (op !== undefined) stats[list].push({ major, minor, op, value: Number(value) });
      }
    }
  }
  return stats;
}

/** Reads and writes by device. */
export function ioByDevice({ serviceBytes, serviced }: BlockIoStats): NonNullable<CgroupStats["io"]> {
  const devices = new Map<string, NonNullable<CgroupStats["io"]>[number]>();
  const add = (entries: BlockIoEntry[], reads: "readBytes" | "reads", writes: "writeBytes" | "writes"): void => {
    for (const { major, minor, op, value } of entries) {
      if (op !== "Read" && op !== "Write") continue;
      const key = `${major}:${minor}`;
      const device = devices.get(key) ?? { major, minor, readBytes: 0, writeBytes: 0, reads: 0, writes: 0 };
      device[op === "Read" ? reads : writes] += value;
      devices.set(key, device);
    }
  };
  add(serviceBytes, "readBytes", "writeBytes");
  add(serviced, "reads", "writes");
  return [...devices.values()];
}
