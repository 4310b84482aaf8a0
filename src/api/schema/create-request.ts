/** Reads the body of POST /containers/create: every key of Docker's Config, HostConfig and NetworkingConfig. */
import type * as v from "valibot";
import type {
  ContainerConfig,
  ContainerCreateRequest,
  ContainerUpdateRequest,
  HostConfig,
  Mount,
} from "./container-config.ts";
import {
  flag,
  int64,
  list,
  map,
  optional,
  read,
  set,
  struct,
  text,
  textMap,
  textOrTexts,
  texts,
  uint,
} from "./go-json.ts";

const healthConfig = struct({
  Test: optional(texts),
  Interval: optional(int64),
  Timeout: optional(int64),
  StartPeriod: optional(int64),
  StartInterval: optional(int64),
  Retries: optional(int64),
  HTTP: optional(text),
  TCP: optional(text),
  OnFailure: optional(text),
});

const containerEntries = {
  Hostname: optional(text),
  Domainname: optional(text),
  User: optional(text),
  AttachStdin: optional(flag),
  AttachStdout: optional(flag),
  AttachStderr: optional(flag),
  ExposedPorts: optional(set),
  Tty: optional(flag),
  OpenStdin: optional(flag),
  StdinOnce: optional(flag),
  Env: optional(texts),
  Cmd: optional(textOrTexts),
  Healthcheck: optional(healthConfig),
  ArgsEscaped: optional(flag),
  Image: optional(text),
  Volumes: optional(set),
  WorkingDir: optional(text),
  Entrypoint: optional(textOrTexts),
  NetworkDisabled: optional(flag),
  MacAddress: optional(text),
  OnBuild: optional(texts),
  Labels: optional(textMap),
  StopSignal: optional(text),
  StopTimeout: optional(int64),
  Shell: optional(textOrTexts),
};

const throttle = list(struct({ Path: optional(text, ""), Rate: optional(uint, 0) }));

const device = struct({
  PathOnHost: optional(text, ""),
  PathInContainer: optional(text, ""),
  CgroupPermissions: optional(text, ""),
});

const deviceRequest = struct({
  Driver: optional(text),
  Count: optional(int64),
  DeviceIDs: optional(texts),
  Capabilities: optional(list(texts)),
  Options: optional(textMap),
});

const resourceEntries = {
  CpuShares: optional(int64),
  Memory: optional(int64),
  NanoCpus: optional(int64),
  CgroupParent: optional(text),
  BlkioWeight: optional(uint),
  BlkioWeightDevice: optional(list(struct({ Path: optional(text, ""), Weight: optional(uint, 0) }))),
  BlkioDeviceReadBps: optional(throttle),
  BlkioDeviceWriteBps: optional(throttle),
  BlkioDeviceReadIOps: optional(throttle),
  BlkioDeviceWriteIOps: optional(throttle),
  CpuPeriod: optional(int64),
  CpuQuota: optional(int64),
  CpuRealtimePeriod: optional(int64),
  CpuRealtimeRuntime: optional(int64),
  CpusetCpus: optional(text),
  CpusetMems: optional(text),
  Devices: optional(list(device)),
  DeviceCgroupRules: optional(texts),
  DeviceRequests: optional(list(deviceRequest)),
  MemoryReservation: optional(int64),
  MemorySwap: optional(int64),
  MemorySwappiness: optional(int64),
  OomKillDisable: optional(flag),
  PidsLimit: optional(int64),
  Ulimits: optional(list(struct({ Name: optional(text, ""), Soft: optional(int64, 0), Hard: optional(int64, 0) }))),
  CpuCount: optional(int64),
  CpuPercent: optional(int64),
  IOMaximumIOps: optional(uint),
  IOMaximumBandwidth: optional(uint),
};

