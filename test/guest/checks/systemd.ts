import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, globSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { type CommandResult, command, succeed } from "../../harness/command.ts";
import { busybox, executable, ok, serve, systemctl, until } from "./guest.ts";

const bundle = "/root/systemd-bundle";
const root = "/run/systemd-check";
const cgroups = "/sys/fs/cgroup";

// biome-ignore lint/suspicious/noExplicitAny: whatever a check wants to change of a config.json
type Config = any;
let template: Config;

/** Writes the bundle's configuration anew: a container that sleeps, changed. */
function configure(change: (config: Config) => void): void {
  const config = structuredClone(template);
  change(config);
  writeFileSync(`${bundle}/config.json`, JSON.stringify(config));
}

/** A verb, with the global flags that a caller may leave away later. */
function runtime(...args: string[]): Promise<CommandResult> {
  return command(["tsd-runc", "--root", root, ...args]);
}

function verb(...args: string[]): Promise<string> {
  return succeed(["tsd-runc", "--root", root, ...args]);
}

/** What create leaves behind has its standard streams: they must not be pipes that this waits for. */
async function create(id: string, program = `tsd-runc --root ${root}`): Promise<void> {
  const script = `${program} --systemd-cgroup create -b ${bundle} ${id} </dev/null >/root/create.log 2>&1`;
  const { status } = await command(["sh", "-c", script]);
  if (status !== 0) throw new Error(readFileSync("/root/create.log", "utf8"));
}

async function pidOf(id: string): Promise<number> {
  return JSON.parse(await verb("state", id)).pid;
}

/** Properties of a unit by name; one with several values has them in lines. */
async function show(unit: string, ...options: string[]): Promise<Record<string, string>> {
  const properties: Record<string, string[]> = {};
  for (const line of (await succeed(["systemctl", ...options, "show", unit])).split("\n")) {
    const [name = "", value] = [line.split("=", 1)[0], line.slice(line.indexOf("=") + 1)];
    properties[name] = [...(properties[name] ?? []), value].sort();
  }
  return Object.fromEntries(Object.entries(properties).map(([name, values]) => [name, values.join("\n")]));
}

async function isLoaded(unit: string): Promise<boolean> {
  return (await succeed(["systemctl", "show", "-p", "LoadState", "--value", unit])) !== "not-found";
}

function file(directory: string, name: string): string {
  return readFileSync(`${cgroups}${directory}/${name}`, "utf8").trimEnd();
}

function cgroupOf(pid: number): string {
  return readFileSync(`/proc/${pid}/cgroup`, "utf8").trimEnd().slice("0::".length);
}

beforeAll(async () => {
  await serve();
  await ok("bundle", busybox, bundle);
  template = JSON.parse(readFileSync(`${bundle}/config.json`, "utf8"));
  template.process.args = ["sleep", "1000"];
  template.process.terminal = false;
});
afterAll(async () => {
  for (const id of existsSync(root) ? readdirSync(root) : []) if (!id.startsWith(".")) await verb("delete", "-f", id);
  rmSync(bundle, { recursive: true, force: true });
});

