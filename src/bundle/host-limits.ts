/** Which limits this host's kernel can set, cgroups(7): files of version 1, controllers of version 2. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

export const hostLimits = [
  "memory",
  "memoryReservation",
  "memorySwappiness",
  "oomKillDisable",
  "pids",
  "cpuCfs",
  "cpuShares",
  "cpuRealtime",
  "cpuset",
  "blkioWeight",
  "blkioWeightDevice",
  "blkioReadBps",
  "blkioWriteBps",
  "blkioReadIOps",
  "blkioWriteIOps",
] as const;
export type HostLimit = (typeof hostLimits)[number];

export interface CgroupFacts {
  cgroupVersion: 1 | 2;
  /** Limits of swap are counted: memory.memsw.* (v1) or memory.swap.max (v2) is there. */
  swapLimit: boolean;
  limits: ReadonlySet<HostLimit>;
  /** What `--cpuset-cpus` and `--cpuset-mems` may name, as lists of ranges: `0-3`; empty where nobody knows. */
  cpuset: { cpus: string; mems: string };
}

/** Controller and file of each limit in version 1; BFQ has files of its own. */
const files: Record<HostLimit, [controller: string, ...files: string[]]> = {
  memory: ["memory", "memory.limit_in_bytes"],
  memoryReservation: ["memory", "memory.soft_limit_in_bytes"],
  memorySwappiness: ["memory", "memory.swappiness"],
  oomKillDisable: ["memory", "memory.oom_control"],
  pids: ["pids", "cgroup.procs"],
  cpuCfs: ["cpu", "cpu.cfs_quota_us"],
  cpuShares: ["cpu", "cpu.shares"],
  cpuRealtime: ["cpu", "cpu.rt_runtime_us"],
  cpuset: ["cpuset", "cpuset.cpus"],
  blkioWeight: ["blkio", "blkio.weight", "blkio.bfq.weight"],
  blkioWeightDevice: ["blkio", "blkio.weight_device", "blkio.bfq.weight_device"],
  blkioReadBps: ["blkio", "blkio.throttle.read_bps_device"],
  blkioWriteBps: ["blkio", "blkio.throttle.write_bps_device"],
  blkioReadIOps: ["blkio", "blkio.throttle.read_iops_device"],
  blkioWriteIOps: ["blkio", "blkio.throttle.write_iops_device"],
};

/** What each controller of version 2 can limit. Weights of block devices depend on the kernel's schedulers. */
const unified: Record<string, HostLimit[]> = {
  memory: ["memory", "memoryReservation"],
  pids: ["pids"],
  cpu: ["cpuCfs", "cpuShares"],
  cpuset: ["cpuset"],
  io: ["blkioReadBps", "blkioWriteBps", "blkioReadIOps", "blkioWriteIOps"],
};

/**
 * v2 is what systemd calls unified: the one hierarchy on /sys/fs/cgroup.
 * @param mounts the text of /proc/self/mounts.
 * @param root where that hierarchy is looked at.
 */
export function readCgroupFacts(mounts: string, root = "/sys/fs/cgroup"): CgroupFacts {
  return /^\S+ \/sys\/fs\/cgroup cgroup2 /m.test(mounts) ? unifiedFacts(root) : mountedFacts(mounts);
}

function mountedFacts(mounts: string): CgroupFacts {
  const directories = new Map<string, string>();
  for (const [, directory, options] of mounts.matchAll(/^\S+ (\S+) cgroup (\S+)/gm)) {
    for (const controller of options!.split(",")) directories.set(controller, directory!);
  }
  const has = (controller: string, file: string) => {
    const directory = directories.get(controller);
    return directory !== undefined && existsSync(join(directory, file));
  };
  const listOf = (file: string) => readList(join(directories.get("cpuset") ?? "", file));
  return {
    cgroupVersion: 1,
    swapLimit: has("memory", "memory.memsw.limit_in_bytes"),
    limits: new Set(
      hostLimits.filter((limit) => {
        const [controller, ...names] = files[limit];
        return names.some((name) => has(controller, name));
      }),
    ),
    cpuset: {
      cpus: directories.has("cpuset") ? listOf("cpuset.cpus") : "",
      mems: directories.has("cpuset") ? listOf("cpuset.mems") : "",
    },
  };
}

function unifiedFacts(root: string): CgroupFacts {
  const controllers = readFileSync(join(root, "cgroup.controllers"), "utf8").trim().split(/\s+/);
  const limits = new Set(controllers.flatMap((controller) => unified[controller] ?? []));
  // The root cgroup has no such files; any child has them. The kernel's own switches are the same for all.
  const children = readdirSync(root, { withFileTypes: true }).filter((entry) => entry.isDirectory());
  const childHas = (file: string) => children.some(({ name }) => existsSync(join(root, name, file)));
  if (childHas("io.weight") || childHas("io.bfq.weight") || (limits.has("blkioReadBps") && !childHas("io.max"))) {
    limits.add("blkioWeight").add("blkioWeightDevice");
  }
  const effective = (file: string) => (limits.has("cpuset") ? readList(join(root, file)) : "");
  return {
    cgroupVersion: 2,
    swapLimit: childHas("memory.swap.max") || !childHas("memory.max"),
    limits,
    cpuset: { cpus: effective("cpuset.cpus.effective"), mems: effective("cpuset.mems.effective") },
  };
}

/** Some mounts have files of other names, which is no reason to have no containers. */
function readList(path: string): string {
  return existsSync(path) ? readFileSync(path, "utf8").trim() : "";
}
