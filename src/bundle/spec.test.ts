import { describe, expect, test } from "bun:test";
import type { RuntimeConfig } from "../oci/runtime.ts";
import { parseRuntimeConfig } from "../oci/runtime.ts";
import { defaultCapabilities } from "./capabilities.ts";
import { parseKernelVersion, readHost } from "./host.ts";
import { hostLimits } from "./host-limits.ts";
import type { BundleHost, BundleHostConfig, BundleInput, HostDevice } from "./input.ts";
import { bundleConfig, imageBundleConfig } from "./spec.ts";

const device = (path: string, type: "b" | "c", major: number, minor: number): HostDevice => {
  return { path, type, major, minor, fileMode: 0o660, uid: 0, gid: 6 };
};
const hostDevices = [device("/dev/fuse", "c", 10, 229), device("/dev/sda", "b", 8, 0)];

const host: BundleHost = {
  kernel: [6, 1],
  capabilities: [...defaultCapabilities, "CAP_SYS_ADMIN", "CAP_NET_ADMIN"],
  cgroupVersion: 2,
  apparmor: true,
  swapLimit: true,
  limits: new Set(hostLimits),
  cpuset: { cpus: "0-3", mems: "0" },
  thermalThrottleCpus: [0, 1],
  onlineCpus: 4,
  exists: (path) => path === "/etc/passwd",
  devicesAt: (path) => hostDevices.filter((found) => found.path === path || found.path.startsWith(`${path}/`)),
  devices: () => hostDevices,
  sysctlExists: () => true,
};

function build(hostConfig: BundleHostConfig = {}, changes: Partial<BundleInput> = {}): RuntimeConfig {
  const input: BundleInput = {
    id: "0123456789abcdef",
    config: { Cmd: ["sh", "-c", "true"] },
    hostConfig,
    rootfs: "/bundle/rootfs",
    user: { uid: 0, gid: 0, additionalGids: [0], home: "/root" },
    mounts: [],
    cgroupsPath: "/tsd/0123456789abcdef",
    host,
    ...changes,
  };
  return bundleConfig(input);
}

const mountAt = (config: RuntimeConfig, path: string) => config.mounts!.find((mount) => mount.destination === path);
const namespacesOf = (config: RuntimeConfig) =>
  config.linux!.namespaces!.map(({ type, path }) => (path ? `${type}=${path}` : type));

describe("a container in a user namespace", () => {
  const mapping = [{ containerID: 0, hostID: 100000, size: 1000 }];
  const userNamespace = { path: "/proc/7/fd/8", uids: mapping, gids: mapping };

  test("joins it, and can name no group beyond it for ping", () => {
    const config = build({}, { userNamespace });
    expect(namespacesOf(config)).toContain("user=/proc/7/fd/8");
    expect(config.linux).toMatchObject({ uidMappings: mapping, gidMappings: mapping });
    expect(config.linux!.sysctl).toMatchObject({ "net.ipv4.ping_group_range": "0 999" });
    expect(parseRuntimeConfig(JSON.stringify(config), "config.json")).toEqual(JSON.parse(JSON.stringify(config)));
  });

  test("has mounts with its own owners, or with mappings of their own", () => {
    const own = [{ containerID: 1000, hostID: 100000, size: 1 }];
    const config = build(
      {},
      {
        userNamespace,
        mounts: [
          { destination: "/own", source: "/a", idMapping: "container" },
          { destination: "/user", source: "/b", nonRecursive: true, idMapping: { uids: own, gids: own } },
        ],
      },
    );
    expect(mountAt(config, "/own")).toEqual({
      destination: "/own",
      type: "bind",
      source: "/a",
      options: ["rbind", "rprivate", "ridmap"],
    });
    expect(mountAt(config, "/user")).toMatchObject({
      options: ["bind", "rprivate", "idmap"],
      uidMappings: own,
      gidMappings: own,
    });
  });
});

