/** `update`: each flag beside the kernel's file, what `--resources` reads, and what is refused. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { OciRuntime, type TestContainer } from "../../harness/oci-runtime.ts";
import { isCgroup2, isTsd, needs } from "../../harness/runtime-under-test.ts";
import { cgroupFile, diskNumber, type FileNames } from "./cgroup-files.ts";

let runtime: OciRuntime;
beforeAll(async () => {
  runtime = await OciRuntime.open();
}, 120_000);
afterAll(() => runtime?.[Symbol.asyncDispose]());

const silent = { status: 0, stdout: "", stderr: "" };
const mebibyte = 2 ** 20;

const files = {
  limit: ["memory.limit_in_bytes", "memory.max"],
  reservation: ["memory.soft_limit_in_bytes", "memory.low"],
  swap: ["memory.memsw.limit_in_bytes", "memory.swap.max"],
  shares: ["cpu.shares", "cpu.weight"],
  quota: ["cpu.cfs_quota_us", "cpu.max"],
  period: ["cpu.cfs_period_us", "cpu.max"],
  burst: ["cpu.cfs_burst_us", "cpu.max.burst"],
  idle: ["cpu.idle", "cpu.idle"],
  rtPeriod: ["cpu.rt_period_us", "cpu.rt_period_us"],
  cpus: ["cpuset.cpus", "cpuset.cpus"],
  mems: ["cpuset.mems", "cpuset.mems"],
  pids: ["pids.max", "pids.max"],
  weight: ["blkio.bfq.weight", "io.bfq.weight"],
  readRate: ["blkio.throttle.read_bps_device", "io.max"],
} satisfies Record<string, FileNames>;
type File = keyof typeof files;

const read = (id: string, file: File) => cgroupFile(runtime, id, files[file]);

/** Flags, the file, its text in v1 and in v2. Those of one list have one container, and the file's text by any order. */
const flagLists: [flags: string, file: File, v1: string, v2: string][][] = [
  [
    ["--memory 64M", "limit", "67108864", "67108864"],
    ["--memory=32mb", "limit", "33554432", "33554432"],
    ["--memory 67108864", "limit", "67108864", "67108864"],
    ["--memory-reservation 32M", "reservation", "33554432", "33554432"],
    ["--cpu-quota 20000", "quota", "20000", "20000 100000"],
    ["--cpu-share 1024", "shares", "1024", isTsd ? "100" : "39"],
    ["--cpuset-cpus 0", "cpus", "0", "0"],
    ["--cpuset-mems 0", "mems", "0", "0"],
    ["--pids-limit 20", "pids", "20", "20"],
    ["--pids-limit -1", "pids", "max", "max"],
  ],
  [
    ["--memory 64M --memory-swap 96M", "swap", "100663296", "33554432"],
    ["--cpu-quota 10000 --cpu-period 50000", "quota", "10000", "10000 50000"],
  ],
  [
    ["--memory 64M --memory-swap -1", "swap", "9223372036854771712", "max"],
    ["--cpu-period 50000", "period", "50000", "max 50000"],
  ],
];

describe("the flag", () => {
  describe.each(flagLists.map((list) => [list.length, list]))("with %d in one container", (_, list) => {
    let container: TestContainer;
    beforeAll(async () => {
      container = await runtime.running();
    }, 120_000);
    afterAll(() => container?.[Symbol.asyncDispose]());

    for (const [words, file, v1, v2] of list as (typeof flagLists)[number]) {
      test(`${words} is in the kernel's file of a container that runs`, async () => {
        expect(await runtime.verb(["update", ...words.split(" "), container.id])).toEqual(silent);
        expect(read(container.id, file)).toBe(isCgroup2 ? v2 : v1);
      });
    }
  });

  needs("runc >= 1.2")("--cpu-burst is in the kernel's file, also together with the quota that it needs", async () => {
    await using container = await runtime.running();
    const words = ["--cpu-quota", "20000", "--cpu-burst", "10000"];
    expect(await runtime.verb(["update", ...words, container.id])).toEqual(silent);
    expect(read(container.id, "burst")).toBe("10000");
    await runtime.ok("update", "--cpu-burst", "0", container.id);
    expect(read(container.id, "burst")).toBe("0");
  });

  needs("runc >= 1.2")("--cpu-idle is in the kernel's file, and taken back by 0", async () => {
    await using container = await runtime.running();
    for (const value of ["1", "0"]) {
      await runtime.ok("update", "--cpu-idle", value, container.id);
      expect(read(container.id, "idle")).toBe(value);
    }
  });

  needs("cgroup v1")("--cpu-rt-period is in the kernel's file; a runtime that no parent has is refused", async () => {
    await using container = await runtime.running();
    expect(await runtime.verb(["update", "--cpu-rt-period", "500000", container.id])).toEqual(silent);
    expect(read(container.id, "rtPeriod")).toBe("500000");
    const { status } = await runtime.fails("update", "--cpu-rt-runtime", "1000", container.id);
    expect(status).toBe(1);
  });

  test("--blkio-weight is in the kernel's file where a scheduler has weights", async () => {
    await using container = await runtime.running();
    const { status, stderr } = await runtime.verb(["update", "--blkio-weight", "200", container.id]);
    const weight = read(container.id, "weight");
    // Without BFQ there is io.weight or nothing: an error names the field then.
    if (weight === undefined) expect(status === 0 || stderr.includes("weight")).toBe(true);
    else expect([status, weight.replace("default ", "")]).toEqual([0, "200"]);
  });

  test.each(["--l3-cache-schema", "--mem-bw-schema"])("%s is refused without intelRdt", async (flag) => {
    await using container = await runtime.running();
    const { status, message } = await runtime.fails("update", flag, "L3:0=f", container.id);
    expect(status).toBe(1);
    if (isTsd) expect(message).toBe(`${flag}: the container was created without linux.intelRdt`);
  });
});

