import type { LinuxNamespaceType, OciMount, RuntimeConfig } from "../oci/runtime.ts";
import { ociVersion } from "../oci/version.ts";

const capabilities = ["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"];

/** Files of /proc and /sys that tell about, or reach, the host: hidden. */
const maskedPaths = [
  "/proc/acpi",
  "/proc/asound",
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
const readonlyPaths = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

export interface TemplateOptions {
  /** On cgroup v2 a container gets a cgroup namespace of its own; on v1 that would hide too little to matter. */
  cgroupNamespace: boolean;
  /** The user whose own id becomes root in a user namespace of the container's. */
  rootless?: { uid: number; gid: number };
}

/** The starter config.json that `spec` writes: a shell on a terminal, in all namespaces but the host's. */
export function specTemplate(options: TemplateOptions): RuntimeConfig {
  const { rootless } = options;
  const namespaces: LinuxNamespaceType[] = ["pid", "network", "ipc", "uts", "mount"];
  if (options.cgroupNamespace) namespaces.push("cgroup");
  return {
    ociVersion,
    process: {
      terminal: true,
      user: { uid: 0, gid: 0 },
      args: ["sh"],
      env: ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TERM=xterm"],
      cwd: "/",
      capabilities: { bounding: capabilities, effective: capabilities, permitted: capabilities },
      rlimits: [{ type: "RLIMIT_NOFILE", hard: 1024, soft: 1024 }],
      noNewPrivileges: true,
    },
    root: { path: "rootfs", readonly: true },
    hostname: "tsd",
    mounts: mounts(rootless !== undefined),
    linux: {
      ...(rootless === undefined
        ? { resources: { devices: [{ allow: false, access: "rwm" }] } }
        : {
            uidMappings: [{ containerID: 0, hostID: rootless.uid, size: 1 }],
            gidMappings: [{ containerID: 0, hostID: rootless.gid, size: 1 }],
          }),
      // A network namespace of one's own has no way out without help from root: rootless shares the host's.
      namespaces: (rootless === undefined
        ? namespaces
        : [...namespaces.filter((type) => type !== "network"), "user" as const]
      ).map((type) => ({ type })),
      maskedPaths,
      readonlyPaths,
    },
  };
}

function mounts(rootless: boolean): OciMount[] {
  const terminals = ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"];
  const confined = ["nosuid", "noexec", "nodev"];
  return [
    { destination: "/proc", type: "proc", source: "proc" },
    {
      destination: "/dev",
      type: "tmpfs",
      source: "tmpfs",
      options: ["nosuid", "strictatime", "mode=755", "size=65536k"],
    },
    {
      destination: "/dev/pts",
      type: "devpts",
      source: "devpts",
      // Group 5 (tty) is not mapped in a rootless user namespace.
      options: rootless ? terminals : [...terminals, "gid=5"],
    },
    {
      destination: "/dev/shm",
      type: "tmpfs",
      source: "shm",
      options: [...confined, "mode=1777", "size=65536k"],
    },
    { destination: "/dev/mqueue", type: "mqueue", source: "mqueue", options: confined },
    // sysfs may only be mounted by the owner of the network namespace.
    rootless
      ? { destination: "/sys", type: "none", source: "/sys", options: ["rbind", ...confined, "ro"] }
      : { destination: "/sys", type: "sysfs", source: "sysfs", options: [...confined, "ro"] },
    { destination: "/sys/fs/cgroup", type: "cgroup", source: "cgroup", options: [...confined, "relatime", "ro"] },
  ];
}
