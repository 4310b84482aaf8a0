/** `events`: statistics beside the kernel's files, and what is told of want of memory. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { OciRuntime, type TestContainer } from "../../harness/oci-runtime.ts";
import { isCgroup2, isTsd, needs } from "../../harness/runtime-under-test.ts";
import { cgroupFile, cgroupPath, type FileNames } from "./cgroup-files.ts";

let runtime: OciRuntime;
let container: TestContainer;
beforeAll(async () => {
  runtime = await OciRuntime.open();
  container = await runtime.running(["sh", "-c", "while :; do :; done"], (config) => {
    config.linux.resources = {
      ...config.linux.resources,
      memory: { limit: 2 ** 26 },
      pids: { limit: 20 },
      cpu: { quota: 10_000, period: 100_000 },
    };
  });
}, 120_000);
afterAll(async () => {
  await container?.[Symbol.asyncDispose]();
  await runtime?.[Symbol.asyncDispose]();
});

interface Event {
  type: string;
  id: string;
  // biome-ignore lint/suspicious/noExplicitAny: the shape is what the tests look at.
  data?: any;
}

const stats = async (id: string): Promise<Event> => JSON.parse(await runtime.ok("events", "--stats", id));
const numberOf = (id: string, names: FileNames) => Number(cgroupFile(runtime, id, names));
const eventsOf = (text: string): Event[] =>
  text
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line));

test("--stats prints the statistics once, as one line", async () => {
  const text = await runtime.ok("events", "--stats", container.id);
  expect(text).toEndWith("}\n");
  expect(text.trimEnd()).not.toContain("\n");
  const { type, id, data } = JSON.parse(text);
  expect([type, id]).toEqual(["stats", container.id]);
  const groups = ["cpu", "cpuset", "memory", "pids", "blkio", "hugetlb", "intel_rdt", "network_interfaces"];
  expect(Object.keys(data)).toEqual(groups);
  expect(data.network_interfaces).toBeNull();
  expect(data.intel_rdt).toEqual({});
});

test("CPU time lies between what the kernel said before and says after, and is throttled", async () => {
  const { id } = container;
  const total = (): number => {
    const text = cgroupFile(runtime, id, ["cpuacct.usage", "cpu.stat"])!;
    return isCgroup2 ? Number(/^usage_usec (\d+)/m.exec(text)![1]) * 1000 : Number(text);
  };
  await runtime.until("it is throttled", () => {
    return Number(/^throttled_\w+ (\d+)/m.exec(cgroupFile(runtime, id, ["cpu.stat", "cpu.stat"])!)![1]) > 0;
  });
  const before = total();
  const { cpu } = (await stats(id)).data;
  expect(cpu.usage.total).toBeGreaterThanOrEqual(before);
  expect(cpu.usage.total).toBeLessThanOrEqual(total());
  expect(cpu.throttling.periods).toBeGreaterThanOrEqual(cpu.throttling.throttledPeriods);
  expect(cpu.throttling.throttledTime).toBeGreaterThan(0);
  if (isCgroup2) {
    expect(Object.keys(cpu.usage)).toEqual(["total", "kernel", "user"]);
  } else {
    expect(cpu.usage.percpu).toHaveLength(cpu.usage.percpu_kernel.length);
    const sum = cpu.usage.percpu.reduce((a: number, b: number) => a + b, 0);
    expect(Math.abs(sum - cpu.usage.total)).toBeLessThan(cpu.usage.total / 2 + 1e8);
  }
});

test("memory has its limit, its use and the kernel's own table", async () => {
  const { id } = container;
  const { memory } = (await stats(id)).data;
  expect(memory.usage.limit).toBe(2 ** 26);
  expect(memory.usage.usage).toBeGreaterThan(0);
  expect(memory.usage.usage).toBeLessThanOrEqual(2 ** 26);
  expect(memory.usage.failcnt).toBe(0);
  const table = cgroupFile(runtime, id, ["memory.stat", "memory.stat"])!;
  const names = table.split("\n").map((line) => line.split(" ")[0]!);
  expect(Object.keys(memory.raw)).toEqual(names.sort());
  if (isCgroup2) {
    expect(memory.kernel).toEqual({ limit: 0, failcnt: 0 });
  } else {
    expect(memory.usage.max).toBeGreaterThanOrEqual(memory.usage.usage);
    expect(memory.kernel.usage).toBeGreaterThan(0);
  }
});

test("no limit is the kernel's largest number, digit by digit", async () => {
  await using free = await runtime.running();
  const text = await runtime.ok("events", "--stats", free.id);
  const most = isCgroup2 ? "18446744073709551615" : "9223372036854771712";
  expect(text).toMatch(new RegExp(`"memory":\\{(?:"cache":\\d+,)?"usage":\\{"limit":${most},`));
  expect(Object.keys(JSON.parse(text).data.pids)).toEqual(["current"]);
});

test("processes are counted with their limit, and CPUs are listed", async () => {
  const { pids, cpuset } = (await stats(container.id)).data;
  expect(pids.limit).toBe(20);
  expect(pids.current).toBeGreaterThan(0);
  expect(pids.current).toBeLessThanOrEqual(20);
  expect(cpuset.cpu_exclusive).toBe(0);
  if (!isCgroup2) {
    const list = readFileSync(cgroupPath(runtime, container.id, ["cpuset.cpus", "cpuset.cpus"]), "utf8");
    expect(list.startsWith(String(cpuset.cpus[0]))).toBe(true);
    expect(cpuset.sched_relax_domain_level).toBe(-1);
  }
});

needs("cgroup v2", "runc >= 1.2")("pressure is told for CPU, memory and I/O", async () => {
  const { cpu, memory, blkio } = (await stats(container.id)).data;
  for (const { psi } of [cpu, memory, blkio]) {
    expect(Object.keys(psi)).toEqual(["some", "full"]);
    expect(Object.keys(psi.some)).toEqual(["avg10", "avg60", "avg300", "total"]);
  }
  expect(cpu.psi.some.total).toBeGreaterThan(0);
});

test.each(["--interval 50ms", "--interval=0.05s", "-interval 50000us"])(
  "%s prints statistics again and again until the container ends",
  async (flags) => {
    await using other = await runtime.running();
    await using events = runtime.live(["events", ...flags.split(" "), other.id]);
    await runtime.until("three lines", () => events.stdout.split("\n").length > 3);
    await runtime.ok("kill", other.id, "KILL");
    await runtime.waitFor(other.id, "stopped");
    await runtime.ok("delete", other.id);
    expect(await events.end()).toBe(0);
    const seen = eventsOf(events.stdout);
    expect(seen.every(({ type, id }) => type === "stats" && id === other.id)).toBe(true);
    const [first, second] = seen.map(({ data }) => data.cpu.usage.total);
    expect(second).toBeGreaterThanOrEqual(first);
  },
);

needs("tsd")("the stream ends with the container, whether somebody deletes it or not", async () => {
  await using other = await runtime.running();
  await using events = runtime.live(["events", "--interval", "20ms", other.id]);
  await events.shows("stats");
  await runtime.ok("kill", other.id, "KILL");
  expect(await events.end()).toBe(0);
});

test("a container that runs out of memory is told of", async () => {
  await using hungry = await runtime.running(["sleep", "1000"], (config) => {
    config.linux.resources = { ...config.linux.resources, memory: { limit: 2 ** 24, swap: 2 ** 24 } };
  });
  const { id } = hungry;
  await using events = runtime.live(["events", "--interval", "50ms", id]);
  // With the first statistics it is listening.
  await events.shows("stats");
  // By itself: whoever else wants memory before the killed process has given back its own is killed as well.
  expect((await runtime.exec(id, ["tail", "/dev/zero"])).status).toBe(137);
  await runtime.until("an event", () =>
    eventsOf(events.stdout.replace(/[^\n]*$/, "")).some(({ type }) => type === "oom"),
  );
  const oom = eventsOf(events.stdout.replace(/[^\n]*$/, "")).find(({ type }) => type === "oom");
  expect(oom).toEqual({ type: "oom", id });
  const { usage } = (await stats(id)).data.memory;
  if (!isCgroup2) expect(usage.failcnt).toBe(numberOf(id, ["memory.failcnt", ""]));
  // runc does not tell what v2 counts of it.
  else if (isTsd) expect(usage.failcnt).toBeGreaterThan(0);
});

test("intervals that are none are refused", async () => {
  for (const interval of ["0", "-1s", "0s"]) {
    const { status, message } = await runtime.fails("events", "--interval", interval, container.id);
    expect([status, message]).toEqual([1, "duration interval must be greater than 0"]);
  }
  for (const interval of ["5", "soon", "1s1"]) {
    const { status, stderr } = await runtime.verb(["events", "--interval", interval, container.id]);
    expect(status).toBe(1);
    expect(stderr).toContain("-interval");
  }
});

test("a container that has ended, and one that never was, have no events", async () => {
  await using ended = await runtime.running(["true"]);
  await runtime.waitFor(ended.id, "stopped");
  for (const flags of [["--stats"], []]) {
    const { status, message } = await runtime.fails("events", ...flags, ended.id);
    expect([status, message]).toEqual([1, expect.stringContaining("is not running")]);
  }
  expect((await runtime.fails("events", "nobody")).message).toContain("does not exist");
  expect((await runtime.verb(["events"])).status).toBe(1);
});
