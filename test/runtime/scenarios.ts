import { mkdirSync, writeFileSync } from "node:fs";
import type { RuntimeConfig } from "../../src/oci/runtime.ts";
import { until } from "../harness/command.ts";
import type { Workspace } from "../harness/workspace.ts";

type Change = (config: RuntimeConfig) => void;

/** A configuration that both runtimes are to make the same container of. */
interface Scenario {
  name: string;
  /** Makes what the configuration refers to; it goes when the test ends. */
  prepare(workspace: Workspace): Promise<{ change: Change } & AsyncDisposable>;
}

function scenario(name: string, change: Change): Scenario {
  return { name, prepare: async () => ({ change, [Symbol.asyncDispose]: async () => undefined }) };
}

const allCapabilities = ["CAP_CHOWN", "CAP_NET_BIND_SERVICE", "CAP_KILL", "CAP_SETUID"];

const ofTheProcess: Scenario[] = [
  scenario("as a user with groups, a umask, a directory and variables", ({ process }) => {
    process!.user = { uid: 1000, gid: 1000, additionalGids: [29, 100], umask: 0o027 };
    process!.cwd = "/tmp";
    process!.env!.push("NAME=a value", "EMPTY=", "LINES=one\ttwo");
    process!.noNewPrivileges = true;
  }),
  scenario("in a directory that is not there yet", ({ process }) => {
    process!.cwd = "/work/below";
  }),
  scenario("with resource limits", ({ process }) => {
    process!.rlimits = [
      { type: "RLIMIT_NOFILE", soft: 64, hard: 128 },
      { type: "RLIMIT_CORE", soft: 0, hard: 0 },
      { type: "RLIMIT_NPROC", soft: 500, hard: 600 },
      { type: "RLIMIT_STACK", soft: 4_194_304, hard: 8_388_608 },
      { type: "RLIMIT_FSIZE", soft: 1_000_000, hard: 2_000_000 },
      { type: "RLIMIT_CPU", soft: 100, hard: 200 },
      { type: "RLIMIT_MSGQUEUE", soft: 4096, hard: 8192 },
    ];
  }),
  scenario("with ambient and inheritable capabilities as a user", ({ process }) => {
    process!.user = { uid: 1000, gid: 1000 };
    process!.capabilities = {
      bounding: allCapabilities,
      permitted: allCapabilities,
      effective: allCapabilities,
      inheritable: ["CAP_NET_BIND_SERVICE", "CAP_KILL"],
      ambient: ["CAP_NET_BIND_SERVICE"],
    };
  }),
  scenario("without any capability", ({ process }) => {
    process!.capabilities = {};
  }),
  scenario("without a word about capabilities", ({ process }) => {
    delete process!.capabilities;
  }),
  scenario("with an OOM score, no seccomp and no new privileges", ({ process, linux }) => {
    process!.oomScoreAdj = 345;
    process!.noNewPrivileges = true;
    delete linux!.seccomp;
  }),
  scenario("with a seccomp profile of its own", ({ linux }) => {
    linux!.seccomp = {
      defaultAction: "SCMP_ACT_ALLOW",
      architectures: ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"],
      syscalls: [
        { names: ["sethostname", "mount"], action: "SCMP_ACT_ERRNO", errnoRet: 38 },
        { names: ["getcwd"], action: "SCMP_ACT_LOG" },
      ],
    };
  }),
];

const ofTheRoot: Scenario[] = [
  scenario("with a read-only root", (config) => {
    config.root!.readonly = true;
  }),
  scenario("with masked and read-only paths of its own", ({ linux }) => {
    linux!.maskedPaths = ["/etc", "/proc/version", "/bin/no-such-thing", "/etc/passwd"];
    linux!.readonlyPaths = ["/tmp", "/proc/sys/kernel", "/no/such/path"];
  }),
  scenario("with nothing masked", ({ linux }) => {
    linux!.maskedPaths = [];
    linux!.readonlyPaths = [];
  }),
  scenario("with tmpfs mounts", ({ mounts }) => {
    const options = ["nosuid", "nodev", "mode=700", "size=1m", "nr_inodes=32"];
    mounts!.push({ destination: "/tmp", type: "tmpfs", source: "tmpfs", options });
    mounts!.push({ destination: "/new/deep/one", type: "tmpfs", source: "scratch", options: ["ro", "noexec"] });
  }),
  scenario("with a shared root and a slave mount", ({ linux, mounts }) => {
    linux!.rootfsPropagation = "rslave";
    mounts!.push({ destination: "/mnt", type: "tmpfs", source: "tmpfs", options: ["rshared"] });
    mounts!.push({ destination: "/mnt2", type: "tmpfs", source: "tmpfs", options: ["unbindable"] });
  }),
  scenario("with devices of its own", ({ linux }) => {
    linux!.devices = [
      { path: "/dev/fuse", type: "c", major: 10, minor: 229, fileMode: 0o640, uid: 7, gid: 8 },
      { path: "/dev/disk/zero", type: "b", major: 7, minor: 0, fileMode: 0o600 },
      { path: "/dev/queue", type: "p", fileMode: 0o622 },
      { path: "/dev/null", type: "c", major: 1, minor: 3, fileMode: 0o666, uid: 0, gid: 0 },
    ];
    linux!.resources!.devices!.push({ allow: true, type: "c", major: 10, minor: 229, access: "rw" });
  }),
  {
    name: "with binds of files and directories",
    async prepare(workspace) {
      const source = workspace.path("bound");
      mkdirSync(`${source}/directory/below`, { recursive: true });
      writeFileSync(`${source}/file`, "text\n");
      const change: Change = ({ mounts }) => {
        const bind = (destination: string, name: string, ...options: string[]) =>
          mounts!.push({ destination, type: "bind", source: `${source}/${name}`, options });
        bind("/etc/new-file", "file", "rbind", "ro");
        bind("/etc/passwd", "file", "bind", "ro", "nosuid", "nodev", "noexec");
        bind("/data", "directory", "rbind", "rprivate");
        bind("/data/below", "directory", "rbind", "rslave", "noatime", "ro");
        bind("/var", "directory", "bind", "rshared");
      };
      return { change, [Symbol.asyncDispose]: async () => undefined };
    },
  },
];