describe("a scope of systemd's", () => {
  const unit = "tsd-check.scope";
  const directory = `/system.slice/${unit}`;

  test("has the limits as properties and in the kernel's files, as with runc, and is gone with the container", async () => {
    configure((config) => {
      config.linux.cgroupsPath = "system.slice:tsd:check";
      config.linux.resources = {
        ...config.linux.resources,
        memory: { limit: 2 ** 26, reservation: 2 ** 25, swap: 3 * 2 ** 25 },
        cpu: { quota: 51_500, period: 100_000, cpus: "1", mems: "0" },
        pids: { limit: 20 },
        unified: { "memory.high": String(2 ** 25), "memory.oom.group": "1" },
      };
      config.annotations = { "org.systemd.property.TimeoutStopSec": "7", "org.systemd.property.SendSIGHUP": "true" };
    });
    await create("theirs", "runc");
    const theirs = await show(unit);
    await succeed(["runc", "delete", "-f", "theirs"]);
    await create("check");
    const ours = await show(unit);
    // The same but for what is each one's own, or a moment's.
    const own =
      /^(Description|CollectMode|DropInPaths|NeedDaemonReload|InvocationID|ControlGroupId|CPUUsageNSec|.*(Timestamp.*|Current|Available|Bytes|Operations))$/;
    // Where the tun driver is loaded, runc before 1.2 lets every container have it.
    const withoutTun = (value: string) => value.replace("/dev/char/10:200 rwm\n", "");
    const shared = (all: Record<string, string>) =>
      Object.fromEntries(
        Object.entries(all)
          .filter(([key]) => !own.test(key))
          .map(([key, value]) => [key, withoutTun(value)]),
      );
    expect(shared(ours)).toEqual(shared(theirs));
    expect(ours).toMatchObject({
      Description: "tsd container check",
      ControlGroup: directory,
      Delegate: "yes",
      DefaultDependencies: "no",
      MemoryMax: String(2 ** 26),
      MemorySwapMax: String(2 ** 25),
      MemoryHigh: String(2 ** 25),
      CPUQuotaPerSecUSec: "520ms",
      AllowedCPUs: "1",
      TasksMax: "20",
      TimeoutStopUSec: "7s",
      SendSIGHUP: "yes",
      DevicePolicy: "strict",
    });
    const names = ["memory.max", "memory.swap.max", "memory.low", "memory.high", "memory.oom.group", "cpu.max"];
    const values = Object.fromEntries(
      [...names, "cpuset.cpus", "pids.max"].map((name) => [name, file(directory, name)]),
    );
    expect(values).toEqual({
      "memory.max": String(2 ** 26),
      "memory.swap.max": String(2 ** 25),
      "memory.low": String(2 ** 25),
      "memory.high": String(2 ** 25),
      "memory.oom.group": "1",
      "cpu.max": "51500 100000",
      "cpuset.cpus": "1",
      "pids.max": "20",
    });
    // Without the flag, too: the record says where the container is.
    const pid = await pidOf("check");
    expect(cgroupOf(pid)).toBe(directory);
    await verb("start", "check");
    await succeed([
      "sh",
      "-c",
      `tsd-runc --root ${root} exec -d --pid-file /root/exec.pid check sleep 1000 >/dev/null 2>&1`,
    ]);
    expect(cgroupOf(Number(readFileSync("/root/exec.pid", "utf8")))).toBe(directory);
    expect(await verb("exec", "check", "cat", "/proc/self/cgroup")).toBe("0::/");
    const memory = String(48 * 2 ** 20);
    await verb("update", "--memory", memory, "--pids-limit", "30", "--cpu-quota", "30500", "check");
    expect(await show(unit)).toMatchObject({
      MemoryMax: memory,
      TasksMax: "30",
      CPUQuotaPerSecUSec: "310ms",
    });
    expect([file(directory, "memory.max"), file(directory, "pids.max")]).toEqual([memory, "30"]);
    // What systemd rounds up is exact in the file.
    expect(file(directory, "cpu.max")).toBe("30500 100000");
    await verb("--systemd-cgroup", "kill", "check", "KILL");
    await verb("delete", "-f", "check");
    expect(await isLoaded(unit)).toBe(false);
    expect(existsSync(`${cgroups}${directory}`)).toBe(false);
  });

  test("is refused where there is one of that name, which goes on untouched", async () => {
    configure((config) => {
      config.linux.cgroupsPath = "tsd-other.slice:tsd:taken";
    });
    const sleeper = Bun.spawn(["systemd-run", "--scope", "--unit", "tsd-taken.scope", "sleep", "1000"]);
    try {
      await until("it runs", () => isLoaded("tsd-taken.scope"));
      const { status, stderr } = await runtime("--systemd-cgroup", "create", "-b", bundle, "taken");
      expect(stderr).toContain("linux.cgroupsPath: systemd has a unit tsd-taken.scope already");
      expect(status).toBe(1);
      expect(sleeper.exitCode).toBeNull();
      expect(existsSync(`${root}/taken`)).toBe(false);
    } finally {
      await systemctl("kill", "--signal", "KILL", "tsd-taken.scope");
      await sleeper.exited;
    }
  });

  test.each([
    ["/a/path", undefined, 'is not of the form "slice:prefix:name"'],
    ["no-such:tsd:x", undefined, 'the slice "no-such" does not end in ".slice"'],
    ["system.slice:tsd:x", ["org.systemd.property.NoSuchThing", "1"], "start tsd-x.scope: "],
    [
      "system.slice:tsd:x",
      ["org.systemd.property.TimeoutStopSec", "soon"],
      'annotations["org.systemd.property.TimeoutStopSec"]',
    ],
  ])("is refused for %s and %p, and leaves nothing", async (cgroupsPath, annotation, reason) => {
    configure((config) => {
      config.linux.cgroupsPath = cgroupsPath;
      if (annotation !== undefined) config.annotations = { [annotation[0]!]: annotation[1] };
    });
    const { status, stderr } = await runtime("--systemd-cgroup", "run", "-b", bundle, "wrong");
    expect(stderr.replaceAll("\\", "")).toContain(reason);
    expect(status).toBe(1);
    expect(existsSync(`${root}/wrong`)).toBe(false);
    expect(await isLoaded("tsd-x.scope")).toBe(false);
  });

  test("is found by delete --force whenever create was killed", async () => {
    configure((config) => {
      config.linux.cgroupsPath = "system.slice:tsd:killed";
    });
    const full = performance.now();
    await create("killed");
    await verb("delete", "-f", "killed");
    const duration = (performance.now() - full) / 2;
    const moments = [0.3, 0.5, 0.6, 0.7, 0.8, 0.9].map((part) => Math.round(part * duration));
    console.log(`killed after ${moments.join(", ")} ms`);
    for (const moment of moments) {
      const words = ["tsd-runc", "--root", root, "--systemd-cgroup", "create", "-b", bundle, "killed"];
      const creating = Bun.spawn(words, { stdio: ["ignore", "ignore", "ignore"] });
      await Bun.sleep(moment);
      creating.kill("SIGKILL");
      await creating.exited;
      await verb("delete", "--force", "killed");
      await until("the unit is gone", async () => !(await isLoaded("tsd-killed.scope")));
      expect(existsSync(`${root}/killed`)).toBe(false);
      expect(globSync(`${cgroups}/**/tsd-killed.scope`)).toEqual([]);
    }
  });
});

