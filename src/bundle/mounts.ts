/** What is mounted where in a container: Docker's own mounts, and what the request adds. */
import { EngineError } from "../core/errors.ts";
import type { OciMount } from "../oci/runtime.ts";
import type { BundleHost, BundleHostConfig, BundleInput, BundleMount, BundleTmpfs } from "./input.ts";

/** Docker's: bytes. */
const shmBytesDefault = 64 * 2 ** 20;

/** moby, daemon/pkg/oci/defaults.go. */
export function defaultMounts(shmBytes = shmBytesDefault): OciMount[] {
  const system = ["nosuid", "noexec", "nodev"];
  return [
    { destination: "/proc", type: "proc", source: "proc", options: [...system] },
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
      options: ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
    },
    { destination: "/sys", type: "sysfs", source: "sysfs", options: [...system, "ro"] },
    { destination: "/sys/fs/cgroup", type: "cgroup", source: "cgroup", options: ["ro", ...system] },
    { destination: "/dev/mqueue", type: "mqueue", source: "mqueue", options: [...system] },
    {
      destination: "/dev/shm",
      type: "tmpfs",
      source: "shm",
      options: [...system, "mode=1777", `size=${shmBytes}`],
    },
  ];
}

export interface MountChoices {
  hostConfig: BundleHostConfig;
  mounts: readonly BundleMount[];
  tmpfs: readonly BundleTmpfs[];
  host: BundleHost;
  writableCgroups: boolean;
}

/**
 * The mounts in the order in which they are made: Docker's own, then the request's by the depth of their targets, so
 * that none covers another.
 * @throws EngineError invalid_argument for an option that is none.
 */
export function containerMounts({ hostConfig, mounts, tmpfs, host, writableCgroups }: MountChoices): OciMount[] {
  const requested = [
    ...sharedIpcMounts(hostConfig, mounts),
    ...mounts.map((mount) => bindMount(mount, host)),
    ...tmpfsOf(hostConfig, tmpfs).map(tmpfsMount),
  ];
  requested.sort((a, b) => depth(a.destination) - depth(b.destination));
  const targets = new Set(requested.map((mount) => mount.destination));
  const own = defaultMounts(hostConfig.ShmSize || shmBytesDefault).filter(({ destination }) => {
    if (targets.has(destination)) return false;
    if (destination === "/dev/shm" && hostConfig.IpcMode === "none") return false;
    return !(targets.has("/dev") && destination.startsWith("/dev/"));
  });
  for (const mount of own) adjust(mount, hostConfig, writableCgroups);
  return [...own, ...requested];
}

function adjust(mount: OciMount, hostConfig: BundleHostConfig, writableCgroups: boolean): void {
  const options = mount.options!;
  const stayWritable = ["/proc", "/dev/pts", "/dev/shm", "/dev/mqueue", "/dev"];
  if (hostConfig.ReadonlyRootfs && !stayWritable.includes(mount.destination) && !options.includes("ro")) {
    options.push("ro");
  }
  const becomesWritable =
    (hostConfig.Privileged && (mount.destination === "/sys" || mount.type === "cgroup")) ||
    (writableCgroups && mount.type === "cgroup");
  if (becomesWritable) mount.options = options.filter((option) => option !== "ro");
}

/** The host's shared memory for `--ipc host`; what containers share comes with the mounts. */
function sharedIpcMounts(hostConfig: BundleHostConfig, mounts: readonly BundleMount[]): OciMount[] {
  if (hostConfig.IpcMode !== "host" || mounts.some((mount) => mount.destination === "/dev/shm")) return [];
  return [{ destination: "/dev/shm", type: "bind", source: "/dev/shm", options: ["rbind", "rprivate"] }];
}

const propagations = ["private", "rprivate", "shared", "rshared", "slave", "rslave"];

function bindMount(mount: BundleMount, host: BundleHost): OciMount {
  const { destination, source, propagation } = mount;
  if (propagation && !propagations.includes(propagation)) {
    throw new EngineError("invalid_argument", `mount ${destination}: invalid propagation "${propagation}"`);
  }
  const options = [mount.nonRecursive ? "bind" : "rbind"];
  if (mount.readOnly) options.push(...readOnlyOptions(mount, host));
  options.push(propagation || "rprivate");
  return { destination, type: "bind", source, options, ...mapped(mount, options) };
}

