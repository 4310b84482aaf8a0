/** Configurations that are well-formed and that the kernel refuses, each at one call. */
import { mkdirSync, rmdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { TestConfig } from "../harness/oci-bundle.ts";

export interface FailingConfig {
  name: string;
  args?: string[];
  change?: (config: TestConfig) => void;
  /** Alters a root file system of the container's own. */
  spoil?: (rootfs: string) => void;
  verb?: "run" | "create";
  /** The error's message. */
  message: RegExp;
  /** What asked for the call that fails. */
  why: string;
  /** That call, as the report has it, with its answer. */
  call: RegExp;
}

type Seccomp = NonNullable<TestConfig["linux"]["seccomp"]>;

function mount(destination: string, type: string, options: string[] = [], source = type) {
  return (config: TestConfig) => config.mounts.push({ destination, type, source, options });
}

function forbidding(names: string[], action: Seccomp["defaultAction"] = "SCMP_ACT_ERRNO"): Seccomp {
  return { defaultAction: "SCMP_ACT_ALLOW", syscalls: [{ names, action }] };
}

function inUserNamespace(config: TestConfig): TestConfig["linux"] {
  const map = [{ containerID: 0, hostID: 100_000, size: 1000 }];
  const { linux } = config;
  linux.namespaces!.push({ type: "user" });
  config.mounts = config.mounts.filter(({ type }) => type !== "cgroup" && type !== "sysfs");
  return Object.assign(linux, { uidMappings: map, gidMappings: map });
}

const mounts: FailingConfig[] = [
  {
    name: "a bind mount whose source is not there",
    change: mount("/x", "bind", ["bind"], "/no/such"),
    message: /^mounts\[7\]: open_tree \/no\/such: ENOENT \(no such file or directory\)$/,
    why: "mounts[7]",
    call: /open_tree\(AT_FDCWD, "\/no\/such", .* = ENOENT/,
  },
  {
    name: "a source that is missing in the bundle",
    change: mount("/x", "bind", ["rbind"], "data"),
    message: /^mounts\[7\]: open_tree \/.*\/data: ENOENT/,
    why: "mounts[7]",
    call: /open_tree\(AT_FDCWD, "\/.*\/data", /,
  },
  {
    name: "a file system that the kernel does not know",
    change: mount("/x", "nopefs"),
    message: /^mounts\[7\]: fsopen nopefs on \/x: ENODEV/,
    why: "mounts[7]",
    call: /fsopen\("nopefs", FSOPEN_CLOEXEC\) {3}= ENODEV/,
  },
  {
    name: "an option that the file system does not know",
    change: mount("/x", "tmpfs", ["nope=1"]),
    message: /^mounts\[7\]: fsconfig tmpfs on \/x: nope=1: .*Unknown parameter 'nope'.*EINVAL/,
    why: "mounts[7]",
    call: /fsconfig\(\$\{context of tmpfs on \/x\}, FSCONFIG_SET_STRING, "nope", "1", 0\) {3}= EINVAL/,
  },
  {
    name: "an option with a wrong value",
    change: mount("/x", "tmpfs", ["size=big"]),
    message: /^mounts\[7\]: fsconfig tmpfs on \/x: size=big: .*EINVAL/,
    why: "mounts[7]",
    call: /FSCONFIG_SET_STRING, "size", "big", 0\) {3}= EINVAL/,
  },
  {
    name: "an overlay without layers",
    change: mount("/x", "overlay"),
    message: /^mounts\[7\]: fsconfig overlay on \/x.*EINVAL/,
    why: "mounts[7]",
    call: /FSCONFIG_CMD_CREATE, NULL, NULL, 0\) {3}= EINVAL/,
  },
  {
    name: "a destination below a file",
    change: mount("/bin/busybox/x", "tmpfs"),
    message: /^mounts\[7\]: \w+ .*: (ENOTDIR|EEXIST)/,
    why: "mounts[7]",
    call: /"\/bin\/busybox.* = ENOTDIR/,
  },
  {
    name: "a file that is to be mounted on a directory",
    change: mount("/tmp", "bind", ["bind"], "/etc/passwd"),
    message: /^mounts\[7\]: move_mount \/etc\/passwd on \/tmp: (EINVAL|ENOTDIR)/,
    why: "mounts[7]",
    call: /move_mount\(\$\{\/etc\/passwd\}, "", \$\{\/tmp\}, "", .* = (EINVAL|ENOTDIR)/,
  },
  {
    name: "a directory that is to be mounted on a file",
    change: mount("/bin/busybox", "bind", ["bind"], "/etc"),
    message: /^mounts\[7\]: move_mount \/etc on \/bin\/busybox: (EINVAL|ENOTDIR)/,
    why: "mounts[7]",
    call: /move_mount\(.* = (EINVAL|ENOTDIR)/,
  },
  {
    name: "a destination that a symlink leads into /proc",
    spoil: (rootfs) => symlinkSync("/proc/self", join(rootfs, "trap")),
    change: mount("/trap/attr", "tmpfs"),
    message:
      /^mounts\[7\]: verify \/trap\/attr leads into \/proc, where nothing may be mounted: EACCES|^mounts\[7\]: .*E/,
    why: "mounts[7]",
    call: /= E/,
  },
  {
    name: "a /proc that is a symlink of the image",
    spoil: (rootfs) => {
      rmdirSync(join(rootfs, "proc"));
      symlinkSync("/tmp", join(rootfs, "proc"));
    },
    message: /^mounts\[0\]: openat2 \/proc: ELOOP/,
    why: "mounts[0]",
    call: /openat2\(\$root, "\/proc", .* = ELOOP/,
  },
  {
    name: "a remount of what is not there",
    change: (config) => config.mounts.push({ destination: "/no/such", options: ["remount", "ro"] }),
    message: /^mounts\[7\]: openat2 \/no\/such: ENOENT/,
    why: "mounts[7]",
    call: /openat2\(\$root, "\/no\/such", .* = ENOENT/,
  },
];

const programs: FailingConfig[] = [
  {
    name: "a command that is not in PATH",
    args: ["nope"],
    message: /^exec: "nope": executable file not found in \$PATH$/,
    why: "process.args",
    call: /fail -ENOENT {3}= ENOENT/,
  },
  {
    name: "a command that is not in PATH, with create",
    args: ["nope"],
    verb: "create",
    message: /^exec: "nope": executable file not found in \$PATH$/,
    why: "process.args",
    call: /fail -ENOENT {3}= ENOENT/,
  },
  {
    name: "a command that is not there",
    args: ["/bin/nope"],
    message: /^exec: "\/bin\/nope": stat \/bin\/nope: no such file or directory$/,
    why: "process.args",
    call: /execve\("\/bin\/nope", \["\/bin\/nope"\], \[PATH=…, TERM=…, TOKEN=…, HOME=…\]\) {3}= ENOENT/,
  },
  {
    name: "a directory for a command",
    args: ["/bin"],
    message: /^exec: "\/bin": permission denied$/,
    why: "process.args",
    call: /execve\("\/bin", .* = EACCES/,
  },
  {
    name: "a script whose interpreter is not there",
    args: ["/script"],
    spoil: (rootfs) => writeFileSync(join(rootfs, "script"), "#!/no/such\n", { mode: 0o755 }),
    message: /^exec: "\/script": stat \/script: no such file or directory$/,
    why: "process.args",
    call: /execve\("\/script", .* = ENOENT/,
  },
  {
    name: "a program of no format",
    args: ["/program"],
    spoil: (rootfs) => writeFileSync(join(rootfs, "program"), "\0\0\0\0\0\0\0\0", { mode: 0o755 }),
    message: /^exec: "\/program": exec format error$/,
    why: "process.args",
    call: /execve\("\/program", .* = ENOEXEC/,
  },
  {
    name: "an argument that is too long",
    args: ["echo", "x".repeat(200_000)],
    message: /^process\.args: execve \/bin\/echo: E2BIG/,
    why: "process.args",
    call: /execve\("\/bin\/echo", .* = E2BIG/,
  },
  {
    name: "a root on which nothing may be executed",
    change: (config) => config.mounts.push({ destination: "/", options: ["remount", "noexec"] }),
    message: /^exec: "\/bin\/true": permission denied$/,
    args: ["/bin/true"],
    why: "process.args",
    call: /execve\("\/bin\/true", .* = EACCES/,
  },
  {
    name: "a working directory that is a file",
    change: ({ process }) => {
      process.cwd = "/bin/busybox";
    },
    message: /^process\.cwd: chdir \/bin\/busybox: ENOTDIR/,
    why: "process.cwd",
    call: /chdir\("\/bin\/busybox"\) {3}= ENOTDIR/,
  },
];

const processes: FailingConfig[] = [
  {
    name: "a limit above what the kernel has",
    change: ({ process }) => {
      process.rlimits = [{ type: "RLIMIT_NOFILE", soft: 1024, hard: 2 ** 40 }];
    },
    message: /^process\.rlimits\[0\]: prlimit64 RLIMIT_NOFILE: EPERM/,
    why: "process.rlimits[0]",
    call: /prlimit64\(0, RLIMIT_NOFILE, \{soft: 1024, hard: 0x10000000000\}, NULL\) {3}= EPERM/,
  },
  {
    name: "a priority that the scheduler does not have",
    change: ({ process }) => {
      process.scheduler = { policy: "SCHED_FIFO", priority: 200 };
    },
    message: /^process\.scheduler: sched_setattr SCHED_FIFO: EINVAL/,
    why: "process.scheduler",
    call: /sched_setattr\(0, <SCHED_FIFO>, 0\) {3}= EINVAL/,
  },
  {
    name: "a deadline of nothing",
    change: ({ process }) => {
      process.scheduler = { policy: "SCHED_DEADLINE", runtime: 0, deadline: 0, period: 0 };
    },
    message: /^process\.scheduler: sched_setattr SCHED_DEADLINE: E/,
    why: "process.scheduler",
    call: /sched_setattr\(0, <SCHED_DEADLINE>, 0\) {3}= E/,
  },
  {
    name: "an AppArmor profile that is not loaded",
    change: ({ process }) => {
      process.apparmorProfile = "no-such-profile";
    },
    message: /^process\.apparmorProfile: \w+ .*E[A-Z]+/,
    why: "process.apparmorProfile",
    call: /= E/,
  },
  {
    name: "an SELinux label where there is no SELinux",
    change: ({ process }) => {
      process.selinuxLabel = "no:such:label";
    },
    message: /^process\.selinuxLabel: \w+ .*E[A-Z]+/,
    why: "process.selinuxLabel",
    call: /= E/,
  },
  {
    name: "a filter that forbids the program",
    change: ({ linux }) => {
      linux.seccomp = forbidding(["execve"]);
    },
    message: /^exec: "true": permission denied$/,
    why: "process.args",
    call: /execve\("\/usr\/local\/sbin\/true", .* = EPERM/,
  },
  {
    name: "a filter that forbids what comes after it",
    change: ({ linux, process }) => {
      process.noNewPrivileges = false;
      linux.seccomp = forbidding(["capset"]);
    },
    message: /^process\.capabilities: capset capabilities: EPERM/,
    why: "process.capabilities",
    call: /capset\(<version 3>, <effective 0x[0-9a-f]+, .*>\) {3}= EPERM/,
  },
  {
    name: "a filter that kills the process",
    change: ({ linux, process }) => {
      process.noNewPrivileges = false;
      linux.seccomp = forbidding(["setresuid"], "SCMP_ACT_KILL_PROCESS");
    },
    message: /^process\.user: the process was killed while it was set up, after setresgid\(0, 0, 0\)$/,
    why: "process.user",
    call: /setresgid\(0, 0, 0\) {3}= 0 {3}← killed after this/,
  },
];

const namespaces: FailingConfig[] = [
  {
    name: "a host name that is too long",
    change: (config) => {
      config.hostname = "h".repeat(65);
    },
    message: /^hostname: sethostname h+: EINVAL/,
    why: "hostname",
    call: /sethostname\("h+", 65\) {3}= EINVAL/,
  },
  {
    name: "a domain name that is too long",
    change: (config) => {
      config.domainname = "d".repeat(65);
    },
    message: /^domainname: setdomainname d+: EINVAL/,
    why: "domainname",
    call: /setdomainname\("d+", 65\) {3}= EINVAL/,
  },
  {
    name: "a sysctl that the kernel does not have",
    change: ({ linux }) => {
      linux.sysctl = { "net.ipv4.nope": "1" };
    },
    message: /^linux\.sysctl\["net\.ipv4\.nope"\]: openat2 \/proc\/sys\/net\/ipv4\/nope: ENOENT/,
    why: 'linux.sysctl["net.ipv4.nope"]',
    call: /openat2\(\$proc, "sys\/net\/ipv4\/nope", .* = ENOENT/,
  },
  {
    name: "a sysctl's value that the kernel refuses",
    change: ({ linux }) => {
      linux.sysctl = { "net.ipv4.ip_forward": "maybe" };
    },
    message: /^linux\.sysctl\["net\.ipv4\.ip_forward"\]: write "maybe" to \/proc\/sys\/net\/ipv4\/ip_forward: EINVAL/,
    why: 'linux.sysctl["net.ipv4.ip_forward"]',
    call: /write\(\$\{\/proc\/sys\/net\/ipv4\/ip_forward\}, <"maybe">, 5\) {3}= EINVAL/,
  },
  {
    name: "a namespace of another kind",
    change: ({ linux }) => {
      linux.namespaces = linux.namespaces!.map((it) => (it.type === "ipc" ? { ...it, path: "/proc/self/ns/net" } : it));
    },
    message: /^linux\.namespaces: setns the ipc namespace: EINVAL/,
    why: "linux.namespaces",
    call: /setns\(@namespace\.ipc, CLONE_NEWIPC\) {3}= EINVAL/,
  },
  {
    name: "maps that overlap",
    change: (config) => {
      const linux = inUserNamespace(config);
      linux.uidMappings = [...linux.uidMappings!, { containerID: 0, hostID: 5, size: 1 }];
    },
    message: /^(create container \S+: )?write uid_map of the container: .*EINVAL/,
    why: "linux.uidMappings",
    call: /read\(@sync, <answer>, 1\) {3}← failed/,
  },
  {
    name: "maps without the container's root",
    change: (config) => {
      const map = [{ containerID: 5, hostID: 100_000, size: 10 }];
      Object.assign(inUserNamespace(config), { uidMappings: map, gidMappings: map });
    },
    message: /^linux\.uidMappings: setresgid group 0 of the user namespace: EINVAL/,
    why: "linux.uidMappings",
    call: /setresgid\(0, 0, 0\) {3}= EINVAL/,
  },
  {
    name: "a user that the maps do not have",
    change: (config) => {
      inUserNamespace(config);
      config.process.user = { uid: 5000, gid: 0 };
    },
    message: /^process\.user(\.uid)?: \w+ .*: EINVAL/,
    why: "process.user",
    call: /(setresuid|fchown)\(.*5000.* = EINVAL/,
  },
  {
    name: "a further group that the maps do not have",
    change: (config) => {
      inUserNamespace(config);
      config.process.user = { uid: 0, gid: 0, additionalGids: [5000] };
    },
    message: /^process\.user: setgroups additional groups: EINVAL/,
    why: "process.user",
    call: /setgroups\(1, <5000>\) {3}= EINVAL/,
  },
  {
    name: "a time before the machine's start",
    change: ({ linux }) => {
      linux.namespaces!.push({ type: "time" });
      linux.timeOffsets = { boottime: { secs: -(2 ** 40) } };
    },
    message: /^linux\.timeOffsets: write .* to \/proc\/self\/timens_offsets: (ERANGE|EINVAL)/,
    why: "linux.timeOffsets",
    call: /write\(\$\{\/proc\/self\/timens_offsets\}, .* = (ERANGE|EINVAL)/,
  },
];

const devices: FailingConfig[] = [
  {
    name: "a device where the image has a file",
    change: ({ linux }) => {
      linux.devices = [{ path: "/bin/busybox", type: "c", major: 1, minor: 3 }];
    },
    message: /^linux\.devices\[0\]: verify \/bin\/busybox is there already and is not the device 1:3: EEXIST/,
    why: "linux.devices[0]",
    call: /verify &status of \/bin\/busybox\+28 .* = EEXIST/,
  },
  {
    name: "a device below a file",
    change: ({ linux }) => {
      linux.devices = [{ path: "/bin/busybox/x", type: "c", major: 1, minor: 3 }];
    },
    message: /^linux\.devices\[0\]: \w+ .*E(NOTDIR|EXIST)/,
    why: "linux.devices[0]",
    call: /= ENOTDIR/,
  },
  {
    name: "a /dev/null of the image's own",
    spoil: (rootfs) => {
      mkdirSync(join(rootfs, "dev"), { recursive: true });
      writeFileSync(join(rootfs, "dev", "null"), "");
    },
    change: (config) => {
      config.mounts = config.mounts.filter(({ destination }) => !destination.startsWith("/dev"));
    },
    message: /^default devices: verify \/dev\/null is there already and is not the device 1:3: EEXIST/,
    why: 'default devices: because every container has them (config-linux.md, "Default Devices")',
    call: /verify &status of \/dev\/null\+28 .* = EEXIST/,
  },
];

const hooks: FailingConfig[] = [
  {
    name: "a createRuntime hook that fails",
    change: (config) => {
      config.hooks = { createRuntime: [{ path: "/bin/false" }] };
    },
    message: /^hooks\.createRuntime\[0\] \/bin\/false: exit status 1$/,
    why: "hooks",
    call: /read\(@sync, <answer>, 1\) {3}← failed/,
  },
  {
    name: "a prestart hook that is not there",
    change: (config) => {
      config.hooks = { prestart: [{ path: "/no/such" }] };
    },
    message: /^hooks\.prestart\[0\] \/no\/such: .*(ENOENT|no such file)/i,
    why: "hooks",
    call: /read\(@sync, <answer>, 1\) {3}← failed/,
  },
  {
    name: "a createContainer hook that fails",
    change: (config) => {
      config.hooks = { createContainer: [{ path: "/bin/true" }, { path: "/bin/false" }] };
    },
    message: /^hooks\.createContainer\[1\] \/bin\/false: exit status 1$/,
    why: "hooks.createContainer[1]",
    call: /verify &status .* = ECANCELED/,
  },
  {
    name: "a createContainer hook that is not there",
    change: (config) => {
      config.hooks = { createContainer: [{ path: "/no/such" }] };
    },
    message: /^hooks\.createContainer\[0\] \/no\/such: cannot be executed$/,
    why: "hooks.createContainer[0]",
    call: /verify &status .* = ECANCELED/,
  },
  {
    name: "a createContainer hook that takes too long",
    change: (config) => {
      config.hooks = { createContainer: [{ path: "/bin/sleep", args: ["sleep", "100"], timeout: 1 }] };
    },
    message: /^hooks\.createContainer\[0\] \/bin\/sleep: not finished after 1 s/,
    why: "hooks.createContainer[0]",
    call: /fail -ETIMEDOUT {3}= ETIMEDOUT/,
  },
  {
    name: "a startContainer hook that fails",
    change: (config) => {
      config.hooks = { startContainer: [{ path: "/bin/false" }] };
    },
    message: /^hooks\.startContainer\[0\] \/bin\/false: exit status 1$/,
    why: "hooks.startContainer[0]",
    call: /verify &status .* = ECANCELED/,
  },
];

export const failingConfigs: readonly FailingConfig[] = [
  ...mounts,
  ...programs,
  ...processes,
  ...namespaces,
  ...devices,
  ...hooks,
];
