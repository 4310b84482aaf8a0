import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { command, succeed } from "../../harness/command.ts";
import { busybox, inContainer, ok, remove, serve, start, tsd } from "./guest.ts";

/** What the checks read of the report. */
interface Facts {
  capabilities: { effective: string[]; kernel: number };
  seccomp: { mode: string };
  namespaces: { type: string; owner: "own" | "host" }[];
  limits: Record<string, number>;
  mounts: { root: { type: string; readOnly: boolean }; hidden: string[]; readOnly: string[] };
}

const defaultCapabilities = "00000000a80425fb";
const allCapabilities = "000001ffffffffff";

async function report(...flags: string[]): Promise<Facts> {
  return JSON.parse(await ok("run", "--rm", "--network", "none", ...flags, "hello", "--format", "json"));
}

beforeAll(serve);

describe("the sandbox", () => {
  test("has 14 capabilities, a seccomp filter, and no other process, descriptor or variable", async () => {
    const script = "cat /proc/self/status; echo; ls /proc/self/fd; echo; ls -d /proc/[0-9]*; echo; env";
    const [status = "", descriptors = "", processes = "", variables = ""] = (await inContainer(script)).split("\n\n");
    const field = (name: string) => new RegExp(`^${name}:\\s*(.*)$`, "m").exec(status)?.[1];
    expect([field("CapInh"), field("CapAmb")]).toEqual(["0000000000000000", "0000000000000000"]);
    expect([field("CapPrm"), field("CapEff"), field("CapBnd")]).toEqual(Array(3).fill(defaultCapabilities));
    expect([field("Seccomp"), field("Seccomp_filters"), field("NoNewPrivs")]).toEqual(["2", "1", "0"]);
    // 3 is the directory that ls lists.
    expect(descriptors.split("\n")).toEqual(["0", "1", "2", "3"]);
    expect(processes).toBe("/proc/1");
    const names = variables.split("\n").map((line) => line.split("=")[0]);
    expect(names.filter((name) => !["SHLVL", "PWD", "OLDPWD"].includes(name!)).sort()).toEqual([
      "HOME",
      "HOSTNAME",
      "PATH",
    ]);
  });

  test("in a user namespace it has users of its own, and of its cgroup what may be delegated", async () => {
    const cgroup = "/sys/fs/cgroup";
    const script = `cat /proc/self/uid_map; mkdir ${cgroup}/below && stat -c %u ${cgroup} ${cgroup}/below ${cgroup}/cgroup.procs ${cgroup}/memory.max`;
    const printed = await inContainer(script, "--userns", "auto", "--security-opt", "writable-cgroups=true");
    expect(printed).toMatch(/^ *0 +\d+ +65536\n0\n0\n0\n65534$/);
  });

  test("has Docker's mounts, hidden paths and read-only paths, with one cgroup hierarchy", async () => {
    const mountinfo = await inContainer("cat /proc/self/mountinfo");
    const mounts = mountinfo.split("\n").map((line) => {
      const [, , , root, target, options] = line.split(" ");
      const type = line.split(" - ")[1]!.split(" ")[0];
      return [target, type, options!.replace(/,(relatime|noatime)/, ""), root];
    });
    const etc = (name: string) => [
      `/etc/${name}`,
      "ext4",
      "rw",
      expect.stringMatching(new RegExp(`/containers/[0-9a-f]{64}/${name}$`)),
    ];
    const devNull = (path: string) => [path, "tmpfs", "rw,nosuid", "/null"];
    const empty = (path: string) => [path, "tmpfs", "ro", "/"];
    const fixed = (path: string) => [path, "proc", "ro,nosuid,nodev,noexec", path.slice("/proc".length)];
    expect(mounts).toEqual([
      ["/", "overlay", "rw", "/"],
      ["/proc", "proc", "rw,nosuid,nodev,noexec", "/"],
      ["/dev", "tmpfs", "rw,nosuid", "/"],
      ["/dev/pts", "devpts", "rw,nosuid,noexec", "/"],
      ["/sys", "sysfs", "ro,nosuid,nodev,noexec", "/"],
      ["/sys/fs/cgroup", "cgroup2", "ro,nosuid,nodev,noexec", "/"],
      ["/dev/mqueue", "mqueue", "rw,nosuid,nodev,noexec", "/"],
      ["/dev/shm", "tmpfs", "rw,nosuid,nodev,noexec", "/"],
      etc("resolv.conf"),
      etc("hostname"),
      etc("hosts"),
      ...["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"].map(fixed),
      empty("/proc/acpi"),
      ...["/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/timer_list"].map(devNull),
      empty("/sys/firmware"),
    ]);
  });

  test("gives a privileged container every capability of an unrestricted root, every device, and hides nothing", async () => {
    const script = `
cat /proc/self/status; echo
mkdir -p /mnt && mount -t tmpfs none /mnt && echo mounted
mkdir /sys/fs/cgroup/x && echo made
( : </dev/nvme0n1 ) && echo opened
grep -c ' /proc/.* ro' /proc/self/mountinfo || true`;
    const [status = "", rest] = (await inContainer(script, "--privileged")).split("\n\n");
    const field = (name: string) => new RegExp(`^${name}:\\s*(.*)$`, "m").exec(status)?.[1];
    expect([field("CapEff"), field("CapBnd")]).toEqual([allCapabilities, allCapabilities]);
    expect(field("Seccomp")).toBe("0");
    expect(rest).toBe("mounted\nmade\nopened\n0");
  });

  test("has limits raised above the daemon's own, which takes CAP_SYS_RESOURCE", async () => {
    const flags = ["--ulimit", "nofile=1000000:1000000", "--ulimit", "memlock=-1", "--ulimit", "nproc=100:200"];
    const limits = await inContainer("cat /proc/self/limits", ...flags);
    expect(limits).toMatch(/Max open files +1000000 +1000000/);
    expect(limits).toMatch(/Max locked memory +unlimited +unlimited/);
    expect(limits).toMatch(/Max processes +100 +200/);
  });

  test("refuses a limit that the kernel itself refuses, and names it", async () => {
    const { status, stderr } = await tsd(["run", "--rm", "--ulimit", "nofile=999999999999", busybox, "true"]);
    expect(stderr).toMatch(/RLIMIT_NOFILE.*EPERM/);
    expect(status).toBe(125);
  });
});

