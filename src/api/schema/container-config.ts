/**
 * What a container runs: the Engine API's ContainerConfig, HostConfig and NetworkingConfig as they stand after a
 * request was read (src/api/schema/create-request.ts) and as inspect shows them. Every key is optional: absent is
 * what Go calls the zero value. Types only, so that importing them loads nothing.
 */

export interface HealthConfig {
  /** [] inherits the image's; ["NONE"] disables; ["CMD", …]; ["CMD-SHELL", command]. */
  Test?: string[];
  /** Nanoseconds, as are Timeout, StartPeriod and StartInterval. */
  Interval?: number;
  Timeout?: number;
  StartPeriod?: number;
  StartInterval?: number;
  Retries?: number;
  /** tsd's own, instead of Test: a URL, or `PORT/PATH`, that is asked for from inside the container's network. */
  HTTP?: string;
  /** tsd's own, instead of Test: `PORT` or `ADDRESS:PORT` that has to accept a connection there. */
  TCP?: string;
  /** tsd's own: `none`, `restart`, `stop` or `kill` a container that has become unhealthy. */
  OnFailure?: string;
}

export interface ContainerConfig {
  Hostname?: string;
  Domainname?: string;
  User?: string;
  AttachStdin?: boolean;
  AttachStdout?: boolean;
  AttachStderr?: boolean;
  /** `"80/tcp": {}`. */
  ExposedPorts?: Record<string, object>;
  Tty?: boolean;
  OpenStdin?: boolean;
  /** Close the container's stdin when the first attached client goes away. */
  StdinOnce?: boolean;
  /** `NAME=value`; a bare `NAME` removes the image's variable. */
  Env?: string[];
  Cmd?: string[];
  Healthcheck?: HealthConfig;
  ArgsEscaped?: boolean;
  Image?: string;
  Volumes?: Record<string, object>;
  WorkingDir?: string;
  /** `[""]` clears the image's entry point; absent inherits it. */
  Entrypoint?: string[];
  NetworkDisabled?: boolean;
  /** Container-wide address of clients before API 1.44 (shown until 1.51); the routes move it to the endpoint. */
  MacAddress?: string;
  OnBuild?: string[];
  Labels?: Record<string, string>;
  StopSignal?: string;
  /** Seconds; -1 waits for ever. */
  StopTimeout?: number;
  Shell?: string[];
}

export interface WeightDevice {
  Path: string;
  Weight: number;
}

export interface ThrottleDevice {
  Path: string;
  /** Bytes or operations per second. */
  Rate: number;
}

export interface DeviceMapping {
  PathOnHost: string;
  PathInContainer: string;
  CgroupPermissions: string;
}

export interface DeviceRequest {
  Driver?: string;
  /** -1 is all. */
  Count?: number;
  DeviceIDs?: string[];
  /** Alternatives of sets: any inner list suffices. */
  Capabilities?: string[][];
  Options?: Record<string, string>;
}

export interface Ulimit {
  Name: string;
  Soft: number;
  Hard: number;
}

/** The part of HostConfig that `update` can change too. Sizes in bytes, CPU periods and quotas in microseconds. */
export interface Resources {
  CpuShares?: number;
  Memory?: number;
  NanoCpus?: number;
  CgroupParent?: string;
  BlkioWeight?: number;
  BlkioWeightDevice?: WeightDevice[];
  BlkioDeviceReadBps?: ThrottleDevice[];
  BlkioDeviceWriteBps?: ThrottleDevice[];
  BlkioDeviceReadIOps?: ThrottleDevice[];
  BlkioDeviceWriteIOps?: ThrottleDevice[];
  CpuPeriod?: number;
  CpuQuota?: number;
  CpuRealtimePeriod?: number;
  CpuRealtimeRuntime?: number;
  CpusetCpus?: string;
  CpusetMems?: string;
  Devices?: DeviceMapping[];
  DeviceCgroupRules?: string[];
  DeviceRequests?: DeviceRequest[];
  MemoryReservation?: number;
  /** Memory and swap together; -1 is unlimited swap. */
  MemorySwap?: number;
  MemorySwappiness?: number;
  OomKillDisable?: boolean;
  /** Absent is unlimited: the routes drop what clients write for that (0 and negative numbers). */
  PidsLimit?: number;
  Ulimits?: Ulimit[];
  CpuCount?: number;
  CpuPercent?: number;
  IOMaximumIOps?: number;
  IOMaximumBandwidth?: number;
}

export interface LogConfig {
  Type?: string;
  Config?: Record<string, string>;
}