describe("a device with another name in the container", () => {
  const Devices = [{ PathOnHost: "/dev/fuse", PathInContainer: "/dev/other", CgroupPermissions: "rwm" }];
  const mapping = [{ containerID: 0, hostID: 100000, size: 1000 }];

  test("is a node, and in a user namespace, where none can be made, a mount", () => {
    expect(build({ Devices }).linux!.devices).toMatchObject([{ path: "/dev/other", major: 10, minor: 229 }]);
    const config = build({ Devices }, { userNamespace: { path: "/proc/1/fd/2", uids: mapping, gids: mapping } });
    expect(config.linux!.devices).toEqual([]);
    expect(mountAt(config, "/dev/other")).toMatchObject({ source: "/dev/fuse", options: ["bind"] });
    expect(config.linux!.resources!.devices).toContainEqual(
      expect.objectContaining({ allow: true, major: 10, minor: 229 }),
    );
  });
});

describe("config.json of a container", () => {
  test("is a valid OCI configuration by default, with Docker's fourteen capabilities and hidden paths", () => {
    const config = build();
    expect(parseRuntimeConfig(JSON.stringify(config), "config.json")).toEqual(JSON.parse(JSON.stringify(config)));
    expect(config.process!.capabilities).toEqual({
      bounding: [...defaultCapabilities],
      effective: [...defaultCapabilities],
      permitted: [...defaultCapabilities],
    });
    expect(defaultCapabilities).toHaveLength(14);
    expect(config.mounts!.map((mount) => mount.destination)).toEqual([
      "/proc",
      "/dev",
      "/dev/pts",
      "/sys",
      "/sys/fs/cgroup",
      "/dev/mqueue",
      "/dev/shm",
    ]);
    expect(mountAt(config, "/dev/shm")!.options).toContain("size=67108864");
    expect(namespacesOf(config)).toEqual(["mount", "network", "uts", "pid", "ipc", "cgroup"]);
    expect(config.linux!.maskedPaths).toContain("/sys/devices/system/cpu/cpu1/thermal_throttle");
    expect(config.linux!.maskedPaths).toContain("/proc/interrupts");
    expect(config.linux!.readonlyPaths).toEqual([
      "/proc/bus",
      "/proc/fs",
      "/proc/irq",
      "/proc/sys",
      "/proc/sysrq-trigger",
    ]);
    expect(config.linux!.seccomp!.defaultAction).toBe("SCMP_ACT_ERRNO");
    expect(config.linux!.sysctl).toEqual({
      "net.ipv4.ip_unprivileged_port_start": "0",
      "net.ipv4.ping_group_range": "0 2147483647",
    });
    expect(config.hostname).toBe("0123456789ab");
    expect(config.process).toMatchObject({ cwd: "/", oomScoreAdj: 0, terminal: false });
    expect(config.linux!.resources!.devices!.at(0)).toEqual({ allow: false, access: "rwm" });
  });

  test("has Docker's environment: defaults first, replaced where they stand, HOME last", () => {
    const env = (config: BundleInput["config"], changes: Partial<BundleInput> = {}) =>
      build({}, { config: { Cmd: ["sh"], ...config }, ...changes }).process!.env;
    const path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    expect(env({ Hostname: "h", Env: ["A=1", "B="] })).toEqual([path, "HOSTNAME=h", "A=1", "B=", "HOME=/root"]);
    expect(env({ Tty: true })).toEqual([path, "HOSTNAME=0123456789ab", "TERM=xterm", "HOME=/root"]);
    expect(env({ Tty: true, Env: ["TERM=vt100", "PATH=/bin", "HOME=/x"] })).toEqual([
      "PATH=/bin",
      "HOSTNAME=0123456789ab",
      "TERM=vt100",
      "HOME=/x",
    ]);
    expect(env({ Env: ["HOSTNAME"] })).toEqual([path, "HOME=/root"]);
    expect(env({ Env: ["A=1", "B=1", "A=2"] })).toEqual([path, "HOSTNAME=0123456789ab", "A=2", "B=1", "HOME=/root"]);
    expect(env({}, { extraEnvironment: ["http_proxy=p"] })).toContain("http_proxy=p");
  });

  test("a command is entry point and arguments; none is refused", () => {
    const args = (config: BundleInput["config"]) => build({}, { config }).process!.args;
    expect(args({ Entrypoint: ["/entry"], Cmd: ["a", "b"] })).toEqual(["/entry", "a", "b"]);
    expect(() => args({ Entrypoint: [], Cmd: [] })).toThrow("no command specified");
    expect(() => args({ Cmd: ["sh", "a\0b"] })).toThrow('"a\\u0000b" contains a NUL');
    expect(() => args({ Cmd: ["sh"], Env: ["A=\0"] })).toThrow('"A=\\u0000" contains a NUL');
  });

  test("a user other than root starts with a bounding set alone", () => {
    const user = { uid: 1000, gid: 1001, additionalGids: [1001, 29], home: "/home/app" };
    const { process } = build({}, { user });
    expect(process!.user).toEqual({ uid: 1000, gid: 1001, additionalGids: [1001, 29] });
    expect(process!.capabilities).toEqual({ bounding: [...defaultCapabilities] });
    expect(process!.env).toContain("HOME=/home/app");
  });
});