describe("--resources", () => {
  const resources = {
    memory: { limit: 64 * mebibyte, reservation: 32 * mebibyte, swap: 0 },
    cpu: { shares: 512, quota: 20_000, period: 100_000, cpus: "0", mems: "" },
    pids: { limit: 30 },
    surplus: { "somebody's": "extension" },
  };
  const check = (id: string): void => {
    const files: File[] = ["limit", "reservation", "quota", "cpus", "pids"];
    expect(files.map((file) => read(id, file))).toEqual(
      isCgroup2 ? ["67108864", "33554432", "20000 100000", "0", "30"] : ["67108864", "33554432", "20000", "0", "30"],
    );
  };

  test.each(["-r", "--resources"])("%s takes a file, and leaves the other flags aside", async (flag) => {
    await using container = await runtime.running();
    const file = runtime.path("resources");
    await Bun.write(file, JSON.stringify(resources));
    expect(await runtime.verb(["update", flag, file, "--pids-limit", "7", container.id])).toEqual(silent);
    check(container.id);
  });

  test("takes - for the standard input", async () => {
    await using container = await runtime.running();
    const stdin = JSON.stringify(resources);
    expect(await runtime.verb(["update", "--resources", "-", container.id], { stdin })).toEqual(silent);
    check(container.id);
  });

  test("changes nothing that it does not speak of", async () => {
    await using container = await runtime.running();
    await runtime.ok("update", "--memory", "64M", "--pids-limit", "9", container.id);
    const stdin = JSON.stringify({ memory: { reservation: mebibyte } });
    await runtime.verb(["update", "-r", "-", container.id], { stdin });
    expect([read(container.id, "limit"), read(container.id, "pids")]).toEqual(["67108864", "9"]);
    expect(await runtime.verb(["update", "-r", "-", container.id], { stdin: "{}" })).toEqual(silent);
  });

  test("refuses what is not JSON, wrong types, and a file that is not there", async () => {
    await using container = await runtime.running();
    const { id } = container;
    const tell = async (stdin: string) => {
      const { status, stderr } = await runtime.verb(["update", "-r", "-", id], { stdin });
      expect(status).toBe(1);
      return stderr;
    };
    await tell("{");
    expect(await tell('{"memory": {"limit": "64M"}}')).toContain("memory.limit");
    expect(await tell('{"cpu": {"cpus": 0}}')).toContain("cpu.cpus");
    expect((await runtime.fails("update", "-r", "/nonexistent", id)).message).toContain("/nonexistent");
  });

  needs("tsd")("sets throttles device by device, and tells a kernel that knows no such device apart", async () => {
    await using container = await runtime.running();
    const disk = diskNumber();
    if (disk === undefined) console.log("note: there is no block device to throttle");
    else await throttleAndFree(container.id, disk);
    const stdin = JSON.stringify({ blockIO: { throttleReadBpsDevice: [{ major: 4000, minor: 1, rate: 9 }] } });
    const { stderr } = await runtime.verb(["update", "-r", "-", container.id], { stdin });
    expect(stderr).toContain("linux.resources.blockIO.throttleReadBpsDevice[0]: write 4000:1 ");
  });

  needs("tsd", "cgroup v1")("refuses files of cgroup v2 on v1", async () => {
    await using container = await runtime.running();
    const stdin = JSON.stringify({ unified: { "memory.high": "1" } });
    const { stderr } = await runtime.verb(["update", "-r", "-", container.id], { stdin });
    expect(stderr).toContain("this host has cgroup v1");
  });

  needs("tsd", "cgroup v2")("writes files of cgroup v2 by name", async () => {
    await using container = await runtime.running();
    const high: FileNames = ["memory.high", "memory.high"];
    const update = (unified: object) =>
      runtime.verb(["update", "-r", "-", container.id], { stdin: JSON.stringify({ unified }) });
    expect(await update({ "memory.high": "16777216" })).toEqual(silent);
    expect(cgroupFile(runtime, container.id, high)).toBe("16777216");
    for (const [name, reason] of [
      ["../memory.high", "is not the name of a file"],
      ["nonsense.max", "nonsense controller is missing"],
      ["memory.nonsense", "ENOENT"],
    ] as const) {
      const { status, stderr } = await update({ "memory.high": "1", [name]: "1" });
      expect(status).toBe(1);
      expect(stderr).toContain(reason);
      expect(cgroupFile(runtime, container.id, high)).toBe("16777216");
    }
  });
});

