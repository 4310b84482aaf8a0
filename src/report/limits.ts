/** The limits of this process's cgroup, as the container sees them. */
import { readFileSync } from "node:fs";
import { isErrno } from "../core/errors.ts";
import { parseHierarchies } from "../runtime/cgroup/hierarchy.ts";

export interface LimitFacts {
  /** Undefined where no cgroup file system is mounted. */
  version?: 1 | 2;
  /** Bytes; absent: no limit. */
  memory?: number;
  memoryUsed?: number;
  /** Bytes of swap beside the memory; absent: no limit. */
  swap?: number;
  /** CPUs' worth of time; absent: no limit. */
  cpus?: number;
  pids?: number;
  pidsUsed?: number;
}

/** What v1 shows for "no limit". */
const unlimited = 2 ** 62;

export function readLimits(mountinfo: string, membership: string): LimitFacts {
  const hierarchies = parseHierarchies(mountinfo, membership);
  const v1 = hierarchies.filter((hierarchy) => hierarchy.version === 1);
  const v2 = hierarchies.find((hierarchy) => hierarchy.version === 2);
  const directory = ({ mountPoint, own }: { mountPoint: string; own: string }) => `${mountPoint}${own}`;
  if (v1.length === 0) return v2 === undefined ? {} : { version: 2, ...unified(directory(v2)) };
  const of = (controller: string): string => {
    const found = v1.find(({ controllers }) => controllers.includes(controller));
    return found === undefined ? "" : directory(found);
  };
  return { version: 1, ...split(of("memory"), of("cpu"), of("pids")) };
}

function unified(directory: string): LimitFacts {
  const [quota, period] = (readText(`${directory}/cpu.max`) ?? "").split(" ").map(Number);
  return present({
    memory: readNumber(`${directory}/memory.max`),
    memoryUsed: readNumber(`${directory}/memory.current`),
    swap: readNumber(`${directory}/memory.swap.max`),
    cpus: quota && period ? quota / period : undefined,
    pids: readNumber(`${directory}/pids.max`),
    pidsUsed: readNumber(`${directory}/pids.current`),
  });
}

function split(memory: string, cpu: string, pids: string): LimitFacts {
  const limit = readNumber(`${memory}/memory.limit_in_bytes`);
  const both = readNumber(`${memory}/memory.memsw.limit_in_bytes`);
  const quota = readNumber(`${cpu}/cpu.cfs_quota_us`);
  const period = readNumber(`${cpu}/cpu.cfs_period_us`);
  return present({
    memory: limit,
    memoryUsed: readNumber(`${memory}/memory.usage_in_bytes`),
    swap: both !== undefined && limit !== undefined ? both - limit : undefined,
    cpus: quota !== undefined && quota > 0 && period ? quota / period : undefined,
    pids: readNumber(`${pids}/pids.max`),
    pidsUsed: readNumber(`${pids}/pids.current`),
  });
}

function present(facts: Record<string, number | undefined>): LimitFacts {
  return Object.fromEntries(Object.entries(facts).filter(([, value]) => value !== undefined));
}

/** Undefined where there is no such file, or no limit. */
function readNumber(path: string): number | undefined {
  const text = readText(path);
  if (text === undefined || text === "max" || text === "") return undefined;
  const value = Number(text);
  return value >= unlimited ? undefined : value;
}

function readText(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8").trim();
  } catch (error) {
    if (isErrno(error, "ENOENT", "EACCES", "ENOTDIR", "ENODEV", "EOPNOTSUPP")) return undefined;
    throw error;
  }
}