describe("capabilities", () => {
  const bounding = (hostConfig: BundleHostConfig) => build(hostConfig).process!.capabilities!.bounding!;

  test("are added and dropped by name, in any spelling", () => {
    expect(bounding({ CapAdd: ["net_admin"], CapDrop: ["CAP_KILL", "chown"] })).toEqual([
      ...defaultCapabilities.filter((name) => name !== "CAP_KILL" && name !== "CAP_CHOWN"),
      "CAP_NET_ADMIN",
    ]);
  });
  test("ALL means those that are held", () => {
    expect(bounding({ CapDrop: ["ALL"] })).toEqual([]);
    expect(bounding({ CapDrop: ["all"], CapAdd: ["KILL"] })).toEqual(["CAP_KILL"]);
    expect(bounding({ CapAdd: ["ALL"] })).toEqual([...host.capabilities]);
    expect(bounding({ CapAdd: ["ALL"], CapDrop: ["SYS_ADMIN"] })).not.toContain("CAP_SYS_ADMIN");
    expect(bounding({ Privileged: true })).toEqual([...host.capabilities]);
  });
  test("that do not exist or are not held are refused", () => {
    expect(() => bounding({ CapAdd: ["FLY"] })).toThrow('unknown capability: "CAP_FLY"');
    expect(() => bounding({ CapDrop: ["FLY"] })).toThrow('unknown capability: "CAP_FLY"');
    expect(() => bounding({ CapAdd: ["SYS_BOOT"] })).toThrow(
      'not available in the current environment: "CAP_SYS_BOOT"',
    );
  });
});

describe("privileged", () => {
  const config = build({ Privileged: true });
  test("masks nothing, filters nothing and has the host's devices", () => {
    expect(config.linux!.maskedPaths).toBeUndefined();
    expect(config.linux!.readonlyPaths).toBeUndefined();
    expect(config.linux!.seccomp).toBeUndefined();
    expect(config.process!.apparmorProfile).toBe("unconfined");
    expect(config.linux!.devices!.map(({ path }) => path)).toEqual(["/dev/fuse", "/dev/sda"]);
    expect(config.linux!.resources!.devices).toEqual([{ allow: true, access: "rwm" }]);
    expect(mountAt(config, "/sys")!.options).not.toContain("ro");
    expect(mountAt(config, "/sys/fs/cgroup")!.options).not.toContain("ro");
  });
  test("keeps a seccomp profile that was asked for", () => {
    const own = build({ Privileged: true, SecurityOpt: ['seccomp={"defaultAction":"SCMP_ACT_LOG"}'] });
    expect(own.linux!.seccomp!.defaultAction).toBe("SCMP_ACT_LOG");
    expect(build({ Privileged: true, SecurityOpt: ["seccomp=builtin"] }).linux!.seccomp).toBeDefined();
  });
});

