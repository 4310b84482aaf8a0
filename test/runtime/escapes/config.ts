import type { OciMount, RuntimeConfig } from "../../../src/oci/runtime.ts";

/** The capabilities that Docker gives, with what an attacker finds most useful of them. */
const capabilities = ["CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_SETUID", "CAP_SETGID", "CAP_KILL", "CAP_MKNOD"];

const confined = ["nosuid", "noexec", "nodev"];
const mounts: OciMount[] = [
  { destination: "/proc", type: "proc", source: "proc", options: confined },
  { destination: "/dev", type: "tmpfs", source: "tmpfs", options: ["nosuid", "strictatime", "mode=755", "size=64m"] },
  {
    destination: "/dev/pts",
    type: "devpts",
    source: "devpts",
    options: ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
  },
  { destination: "/sys", type: "sysfs", source: "sysfs", options: [...confined, "ro"] },
];

/** What Docker configures, but for seccomp: an attacker with fewer restrictions is the better test. */
export function dockerLikeConfig(args: string[]): RuntimeConfig {
  return structuredClone({
    ociVersion: "1.2.0",
    process: {
      cwd: "/",
      args,
      env: ["PATH=/bin:/usr/bin", "HOME=/"],
      user: { uid: 0, gid: 0 },
      capabilities: { bounding: capabilities, effective: capabilities, permitted: capabilities },
    },
    root: { path: "rootfs" },
    mounts,
    linux: {
      namespaces: [{ type: "mount" }, { type: "network" }, { type: "uts" }, { type: "pid" }, { type: "ipc" }],
      maskedPaths: ["/proc/acpi", "/proc/keys", "/proc/timer_list", "/proc/not-there", "/sys/firmware"],
      readonlyPaths: ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger", "/proc/not-there"],
    },
  });
}

/** Gives the process capabilities beside those. */
export function allow(config: RuntimeConfig, ...names: string[]): void {
  const all = [...capabilities, ...names];
  config.process!.capabilities = { bounding: all, effective: all, permitted: all };
}