const mount: v.GenericSchema<unknown, Mount> = struct({
  Type: optional(text),
  Source: optional(text),
  Target: optional(text),
  ReadOnly: optional(flag),
  Consistency: optional(text),
  BindOptions: optional(
    struct({
      Propagation: optional(text),
      NonRecursive: optional(flag),
      CreateMountpoint: optional(flag),
      ReadOnlyNonRecursive: optional(flag),
      ReadOnlyForceRecursive: optional(flag),
      IDMapping: optional(struct({ Source: optional(text), User: optional(text) })),
    }),
  ),
  VolumeOptions: optional(
    struct({
      NoCopy: optional(flag),
      Labels: optional(textMap),
      Subpath: optional(text),
      DriverConfig: optional(struct({ Name: optional(text), Options: optional(textMap) })),
    }),
  ),
  ImageOptions: optional(struct({ Subpath: optional(text) })),
  TmpfsOptions: optional(struct({ SizeBytes: optional(int64), Mode: optional(uint), Options: optional(list(texts)) })),
});

const portBinding = struct({ HostIp: optional(text), HostPort: optional(text) });

const restartPolicy = struct({ Name: optional(text), MaximumRetryCount: optional(int64) });

export const hostConfig: v.GenericSchema<unknown, HostConfig> = struct({
  ...resourceEntries,
  Annotations: optional(textMap),
  AutoRemove: optional(flag),
  Binds: optional(texts),
  CapAdd: optional(textOrTexts),
  CapDrop: optional(textOrTexts),
  Cgroup: optional(text),
  CgroupnsMode: optional(text),
  ConsoleSize: optional(list(uint)),
  ContainerIDFile: optional(text),
  Dns: optional(texts),
  DnsOptions: optional(texts),
  DnsSearch: optional(texts),
  ExtraHosts: optional(texts),
  GroupAdd: optional(texts),
  Init: optional(flag),
  IpcMode: optional(text),
  Isolation: optional(text),
  Links: optional(texts),
  LogConfig: optional(struct({ Type: optional(text), Config: optional(textMap) })),
  MaskedPaths: optional(texts),
  Mounts: optional(list(mount)),
  NetworkMode: optional(text),
  OomScoreAdj: optional(int64),
  PidMode: optional(text),
  PortBindings: optional(map(list(portBinding), [])),
  Privileged: optional(flag),
  PublishAllPorts: optional(flag),
  ReadonlyPaths: optional(texts),
  ReadonlyRootfs: optional(flag),
  RestartPolicy: optional(restartPolicy),
  Runtime: optional(text),
  SecurityOpt: optional(texts),
  ShmSize: optional(int64),
  StorageOpt: optional(textMap),
  Sysctls: optional(textMap),
  Tmpfs: optional(textMap),
  UTSMode: optional(text),
  UsernsMode: optional(text),
  VolumeDriver: optional(text),
  VolumesFrom: optional(texts),
});

export const endpoint = struct({
  IPAMConfig: optional(
    struct({ IPv4Address: optional(text), IPv6Address: optional(text), LinkLocalIPs: optional(texts) }),
  ),
  Links: optional(texts),
  Aliases: optional(texts),
  MacAddress: optional(text),
  DriverOpts: optional(textMap),
  GwPriority: optional(int64),
  NetworkID: optional(text),
  EndpointID: optional(text),
  Gateway: optional(text),
  IPAddress: optional(text),
  IPPrefixLen: optional(int64),
  IPv6Gateway: optional(text),
  GlobalIPv6Address: optional(text),
  GlobalIPv6PrefixLen: optional(int64),
  DNSNames: optional(texts),
});

export const createRequest: v.GenericSchema<unknown, ContainerCreateRequest> = struct({
  ...containerEntries,
  HostConfig: optional(hostConfig),
  NetworkingConfig: optional(struct({ EndpointsConfig: optional(map(endpoint, {})) })),
});

const updateRequest: v.GenericSchema<unknown, ContainerUpdateRequest> = struct({
  ...resourceEntries,
  RestartPolicy: optional(restartPolicy),
});

/** @throws EngineError invalid_argument that names the field. */
export function readUpdateRequest(body: unknown): ContainerUpdateRequest {
  return read(updateRequest, body);
}

const containerConfig: v.GenericSchema<unknown, ContainerConfig> = struct(containerEntries);

/** @throws EngineError invalid_argument that names the field. */
export function readContainerConfig(body: unknown): ContainerConfig {
  return read(containerConfig, body);
}

/** @throws EngineError invalid_argument that names the field. */
export function readCreateRequest(body: unknown): ContainerCreateRequest {
  return read(createRequest, body);
}