describe("security options", () => {
  test("reach their places", () => {
    expect(build({ SecurityOpt: ["no-new-privileges"] }).process!.noNewPrivileges).toBe(true);
    expect(build({ SecurityOpt: ["no-new-privileges=false"] }).process!.noNewPrivileges).toBeUndefined();
    expect(build({ SecurityOpt: ["seccomp=unconfined"] }).linux!.seccomp).toBeUndefined();
    expect(build({ SecurityOpt: ["apparmor=mine"] }).process!.apparmorProfile).toBe("mine");
    expect(build({ SecurityOpt: ["apparmor:mine", "label=disable"] }).process!.apparmorProfile).toBe("mine");
    expect(build({}, { defaultApparmorProfile: "tsd-default" }).process!.apparmorProfile).toBe("tsd-default");
    expect(build({}, { host: { ...host, apparmor: false } }).process!.apparmorProfile).toBeUndefined();
    expect(build({ SecurityOpt: ["systempaths=unconfined"] }).linux!.maskedPaths).toBeUndefined();
    expect(mountAt(build({ SecurityOpt: ["writable-cgroups=true"] }), "/sys/fs/cgroup")!.options).not.toContain("ro");
  });
  test("hidden paths can be chosen", () => {
    const config = build({ MaskedPaths: [], ReadonlyPaths: ["/proc/bus"] });
    expect(config.linux!.maskedPaths).toEqual([]);
    expect(config.linux!.readonlyPaths).toEqual(["/proc/bus"]);
  });
  test("that are none are refused", () => {
    for (const option of ["colour=red", "no-new-privileges=perhaps", "systempaths=some"]) {
      expect(() => build({ SecurityOpt: [option] })).toThrow(`invalid --security-opt 2: "${option}"`);
    }
    expect(() => build({ SecurityOpt: ["nonsense"] })).toThrow('invalid --security-opt 1: "nonsense"');
    expect(() => build({ SecurityOpt: ["seccomp={"] })).toThrow("decoding seccomp profile failed");
  });
});

