/** What the mount table tells about a container: proc_pid_mountinfo(5). */
import { unescapeMountPath } from "../../ffi/text.ts";

export interface MountFacts {
  root: { type: string; readOnly: boolean };
  /** Paths that were made read-only, without those that are hidden. */
  readOnly: string[];
  /** Paths of /proc and /sys that something empty lies on. */
  hidden: string[];
  /** File systems in memory, with their size in bytes where they have one. */
  memory: { path: string; bytes?: number }[];
  /** Files and directories of the host. */
  host: { path: string; readOnly: boolean }[];
}

interface Mount {
  /** What of the file system is mounted. */
  root: string;
  path: string;
  type: string;
  options: string[];
  superOptions: string[];
}

/** File systems that the kernel makes; others are storage. */
const kernelTypes = new Set(["proc", "sysfs", "devpts", "mqueue", "cgroup", "cgroup2", "devtmpfs", "securityfs"]);

export function readMounts(mountinfo: string): MountFacts {
  const mounts = mountinfo.split("\n").flatMap((line) => (line === "" ? [] : [parse(line)]));
  const root = mounts.findLast((mount) => mount.path === "/");
  const facts: MountFacts = {
    root: { type: root?.type ?? "unknown", readOnly: root !== undefined && isReadOnly(root) },
    readOnly: [],
    hidden: [],
    memory: [],
    host: [],
  };
  for (const mount of mounts) {
    if (mount.path === "/" || isCovered(mount, mounts)) continue;
    if (isHidden(mount)) facts.hidden.push(mount.path);
    else if (mount.type === "tmpfs" && mount.root === "/") facts.memory.push({ path: mount.path, ...sizeOf(mount) });
    else if (isHost(mount)) facts.host.push({ path: mount.path, readOnly: isReadOnly(mount) });
    if (isReadOnly(mount) && !isHidden(mount)) facts.readOnly.push(mount.path);
  }
  return facts;
}

/** `36 35 98:0 /root /path rw,noatime master:1 - ext4 /dev/sda rw` */
function parse(line: string): Mount {
  const [mount = "", superBlock = ""] = line.split(" - ");
  const [, , , root = "", path = "", options = ""] = mount.split(" ");
  const [type = "", , superOptions = ""] = superBlock.split(" ");
  return {
    root,
    path: unescapeMountPath(path),
    type,
    options: options.split(","),
    superOptions: superOptions.split(","),
  };
}

function isReadOnly({ options }: Mount): boolean {
  return options.includes("ro");
}

/** Somebody mounted something else on the same path later. */
function isCovered(mount: Mount, mounts: readonly Mount[]): boolean {
  return mounts.findLast(({ path }) => path === mount.path) !== mount;
}

/** Runtimes put /dev/null on files, and an empty tmpfs on directories. */
function isHidden({ path, type, root }: Mount): boolean {
  if (!/^\/(proc|sys)\//.test(path)) return false;
  return root.endsWith("/null") || (type === "tmpfs" && path !== "/sys/fs/cgroup");
}

function isHost({ type, path }: Mount): boolean {
  return !kernelTypes.has(type) && !/^\/(proc|sys|dev)(\/|$)/.test(path);
}

/** tmpfs(5): `size=65536k`. */
function sizeOf({ superOptions }: Mount): { bytes?: number } {
  const size = superOptions.find((option) => option.startsWith("size="));
  const match = /^size=(\d+)([kmg]?)/i.exec(size ?? "");
  if (match === null) return {};
  const units: Record<string, number> = { "": 1, k: 2 ** 10, m: 2 ** 20, g: 2 ** 30 };
  return { bytes: Number(match[1]) * units[match[2]!.toLowerCase()]! };
}