describe("the hello report", () => {
  let reports: Facts[];
  beforeAll(async () => {
    await ok("pull", "-q", "hello");
    reports = await Promise.all([
      report(),
      report("--memory", "128m", "--cpus", "0.5", "--pids-limit", "50", "--cap-drop", "ALL", "--read-only"),
      report("--privileged"),
    ]);
  });

  test("tells of a container as it is without flags", () => {
    const [plain] = reports;
    expect(plain!.capabilities.effective).toHaveLength(14);
    expect(plain!.capabilities.kernel).toBe(41);
    expect(plain!.seccomp.mode).toBe("filter");
    expect(plain!.limits).toEqual({ version: 2, memoryUsed: expect.any(Number), pidsUsed: expect.any(Number) });
    const own = plain!.namespaces.filter(({ owner }) => owner === "own").map(({ type }) => type);
    expect(own.sort()).toEqual(["cgroup", "ipc", "mount", "network", "pid", "uts"]);
    expect(plain!.mounts.hidden).toContain("/proc/kcore");
    expect(plain!.mounts.root).toEqual({ type: "overlay", readOnly: false });
  });

  test("shows limits and dropped capabilities", () => {
    const [, limited] = reports;
    expect(limited!.capabilities.effective).toEqual([]);
    expect(limited!.limits).toMatchObject({ version: 2, memory: 2 ** 27, swap: 2 ** 27, cpus: 0.5, pids: 50 });
    expect(limited!.mounts.root.readOnly).toBe(true);
  });

  test("shows what --privileged takes away", () => {
    const [, , privileged] = reports;
    expect(privileged!.capabilities.effective).toHaveLength(41);
    expect(privileged!.seccomp.mode).toBe("off");
    expect(privileged!.mounts.hidden).toEqual([]);
    expect(privileged!.mounts.readOnly).toEqual([]);
  });
});

describe("AppArmor", () => {
  const profile = `#include <tunables/global>
profile tsd-check flags=(attach_disconnected,mediate_deleted) {
  file,
  capability,
  network,
  signal,
  deny /tmp/forbidden w,
}
`;
  let id: string;
  beforeAll(async () => {
    await succeed(["apparmor_parser", "-Kr"], { stdin: profile });
    id = await start("sleep 1000", "--security-opt", "apparmor=tsd-check");
  });
  afterAll(() => remove(id));

  test("holds a container in the profile that it is given, and what is executed in it later", async () => {
    const script = "cat /proc/1/attr/current /proc/self/attr/current; touch /tmp/allowed && touch /tmp/forbidden";
    const { status, stdout, stderr } = await tsd(["exec", id, "sh", "-c", script]);
    expect(stdout).toBe("tsd-check (enforce)\ntsd-check (enforce)\n");
    expect(stderr).toContain("/tmp/forbidden: Permission denied");
    expect(stderr).not.toContain("allowed");
    expect(status).toBe(1);
  });

  test("has no such profile: the container is not started without it", async () => {
    const { status, stderr } = await tsd(["run", "--rm", "--security-opt", "apparmor=no-such", busybox, "true"]);
    expect(stderr).toContain("no-such");
    expect(status).toBe(125);
  });

  test("is enabled here", async () => {
    expect((await command(["aa-enabled", "-q"])).status).toBe(0);
    expect(await ok("info", "--format", "{{json .SecurityOptions}}")).toContain("name=apparmor");
  });
});
