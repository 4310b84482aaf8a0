/** What a container with no flags at all can see and do, and what the host sees of it. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { existsSync, readdirSync, readFileSync, readlinkSync } from "node:fs";
import { isErrno } from "../../src/core/errors.ts";
import { until } from "../harness/command.ts";
import { Engine } from "../harness/engine.ts";

let engine: Engine;
let id: string;
let pid: string;
beforeAll(async () => {
  engine = await Engine.open();
  id = await engine.start([], "sleep", "1000");
  pid = await engine.inspect(id, "{{.State.Pid}}");
});
afterAll(() => engine[Symbol.asyncDispose]());

/** Docker's, https://docs.docker.com/engine/security/seccomp/ beside it: the capabilities by their bits. */
const docker14 = [0, 1, 3, 4, 5, 6, 7, 8, 10, 13, 18, 27, 29, 31].reduce((set, bit) => set | (1n << BigInt(bit)), 0n);

function statusOf(process: string): Record<string, string> {
  return fieldsOf(readFileSync(`/proc/${process}/status`, "utf8"));
}

function fieldsOf(text: string): Record<string, string> {
  const lines = text.split("\n");
  return Object.fromEntries(lines.filter(Boolean).map((line) => line.split(/:\s*/, 2) as [string, string]));
}

test("docker's fourteen capabilities, in the sets where docker has them", () => {
  const set = docker14.toString(16).padStart(16, "0");
  const none = "0".repeat(16);
  expect(set).toBe("00000000a80425fb");
  const { CapInh, CapPrm, CapEff, CapBnd, CapAmb } = statusOf(pid);
  expect({ CapInh, CapPrm, CapEff, CapBnd, CapAmb }).toEqual({
    CapInh: none,
    CapPrm: set,
    CapEff: set,
    CapBnd: set,
    CapAmb: none,
  });
});

test("a seccomp filter is loaded, and no_new_privs is left alone", () => {
  expect(statusOf(pid)).toMatchObject({ Seccomp: "2", Seccomp_filters: "1", NoNewPrivs: "0" });
});

test("no signal is blocked or ignored", () => {
  const none = "0".repeat(16);
  expect(statusOf(pid)).toMatchObject({ SigBlk: none, SigIgn: none, SigCgt: none, SigPnd: none, ShdPnd: none });
});

test("it is process 1, of one thread, in a session of its own", async () => {
  // Parent 0: nobody there to be seen. The group and the session are its own, and it has no terminal.
  expect(await engine.daemon.ok("exec", id, "cut", "-d ", "-f1,4-8", "/proc/1/stat")).toBe("1 0 1 1 0 -1");
  expect(statusOf(pid)).toMatchObject({
    Threads: "1",
    NSpid: `${pid}\t1`,
    NSsid: expect.stringMatching(/\t1$/),
    NSpgid: expect.stringMatching(/\t1$/),
  });
});

test("namespaces of its own, but for the user, time and (on cgroup v1) cgroup namespaces", () => {
  const isV2 = existsSync("/sys/fs/cgroup/cgroup.controllers");
  const shared = (name: string) =>
    readlinkSync(`/proc/${pid}/ns/${name}`) === readlinkSync(`/proc/${engine.daemon.pid}/ns/${name}`);
  expect(
    Object.fromEntries(["mnt", "pid", "net", "ipc", "uts", "user", "time", "cgroup"].map((it) => [it, shared(it)])),
  ).toEqual({
    mnt: false,
    pid: false,
    net: false,
    ipc: false,
    uts: false,
    user: true,
    time: true,
    cgroup: !isV2,
  });
});

/** Docker's lists: moby, daemon/pkg/oci/defaults.go. */
const masked = [
  "/proc/acpi",
  "/proc/asound",
  "/proc/interrupts",
  "/proc/kcore",
  "/proc/keys",
  "/proc/latency_stats",
  "/proc/sched_debug",
  "/proc/scsi",
  "/proc/timer_list",
  "/proc/timer_stats",
  "/sys/devices/virtual/powercap",
  "/sys/firmware",
];
const readOnly = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];
const thermal = readdirSync("/sys/devices/system/cpu")
  .filter((name) => /^cpu\d+$/.test(name))
  .map((name) => `/sys/devices/system/cpu/${name}/thermal_throttle`);

for (const path of [...masked, ...thermal].filter((it) => existsSync(it))) {
  test(`${path} is there, and shows nothing`, async () => {
    const script = `if [ -d ${path} ]; then ls -A ${path}; touch ${path}/x 2>&1; else cat ${path}; stat -c %t:%T ${path}; fi; true`;
    const shown = await engine.daemon.ok("exec", id, "sh", "-c", script);
    expect(shown).toBe(shown.startsWith("touch") ? `touch: ${path}/x: Read-only file system` : "1:3"); // /dev/null
  });
}