async function throttleAndFree(id: string, disk: string): Promise<void> {
  const [major, minor] = disk.split(":").map(Number);
  for (const [rate, text] of [
    [mebibyte, isCgroup2 ? `${disk} rbps=1048576` : `${disk} 1048576`],
    [0, ""],
  ] as const) {
    const stdin = JSON.stringify({ blockIO: { throttleReadBpsDevice: [{ major, minor, rate }] } });
    expect(await runtime.verb(["update", "-r", "-", id], { stdin })).toEqual(silent);
    expect(read(id, "readRate")).toStartWith(text);
    if (text === "") expect(read(id, "readRate")).toBe("");
  }
}

describe("limits", () => {
  test("grow and shrink, memory and swap together", async () => {
    await using container = await runtime.running();
    for (const size of [64, 256, 32]) {
      const words = ["--memory", `${size}M`, "--memory-swap", `${2 * size}M`];
      expect(await runtime.verb(["update", ...words, container.id])).toEqual(silent);
      expect(read(container.id, "limit")).toBe(String(size * mebibyte));
      expect(read(container.id, "swap")).toBe(String((isCgroup2 ? 1 : 2) * size * mebibyte));
    }
    await runtime.ok("update", "--memory", "-1", container.id);
    const none = isCgroup2 ? "max" : "9223372036854771712";
    expect([read(container.id, "limit"), read(container.id, "swap")]).toEqual([none, none]);
  });

  test("of one update are remembered by the next", async () => {
    await using container = await runtime.running();
    await runtime.ok("update", "--cpu-quota", "20000", container.id);
    await runtime.ok("update", "--cpu-period", "50000", container.id);
    expect(read(container.id, "quota")).toBe(isCgroup2 ? "20000 50000" : "20000");
    expect(read(container.id, "period")).toBe(isCgroup2 ? "20000 50000" : "50000");
  });

  needs("tsd")("are in the configuration that is kept of the container", async () => {
    await using container = await runtime.running(["sleep", "1000"], (config) => {
      config.linux.resources = { ...config.linux.resources, pids: { limit: 50 } };
    });
    await runtime.ok("update", "--memory", "64M", "--cpu-quota", "20000", container.id);
    await runtime.ok("update", "--memory-swap", "96M", container.id);
    const kept = JSON.parse(readFileSync(`${runtime.stateRoot}/${container.id}/config.json`, "utf8"));
    expect(kept.linux.resources).toEqual({
      devices: [{ allow: false, access: "rwm" }],
      pids: { limit: 50 },
      memory: { limit: 64 * mebibyte, swap: 96 * mebibyte },
      cpu: { quota: 20_000 },
    });
    const original = JSON.parse(readFileSync(`${container.bundle}/config.json`, "utf8"));
    expect(original.linux.resources.memory).toBeUndefined();
    expect(read(container.id, "swap")).toBe(String((isCgroup2 ? 32 : 96) * mebibyte));
  });

  needs("tsd")("are all as before when one is refused, in the kernel's files and in the configuration", async () => {
    await using container = await runtime.running();
    const { id } = container;
    await runtime.ok("update", "--memory", "64M", "--cpu-share", "512", "--cpu-quota", "20000", id);
    const config = `${runtime.stateRoot}/${id}/config.json`;
    const look = () => [...(Object.keys(files) as File[]).map((file) => read(id, file)), readFileSync(config, "utf8")];
    const before = look();
    const words = ["--memory", "32M", "--cpu-share", "300", "--cpu-quota", "30000", "--cpuset-cpus", "4000"];
    const { status, message } = await runtime.fails("update", ...words, "--pids-limit", "5", id);
    expect([status, message]).toEqual([
      1,
      expect.stringMatching(/^linux\.resources\.cpu\.cpus: write 4000 to .*: E[A-Z]+$/),
    ]);
    expect(look()).toEqual(before);
    const devices = [{ allow: true, access: "rwm" }];
    const stdin = JSON.stringify({ pids: { limit: 5 }, unified: { "no.such": "1" }, devices });
    expect((await runtime.verb(["update", "-r", "-", id], { stdin })).status).toBe(1);
    expect(look()).toEqual(before);
    expect((await runtime.exec(id, ["sh", "-c", ": </dev/null"])).status).toBe(0);
  });

  needs("tsd")("below what is used are refused with checkBeforeUpdate", async () => {
    await using container = await runtime.running();
    const stdin = JSON.stringify({ memory: { limit: 4096, checkBeforeUpdate: true } });
    const { status, stderr } = await runtime.verb(["update", "-r", "-", container.id], { stdin });
    expect(status).toBe(1);
    expect(stderr).toContain("linux.resources.memory.limit: 4096 is below the present usage");
    expect((await runtime.state(container.id)).status).toBe("running");
  });

  test("of devices stay as they are", async () => {
    // /dev/kmsg is no default device.
    await using container = await runtime.running(["sleep", "1000"], (config) => {
      const kmsg = { allow: true, type: "c", major: 1, minor: 11, access: "r" } as const;
      config.linux.resources = { devices: [{ allow: false, access: "rwm" }, kmsg] };
      const capabilities = ["CAP_MKNOD", "CAP_SYSLOG"];
      config.process.capabilities = { bounding: capabilities, effective: capabilities, permitted: capabilities };
    });
    const open = async (mode: string) => {
      const script = `[ -e /dev/kmsg2 ] || mknod /dev/kmsg2 c 1 11; : ${mode}/dev/kmsg2`;
      return (await runtime.exec(container.id, ["sh", "-c", script])).status === 0;
    };
    expect([await open("<"), await open(">")]).toEqual([true, false]);
    await runtime.ok("update", "--pids-limit", "40", "--memory", "64M", container.id);
    expect([await open("<"), await open(">")]).toEqual([true, false]);
  });

  test("hold for what runs: a limit of processes stops the next one", async () => {
    await using container = await runtime.running();
    await runtime.ok("update", "--pids-limit", "1", container.id);
    expect((await runtime.exec(container.id, ["sh", "-c", "sleep 0 & wait $!"])).status).not.toBe(0);
    await runtime.ok("update", "--pids-limit", "20", container.id);
    expect((await runtime.exec(container.id, ["sh", "-c", "sleep 0 & wait $!"])).status).toBe(0);
  });
});

