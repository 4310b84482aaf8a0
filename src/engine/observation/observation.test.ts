import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import type { ContainerStats, InterfaceStats } from "../../api/schema/stats.ts";
import { formatExactJson } from "../../core/exact-json.ts";
import type { Container } from "../container/container.ts";
import type { Engine } from "../engine.ts";
import { parseInterfaces } from "../kernel.ts";
import type { ContainerUsage } from "../parts.ts";
import { busybox, FakeWorld } from "../testing/fake-parts.ts";
import { readCpuTime } from "./cpu-time.ts";
import { type Measured, sampleOf } from "./sample.ts";
import { Sampler } from "./sampler.ts";

let world: FakeWorld;
let engine: Engine;

function eachWithItsEngine(): void {
  beforeEach(async () => {
    world = new FakeWorld();
    engine = await world.open();
  });
  afterEach(() => world[Symbol.dispose]());
}

const never = new AbortController().signal;

const usage: ContainerUsage = {
  cpu: {
    usageNs: 5,
    userNs: 2,
    systemNs: 3,
    periods: 7,
    throttledPeriods: 6,
    throttledNs: 4,
    perCpu: [
      { usageNs: 1, userNs: 0, systemNs: 0 },
      { usageNs: 4, userNs: 0, systemNs: 0 },
    ],
  },
  memory: {
    usageBytes: 4096,
    maxUsageBytes: 8192,
    failures: 2,
    inactiveFileBytes: 0,
    cacheBytes: 0,
    stat: { cache: 10, total_cache: 11, hierarchical_memory_limit: 2 ** 63 - 4096, anon: 12, shmem: 13, unknown: 14 },
    events: { oom: 9, max: 1 },
  },
  pids: { current: 3 },
  blockIO: {
    serviceBytes: [
      { major: 8, minor: 0, op: "Read", value: 512 },
      { major: 8, minor: 0, op: "Discard", value: 1 },
    ],
    serviced: [],
    queued: [],
    serviceTime: [],
    waitTime: [],
    merged: [],
    time: [],
    sectors: [],
  },
};

const measured: Measured = {
  read: "2026-01-02T03:04:05Z",
  usage,
  cpuTime: { systemNs: 100, online: 2 },
  cgroupVersion: 1,
  memoryBytes: 2 ** 30,
};

async function started(name: string, request = busybox()): Promise<string> {
  const { Id } = await engine.containers.create(request, { name });
  await engine.containers.start(Id);
  return Id;
}

async function samples(name: string, options: { stream: boolean; oneShot: boolean }, signal = never) {
  return (await engine.observation.stats(name, options, signal))[Symbol.asyncIterator]();
}

async function sample(name: string, options = { stream: false, oneShot: true }): Promise<ContainerStats> {
  const { value } = await (await samples(name, options)).next();
  return value as ContainerStats;
}