/** With what is mounted below, unless that is not there. */
function mapped(
  { idMapping, nonRecursive }: BundleMount,
  options: string[],
): Pick<OciMount, "uidMappings" | "gidMappings"> {
  if (idMapping === undefined) return {};
  options.push(nonRecursive ? "idmap" : "ridmap");
  return idMapping === "container" ? {} : { uidMappings: idMapping.uids, gidMappings: idMapping.gids };
}

/**
 * mount_setattr(2) can make a whole tree read-only since Linux 5.12: Docker's default since 25.0. Runtimes that do not
 * know "rro" pass it over, and have to have the mount read-only all the same.
 */
function readOnlyOptions(mount: BundleMount, { kernel }: BundleHost): string[] {
  const canRecurse = kernel[0] > 5 || (kernel[0] === 5 && kernel[1] >= 12);
  if (mount.readOnlyForceRecursive && (mount.readOnlyNonRecursive || !canRecurse)) {
    const reason = mount.readOnlyNonRecursive
      ? "mount options conflict: read-only non-recursive and force-recursive"
      : "recursive read-only mounts need Linux 5.12";
    throw new EngineError("invalid_argument", `mount ${mount.destination}: ${reason}`);
  }
  return canRecurse && !mount.readOnlyNonRecursive ? ["ro", "rro"] : ["ro"];
}

function tmpfsOf(hostConfig: BundleHostConfig, given: readonly BundleTmpfs[]): BundleTmpfs[] {
  const short = Object.entries(hostConfig.Tmpfs ?? {}).map(([destination, options]) => ({ destination, options }));
  return [...given, ...short.filter((mount) => !given.some((other) => other.destination === mount.destination))];
}

function tmpfsMount({ destination, options }: BundleTmpfs): OciMount {
  return { destination, type: "tmpfs", source: "tmpfs", options: mergeTmpfsOptions(destination, options) };
}

/** Options that undo each other have one key. */
const flagKeys: Record<string, string> = {
  ro: "write",
  rw: "write",
  suid: "suid",
  nosuid: "suid",
  dev: "dev",
  nodev: "dev",
  exec: "exec",
  noexec: "exec",
  sync: "sync",
  async: "sync",
  dirsync: "dirsync",
  atime: "atime",
  noatime: "atime",
  diratime: "diratime",
  nodiratime: "diratime",
  relatime: "relatime",
  norelatime: "relatime",
  strictatime: "strictatime",
  nostrictatime: "strictatime",
  ...Object.fromEntries([...propagations, "unbindable", "runbindable"].map((name) => [name, "propagation"])),
};
const keysOfFlags = new Map(Object.entries(flagKeys));
const tmpfsSettings = ["size", "mode", "uid", "gid", "nr_inodes", "nr_blocks", "mpol"];

/** @throws EngineError invalid_argument for an option that a tmpfs cannot have. */
export function checkTmpfsOptions(destination: string, text: string): void {
  mergeTmpfsOptions(destination, text);
}

/** Docker's defaults, then the user's, of which the last one counts. */
function mergeTmpfsOptions(destination: string, text: string): string[] {
  const all = ["noexec", "nosuid", "nodev", "rprivate", ...text.split(",").filter((option) => option !== "")];
  const merged = new Map<string, string>();
  for (const option of all) {
    if (option === "defaults") continue;
    const setting = option.includes("=") ? option.slice(0, option.indexOf("=")) : undefined;
    const key = setting === undefined ? keysOfFlags.get(option) : tmpfsSettings.includes(setting) ? setting : undefined;
    if (key === undefined) {
      const words = option.split(/=(.*)/s, 2).map((word) => JSON.stringify(word));
      throw new EngineError("invalid_argument", `mount ${destination}: invalid tmpfs option [${words.join(" ")}]`);
    }
    // Deleted first, so that the order is that of the last mention.
    merged.delete(key);
    merged.set(key, option);
  }
  return [...merged.values()];
}

function depth(path: string): number {
  return path.split("/").filter((name) => name !== "").length;
}

/** How the root has to be shared for these mounts to pass on what is mounted below them. */
export function rootPropagation(input: Pick<BundleInput, "mounts">): "shared" | "rslave" | undefined {
  const wanted = input.mounts.map((mount) => mount.propagation?.replace(/^r/, ""));
  if (wanted.includes("shared")) return "shared";
  return wanted.includes("slave") ? "rslave" : undefined;
}
