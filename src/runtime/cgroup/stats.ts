/** What a cgroup counts, read from its files. */
import type { CgroupStats } from "./cgroup.ts";
import { parseKeyed, readOptional } from "./files.ts";
import type { Place, Places } from "./place.ts";

/** v1 writes a limit that nobody set as the largest number of pages: PAGE_COUNTER_MAX of linux/page_counter.h. */
const unlimitedV1 = 2 ** 63 - 2 ** 20;
/** cpuacct.stat counts in USER_HZ, which is 100 on every Linux that tsd runs on. */
const tickNs = 1e7;

export function readStats(places: Places): CgroupStats {
  const cpu = cpuStats(places);
  const memory = memoryStats(places.find("memory"));
  const pids = pidsStats(places.find("pids"));
  const io = ioStats(places.find("blkio"));
  return {
    ...(cpu !== undefined && { cpu }),
    ...(memory !== undefined && { memory }),
    ...(pids !== undefined && { pids }),
    ...(io !== undefined && { io }),
  };
}

function cpuStats(places: Places): CgroupStats["cpu"] {
  const account = places.find("cpuacct");
  if (account?.version === 1) {
    const usage = readOptional(`${account.directory}/cpuacct.usage`);
    if (usage === undefined) return undefined;
    const stat = parseKeyed(readOptional(`${account.directory}/cpuacct.stat`) ?? "");
    const scheduler = places.find("cpu");
    const throttling = parseKeyed((scheduler && readOptional(`${scheduler.directory}/cpu.stat`)) ?? "");
    return {
      usageNs: Number(usage),
      userNs: (stat.user ?? 0) * tickNs,
      systemNs: (stat.system ?? 0) * tickNs,
      periods: throttling.nr_periods ?? 0,
      throttledPeriods: throttling.nr_throttled ?? 0,
      throttledNs: throttling.throttled_time ?? 0,
    };
  }
  // cpu.stat has its times with or without the controller.
  const unified = places.unified();
  const text = unified && readOptional(`${unified.directory}/cpu.stat`);
  if (text === undefined) return undefined;
  const stat = parseKeyed(text);
  return {
    usageNs: (stat.usage_usec ?? 0) * 1000,
    userNs: (stat.user_usec ?? 0) * 1000,
    systemNs: (stat.system_usec ?? 0) * 1000,
    periods: stat.nr_periods ?? 0,
    throttledPeriods: stat.nr_throttled ?? 0,
    throttledNs: (stat.throttled_usec ?? 0) * 1000,
  };
}

function memoryStats(place: Place | undefined): CgroupStats["memory"] {
  if (place === undefined) return undefined;
  const { version, directory } = place;
  const names =
    version === 2
      ? { usage: "memory.current", max: "memory.peak", limit: "memory.max" }
      : { usage: "memory.usage_in_bytes", max: "memory.max_usage_in_bytes", limit: "memory.limit_in_bytes" };
  const usageBytes = readNumber(`${directory}/${names.usage}`);
  if (usageBytes === undefined) return undefined;
  const stat = parseKeyed(readOptional(`${directory}/memory.stat`) ?? "");
  const maxUsageBytes = readNumber(`${directory}/${names.max}`);
  const limitBytes = readNumber(`${directory}/${names.limit}`);
  const swapUsageBytes = swapUsage(place, usageBytes);
  return {
    usageBytes,
    ...(maxUsageBytes !== undefined && { maxUsageBytes }),
    ...(limitBytes !== undefined && { limitBytes }),
    ...(swapUsageBytes !== undefined && { swapUsageBytes }),
    inactiveFileBytes: (version === 2 ? stat.inactive_file : stat.total_inactive_file) ?? 0,
    stat,
  };
}

/** v1 counts memory and swap together. */
function swapUsage({ version, directory }: Place, usageBytes: number): number | undefined {
  if (version === 2) return readNumber(`${directory}/memory.swap.current`);
  const both = readNumber(`${directory}/memory.memsw.usage_in_bytes`);
  return both === undefined ? undefined : Math.max(0, both - usageBytes);
}

function pidsStats(place: Place | undefined): CgroupStats["pids"] {
  const current = place && readNumber(`${place.directory}/pids.current`);
  if (place === undefined || current === undefined) return undefined;
  const limit = readNumber(`${place.directory}/pids.max`);
  return { current, ...(limit !== undefined && { limit }) };
}

function ioStats(place: Place | undefined): CgroupStats["io"] {
  if (place === undefined) return undefined;
  const devices = new Map<string, NonNullable<CgroupStats["io"]>[number]>();
  const device = (number: string) => {
    const [major = 0, minor = 0] = number.split(":").map(Number);
    const found = devices.get(number) ?? { major, minor, readBytes: 0, writeBytes: 0, reads: 0, writes: 0 };
    devices.set(number, found);
    return found;
  };
  if (place.version === 2) {
    for (const line of (readOptional(`${place.directory}/io.stat`) ?? "").split("\n")) {
      // `8:0 rbytes=1 wbytes=2 rios=3 wios=4 …`; a device without numbers stands alone.
      const [number = "", ...fields] = line.split(" ");
      if (fields.length === 0) continue;
      const values = parseKeyed(fields.join("\n").replaceAll("=", " "));
      Object.assign(device(number), {
        readBytes: values.rbytes ?? 0,
        writeBytes: values.wbytes ?? 0,
        reads: values.rios ?? 0,
        writes: values.wios ?? 0,
      });
    }
  } else {
    for (const [file, reads, writes] of [
      ["blkio.throttle.io_service_bytes_recursive", "readBytes", "writeBytes"],
      ["blkio.throttle.io_serviced_recursive", "reads", "writes"],
    ] as const) {
      for (const line of (readOptional(`${place.directory}/${file}`) ?? "").split("\n")) {
        const [number = "", operation, value] = line.split(" ");
        if (operation === "Read") device(number)[reads] = Number(value);
        if (operation === "Write") device(number)[writes] = Number(value);
      }
    }
  }
  return [...devices.values()];
}

/** A number from a file; undefined where there is no file or no limit ("max", or v1's largest number). */
function readNumber(path: string): number | undefined {
  const text = readOptional(path)?.trim();
  if (text === undefined || text === "max" || text === "") return undefined;
  const value = Number(text);
  return value >= unlimitedV1 ? undefined : value;
}

/** How many processes the OOM killer ended: memory.events in v2, memory.oom_control in v1 since Linux 4.13. */
export function readOomKills(place: Place | undefined): number {
  if (place === undefined) return 0;
  const file = place.version === 2 ? "memory.events" : "memory.oom_control";
  return parseKeyed(readOptional(`${place.directory}/${file}`) ?? "").oom_kill ?? 0;
}