describe("a sample", () => {
  test("of cgroup v1 has docker's keys, in their order", () => {
    const seen = sampleOf(measured);
    expect(formatExactJson(seen)).toStartWith(
      '{"read":"2026-01-02T03:04:05Z","cpu_stats":{"cpu_usage":{"total_usage":5,"percpu_usage":[1,4],' +
        '"usage_in_kernelmode":3,"usage_in_usermode":2},"system_cpu_usage":100,"online_cpus":2,' +
        '"throttling_data":{"periods":7,"throttled_periods":6,"throttled_time":4}},' +
        '"memory_stats":{"usage":4096,"max_usage":8192,"stats":{"active_anon":0,',
    );
    expect(formatExactJson(seen)).toEndWith(
      '"failcnt":2,"limit":1073741824},"pids_stats":{"current":3},"blkio_stats":{"io_service_bytes_recursive":' +
        '[{"major":8,"minor":0,"op":"Read","value":512},{"major":8,"minor":0,"op":"Discard","value":1}],' +
        '"io_serviced_recursive":[],"io_queue_recursive":[],"io_service_time_recursive":[],"io_wait_time_recursive":[],' +
        '"io_merged_recursive":[],"io_time_recursive":[],"sectors_recursive":[]},"num_procs":0,"storage_stats":{}}',
    );
    const { stats } = seen.memory_stats;
    expect(Object.keys(stats!)).toEqual(Object.keys(stats!).sort());
    expect(stats).toMatchObject({ cache: 10, total_cache: 11, hierarchical_memory_limit: 2n ** 63n - 4096n });
    expect(stats).not.toHaveProperty("unknown");
    expect(Object.keys(stats!)).toHaveLength(32);
  });

  test("of cgroup v2 has what v2 counts", () => {
    const { perCpu: _, ...cpu } = usage.cpu!;
    const seen = sampleOf({ ...measured, usage: { ...usage, cpu }, cgroupVersion: 2 });
    expect(seen.cpu_stats.cpu_usage).toEqual({ total_usage: 5, usage_in_kernelmode: 3, usage_in_usermode: 2 });
    expect(seen.memory_stats).toMatchObject({ usage: 4096, failcnt: 9, limit: 2 ** 30 });
    expect(seen.memory_stats).not.toHaveProperty("max_usage");
    expect(Object.keys(seen.memory_stats.stats!)).toHaveLength(31);
    expect(seen.memory_stats.stats).toMatchObject({ anon: 12, shmem: 13, file: 0 });
    expect(seen.pids_stats).toEqual({ current: 3, limit: 2n ** 64n - 1n });
    expect(seen.blkio_stats).toMatchObject({
      io_service_bytes_recursive: [{ major: 8, minor: 0, op: "read", value: 512 }],
      io_serviced_recursive: null,
      sectors_recursive: null,
    });
  });

  test("has a limit of its own where the container has one", () => {
    const memory = { ...usage.memory!, limitBytes: 65_536 };
    const seen = sampleOf({ ...measured, usage: { ...usage, memory, pids: { current: 3, limit: 50 } } });
    expect(seen.memory_stats.limit).toBe(65_536);
    expect(seen.pids_stats).toEqual({ current: 3, limit: 50 });
  });

  test("counts the time of all CPUs without that of guests", () => {
    const text = "cpu  1 2 3 4 5 6 7 8 9 10\ncpu0 1 1 1 1 1 1 1 1 1 1\ncpu1 0 0 0 0 0 0 0 0 0 0\nintr 5\n";
    expect(readCpuTime(text)).toEqual({ systemNs: 28e7, online: 2 });
  });

  test("has interfaces' counters as /proc/net/dev has them", () => {
    const text =
      "Inter-|   Receive                                                |  Transmit\n" +
      " face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls\n" +
      "    lo:       0       0    0    0    0     0          0         0        0       0    0    0    0     0\n" +
      "  eth0:    1500       3    1    2    0     0          0         0     90       5    6    7    0     0\n";
    expect(parseInterfaces(text).get("eth0")).toEqual(counters(1500));
    expect([...parseInterfaces(text).keys()]).toEqual(["lo", "eth0"]);
  });
});

function counters(bytes: number): InterfaceStats {
  return {
    rx_bytes: bytes,
    rx_packets: 3,
    rx_errors: 1,
    rx_dropped: 2,
    tx_bytes: 90,
    tx_packets: 5,
    tx_errors: 6,
    tx_dropped: 7,
  };
}

