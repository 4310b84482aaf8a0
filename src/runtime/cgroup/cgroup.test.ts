/** On the kernel's own cgroups, v1 or v2, whichever this machine has. */
import { afterEach, describe, expect, test } from "bun:test";
import { existsSync, mkdirSync, readFileSync, rmdirSync } from "node:fs";
import { queryDevicePrograms } from "../../../ffi/bpf.ts";
import { O_DIRECTORY, O_RDONLY } from "../../../ffi/constants/open.ts";
import { open, write } from "../../../ffi/files.ts";
import type { LinuxDeviceRule } from "../../oci/runtime.ts";
import { type Cgroup, openCgroup } from "./cgroup.ts";
import { cgroupHost } from "./hierarchy.ts";
import { OomFollower } from "./oom-follower.ts";

const isRoot = process.getuid?.() === 0;
const hasCgroups = isRoot && existsSync("/sys/fs/cgroup") && canMake();
const parent = `/tsd-test-${process.pid}`;
let made: Cgroup[] = [];
let children: Bun.Subprocess[] = [];

function canMake(): boolean {
  const probe = openCgroup(`/tsd-probe-${process.pid}`);
  try {
    probe.create();
    probe.remove();
    return true;
  } catch {
    return false;
  }
}

function make(name: string): Cgroup {
  const cgroup = openCgroup(`${parent}/${name}`);
  made.push(cgroup);
  cgroup.create();
  return cgroup;
}