for (const path of readOnly.filter((it) => existsSync(it))) {
  test(`${path} is read-only`, async () => {
    const line = await engine.daemon.ok("exec", id, "grep", ` ${path} `, "/proc/self/mounts");
    expect(line).toBe(`proc ${path} proc ro,nosuid,nodev,noexec,relatime 0 0`);
  });
}

test("nothing else lies over /proc and /sys, and inspect lists what does", async () => {
  const mounts = (await engine.daemon.ok("exec", id, "cut", "-d ", "-f2", "/proc/self/mounts")).split("\n");
  const over = mounts.filter((path) => /^\/(proc|sys)\/./.test(path) && !path.startsWith("/sys/fs/cgroup"));
  const expected = [...masked, ...thermal, ...readOnly].filter((path) => existsSync(path));
  expect(over.sort()).toEqual(expected.sort());
  const host = JSON.parse(await engine.inspect(id, "{{json .HostConfig}}"));
  expect(host.MaskedPaths).toEqual(expect.arrayContaining(masked));
  expect(host.ReadonlyPaths).toEqual(readOnly);
});

test("the kernel's settings cannot be written", async () => {
  for (const path of [
    "/proc/sys/kernel/hostname",
    "/proc/sys/vm/drop_caches",
    "/proc/sysrq-trigger",
    "/sys/kernel/mm/transparent_hugepage/enabled",
  ]) {
    if (!existsSync(path)) continue;
    const result = await engine.tsd(["exec", id, "sh", "-c", `echo x > ${path}`]);
    expect(result.status).toBe(1);
    expect(result.stderr).toContain("Read-only file system");
  }
});

test("docker's mounts with docker's options", async () => {
  const lines = (await engine.daemon.ok("exec", id, "cat", "/proc/self/mounts")).split("\n");
  const shown = Object.fromEntries(
    lines.map((line) => line.split(" ")).map(([, path, type, options]) => [path, `${type} ${options}`]),
  );
  expect(shown["/"]).toMatch(/^overlay rw,relatime,/);
  expect(shown).toMatchObject({
    "/proc": "proc rw,nosuid,nodev,noexec,relatime",
    "/dev": "tmpfs rw,nosuid,size=65536k,mode=755",
    "/dev/pts": "devpts rw,nosuid,noexec,relatime,gid=5,mode=620,ptmxmode=666",
    "/dev/mqueue": "mqueue rw,nosuid,nodev,noexec,relatime",
    "/dev/shm": "tmpfs rw,nosuid,nodev,noexec,relatime,size=65536k",
    "/sys": "sysfs ro,nosuid,nodev,noexec,relatime",
  });
  for (const path of ["/etc/hosts", "/etc/hostname", "/etc/resolv.conf"]) expect(shown[path]).toMatch(/^\S+ rw,/);
  for (const [path, line] of Object.entries(shown)) {
    if (path.startsWith("/sys/fs/cgroup")) expect(line).toMatch(/^(cgroup2?|tmpfs) ro,nosuid,nodev,noexec,relatime/);
  }
});

test("/dev has docker's devices and links, and no other", async () => {
  const listing = await engine.daemon.ok(
    "exec",
    id,
    "sh",
    "-c",
    "cd /dev; for f in *; do stat -c '%N %F %t:%T %a %u:%g' $f; done",
  );
  const shown = listing.split("\n").map((line) => line.replaceAll("'", ""));
  const device = (name: string, numbers: string) => `${name} character special file ${numbers} 666 0:0`;
  const directory = (name: string, mode: string) => `${name} directory 0:0 ${mode} 0:0`;
  const link = (name: string, target: string) => `${name} -> ${target} symbolic link 0:0 777 0:0`;
  expect(shown).toEqual([
    ...(existsSync("/proc/kcore") ? [link("core", "/proc/kcore")] : []),
    link("fd", "/proc/self/fd"),
    device("full", "1:7"),
    directory("mqueue", "1777"),
    device("null", "1:3"),
    link("ptmx", "pts/ptmx"),
    directory("pts", "755"),
    device("random", "1:8"),
    directory("shm", "1777"),
    link("stderr", "/proc/self/fd/2"),
    link("stdin", "/proc/self/fd/0"),
    link("stdout", "/proc/self/fd/1"),
    device("tty", "5:0"),
    device("urandom", "1:9"),
    device("zero", "1:5"),
  ]);
});

