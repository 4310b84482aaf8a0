/**
 * What a bundle is made of. Field names are the Engine API's own, declared here structurally, so that a stored
 * create request can be handed over as it is. Types only.
 */
import type { LinuxIdMapping, LinuxSeccomp } from "../oci/runtime.ts";
import type { CgroupFacts } from "./host-limits.ts";

/** The part of an OCI image configuration (`config` of the image's JSON) that shapes a container. */
export interface BundleImageConfig {
  User?: string | undefined;
  Env?: string[] | undefined;
  Entrypoint?: string[] | undefined;
  Cmd?: string[] | undefined;
  WorkingDir?: string | undefined;
  StopSignal?: string | undefined;
  ExposedPorts?: Record<string, object> | undefined;
  Volumes?: Record<string, object> | undefined;
  Labels?: Record<string, string> | undefined;
}

/** The part of the Engine API's ContainerConfig that the OCI configuration depends on. */
export interface BundleContainerConfig {
  Hostname?: string;
  Domainname?: string;
  User?: string;
  Env?: string[];
  Entrypoint?: string[];
  Cmd?: string[];
  WorkingDir?: string;
  Tty?: boolean;
  NetworkDisabled?: boolean;
}

/** The part of the Engine API's HostConfig that the OCI configuration depends on. */
export interface BundleHostConfig {
  Annotations?: Record<string, string>;
  CapAdd?: string[];
  CapDrop?: string[];
  CgroupParent?: string;
  CgroupnsMode?: string;
  ConsoleSize?: number[];
  GroupAdd?: string[];
  Init?: boolean;
  IpcMode?: string;
  MaskedPaths?: string[];
  NetworkMode?: string;
  OomScoreAdj?: number;
  PidMode?: string;
  Privileged?: boolean;
  ReadonlyPaths?: string[];
  ReadonlyRootfs?: boolean;
  SecurityOpt?: string[];
  /** Bytes; absent or 0 is Docker's 64 MiB. */
  ShmSize?: number;
  Sysctls?: Record<string, string>;
  /** Target to mount options: `"/run": "rw,size=64m"`. */
  Tmpfs?: Record<string, string>;
  UTSMode?: string;
  UsernsMode?: string;
  // Resources: bytes, and microseconds where nothing else is said.
  BlkioWeight?: number;
  BlkioWeightDevice?: { Path: string; Weight: number }[];
  BlkioDeviceReadBps?: { Path: string; Rate: number }[];
  BlkioDeviceWriteBps?: { Path: string; Rate: number }[];
  BlkioDeviceReadIOps?: { Path: string; Rate: number }[];
  BlkioDeviceWriteIOps?: { Path: string; Rate: number }[];
  CpuPeriod?: number;
  CpuQuota?: number;
  CpuRealtimePeriod?: number;
  CpuRealtimeRuntime?: number;
  CpuShares?: number;
  CpusetCpus?: string;
  CpusetMems?: string;
  DeviceCgroupRules?: string[];
  /** Resolved on their own: requestedEdits in cdi/requests.ts. */
  DeviceRequests?: {
    Driver?: string;
    Count?: number;
    DeviceIDs?: string[];
    Capabilities?: string[][];
    Options?: Record<string, string>;
  }[];
  Devices?: { PathOnHost: string; PathInContainer: string; CgroupPermissions: string }[];
  Memory?: number;
  MemoryReservation?: number;
  /** Memory and swap together; -1 is unlimited swap; absent or 0 is twice the memory. */
  MemorySwap?: number;
  MemorySwappiness?: number;
  /** Billionths of a CPU. */
  NanoCpus?: number;
  OomKillDisable?: boolean;
  PidsLimit?: number;
  Ulimits?: { Name: string; Soft: number; Hard: number }[];
}