describe("mounts", () => {
  const bind = (destination: string, more: object = {}) => ({ destination, source: "/src", ...more });

  test("of the request come after Docker's own, by the depth of their targets", () => {
    const config = build({}, { mounts: [bind("/a/b/c"), bind("/x"), bind("/a/b")] });
    expect(config.mounts!.slice(7).map((mount) => mount.destination)).toEqual(["/x", "/a/b", "/a/b/c"]);
    expect(mountAt(config, "/x")).toEqual({
      destination: "/x",
      type: "bind",
      source: "/src",
      options: ["rbind", "rprivate"],
    });
  });

  test("are read-only all the way down, where the kernel can and unless told otherwise", () => {
    const options = (more: object, kernel: readonly [number, number] = [6, 1]) =>
      mountAt(build({}, { mounts: [bind("/x", { readOnly: true, ...more })], host: { ...host, kernel } }), "/x")!
        .options;
    expect(options({})).toEqual(["rbind", "ro", "rro", "rprivate"]);
    expect(options({ readOnlyNonRecursive: true })).toEqual(["rbind", "ro", "rprivate"]);
    expect(options({}, [5, 10])).toEqual(["rbind", "ro", "rprivate"]);
    expect(options({ nonRecursive: true, propagation: "rslave" })).toEqual(["bind", "ro", "rro", "rslave"]);
    expect(() => options({ readOnlyForceRecursive: true }, [5, 10])).toThrow("need Linux 5.12");
    expect(() => options({ propagation: "sideways" })).toThrow('invalid propagation "sideways"');
  });

  test("that share or follow mounts need a root that does", () => {
    expect(build({}, { mounts: [bind("/x", { propagation: "rslave" })] }).linux!.rootfsPropagation).toBe("rslave");
    const both = [bind("/x", { propagation: "rslave" }), bind("/y", { propagation: "shared" })];
    expect(build({}, { mounts: both }).linux!.rootfsPropagation).toBe("shared");
    expect(build({}, { mounts: [bind("/x")] }).linux!.rootfsPropagation).toBeUndefined();
  });

  test("replace Docker's own, and /dev replaces what lies below it", () => {
    expect(mountAt(build({}, { mounts: [bind("/dev/shm")] }), "/dev/shm")!.type).toBe("bind");
    const config = build({}, { mounts: [bind("/dev")] });
    expect(config.mounts!.filter((mount) => mount.destination.startsWith("/dev"))).toHaveLength(1);
  });

  test("a read-only root leaves only what must be written", () => {
    const config = build({ ReadonlyRootfs: true, Tmpfs: { "/run": "" } }, { mounts: [bind("/x")] });
    expect(config.root).toEqual({ path: "/bundle/rootfs", readonly: true });
    const writable = config.mounts!.filter((mount) => !mount.options!.includes("ro")).map((mount) => mount.destination);
    expect(writable).toEqual(["/proc", "/dev", "/dev/pts", "/dev/mqueue", "/dev/shm", "/x", "/run"]);
  });

  test("tmpfs options are the user's on top of Docker's", () => {
    const options = (text: string) => mountAt(build({ Tmpfs: { "/run": text } }), "/run")!.options;
    expect(options("")).toEqual(["noexec", "nosuid", "nodev", "rprivate"]);
    expect(options("rw,exec,size=64m,size=1g,mode=1777")).toEqual([
      "nosuid",
      "nodev",
      "rprivate",
      "rw",
      "exec",
      "size=1g",
      "mode=1777",
    ]);
    expect(() => options("colour=red")).toThrow('mount /run: invalid tmpfs option ["colour" "red"]');
    expect(() => options("constructor")).toThrow('invalid tmpfs option ["constructor"]');
    expect(() => options("bind")).toThrow('invalid tmpfs option ["bind"]');
  });

  test("shared memory follows the ipc mode and the size", () => {
    expect(mountAt(build({ ShmSize: 4096 }), "/dev/shm")!.options).toContain("size=4096");
    expect(mountAt(build({ IpcMode: "none" }), "/dev/shm")).toBeUndefined();
    expect(mountAt(build({ IpcMode: "host" }), "/dev/shm")).toMatchObject({ type: "bind", source: "/dev/shm" });
  });
});

describe("namespaces", () => {
  test("are the host's, joined by path, or new", () => {
    const modes = { NetworkMode: "host", PidMode: "host", IpcMode: "host", UTSMode: "host", CgroupnsMode: "host" };
    const shared = build(modes);
    expect(namespacesOf(shared)).toEqual(["mount"]);
    expect(shared.hostname).toBeUndefined();
    expect(shared.linux!.sysctl).toEqual({});
    const named = { config: { Cmd: ["sh"], Domainname: "example.org" } };
    expect(build({ NetworkMode: "host" }, named).linux!.sysctl).toEqual({ "kernel.domainname": "example.org" });
    expect(build(modes, named).linux!.sysctl).toEqual({});
    const joined = build(
      { NetworkMode: "container:x", PidMode: "container:x", IpcMode: "container:x" },
      { namespacePaths: { network: "/n", pid: "/p", ipc: "/i" } },
    );
    expect(namespacesOf(joined)).toEqual(["mount", "network=/n", "uts", "pid=/p", "ipc=/i", "cgroup"]);
    expect(joined.linux!.sysctl).toEqual({});
    const v1 = build({}, { host: { ...host, cgroupVersion: 1 } });
    expect(namespacesOf(v1)).not.toContain("cgroup");
    expect(namespacesOf(build({ CgroupnsMode: "private" }, { host: { ...host, cgroupVersion: 1 } }))).toContain(
      "cgroup",
    );
  });
  test("of a container that does not run cannot be joined", () => {
    expect(() => build({ PidMode: "container:x" })).toThrow("invalid pid mode: container:x");
    expect(() => build({ IpcMode: "odd" })).toThrow("invalid IPC mode: odd");
    expect(() => build({ CgroupnsMode: "odd" })).toThrow("invalid cgroup namespace mode: odd");
    expect(() => build({ PidMode: "private" })).toThrow("invalid PID mode: private");
    expect(() => build({ UTSMode: "container:x" })).toThrow("invalid UTS mode: container:x");
  });
});

