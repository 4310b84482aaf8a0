import { beforeAll, describe, expect, test } from "bun:test";
import type { ContainerStats } from "../../../src/api/schema/stats.ts";
import type { ContainerStory } from "../../../src/api/schema/story.ts";
import {
  act,
  busybox,
  cgroupExists,
  cgroupFile,
  cgroupOfProcess,
  ended,
  inContainer,
  inside,
  inspect,
  ok,
  outputOf,
  remove,
  serve,
  socket,
  start,
  statsOf,
  tsd,
  until,
} from "./guest.ts";

const mebibyte = 2 ** 20;

/** Says on standard output whether a device can be opened, with the shell's word for the error. */
const tryOpen = (path: string) => `( : <${path} ) 2>&1 && echo opened`;

beforeAll(serve);

describe("cgroup v2", () => {
  test("has every limit of the command line in the kernel's files, and what they are changed to", async () => {
    const id = await start(
      "sleep 1000",
      ...["--memory", "64m", "--memory-swap", "96m", "--memory-reservation", "32m", "--cpus", "0.5"],
      ...["--cpuset-cpus", "1", "--cpu-shares", "512", "--pids-limit", "20"],
    );
    const names = "memory.max memory.swap.max memory.low cpu.max cpu.weight cpuset.cpus pids.max".split(" ");
    const limits = () => Object.fromEntries(names.map((name) => [name, cgroupFile(id, name)]));
    const files = limits();
    const script = `cd /sys/fs/cgroup; cat ${names.join(" ")}; grep Cpus_allowed_list /proc/self/status`;
    const seen = (await inside(id, "sh", "-c", script)).split("\n");
    await ok(
      ...["update", "--memory", "48m", "--memory-swap", "60m", "--memory-reservation", "16m", "--cpus", "1"],
      ...["--cpuset-cpus", "0", "--cpu-shares", "1024", "--pids-limit", "-1", id],
    );
    const changed = limits();
    const stats = await statsOf(id);
    const top = await ok("top", id, "-o", "pid,args");
    await remove(id);
    expect(changed).toEqual({
      "memory.max": String(48 * mebibyte),
      "memory.swap.max": String(12 * mebibyte),
      "memory.low": String(16 * mebibyte),
      "cpu.max": "100000 100000",
      "cpu.weight": "100",
      "cpuset.cpus": "0",
      "pids.max": "max",
    });
    expect(files).toEqual({
      "memory.max": String(64 * mebibyte),
      "memory.swap.max": String(32 * mebibyte),
      "memory.low": String(32 * mebibyte),
      "cpu.max": "50000 100000",
      "cpu.weight": "59",
      "cpuset.cpus": "1",
      "pids.max": "20",
    });
    expect(seen).toEqual([...Object.values(files), "Cpus_allowed_list:\t1"]);
    expect(cgroupExists(id)).toBe(false);
    // Docker's answers about v2 have other fields than about v1.
    expect(stats).toContain('"pids_stats":{"current":1,"limit":18446744073709551615}');
    const { cpu_stats, memory_stats, blkio_stats, networks } = JSON.parse(stats) as ContainerStats;
    expect(cpu_stats.cpu_usage).not.toHaveProperty("percpu_usage");
    expect(cpu_stats.cpu_usage.total_usage).toBeGreaterThan(0);
    expect(memory_stats).toMatchObject({ limit: 48 * mebibyte, stats: { inactive_file: expect.any(Number) } });
    expect(Object.keys(memory_stats)).toEqual(["usage", "stats", "limit"]);
    expect(blkio_stats.io_serviced_recursive).toBeNull();
    expect(Object.keys(networks!)).toEqual(["eth0"]);
    expect(top).toMatch(/^PID +COMMAND\n\d+ +sleep 1000$/);
  });

  test("ends a process that takes too much memory, and says so; discards with a warning what it does not know", async () => {
    const flags = ["--memory", "16m", "--memory-swap", "16m", "--memory-swappiness", "10", "--oom-kill-disable"];
    const script = "cat /sys/fs/cgroup/memory.swap.max; x=$(tr '\\0' x </dev/zero | head -c 50000000); echo $x";
    const made = await tsd(["create", "--network", "none", ...flags, busybox, "sh", "-c", script]);
    expect(made.status).toBe(0);
    expect(made.stderr).toMatch(/swappiness.*[Dd]iscarded/);
    expect(made.stderr).toMatch(/OomKillDisable.*[Dd]iscarded/);
    const id = made.stdout.trim();
    const result = await tsd(["start", "-a", id]);
    const { State } = await inspect(id);
    const why = await fetch(`http://tsd/tsd/containers/${id}/why`, { unix: socket });
    const story = (await why.json()) as ContainerStory;
    await remove(id);
    expect(story).toMatchObject({ Cause: "memory", Memory: { LimitBytes: 16 * mebibyte, Process: { Name: "sh" } } });
    expect(story.Memory!.PeakBytes).toBeGreaterThan(8 * mebibyte);
    // None, for --memory-swap is as much as --memory.
    expect(result).toMatchObject({ status: 137, stdout: "0\n" });
    expect(State).toMatchObject({ Status: "exited", ExitCode: 137, OOMKilled: true });
  });

  test("shows a container its own cgroup as the root, read-only, and another with --cgroupns host", async () => {
    const look = "cat /proc/self/cgroup; grep ' /sys/fs/cgroup ' /proc/self/mountinfo; mkdir /sys/fs/cgroup/x 2>&1";
    const [own, mount, refusal] = (await inContainer(`${look}; true`)).split("\n");
    expect(own).toBe("0::/");
    expect(mount).toMatch(/ \/ \/sys\/fs\/cgroup ro,nosuid,nodev,noexec,relatime(?: \S+)* - cgroup2 cgroup rw/);
    expect(refusal).toContain("Read-only file system");
    expect(await inContainer("cat /proc/self/cgroup", "--cgroupns", "host")).toMatch(/^0::\/tsd\/[0-9a-f]{64}$/);
  });

  test("stops the processes of a container that is paused, and ends them by a kill, which is not called out of memory", async () => {
    const id = await start("sleep 1000", "--memory", "16m");
    await act(id, "pause");
    const [events, { State }] = [cgroupFile(id, "cgroup.events"), await inspect(id)];
    await act(id, "kill");
    const end = (await inspect(id)).State;
    await remove(id);
    expect(events).toContain("frozen 1");
    expect(State.Status).toBe("paused");
    expect(end).toMatchObject({ Status: "exited", ExitCode: 137, OOMKilled: false });
  });

  test("stops a container from forking at its limit of processes", async () => {
    const script = "for i in 1 2 3 4 5 6 7 8; do sleep 1000 & done; echo started them all";
    const { status, stderr } = await tsd(["run", "--rm", "--pids-limit", "5", busybox, "sh", "-c", script]);
    expect(stderr).toContain("can't fork: Resource temporarily unavailable");
    expect(status).not.toBe(0);
  });

  test("takes a process into a container that has made cgroups below its own", async () => {
    const cgroups = "/sys/fs/cgroup";
    const arrange = `mkdir ${cgroups}/inner && echo 1 >${cgroups}/inner/cgroup.procs && echo +pids >${cgroups}/cgroup.subtree_control && echo arranged; sleep 1000`;
    const id = await start(arrange, "--security-opt", "writable-cgroups=true");
    await until("it is arranged", async () => (await outputOf(id)) === "arranged\n");
    expect(cgroupFile(id, "cgroup.procs")).toBe("");
    expect(cgroupOfProcess((await inspect(id)).State.Pid)).toBe(`/tsd/${id}/inner`);
    expect(await inside(id, "cat", "/proc/self/cgroup")).toBe("0::/inner");
    await remove(id);
    expect(cgroupExists(id)).toBe(false);
  });

  test("ends with the container whatever it has left in it", async () => {
    const id = await start("(sleep 1000 &) ; (setsid sleep 1000 &) ; exec sleep 1000");
    const pids = await until("they run", () => {
      const list = cgroupFile(id, "cgroup.procs").split("\n");
      return list.length === 3 && list;
    });
    await act(id, "kill");
    await ended(id);
    await until("the cgroup is removed", () => !cgroupExists(id));
    for (const pid of pids) expect(() => process.kill(Number(pid), 0)).toThrow("ESRCH");
    await remove(id);
  });
});

describe("devices on cgroup v2", () => {
  test("can be made, and opened only where a rule allows it", async () => {
    const script = `mknod /tmp/disk b 259 0 && ${tryOpen("/tmp/disk")}; mknod /tmp/null c 1 3 && ${tryOpen("/tmp/null")}`;
    const [disk, nothing] = (await inContainer(script)).split("\n");
    expect(disk).toContain("Operation not permitted");
    expect(nothing).toBe("opened");
    expect(await inContainer(script, "--device-cgroup-rule", "b 259:* r")).toBe("opened\nopened");
  });

  test("that are given can be used as far as they are given", async () => {
    const script = `${tryOpen("/dev/given")}; ( : >>/dev/given ) 2>&1; ${tryOpen("/dev/fuse")}`;
    const flags = ["--device", "/dev/nvme0n1:/dev/given:r", "--device", "/dev/fuse"];
    const [read, written, whole] = (await inContainer(script, ...flags)).split("\n");
    expect([read, whole]).toEqual(["opened", "opened"]);
    expect(written).toContain("Operation not permitted");
  });
});