test("devices beyond docker's rules cannot be opened even when they are made", async () => {
  const script = "mknod /tmp/kmsg c 1 11 && cat /tmp/kmsg";
  const result = await engine.tsd(["exec", id, "sh", "-c", script]);
  expect(result.status).toBe(1);
  expect(result.stderr).toContain("can't open '/tmp/kmsg': Operation not permitted");
});

test("the limits are the daemon's own", () => {
  // Docker's daemon passes its own on; tsd does the same.
  const limits = (process: number | string) => readFileSync(`/proc/${process}/limits`, "utf8");
  expect(limits(pid)).toBe(limits(engine.daemon.pid));
});

test("three descriptors are open, and all are its own", async () => {
  expect(readdirSync(`/proc/${pid}/fd`).sort()).toEqual(["0", "1", "2"]);
  expect(readlinkSync(`/proc/${pid}/fd/0`)).toBe("/dev/null");
  const targets = await engine.sh(["-i"], "for f in 0 1 2; do readlink /proc/self/fd/$f; done", { stdin: "" });
  expect(targets).toMatch(/^pipe:\[\d+\]\npipe:\[\d+\]\npipe:\[\d+\]$/);
  await engine.daemon.ok("exec", "-d", id, "sleep", "4321");
  const argv = ["sleep", "4321", ""].join("\0");
  const exec = await until("the exec is seen", () =>
    readdirSync("/proc").find((name) => /^\d+$/.test(name) && readOrNone(`/proc/${name}/cmdline`) === argv),
  );
  expect(statusOf(exec).PPid).toBe(statusOf(pid).PPid!);
  expect(readdirSync(`/proc/${exec}/fd`).sort()).toEqual(["0", "1", "2"]);
  process.kill(Number(exec), "SIGKILL");
  await until("the exec has ended", () => statusOrNone(exec) === undefined);
});

test("the environment is the image's and docker's, nothing of tsd's or the caller's", async () => {
  const result = await engine.run([], ["env"], { env: { SECRET_OF_CALLER: "x", TSD_SOMETHING: "y" } });
  const names = result.stdout
    .trim()
    .split("\n")
    .map((line) => line.split("=")[0]);
  expect(names.sort()).toEqual(["HOME", "HOSTNAME", "PATH"]);
  const raw = readFileSync(`/proc/${pid}/environ`, "utf8").split("\0").filter(Boolean);
  expect(raw.map((line) => line.split("=")[0]).sort()).toEqual(["HOME", "HOSTNAME", "PATH"]);
  const exec = await engine.daemon.ok("exec", id, "env");
  expect(
    exec
      .split("\n")
      .map((line) => line.split("=")[0])
      .sort(),
  ).toEqual(["HOME", "HOSTNAME", "PATH"]);
});

test("the umask, the directory and the out-of-memory score are docker's", async () => {
  expect(await engine.sh([], "umask; pwd; cat /proc/self/oom_score_adj")).toBe("0022\n/\n0");
});

test("the host sees a shim and the container, and nothing of the start is left", async () => {
  const { PPid } = statusOf(pid);
  const shim = readFileSync(`/proc/${PPid}/cmdline`, "utf8").split("\0");
  expect(shim[1]).toBe("shim");
  const children = (process: string | number) =>
    readdirSync("/proc").filter((name) => /^\d+$/.test(name) && statusOrNone(name)?.PPid === String(process));
  expect(children(PPid!)).toEqual([pid]);
  // The daemon has its shims, of which one waits for the next container, and nothing else.
  const modes = () => children(engine.daemon.pid).map((child) => readOrNone(`/proc/${child}/cmdline`)?.split("\0")[1]);
  await until("the daemon has two shims and nothing else", () => Bun.deepEquals(modes(), ["shim", "shim"]));
  expect(readlinkSync(`/proc/${pid}/exe`)).toBe("/bin/busybox");
});

function statusOrNone(process: string): Record<string, string> | undefined {
  const text = readOrNone(`/proc/${process}/status`);
  return text === undefined ? undefined : fieldsOf(text);
}

/** Undefined when the process has ended while it was looked at. */
function readOrNone(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    if (isErrno(error, "ENOENT", "ESRCH")) return undefined;
    throw error;
  }
}

test("the container is in its own cgroup in every hierarchy, and the shim in none of it", () => {
  const cgroups = (process: string) => readFileSync(`/proc/${process}/cgroup`, "utf8").trim().split("\n");
  for (const line of cgroups(pid)) expect(line).toEndWith(`:${engine.workspace.cgroupParent}/${id}`);
  for (const line of cgroups(statusOf(pid).PPid!)) expect(line).not.toContain(id);
});