describe("limits", () => {
  const resources = (hostConfig: BundleHostConfig, changes: Partial<BundleHost> = {}) => {
    const { devices: _, ...rest } = build(hostConfig, { host: { ...host, ...changes } }).linux!.resources!;
    return rest;
  };
  test("are absent when nothing is asked for", () => expect(resources({})).toEqual({}));
  test("of memory bring as much swap, where swap can be limited", () => {
    expect(resources({ Memory: 2 ** 26 })).toEqual({ memory: { limit: 2 ** 26, swap: 2 ** 27 } });
    expect(resources({ Memory: 2 ** 26, MemorySwap: -1 })).toEqual({ memory: { limit: 2 ** 26, swap: -1 } });
    expect(resources({ Memory: 2 ** 26 }, { swapLimit: false })).toEqual({ memory: { limit: 2 ** 26 } });
    expect(resources({ MemoryReservation: 5, MemorySwappiness: 10, OomKillDisable: true })).toEqual({
      memory: { reservation: 5 },
    });
    expect(resources({ MemorySwappiness: 10, OomKillDisable: true }, { cgroupVersion: 1 })).toEqual({
      memory: { swappiness: 10, disableOOMKiller: true },
    });
  });
  test("of CPUs are quota and period", () => {
    expect(resources({ NanoCpus: 1.5e9 })).toEqual({ cpu: { period: 100_000, quota: 150_000 } });
    expect(resources({ CpuShares: 512, CpusetCpus: "0-1", CpuPeriod: 1000, CpuQuota: -1 })).toEqual({
      cpu: { shares: 512, cpus: "0-1", period: 1000, quota: -1 },
    });
  });
  test("of processes", () => {
    expect(resources({ PidsLimit: 100 })).toEqual({ pids: { limit: 100 } });
    expect(resources({ PidsLimit: 0 })).toEqual({ pids: { limit: -1 } });
  });
  test("of block devices name them by number", () => {
    expect(resources({ BlkioWeight: 300, BlkioDeviceReadBps: [{ Path: "/dev/sda", Rate: 1024 }] })).toEqual({
      blockIO: { weight: 300, throttleReadBpsDevice: [{ major: 8, minor: 0, rate: 1024 }] },
    });
    expect(() => resources({ BlkioDeviceReadBps: [{ Path: "/dev/none", Rate: 1 }] })).toThrow(
      "no block device at /dev/none",
    );
  });
  test("ulimits are rlimits", () => {
    const rlimits = (Ulimits: NonNullable<BundleHostConfig["Ulimits"]>) => build({ Ulimits }).process!.rlimits;
    expect(rlimits([{ Name: "nofile", Soft: 10, Hard: -1 }])).toEqual([
      { type: "RLIMIT_NOFILE", soft: 10, hard: 2n ** 64n - 1n },
    ]);
    expect(() => rlimits([{ Name: "nofiles", Soft: 1, Hard: 1 }])).toThrow("invalid ulimit type: nofiles");
    expect(() => rlimits([{ Name: "core", Soft: 2, Hard: 1 }])).toThrow("soft limit");
  });
});