/** A shell command that begins inside the cgroup. */
function run(cgroup: Cgroup, command: string): Bun.Subprocess<"ignore", "pipe", "pipe"> {
  const procs = directoriesOf(cgroup).map((path) => `${path}/cgroup.procs`);
  const join = procs.map((path) => `echo 0 > '${path}'`).join(" && ");
  const child = Bun.spawn(["sh", "-c", `${join} && { ${command}; }`], {
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
  children.push(child);
  return child;
}

function directoriesOf(cgroup: Cgroup): string[] {
  return cgroupHost().hierarchies.map(({ mountPoint }) => mountPoint + cgroup.path);
}

async function outcome(child: Bun.Subprocess<"ignore", "pipe", "pipe">): Promise<{ code: number; text: string }> {
  const text = (await new Response(child.stdout).text()) + (await new Response(child.stderr).text());
  return { code: await child.exited, text };
}

async function until(condition: () => boolean): Promise<void> {
  for (let waited = 0; !condition(); waited += 5) {
    if (waited > 20_000) throw new Error("waited 20 s in vain");
    await Bun.sleep(5);
  }
}

const file = (cgroup: Cgroup, controller: string, name: string): string => {
  const directory = cgroup.directories[controller] ?? cgroup.directories[""]!;
  return readFileSync(`${directory}/${name}`, "utf8").trim();
};

afterEach(async () => {
  for (const cgroup of made) if (cgroup.exists()) cgroup.kill();
  await Promise.all(children.map((child) => child.exited));
  for (const cgroup of made) cgroup.remove();
  for (const directory of directoriesOf(openCgroup(parent))) if (existsSync(directory)) rmdirSync(directory);
  made = [];
  children = [];
});

describe.skipIf(!hasCgroups)("cgroup", () => {
  const version = hasCgroups ? openCgroup(parent).version : 2;

  test("is made in every hierarchy and removed with what was made below it", () => {
    const cgroup = make("a/b");
    for (const directory of directoriesOf(cgroup)) {
      expect(existsSync(directory)).toBe(true);
      mkdirSync(`${directory}/below/deeper`, { recursive: true });
    }
    expect(cgroup.exists()).toBe(true);
    expect(cgroup.pids()).toEqual([]);
    cgroup.create();
    cgroup.remove();
    expect(cgroup.exists()).toBe(false);
    cgroup.remove();
    openCgroup(`${parent}/a`).remove();
  });

  test("is joined by writing to its cgroup.procs, and killed as a whole", async () => {
    const cgroup = make("join");
    // It waits for a word: what it forks before it is in the cgroup would stay outside.
    const child = Bun.spawn(["sh", "-c", "read word; sleep 100 & sleep 100 & wait"], { stdin: "pipe" });
    children.push(child);
    for (const fd of cgroup.procsFds()) {
      using procs = fd;
      write(procs, String(child.pid));
    }
    expect(cgroup.pids()).toEqual([child.pid]);
    child.stdin.write("go\n");
    child.stdin.flush();
    await until(() => cgroup.pids().length === 3);
    expect(readFileSync(`/proc/${child.pid}/cgroup`, "utf8")).toContain(`:${cgroup.path}\n`);
    cgroup.kill();
    expect(await child.exited).toBe(137);
    cgroup.remove();
    expect(cgroup.exists()).toBe(false);
  });

  test("frozen processes do nothing, and die all the same", async () => {
    const cgroup = make("freeze");
    const child = run(cgroup, "while :; do :; done");
    await until(() => (cgroup.stats().cpu?.usageNs ?? 0) > 5e6);
    expect(cgroup.frozen()).toBe(false);
    cgroup.freeze();
    expect(cgroup.frozen()).toBe(true);
    const before = cgroup.stats().cpu!.usageNs;
    await Bun.sleep(60);
    expect(cgroup.stats().cpu!.usageNs - before).toBeLessThan(5e6);
    cgroup.thaw();
    expect(cgroup.frozen()).toBe(false);
    await until(() => cgroup.stats().cpu!.usageNs - before > 5e6);
    cgroup.freeze();
    cgroup.kill();
    expect(await child.exited).toBe(137);
  });

  test("fork bombs are killed to the last", async () => {
    const cgroup = make("bomb");
    cgroup.apply({ pids: { limit: 100 } });
    const child = run(cgroup, "bomb() { bomb & bomb & sleep 0.2; }; bomb 2>/dev/null; sleep 100");
    await until(() => (cgroup.stats().pids?.current ?? 0) > 30);
    cgroup.kill();
    await child.exited;
    cgroup.remove();
    expect(cgroup.exists()).toBe(false);
  });

  test("a memory limit is set with its swap, changed in both directions, and kills", async () => {
    const cgroup = make("memory");
    const [small, large] = [2 ** 24, 2 ** 28];
    for (const limit of [large, small, large, -1, small]) {
      cgroup.apply({ memory: { limit, swap: limit } });
      expect(cgroup.stats().memory?.limitBytes ?? -1).toBe(limit);
    }
    expect(cgroup.oomFigures()).toBeUndefined();
    const { code } = await outcome(run(cgroup, "head -c 200000000 /dev/zero | tail | wc -c; exit 9"));
    expect([9, 137]).toContain(code);
    const { kills, limitBytes, peakBytes = small } = cgroup.oomFigures()!;
    expect(kills).toBeGreaterThan(0);
    expect(limitBytes).toBe(small);
    expect(peakBytes).toBeGreaterThan(small / 2);
    expect(cgroup.stats().memory!.maxUsageBytes ?? small).toBeLessThanOrEqual(small);
  });

  test("a want of memory is heard of when it happens, also what was before, and not after it is given up", async () => {
    const cgroup = make("heard");
    cgroup.apply({ memory: { limit: 2 ** 24, swap: 2 ** 24 } });
    const follower = new OomFollower();
    const heard = Promise.withResolvers<void>();
    let count = 0;
    const stop = follower.follow(
      cgroup,
      () => {
        count++;
        heard.resolve();
      },
      { past: true },
    )!;
    const greedy = () => outcome(run(cgroup, "head -c 200000000 /dev/zero | tail | wc -c"));
    expect(count).toBe(0);
    await Promise.all([greedy(), heard.promise]);
    expect(count).toBeGreaterThan(0);
    stop();
    const heardUntilThen = count;
    await greedy();
    // One that listens only now: to what was before, or not.
    const late: boolean[] = [];
    for (const past of [true, false]) follower.follow(cgroup, () => late.push(past), { past })!();
    expect(late).toEqual([true]);
    expect(count).toBe(heardUntilThen);
  });

  test("a reservation is set", () => {
    const cgroup = make("reservation");
    cgroup.apply({ memory: { reservation: 2 ** 22 } });
    expect(file(cgroup, "memory", version === 2 ? "memory.low" : "memory.soft_limit_in_bytes")).toBe(String(2 ** 22));
  });

  test("checkBeforeUpdate refuses a limit below what is used", async () => {
    const cgroup = make("check");
    run(cgroup, "sleep 100");
    await until(() => (cgroup.stats().memory?.usageBytes ?? 0) > 8192);
    expect(() => cgroup.apply({ memory: { limit: 4096, checkBeforeUpdate: true } })).toThrow(
      "linux.resources.memory.limit: 4096 is below the present usage",
    );
  });

  test("a limit of processes stops forks", async () => {
    const cgroup = make("pids");
    cgroup.apply({ pids: { limit: 3 } });
    expect(cgroup.stats().pids?.limit).toBe(3);
    const { text } = await outcome(run(cgroup, "sleep 1 & sleep 1 & sleep 1 & sleep 1 & wait"));
    expect(text).toMatch(/fork/i);
    cgroup.apply({ pids: { limit: -1 } });
    expect(cgroup.stats().pids?.limit).toBeUndefined();
    // No forks at all: 0 would keep out the first process as well.
    cgroup.apply({ pids: { limit: 0 } });
    expect(cgroup.stats().pids?.limit).toBe(1);
  });

  test("CPU time is limited, in any order of old and new values", async () => {
    const cgroup = make("cpu");
    const read = () =>
      version === 2
        ? file(cgroup, "cpu", "cpu.max")
        : `${file(cgroup, "cpu", "cpu.cfs_quota_us")} ${file(cgroup, "cpu", "cpu.cfs_period_us")}`;
    for (const [quota, period] of [
      [50_000, 100_000],
      [1_000, 1_000],
      [900_000, 1_000_000],
      [5_000, 20_000],
    ] as const) {
      cgroup.apply({ cpu: { quota, period } });
      expect(read()).toBe(`${quota} ${period}`);
    }
    cgroup.apply({ cpu: { quota: 20_000, period: 100_000, burst: 5_000, shares: 1024 } });
    expect(file(cgroup, "cpu", version === 2 ? "cpu.max.burst" : "cpu.cfs_burst_us")).toBe("5000");
    expect(file(cgroup, "cpu", version === 2 ? "cpu.weight" : "cpu.shares")).toBe(version === 2 ? "100" : "1024");
    run(cgroup, "while :; do :; done");
    await until(() => (cgroup.stats().cpu?.throttledPeriods ?? 0) > 2);
    cgroup.apply({ cpu: { quota: -1 } });
    expect(read()).toBe(version === 2 ? "max 100000" : "-1 100000");
    cgroup.apply({ cpu: { idle: 1 } });
    expect(file(cgroup, "cpu", "cpu.idle")).toBe("1");
    cgroup.apply({ cpu: { idle: 0, shares: 512 } });
  });

  test("CPUs are chosen, and a new cgroup has its parent's", async () => {
    const cgroup = make("deep/cpuset");
    expect((await outcome(run(cgroup, "true"))).code).toBe(0);
    cgroup.apply({ cpu: { cpus: "0", mems: "0" } });
    const { text } = await outcome(run(cgroup, "grep Cpus_allowed_list /proc/self/status"));
    expect(text).toContain("Cpus_allowed_list:\t0\n");
    expect(() => cgroup.apply({ cpu: { cpus: "4000" } })).toThrow(
      /linux.resources.cpu.cpus: write 4000 to .*: E[A-Z]+/,
    );
    cgroup.remove();
    openCgroup(`${parent}/deep`).remove();
  });

  test("devices are refused but for those that rules allow, at once after an update", async () => {
    const cgroup = make("devices");
    // /dev/kmsg is no default device; reading it needs nothing that root lacks.
    const kmsg: LinuxDeviceRule = { allow: true, type: "c", major: 1, minor: 11, access: "r" };
    const denied: LinuxDeviceRule = { allow: false, access: "rwm" };
    const tryRead = async () => (await outcome(run(cgroup, "dd if=/dev/kmsg of=/dev/null bs=8192 count=1"))).code;
    cgroup.apply({}, []);
    expect(await tryRead()).not.toBe(0);
    cgroup.apply({ devices: [denied, kmsg] });
    expect(await tryRead()).toBe(0);
    expect((await outcome(run(cgroup, "echo x > /dev/kmsg"))).code).not.toBe(0);
    expect((await outcome(run(cgroup, "head -c 4 /dev/urandom > /dev/null"))).code).toBe(0);
    cgroup.apply({ devices: [denied] });
    expect(await tryRead()).not.toBe(0);
    cgroup.apply({ devices: [{ allow: true, access: "rwm" }] });
    expect(await tryRead()).toBe(0);
    cgroup.apply({ devices: [denied, kmsg] });
    expect(await tryRead()).toBe(0);
    cgroup.apply({ pids: { limit: 50 } });
    expect(await tryRead()).toBe(0);
    if (version === 2) {
      using directory = open(cgroup.directories[""]!, O_RDONLY | O_DIRECTORY);
      expect(queryDevicePrograms(directory)).toHaveLength(1);
    }
  });

  test("a controller that is missing, or that the kernel has no such thing for, is an error that names the field", () => {
    const cgroup = make("missing");
    expect(() => cgroup.apply({ network: { classID: 1 } })).toThrow(
      "linux.resources.network.classID: the net_cls controller of cgroup v1 is missing",
    );
    const unknown = { unified: { "nonsense.max": "1" } };
    expect(() => cgroup.apply(unknown)).toThrow(/linux.resources.unified\["nonsense.max"\]: /);
    expect(() => cgroup.apply({ unified: { "a/b": "1" } })).toThrow("is not the name of a file");
    expect(() => cgroup.apply({ cpu: { idle: 2 } })).toThrow(/^linux.resources.cpu.idle: write 2 to .*: EINVAL$/);
    const weights = { blockIO: { weightDevice: [{ major: 7, minor: 0, leafWeight: 10 }] } };
    expect(() => cgroup.apply(weights)).toThrow(
      /^linux.resources.blockIO.weightDevice\[0\].leafWeight: write 7:0 10 to .*: ENOENT$/,
    );
    expect(() => cgroup.apply({ unified: { "../cgroup.procs": "1" } })).toThrow("is not the name of a file");
    expect(() => cgroup.apply({ cpu: { period: 7 } })).toThrow(
      /^linux.resources.cpu.period: write .*7 to \/sys\/fs\/cgroup\/.*\/cpu\.\w+: EINVAL$/,
    );
    if (version === 2) {
      expect(() => cgroup.apply({ memory: { disableOOMKiller: true } })).toThrow("cgroup v2 cannot disable");
      expect(() => cgroup.apply({ memory: { swappiness: 10 } })).toThrow("linux.resources.memory.swappiness");
      expect(() => cgroup.apply({ cpu: { realtimeRuntime: 1000 } })).toThrow("realtimeRuntime");
    } else {
      expect(() => cgroup.apply({ memory: { swappiness: 101 } })).toThrow("101 is not between 0 and 100");
      expect(() => cgroup.apply({ unified: { "memory.high": "1" } })).toThrow("is for cgroup v2");
      for (const shares of [1, 262_145]) {
        expect(() => cgroup.apply({ cpu: { shares } })).toThrow(`${shares} is not between 2 and 262144`);
      }
      cgroup.apply({ memory: { swappiness: 10, disableOOMKiller: true, kernel: 4096 } });
    }
  });

  test("that holds processes is not removed, and says which", async () => {
    const cgroup = make("busy");
    const child = run(cgroup, "exec sleep 100");
    await until(() => readFileSync(`/proc/${child.pid}/comm`, "utf8") === "sleep\n");
    expect(() => cgroup.remove(200)).toThrow(new RegExp(`remove cgroup .*/busy: EBUSY: processes ${child.pid} are`));
  });

  test.skipIf(version !== 2)("of v2 takes newborn processes and files by name", () => {
    const cgroup = make("unified");
    using directory = cgroup.intoCgroupFd()!;
    expect(directory.number).toBeGreaterThan(2);
    cgroup.apply({ memory: { limit: 2 ** 24 }, unified: { "memory.high": "1048576", "cgroup.max.depth": "3" } });
    expect(file(cgroup, "", "memory.high")).toBe("1048576");
    expect(file(cgroup, "", "cgroup.max.depth")).toBe("3");
    expect(Object.keys(cgroup.directories)).toEqual([""]);
  });

  test.skipIf(version !== 1)(
    "of v1 has a directory for each controller, and newborns only in a v2 one beside them",
    () => {
      const cgroup = make("split");
      using unified = cgroup.intoCgroupFd();
      const [all, others] = [cgroup.procsFds(), cgroup.procsFds(true)];
      for (const fd of [...all, ...others]) fd.close();
      expect(all.length - others.length).toBe(unified === undefined ? 0 : 1);
      expect(cgroup.directories.memory).toEndWith(`/memory${cgroup.path}`);
    },
  );
});
