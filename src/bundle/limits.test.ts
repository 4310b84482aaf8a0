import { afterAll, describe, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { isEngineError } from "../core/errors.ts";
import { type HostLimit, hostLimits, readCgroupFacts } from "./host-limits.ts";
import type { BundleHostConfig } from "./input.ts";
import { settleLimits } from "./limits.ts";

const able = {
  limits: new Set(hostLimits),
  swapLimit: true,
  onlineCpus: 4,
  cpuset: { cpus: "0-2,3", mems: "0" },
};
const without = (...lacking: HostLimit[]) => {
  return { ...able, limits: new Set(hostLimits.filter((limit) => !lacking.includes(limit))) };
};
const settle = settleLimits<BundleHostConfig>;
const MB = 2 ** 20;
const device = { Path: "/dev/sda", Rate: 1 };

describe("a limit that is wrong is refused in docker's words", () => {
  const table: [BundleHostConfig, string][] = [
    [{ Memory: 5 * MB }, "Minimum memory limit allowed is 6MB"],
    [{ Memory: -1 }, "Minimum memory limit allowed is 6MB"],
    [{ Memory: 8 * MB, MemorySwap: 7 * MB }, "Minimum memoryswap limit should be larger than memory limit, see usage"],
    [{ MemorySwap: 7 * MB }, "You should always set the Memory limit when using Memoryswap limit, see usage"],
    [{ MemorySwap: -2 }, "invalid memory-swap: -2: -1 is the only negative value"],
    [{ MemorySwappiness: 101 }, "Invalid value: 101, valid memory swappiness range is 0-100"],
    [{ MemorySwappiness: -2 }, "Invalid value: -2, valid memory swappiness range is 0-100"],
    [{ MemoryReservation: 5 }, "Minimum memory reservation allowed is 6MB"],
    [
      { Memory: 8 * MB, MemoryReservation: 9 * MB },
      "Minimum memory limit can not be less than memory reservation limit, see usage",
    ],
    [{ NanoCpus: 1, CpuPeriod: 5000 }, "Conflicting options: Nano CPUs and CPU Period cannot both be set"],
    [{ NanoCpus: 1, CpuQuota: 5000 }, "Conflicting options: Nano CPUs and CPU Quota cannot both be set"],
    [{ NanoCpus: 4e9 + 1 }, "range of CPUs is from 0.01 to 4.00, as there are only 4 CPUs available"],
    [{ NanoCpus: -1 }, "range of CPUs is from 0.01 to 4.00, as there are only 4 CPUs available"],
    [{ CpuPeriod: 999 }, "CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)"],
    [{ CpuQuota: 999 }, "CPU cfs quota can not be less than 1ms (i.e. 1000)"],
    [{ CpuShares: -1 }, "invalid CPU shares (-1): value must be a positive integer"],
    [
      { CpuRealtimePeriod: 5, CpuRealtimeRuntime: 6 },
      "cpu real-time runtime cannot be higher than cpu real-time period",
    ],
    [{ CpusetCpus: "x" }, "Invalid value x for cpuset cpus: invalid format: x"],
    [{ CpusetCpus: "2-1" }, "Invalid value 2-1 for cpuset cpus: invalid format: 2-1"],
    [{ CpusetCpus: "3-4" }, "Requested CPUs are not available - requested 3-4, available: 0-2,3"],
    [{ CpusetCpus: "," }, "Invalid value , for cpuset cpus: invalid format: ,"],
    [{ CpusetCpus: "0,," }, "Invalid value 0,, for cpuset cpus: invalid format: 0,,"],
    [{ CpusetCpus: "9-10,0" }, "Requested CPUs are not available - requested 9-10,0, available: 0-2,3"],
    [{ CpusetMems: "1" }, "Requested memory nodes are not available - requested 1, available: 0"],
    [{ BlkioWeight: 9 }, "Range of blkio weight is from 10 to 1000"],
    [{ BlkioWeight: 1001 }, "Range of blkio weight is from 10 to 1000"],
  ];
  test.each(table)("%j", (asked, message) => {
    expect(() => settle(asked, able)).toThrow(message);
  });

  test("as the client's mistake", () => {
    let refusal: unknown;
    try {
      settle({ Memory: 1 }, able);
    } catch (error) {
      refusal = error;
    }
    expect(isEngineError(refusal, "invalid_argument")).toBe(true);
  });
});

test("limits that are right stay as they are, and those that stand for nothing go", () => {
  const asked: BundleHostConfig = {
    Memory: 8 * MB,
    MemorySwap: -1,
    MemoryReservation: 6 * MB,
    MemorySwappiness: 0,
    CpusetCpus: "0, 3",
    CpusetMems: "0",
    CpuQuota: -1,
    BlkioWeight: 10,
    BlkioDeviceReadBps: [device],
    OomKillDisable: false,
    PidsLimit: 5,
  };
  expect(settle(asked, able)).toEqual({ hostConfig: asked, warnings: [] });
  expect(settle({ MemorySwappiness: -1 }, able)).toEqual({ hostConfig: {}, warnings: [] });
  expect(settle({ MemorySwap: 7 * MB }, able, { isUpdate: true }).hostConfig).toEqual({ MemorySwap: 7 * MB });
});

test("a long list of CPUs is judged by its length", () => {
  const available = { ...able, cpuset: { cpus: "0-8191", mems: "0" } };
  const list = (range: string) => new Array(20_000).fill(range).join(",");
  settle({ CpusetCpus: list("0-8191") }, available);
  expect(() => settle({ CpusetCpus: list("0-8192") }, available)).toThrow("Requested CPUs are not available");
});

describe("a limit that this kernel has nothing for is discarded, and said to be", () => {
  const mounted = "or the cgroup is not mounted";
  const table: [BundleHostConfig, HostLimit, BundleHostConfig, string][] = [
    [
      { Memory: 8 * MB },
      "memory",
      { Memory: 0, MemorySwap: -1 },
      `Your kernel does not support memory limit capabilities ${mounted}. Limitation discarded.`,
    ],
    [
      { MemoryReservation: 8 * MB },
      "memoryReservation",
      { MemoryReservation: 0 },
      `Your kernel does not support memory soft limit capabilities ${mounted}. Limitation discarded.`,
    ],
    [
      { MemorySwappiness: 200 },
      "memorySwappiness",
      {},
      `Your kernel does not support memory swappiness capabilities ${mounted}. Memory swappiness discarded.`,
    ],
    [
      { OomKillDisable: true },
      "oomKillDisable",
      {},
      "Your kernel does not support OomKillDisable. OomKillDisable discarded.",
    ],
    [
      { PidsLimit: 5 },
      "pids",
      {},
      `Your kernel does not support PIDs limit capabilities ${mounted}. PIDs limit discarded.`,
    ],
    [
      { CpuShares: 5 },
      "cpuShares",
      { CpuShares: 0 },
      `Your kernel does not support CPU shares ${mounted}. Shares discarded.`,
    ],
    [
      { CpuQuota: 5 },
      "cpuCfs",
      { CpuQuota: 0, CpuPeriod: 0 },
      "Your kernel does not support CPU CFS scheduler. CPU period/quota discarded.",
    ],
    [
      { CpusetCpus: "77" },
      "cpuset",
      { CpusetCpus: "", CpusetMems: "" },
      `Your kernel does not support cpuset ${mounted}. Cpuset discarded.`,
    ],
    [
      { BlkioWeight: 5 },
      "blkioWeight",
      { BlkioWeight: 0 },
      `Your kernel does not support Block I/O weight ${mounted}. Weight discarded.`,
    ],
    [
      { BlkioDeviceWriteIOps: [device] },
      "blkioWriteIOps",
      { BlkioDeviceWriteIOps: [] },
      `Your kernel does not support IOPS Block write limit ${mounted}. Block I/O IOPS write limit discarded.`,
    ],
  ];
  test.each(table)("%j without %s", (asked, lacking, left, warning) => {
    expect(settle(asked, without(lacking))).toEqual({ hostConfig: left, warnings: [warning] });
  });

  test("swap, where it is not counted", () => {
    expect(settle({ Memory: 8 * MB }, { ...able, swapLimit: false })).toEqual({
      hostConfig: { Memory: 8 * MB, MemorySwap: -1 },
      warnings: [`Your kernel does not support swap limit capabilities ${mounted}. Memory limited without swap.`],
    });
    expect(settle({ Memory: 8 * MB, MemorySwap: -1 }, { ...able, swapLimit: false }).warnings).toEqual([]);
  });

  test("but real-time limits and --cpus are refused without their scheduler", () => {
    const realtime = { CpuRealtimeRuntime: 5 };
    expect(() => settle(realtime, without("cpuRealtime"))).toThrow("does not support CPU real-time scheduler");
    expect(() => settle({ NanoCpus: 5 }, without("cpuCfs"))).toThrow("NanoCPUs can not be set");
  });
});

test("killing nobody without a memory limit is warned of", () => {
  const [warning] = settle({ OomKillDisable: true }, able).warnings;
  expect(warning).toStartWith("OOM killer is disabled for the container, but no memory limit is set");
  expect(settle({ OomKillDisable: true, Memory: 8 * MB }, able).warnings).toEqual([]);
});

describe("version 2 of cgroups", () => {
  const root = mkdtempSync(join(tmpdir(), "tsd-cgroup2-"));
  afterAll(() => rmSync(root, { recursive: true, force: true }));
  const facts = () => readCgroupFacts("cgroup2 /sys/fs/cgroup cgroup2 rw 0 0\n", root);

  test("has what its controllers have, and weights and swap where a child has their files", () => {
    writeFileSync(join(root, "cgroup.controllers"), "cpuset cpu io memory pids\n");
    expect(facts()).toMatchObject({ cgroupVersion: 2, swapLimit: true, cpuset: { cpus: "", mems: "" } });
    writeFileSync(join(root, "cpuset.cpus.effective"), "0-3\n");
    mkdirSync(join(root, "child"));
    for (const file of ["io.max", "memory.max"]) writeFileSync(join(root, "child", file), "");
    const { limits, swapLimit, cpuset } = facts();
    expect([swapLimit, cpuset.cpus]).toEqual([false, "0-3"]);
    expect([...limits].sort() as string[]).toEqual([
      ...["blkioReadBps", "blkioReadIOps", "blkioWriteBps", "blkioWriteIOps", "cpuCfs", "cpuShares", "cpuset"],
      ...["memory", "memoryReservation", "pids"],
    ]);
    for (const file of ["io.weight", "memory.swap.max"]) writeFileSync(join(root, "child", file), "");
    expect(facts().limits).toContain("blkioWeight");
    expect(facts().swapLimit).toBe(true);
  });

  test("has nothing of a controller that is not there", () => {
    writeFileSync(join(root, "cgroup.controllers"), "pids\n");
    expect([...facts().limits].filter((limit) => !limit.startsWith("blkioWeight"))).toEqual(["pids"]);
  });
});

test("a machine without cgroups has no limits, and this one has some", async () => {
  const none = readCgroupFacts("proc /proc proc rw 0 0\n");
  expect(none).toEqual({ cgroupVersion: 1, swapLimit: false, limits: new Set(), cpuset: { cpus: "", mems: "" } });
  const own = readCgroupFacts(await Bun.file("/proc/self/mounts").text());
  expect([...own.limits]).toContain("memory");
  expect(own.cpuset.cpus).toMatch(/^\d/);
});
