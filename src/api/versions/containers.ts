/** Containers as a client of a given API version expects to read them: Go's zero values where nothing is stored. */
import type { ContainerInspect, ContainerSummary, NetworkSettings } from "../schema/container.ts";
import type { ContainerConfig, DeviceRequest, EndpointSettings, HostConfig } from "../schema/container-config.ts";

/** The keys that Docker's daemon always writes. */
const hostConfigZero = {
  Binds: null,
  ContainerIDFile: "",
  LogConfig: { Type: "json-file", Config: {} },
  NetworkMode: "default",
  PortBindings: {},
  RestartPolicy: { Name: "no", MaximumRetryCount: 0 },
  AutoRemove: false,
  VolumeDriver: "",
  VolumesFrom: null,
  ConsoleSize: [0, 0],
  CapAdd: null,
  CapDrop: null,
  CgroupnsMode: "",
  Dns: null,
  DnsOptions: null,
  DnsSearch: null,
  ExtraHosts: null,
  GroupAdd: null,
  IpcMode: "",
  Cgroup: "",
  Links: null,
  OomScoreAdj: 0,
  PidMode: "",
  Privileged: false,
  PublishAllPorts: false,
  ReadonlyRootfs: false,
  SecurityOpt: null,
  UTSMode: "",
  UsernsMode: "",
  ShmSize: 0,
  Runtime: "",
  Isolation: "",
  CpuShares: 0,
  Memory: 0,
  NanoCpus: 0,
  CgroupParent: "",
  BlkioWeight: 0,
  BlkioWeightDevice: [],
  BlkioDeviceReadBps: [],
  BlkioDeviceWriteBps: [],
  BlkioDeviceReadIOps: [],
  BlkioDeviceWriteIOps: [],
  CpuPeriod: 0,
  CpuQuota: 0,
  CpuRealtimePeriod: 0,
  CpuRealtimeRuntime: 0,
  CpusetCpus: "",
  CpusetMems: "",
  Devices: [],
  DeviceCgroupRules: null,
  DeviceRequests: null,
  MemoryReservation: 0,
  MemorySwap: 0,
  MemorySwappiness: null,
  OomKillDisable: null,
  PidsLimit: null,
  Ulimits: [],
  CpuCount: 0,
  CpuPercent: 0,
  IOMaximumIOps: 0,
  IOMaximumBandwidth: 0,
  MaskedPaths: null,
  ReadonlyPaths: null,
} satisfies { [key in keyof HostConfig]: HostConfig[key] | null };

const configZero = {
  Hostname: "",
  Domainname: "",
  User: "",
  AttachStdin: false,
  AttachStdout: false,
  AttachStderr: false,
  Tty: false,
  OpenStdin: false,
  StdinOnce: false,
  Env: null,
  Cmd: null,
  Image: "",
  Volumes: null,
  WorkingDir: "",
  Entrypoint: null,
  Labels: {},
} satisfies { [key in keyof ContainerConfig]: ContainerConfig[key] | null };

/** In the order of docker's own answers, which `{{json .NetworkSettings.Networks}}` shows. */
const endpointZero: Required<EndpointSettings> = {
  IPAMConfig: null,
  Links: null,
  Aliases: null,
  MacAddress: "",
  DriverOpts: null,
  GwPriority: 0,
  NetworkID: "",
  EndpointID: "",
  Gateway: "",
  IPAddress: "",
  IPPrefixLen: 0,
  IPv6Gateway: "",
  GlobalIPv6Address: "",
  GlobalIPv6PrefixLen: 0,
  DNSNames: null,
};

export function inspectOf(container: ContainerInspect, api: number): object {
  const { ImageManifestDescriptor, Storage, GraphDriver, ...rest } = container;
  return {
    ...rest,
    HostConfig: { ...hostConfigZero, ...container.HostConfig, ...deviceRequestsOf(container.HostConfig) },
    ...(api >= 52 ? { Storage, GraphDriver } : { GraphDriver: GraphDriver ?? { Name: container.Driver, Data: null } }),
    ...(api >= 48 && { ImageManifestDescriptor }),
    Config: configOf(container.Config, api),
    NetworkSettings: networkSettingsOf(container.NetworkSettings, container.Id, api),
  };
}

function deviceRequestsOf({ DeviceRequests }: HostConfig): Pick<HostConfig, "DeviceRequests"> {
  if (DeviceRequests === undefined) return {};
  const zero = { Driver: "", Count: 0, DeviceIDs: null, Capabilities: null, Options: null };
  return { DeviceRequests: DeviceRequests.map((request) => ({ ...zero, ...request }) as DeviceRequest) };
}

/** Until 1.51 the address that was asked for on the network of NetworkMode was shown here, too. */
function configOf({ MacAddress, ...config }: ContainerConfig, api: number): object {
  if (api >= 52) return { ...configZero, ...config };
  return { ...configZero, OnBuild: null, ...config, ...(MacAddress !== undefined && { MacAddress }) };
}

export function summaryOf(container: ContainerSummary, api: number): object {
  const { Id, Names, Image, ImageID, ImageManifestDescriptor, HostConfig, NetworkSettings, Mounts, Health, ...rest } =
    container;
  // In the order of docker's own answers.
  return {
    Id,
    Names,
    Image,
    ImageID,
    ...(api >= 48 && { ImageManifestDescriptor }),
    ...rest,
    HostConfig: api >= 46 ? HostConfig : { NetworkMode: HostConfig.NetworkMode },
    NetworkSettings: { Networks: networksOf(NetworkSettings.Networks, Id, api) },
    Mounts,
    ...(api >= 52 && { Health }),
  };
}

/** Until API 1.52 the addresses on the default bridge were repeated at the top. */
function networkSettingsOf(settings: NetworkSettings, id: string, api: number): object {
  const { Networks, ...sandbox } = settings;
  const filled = networksOf(Networks, id, api);
  if (api >= 52) return { ...sandbox, Networks: filled };
  const bridge = { ...endpointZero, ...Networks.bridge };
  return {
    Bridge: "",
    ...sandbox,
    HairpinMode: false,
    LinkLocalIPv6Address: "",
    LinkLocalIPv6PrefixLen: 0,
    SecondaryIPAddresses: null,
    SecondaryIPv6Addresses: null,
    EndpointID: bridge.EndpointID,
    Gateway: bridge.Gateway,
    GlobalIPv6Address: bridge.GlobalIPv6Address,
    GlobalIPv6PrefixLen: bridge.GlobalIPv6PrefixLen,
    IPAddress: bridge.IPAddress,
    IPPrefixLen: bridge.IPPrefixLen,
    IPv6Gateway: bridge.IPv6Gateway,
    MacAddress: bridge.MacAddress,
    Networks: filled,
  };
}

function networksOf(networks: Record<string, EndpointSettings>, id: string, api: number): Record<string, object> {
  return Object.fromEntries(
    Object.entries(networks).map(([name, endpoint]) => {
      const filled: EndpointSettings = { ...endpointZero, ...endpoint };
      // 1.45 took the short id out of Aliases, when DNSNames had come to hold it.
      const short = id.slice(0, 12);
      const userDefined = !["bridge", "host", "none"].includes(name) && filled.NetworkID !== "";
      if (api < 45 && userDefined && !filled.Aliases?.includes(short)) {
        filled.Aliases = [...(filled.Aliases ?? []), short];
      }
      if (api < 48) delete filled.GwPriority;
      if (api < 44) delete filled.DNSNames;
      return [name, filled];
    }),
  );
}
