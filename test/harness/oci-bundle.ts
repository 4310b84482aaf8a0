/** The configuration that the tests of conformance begin with: what `runc spec` writes, without a terminal. */
import type { RuntimeConfig } from "../../src/oci/runtime.ts";
import { isCgroup2 } from "./runtime-under-test.ts";

/** A change that one test makes to it. */
export type ConfigChange = (config: TestConfig) => void;

/** What every configuration here has, so that a test need not ask whether it is there. */
export interface TestConfig extends RuntimeConfig {
  process: NonNullable<RuntimeConfig["process"]>;
  root: NonNullable<RuntimeConfig["root"]>;
  mounts: NonNullable<RuntimeConfig["mounts"]>;
  linux: NonNullable<RuntimeConfig["linux"]>;
}

const capabilities = ["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"];
const confined = ["nosuid", "noexec", "nodev"];

/**
 * @param rootfs absolute.
 * @param cgroupsPath absolute, from the mount point of each hierarchy.
 */
export function testConfig(args: string[], rootfs: string, cgroupsPath: string): TestConfig {
  const namespaces = ["pid", "network", "ipc", "uts", "mount"] as const;
  return {
    ociVersion: "1.0.2",
    process: {
      terminal: false,
      user: { uid: 0, gid: 0 },
      args,
      env: ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TERM=xterm"],
      cwd: "/",
      capabilities: { bounding: capabilities, effective: capabilities, permitted: capabilities },
      rlimits: [{ type: "RLIMIT_NOFILE", hard: 1024, soft: 1024 }],
      noNewPrivileges: true,
    },
    root: { path: rootfs, readonly: false },
    hostname: "conformance",
    mounts: mounts(),
    linux: {
      cgroupsPath,
      resources: { devices: [{ allow: false, access: "rwm" }] },
      namespaces: [...namespaces, ...(isCgroup2 ? (["cgroup"] as const) : [])].map((type) => ({ type })),
      maskedPaths: ["/proc/kcore", "/proc/keys", "/proc/timer_list", "/sys/firmware"],
      readonlyPaths: ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"],
    },
  };
}

function mounts(): TestConfig["mounts"] {
  const terminals = ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"];
  return [
    { destination: "/proc", type: "proc", source: "proc" },
    {
      destination: "/dev",
      type: "tmpfs",
      source: "tmpfs",
      options: ["nosuid", "strictatime", "mode=755", "size=65536k"],
    },
    { destination: "/dev/pts", type: "devpts", source: "devpts", options: terminals },
    { destination: "/dev/shm", type: "tmpfs", source: "shm", options: [...confined, "mode=1777", "size=65536k"] },
    { destination: "/dev/mqueue", type: "mqueue", source: "mqueue", options: confined },
    { destination: "/sys", type: "sysfs", source: "sysfs", options: [...confined, "ro"] },
    { destination: "/sys/fs/cgroup", type: "cgroup", source: "cgroup", options: [...confined, "relatime", "ro"] },
  ];
}