export interface PortBinding {
  HostIp?: string;
  /** A port, a range `8000-8010`, or "" for any. */
  HostPort?: string;
}

/** `"80/tcp": [{HostIp, HostPort}]`. */
export type PortMap = Record<string, PortBinding[]>;

export interface RestartPolicy {
  /** no, always, unless-stopped or on-failure; "" is no. */
  Name?: string;
  MaximumRetryCount?: number;
}

/** Whose the files of a bind mount are in the container. */
export interface IdMapping {
  /** `match-user`: what belongs to the source's owner belongs to User. `userns`: as in the container's user namespace. */
  Source?: string;
  /** As in `--user`; absent: the container's. */
  User?: string;
}

export interface Mount {
  /** bind, volume, tmpfs, image, cluster or npipe. */
  Type?: string;
  Source?: string;
  Target?: string;
  ReadOnly?: boolean;
  Consistency?: string;
  BindOptions?: {
    Propagation?: string;
    NonRecursive?: boolean;
    CreateMountpoint?: boolean;
    ReadOnlyNonRecursive?: boolean;
    ReadOnlyForceRecursive?: boolean;
    /** Of 1.56. */
    IDMapping?: IdMapping;
  };
  VolumeOptions?: {
    NoCopy?: boolean;
    Labels?: Record<string, string>;
    Subpath?: string;
    DriverConfig?: { Name?: string; Options?: Record<string, string> };
  };
  ImageOptions?: { Subpath?: string };
  TmpfsOptions?: { SizeBytes?: number; Mode?: number; Options?: string[][] };
}

export interface HostConfig extends Resources {
  Annotations?: Record<string, string>;
  AutoRemove?: boolean;
  /** `source:target[:options]`. */
  Binds?: string[];
  CapAdd?: string[];
  CapDrop?: string[];
  Cgroup?: string;
  /** private, host, or "" for what the daemon chooses. */
  CgroupnsMode?: string;
  /** [height, width]. */
  ConsoleSize?: number[];
  ContainerIDFile?: string;
  Dns?: string[];
  DnsOptions?: string[];
  DnsSearch?: string[];
  ExtraHosts?: string[];
  GroupAdd?: string[];
  /** Run an init as pid 1; absent: the daemon's setting. */
  Init?: boolean;
  IpcMode?: string;
  Isolation?: string;
  Links?: string[];
  LogConfig?: LogConfig;
  MaskedPaths?: string[];
  Mounts?: Mount[];
  /** `default`, `bridge`, `host`, `none`, `container:ID` or a network's name. */
  NetworkMode?: string;
  OomScoreAdj?: number;
  PidMode?: string;
  PortBindings?: PortMap;
  Privileged?: boolean;
  PublishAllPorts?: boolean;
  ReadonlyPaths?: string[];
  ReadonlyRootfs?: boolean;
  RestartPolicy?: RestartPolicy;
  Runtime?: string;
  SecurityOpt?: string[];
  ShmSize?: number;
  StorageOpt?: Record<string, string>;
  Sysctls?: Record<string, string>;
  /** Target to mount options: `"/run": "rw,size=64m"`. */
  Tmpfs?: Record<string, string>;
  UTSMode?: string;
  UsernsMode?: string;
  VolumeDriver?: string;
  VolumesFrom?: string[];
}

export interface EndpointIpamConfig {
  IPv4Address?: string;
  IPv6Address?: string;
  LinkLocalIPs?: string[];
}

/** A container's place in a network: what was asked for, and beside it what it was given. */
export interface EndpointSettings {
  IPAMConfig?: EndpointIpamConfig | null;
  Links?: string[] | null;
  Aliases?: string[] | null;
  MacAddress?: string;
  DriverOpts?: Record<string, string> | null;
  GwPriority?: number;
  NetworkID?: string;
  EndpointID?: string;
  Gateway?: string;
  IPAddress?: string;
  IPPrefixLen?: number;
  IPv6Gateway?: string;
  GlobalIPv6Address?: string;
  GlobalIPv6PrefixLen?: number;
  DNSNames?: string[] | null;
}

export interface NetworkingConfig {
  EndpointsConfig?: Record<string, EndpointSettings>;
}

/** Body of POST /containers/{id}/update. */
export interface ContainerUpdateRequest extends Resources {
  RestartPolicy?: RestartPolicy;
}

/** Body of POST /containers/create. */
export interface ContainerCreateRequest extends ContainerConfig {
  HostConfig?: HostConfig;
  NetworkingConfig?: NetworkingConfig;
}