test("a slice can be the container's own", async () => {
  configure((config) => {
    config.linux.cgroupsPath = "tsdcheck.slice:ignored:tsdcheck-own.slice";
    config.linux.resources.pids = { limit: 17 };
  });
  await create("sliced");
  const directory = "/tsdcheck.slice/tsdcheck-own.slice";
  expect(cgroupOf(await pidOf("sliced"))).toBe(directory);
  expect(file(directory, "pids.max")).toBe("17");
  expect((await show("tsdcheck-own.slice")).TasksMax).toBe("17");
  await verb("delete", "-f", "sliced");
  // A slice is "loaded" whenever somebody asks for it.
  expect((await show("tsdcheck-own.slice")).ActiveState).toBe("inactive");
  expect(existsSync(`${cgroups}${directory}`)).toBe(false);
  await systemctl("stop", "tsdcheck.slice");
});

test("a container with a user namespace and a writable cgroup has it for its own", async () => {
  configure((config) => {
    config.linux.cgroupsPath = "system.slice:tsd:owned";
    config.linux.namespaces = [...config.linux.namespaces, { type: "user" }];
    const map = [{ containerID: 0, hostID: 200_000, size: 65_536 }];
    // Those of the template name groups that are not mapped.
    Object.assign(config.linux, { uidMappings: map, gidMappings: map, sysctl: {} });
    const mount = config.mounts.find(({ destination }: { destination: string }) => destination === cgroups);
    mount.options = mount.options.filter((option: string) => option !== "ro");
    const inner = `mkdir ${cgroups}/inner && echo 1 >${cgroups}/inner/cgroup.procs && echo +pids >${cgroups}/cgroup.subtree_control`;
    config.process.args = ["sh", "-c", `${inner} && cat /proc/self/cgroup; ls -n ${cgroups} | grep -c ' 0 *65534 '`];
  });
  await succeed(["chown", "-R", "200000:200000", `${bundle}/rootfs`]);
  const printed = await verb("--systemd-cgroup", "run", "-b", bundle, "owned");
  await succeed(["chown", "-R", "0:0", `${bundle}/rootfs`]);
  expect(printed.split("\n")[0]).toBe("0::/inner");
  expect(await isLoaded("tsd-owned.scope")).toBe(false);
});