test("containers that were created and that are paused can be updated, those that have ended cannot", async () => {
  await using created = await runtime.created();
  expect(await runtime.verb(["update", "--pids-limit", "20", created.id])).toEqual(silent);
  expect(read(created.id, "pids")).toBe("20");
  await runtime.ok("pause", created.id);
  expect(await runtime.verb(["update", "--pids-limit", "30", created.id])).toEqual(silent);
  expect(read(created.id, "pids")).toBe("30");
  expect((await runtime.state(created.id)).status).toBe("paused");
  await runtime.ok("kill", created.id, "KILL");
  await runtime.waitFor(created.id, "stopped");
  expect((await runtime.fails("update", "--pids-limit", "40", created.id)).message).toContain("not running");
});

test.each([
  "--memory 64X",
  "--memory-swap x",
  "--memory-reservation 1.5.5",
  "--cpu-period 1.5",
  "--cpu-quota ten",
  "--cpu-share -1",
])("%s is refused, with the name of the flag", async (words) => {
  await using container = await runtime.running();
  const { status, message } = await runtime.fails("update", ...words.split(" "), container.id);
  expect(status).toBe(1);
  expect(message).toContain(`invalid value for ${words.split(" ")[0]!.slice(2)}: `);
});

test("flags that are no numbers, and containers that are not there, are refused", async () => {
  for (const words of [
    ["--pids-limit", "many"],
    ["--blkio-weight", "x"],
    ["--unknown", "1"],
  ]) {
    const { status, stdout } = await runtime.verb(["update", ...words, "nobody"]);
    expect([status, stdout]).toEqual([1, expect.stringContaining("Incorrect Usage")]);
  }
  expect((await runtime.fails("update", "--memory", "64M", "nobody")).message).toContain("does not exist");
  expect((await runtime.verb(["update"])).status).toBe(1);
  expect(existsSync(`${runtime.stateRoot}/nobody`)).toBe(false);
});