/** Something of the host that appears in the container: a bind, a volume, /etc/hosts. Named volumes are resolved already. */
export interface BundleMount {
  destination: string;
  /** An absolute path of the host. */
  source: string;
  readOnly?: boolean;
  /** "private", "rprivate", "shared", "rshared", "slave" or "rslave"; absent is rprivate. */
  propagation?: string;
  nonRecursive?: boolean;
  /** With readOnly: leave the mounts below it writable. Otherwise they are made read-only where the kernel can (5.12). */
  readOnlyNonRecursive?: boolean;
  /** With readOnly: fail on a kernel that cannot make the mounts below it read-only. */
  readOnlyForceRecursive?: boolean;
  /**
   * The files' owners are mapped, mount_setattr(2): "container" by the container's own user namespace, else from the
   * numbers on the disk (containerID) to the host's (hostID).
   */
  idMapping?: "container" | { uids: LinuxIdMapping[]; gids: LinuxIdMapping[] };
}

/** The user namespace that the container joins, and its mappings. */
export interface BundleUserNamespace {
  path: string;
  uids: LinuxIdMapping[];
  gids: LinuxIdMapping[];
}

/** A file system in memory: HostConfig.Mounts of the type tmpfs. Those of HostConfig.Tmpfs are read from there. */
export interface BundleTmpfs {
  destination: string;
  /** As in HostConfig.Tmpfs: `rw,size=64m`. */
  options: string;
}

/** Who the first process is: what lookupUser read from the image's own files. */
export interface BundleUser {
  uid: number;
  gid: number;
  additionalGids: number[];
  /** The home directory, "/" when the user has none. */
  home: string;
}

/** A device node of the host, stat(2). */
export interface HostDevice {
  type: "b" | "c";
  path: string;
  major: number;
  minor: number;
  /** Permission bits. */
  fileMode: number;
  uid: number;
  gid: number;
}

/** What the result depends on beside the request; readHost() in host.ts reads the real one. */
export interface BundleHost extends CgroupFacts {
  /** Major and minor number of the kernel's version. */
  kernel: readonly [number, number];
  /** Capabilities that can be given away (permitted to this process and in its bounding set), by name: CAP_CHOWN. */
  capabilities: readonly string[];
  /** AppArmor is enabled in the kernel. */
  apparmor: boolean;
  /** CPUs that have /sys/devices/system/cpu/cpuN/thermal_throttle. */
  thermalThrottleCpus: readonly number[];
  /** CPUs that are online: what `--cpus` may ask for. */
  onlineCpus: number;
  /**
   * The block or character device at a path, symbolic links within /dev followed; a directory's devices, unless it is
   * asked for `alone`; else [].
   * @throws EngineError invalid_argument for a directory that is no folder of devices.
   */
  devicesAt(path: string, options?: { alone?: boolean }): HostDevice[];
  /** Whether there is anything at a path, symbolic links followed. */
  exists(path: string): boolean;
  /** Every device below /dev, without terminals' and shared memory's own directories. */
  devices(): HostDevice[];
  sysctlExists(name: string): boolean;
}

/** Everything that bundleConfig turns into config.json. */
export interface BundleInput {
  id: string;
  /** With what the image adds to the request. */
  config: BundleContainerConfig;
  hostConfig: BundleHostConfig;
  /** root.path of config.json: absolute, or relative to the bundle. */
  rootfs: string;
  user: BundleUser;
  /** Absent: the host's. */
  userNamespace?: BundleUserNamespace;
  mounts: BundleMount[];
  tmpfs?: BundleTmpfs[];
  /** Namespaces to join by path instead of making new ones; for `container:ID` modes and the network part's own. */
  namespacePaths?: { network?: string; ipc?: string; pid?: string; uts?: string };
  /** linux.cgroupsPath, usually `/tsd/<id>`. */
  cgroupsPath: string;
  host: BundleHost;
  /** The init of this container, a static executable on the host, for `--init`; it is mounted on /sbin/docker-init. */
  initPath?: string;
  /** The AppArmor profile of containers that ask for none; the caller has loaded it into the kernel. */
  defaultApparmorProfile?: string;
  /** Environment that comes before the image's: links of old, proxies. */
  extraEnvironment?: string[];
  /** What it writes is limited by the projects that its files belong to: the default profile keeps it from changing them. */
  keepsProjects?: boolean;
  /** The daemon's own default in place of Docker's profile. */
  defaultSeccomp?: LinuxSeccomp;
}