describe("stats", () => {
  eachWithItsEngine();

  test("of a container have its networks' interfaces, and none of others", async () => {
    const id = await started("web");
    world.usages.set(id, usage);
    for (const name of ["lo", "eth9", "eth0"]) world.interfaces.set(name, counters(1));
    const seen = await sample("web");
    expect(seen).toMatchObject({ id, name: "/web", os_type: "linux", preread: "0001-01-01T00:00:00Z" });
    expect(seen.networks).toEqual({ eth0: counters(1) });
    expect(Object.keys(seen).slice(0, 4)).toEqual(["id", "name", "os_type", "read"]);
    const host = await started("host", { ...busybox(), HostConfig: { NetworkMode: "host" } });
    world.usages.set(host, usage);
    expect(await sample("host")).not.toHaveProperty("networks");
    const sharing = await started("sharing", { ...busybox(), HostConfig: { NetworkMode: "container:web" } });
    world.usages.set(sharing, usage);
    expect((await sample("sharing")).networks).toEqual({ eth0: counters(1) });
  });

  test("of a container that does not run are zeros, at once, and name it", async () => {
    const { Id } = await engine.containers.create(busybox(), { name: "idle" });
    for (const oneShot of [false, true]) {
      const seen = await sample("idle", { stream: false, oneShot });
      expect(seen).toMatchObject({
        id: Id,
        name: "/idle",
        read: "0001-01-01T00:00:00Z",
        memory_stats: {},
        pids_stats: {},
      });
      expect(seen.blkio_stats.io_service_bytes_recursive).toBeNull();
    }
    expect(engine.observation.stats("none", { stream: true, oneShot: false }, never)).rejects.toThrow(
      "No such container: none",
    );
  });

  test("that stream compare each sample with the one before, and end with the container's removal", async () => {
    const id = await started("web");
    world.usages.set(id, usage);
    const stream = await samples("web", { stream: true, oneShot: false });
    const first = (await stream.next()).value as ContainerStats;
    expect(first.precpu_stats.cpu_usage.total_usage).toBe(0);
    const second = (await stream.next()).value as ContainerStats;
    expect(second.preread).toBe(first.read);
    expect(second.precpu_stats).toEqual(first.cpu_stats);
    await engine.containers.remove("web", { force: true, volumes: false, link: false });
    expect((await stream.next()).done).toBe(true);
  });

  test("without a stream are of a sample that has one before it", async () => {
    const id = await started("web");
    world.usages.set(id, usage);
    const single = await samples("web", { stream: false, oneShot: false });
    expect((await single.next()).value).toMatchObject({ precpu_stats: { cpu_usage: { total_usage: 5 } } });
    expect((await single.next()).done).toBe(true);
  });

  test("end with their reader, also while he waits", async () => {
    await started("web");
    const leave = new AbortController();
    const stream = await samples("web", { stream: true, oneShot: false }, leave.signal);
    await stream.next();
    const waiting = stream.next();
    leave.abort();
    expect((await waiting).done).toBe(true);
  });
});

describe("the sampler", () => {
  test("looks at a container once for all its watchers, and not at all when they have left", async () => {
    const web = { id: "web", removal: () => new Promise(() => undefined) } as unknown as Container;
    let looks = 0;
    const sampler = new Sampler(() => {
      looks++;
      return sampleOf(measured);
    }, 510);
    const watches = [1, 2, 3].map(() => sampler.watch(web, never));
    expect(looks).toBe(3);
    for (const watch of watches) await watch.next();
    for (const watch of watches) await watch.next();
    expect(looks).toBe(4);
    for (const watch of watches) watch.end();
    await Bun.sleep(520);
    expect(looks).toBe(4);
  });
});

describe("top", () => {
  eachWithItsEngine();

  test("lists the processes of a container that runs, and tells that somebody looked", async () => {
    const id = await started("web");
    const { Titles, Processes } = await engine.observation.top("web", ["-o", "pid,ppid"]);
    expect(Titles).toEqual(["PID", "PPID"]);
    expect(Processes).toEqual([[String(process.pid), String(process.ppid)]]);
    expect((await engine.observation.top("web", [])).Titles).toEqual([
      "UID",
      "PID",
      "PPID",
      "C",
      "STIME",
      "TTY",
      "TIME",
      "CMD",
    ]);
    expect(engine.observation.top("web", ["-o", "foo"])).rejects.toMatchObject({ code: "invalid_argument" });
    await engine.containers.kill(id, "KILL");
    const { exited } = await engine.containers.wait(id, "not-running", never);
    await exited;
    expect(engine.observation.top("web", [])).rejects.toMatchObject({
      code: "conflict",
      message: `container ${id} is not running`,
    });
  });
});