describe("devices", () => {
  const linux = (hostConfig: BundleHostConfig) => build(hostConfig).linux!;
  test("are mapped with their numbers and allowed as asked", () => {
    const mapped = linux({
      Devices: [{ PathOnHost: "/dev/fuse", PathInContainer: "/dev/f", CgroupPermissions: "r" }],
      DeviceCgroupRules: ["c 42:* rwm"],
    });
    expect(mapped.devices).toEqual([
      { type: "c", path: "/dev/f", major: 10, minor: 229, fileMode: 0o660, uid: 0, gid: 6 },
    ]);
    expect(mapped.resources!.devices!.slice(-2)).toEqual([
      { allow: true, type: "c", access: "r", major: 10, minor: 229 },
      { allow: true, type: "c", access: "rwm", major: 42, minor: -1 },
    ]);
  });
  test("of a directory keep their names", () => {
    const mapped = linux({ Devices: [{ PathOnHost: "/dev", PathInContainer: "/host", CgroupPermissions: "" }] });
    expect(mapped.devices!.map(({ path }) => path)).toEqual(["/host/fuse", "/host/sda"]);
  });
  test("that are not there, or rules that are none, are refused", () => {
    const missing = [{ PathOnHost: "/dev/none", PathInContainer: "/dev/none", CgroupPermissions: "rwm" }];
    expect(() => linux({ Devices: missing })).toThrow('custom device "/dev/none": no such file or directory');
    const mode = [{ PathOnHost: "/dev/fuse", PathInContainer: "/dev/f", CgroupPermissions: "rwx" }];
    expect(() => linux({ Devices: mode })).toThrow("invalid device mode: rwx");
    expect(() => linux({ DeviceCgroupRules: ["c 1 rwm"] })).toThrow("invalid device cgroup rule format: 'c 1 rwm'");
  });
});

describe("init", () => {
  test("runs the command, unless process 1 is somebody else", () => {
    const withInit = build({ Init: true }, { initPath: "/usr/bin/tini" });
    expect(withInit.process!.args).toEqual(["/sbin/docker-init", "--", "sh", "-c", "true"]);
    expect(mountAt(withInit, "/sbin/docker-init")).toMatchObject({ source: "/usr/bin/tini", options: ["bind", "ro"] });
    expect(build({ Init: true, PidMode: "host" }).process!.args).toEqual(["sh", "-c", "true"]);
    expect(() => build({ Init: true })).toThrow("no init program");
  });
});

describe("a bundle of an image", () => {
  const user = { uid: 0, gid: 0, additionalGids: [0], home: "/root" };
  test("has the image's command and no cgroup of its own", () => {
    const image = { Entrypoint: ["/e"], Cmd: ["c"], Env: ["A=1"], WorkingDir: "/w" };
    const config = imageBundleConfig(image, { host, user });
    expect(config.process).toMatchObject({ args: ["/e", "c"], cwd: "/w" });
    expect(config.process!.env).toContain("A=1");
    expect(config.root!.path).toBe("rootfs");
    expect(config.linux!.cgroupsPath).toBeUndefined();
    expect(imageBundleConfig({}, { host, user }).process!.args).toEqual(["sh"]);
  });
});

describe("the host", () => {
  test("is read: kernel, capabilities, devices", () => {
    const real = readHost();
    expect(real.kernel[0]).toBeGreaterThan(3);
    expect(real.onlineCpus).toBeGreaterThan(0);
    expect(real.devicesAt("/dev/null")).toEqual([
      { type: "c", path: "/dev/null", major: 1, minor: 3, fileMode: 0o666, uid: 0, gid: 0 },
    ]);
    expect(real.devicesAt("/etc/passwd")).toEqual([]);
    expect(real.devicesAt("/dev/does-not-exist")).toEqual([]);
    expect(real.devices().map((found) => found.path)).toContain("/dev/null");
    expect(real.devices().every((found) => !found.path.startsWith("/dev/pts/"))).toBe(true);
    expect(real.sysctlExists("kernel.ostype")).toBe(true);
    expect(real.sysctlExists("kernel.no_such_setting")).toBe(false);
  });
  test("kernel versions are read from any distribution's name for them", () => {
    expect(parseKernelVersion("6.1.0-18-amd64")).toEqual([6, 1]);
    expect(parseKernelVersion("4.18.0-513.el8.x86_64")).toEqual([4, 18]);
  });
});