describe("a user's own systemd", () => {
  const home = "/home/user/bundle";
  const state = "/run/user/1000/check";
  const asUser = (script: string) =>
    command(["su", "-", "user", "-c", `export XDG_RUNTIME_DIR=/run/user/1000; ${script}`]);
  const manager = "/user.slice/user-1000.slice/user@1000.service";

  beforeAll(async () => {
    await systemctl("start", "user@1000");
    mkdirSync(home, { recursive: true });
    await succeed(["cp", "-a", `${bundle}/rootfs`, home]);
    await succeed(["chown", "-R", "user:user", home]);
    await asUser(`cd ${home} && ${executable} runtime spec --rootless`);
    const config: Config = JSON.parse(readFileSync(`${home}/config.json`, "utf8"));
    config.process.terminal = false;
    config.process.args = ["sleep", "1000"];
    config.linux.cgroupsPath = "user.slice:tsd:mine";
    config.linux.resources = { memory: { limit: 2 ** 26 }, pids: { limit: 20 } };
    writeFileSync(`${home}/config.json`, JSON.stringify(config));
  });
  afterAll(async () => {
    await asUser(`tsd-runc --root ${state} delete -f mine`);
    await systemctl("stop", "user@1000");
  });

  test("makes a scope for a container without root, and moves what exec adds into it", async () => {
    const created = await asUser(
      `tsd-runc --root ${state} --systemd-cgroup run -d -b ${home} mine </dev/null >/tmp/user.log 2>&1 || cat /tmp/user.log`,
    );
    expect(created).toMatchObject({ status: 0, stdout: "" });
    const directory = `${manager}/user.slice/tsd-mine.scope`;
    const { pid } = JSON.parse((await asUser(`tsd-runc --root ${state} state mine`)).stdout);
    expect(cgroupOf(pid)).toBe(directory);
    expect(file(directory, "memory.max")).toBe(String(2 ** 26));
    expect(file(directory, "pids.max")).toBe("20");
    const added = await asUser(
      `tsd-runc --root ${state} exec -d --pid-file /tmp/user.pid mine sleep 1000 </dev/null >/tmp/user.log 2>&1 || cat /tmp/user.log`,
    );
    expect(added).toMatchObject({ status: 0, stdout: "" });
    expect(cgroupOf(Number(readFileSync("/tmp/user.pid", "utf8")))).toBe(directory);
    const deleted = await asUser(`tsd-runc --root ${state} delete -f mine`);
    expect(deleted).toMatchObject({ status: 0, stderr: "" });
    await until("its cgroup is gone", () => !existsSync(`${cgroups}${directory}`));
  });

  test("that cannot be reached is named with every place that was tried", async () => {
    const { status, stderr } = await asUser(
      `XDG_RUNTIME_DIR=/nowhere tsd-runc --root ${state} --systemd-cgroup run -b ${home} mine`,
    );
    expect(stderr).toContain("cannot reach this user's systemd: ");
    expect(stderr).toContain("/nowhere/systemd/private");
    expect(status).toBe(1);
  });
});