const ofTheKernel: Scenario[] = [
  scenario("with limits of memory, processors and processes", ({ linux }) => {
    linux!.resources = {
      ...linux!.resources,
      memory: { limit: 64 << 20, swap: 128 << 20, reservation: 32 << 20, swappiness: 10 },
      cpu: { shares: 512, quota: 50_000, period: 100_000, cpus: "0", mems: "0" },
      pids: { limit: 40 },
    };
  }),
  scenario("with memory that may not be overdrawn and unlimited swap", ({ linux }) => {
    linux!.resources!.memory = { limit: 64 << 20, swap: -1, disableOOMKiller: true };
    linux!.resources!.pids = { limit: -1 };
  }),
  scenario("with rules for devices", ({ linux }) => {
    linux!.resources!.devices = [
      { allow: false, access: "rwm" },
      { allow: true, type: "c", major: 1, minor: 3, access: "rwm" },
      { allow: true, type: "c", major: 4, access: "r" },
      { allow: true, type: "b", major: 8, minor: 1, access: "rw" },
      { allow: false, type: "c", major: 5, minor: 1, access: "w" },
    ];
  }),
  scenario("with sysctls, a host and a domain name", (config) => {
    config.hostname = "another";
    config.linux!.sysctl = {
      "net.ipv4.ip_forward": "1",
      "kernel.shmmax": "1048576",
      "kernel.msgmax": "4096",
      "fs.mqueue.msg_max": "20",
    };
  }),
  scenario("in a cgroup namespace", ({ linux }) => {
    linux!.namespaces!.push({ type: "cgroup" });
  }),
  scenario("in a new user namespace", ({ linux, mounts }) => {
    linux!.namespaces!.push({ type: "user" });
    linux!.uidMappings = [
      { containerID: 0, hostID: 0, size: 1 },
      { containerID: 1, hostID: 100_000, size: 65_535 },
    ];
    linux!.gidMappings = [
      { containerID: 0, hostID: 0, size: 1 },
      { containerID: 1, hostID: 200_000, size: 65_535 },
    ];
    linux!.sysctl = {};
    mounts!.push({ destination: "/tmp", type: "tmpfs", source: "tmpfs", options: ["uid=5", "gid=6", "mode=750"] });
  }),
  scenario("in the host's network, UTS and IPC namespaces", (config) => {
    delete config.hostname;
    config.linux!.sysctl = {};
    config.linux!.namespaces = [{ type: "pid" }, { type: "mount" }];
  }),
  {
    name: "in namespaces that it joins by path",
    async prepare() {
      const holder = Bun.spawn(
        [
          "unshare",
          "--net",
          "--uts",
          "--ipc",
          "--pid",
          "--fork",
          "sh",
          "-c",
          "hostname joined; echo ready; exec sleep 1000",
        ],
        { stdin: "ignore", stdout: "pipe", stderr: "ignore" },
      );
      await holder.stdout.getReader().read();
      const child = await until("the holder has a child", async () => {
        const text = await Bun.file(`/proc/${holder.pid}/task/${holder.pid}/children`).text();
        return text.trim() || undefined;
      });
      const change: Change = (config) => {
        delete config.hostname;
        config.linux!.sysctl = {};
        const joined = (["network:net", "uts:uts", "ipc:ipc", "pid:pid"] as const).map((it) => it.split(":"));
        config.linux!.namespaces = [
          { type: "mount" },
          ...joined.map(([type, file]) => ({ type: type as "network", path: `/proc/${child}/ns/${file}` })),
        ];
      };
      const end = async () => {
        process.kill(Number(child), "SIGKILL");
        await holder.exited;
      };
      return { change, [Symbol.asyncDispose]: end };
    },
  },
];

export const scenarios: Scenario[] = [...ofTheProcess, ...ofTheRoot, ...ofTheKernel];
