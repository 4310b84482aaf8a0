/** The types of `info`, `version` and `events` in docker's client, in the notation of ../template/type-table.ts. */
export const systemTypes: Record<string, string> = {
  "system.dockerInfo":
    "...*system.Info; ServerErrors? []string; UserName=- string; ClientInfo? *system.clientInfo; ClientErrors? []string",
  "system.Info":
    "ID string; Containers ContainersRunning ContainersPaused ContainersStopped Images int; Driver string; DriverStatus [][2]string; SystemStatus? [][2]string; Plugins system.PluginsInfo; MemoryLimit SwapLimit bool; KernelMemory? KernelMemoryTCP? bool; CPUCfsPeriod=CpuCfsPeriod CPUCfsQuota=CpuCfsQuota CPUShares CPUSet PidsLimit IPv4Forwarding Debug bool; NFd int; OomKillDisable bool; NGoroutines int; SystemTime LoggingDriver CgroupDriver string; CgroupVersion? string; NEventsListener int; KernelVersion OperatingSystem OSVersion OSType Architecture IndexServerAddress string; RegistryConfig *registry.ServiceConfig; NCPU int; MemTotal int64; GenericResources []swarm.GenericResource; DockerRootDir HTTPProxy=HttpProxy HTTPSProxy=HttpsProxy NoProxy Name string; Labels []string; ExperimentalBuild bool; ServerVersion string; Runtimes map[string]system.RuntimeWithStatus; DefaultRuntime string; Swarm swarm.Info; LiveRestoreEnabled bool; Isolation container.Isolation; InitBinary string; ContainerdCommit RuncCommit InitCommit system.Commit; SecurityOptions []string; ProductLicense? string; DefaultAddressPools? []system.NetworkAddressPool; FirewallBackend? *system.FirewallInfo; CDISpecDirs []string; DiscoveredDevices? []system.DeviceInfo; NRI? *system.NRIInfo; Containerd? *system.ContainerdInfo; Warnings []string",
  "system.PluginsInfo": "Volume Network Authorization Log []string",
  "registry.ServiceConfig":
    "AllowNondistributableArtifactsCIDRs? []string; AllowNondistributableArtifactsHostnames? []string; InsecureRegistryCIDRs []string; IndexConfigs map[string]*registry.IndexInfo; Mirrors []string",
  "registry.IndexInfo": "Name string; Mirrors []string; Secure Official bool",
  "swarm.GenericResource": "",
  "system.RuntimeWithStatus": "...system.Runtime; Status=status? map[string]string",
  "system.Runtime":
    "Path=path? string; Args=runtimeArgs? []string; Type=runtimeType? string; Options=options? map[string]interface {}",
  "swarm.Info":
    "NodeID NodeAddr string; LocalNodeState swarm.LocalNodeState; ControlAvailable bool; Error string; RemoteManagers []swarm.Peer; Nodes? Managers? int; Cluster? *swarm.ClusterInfo; Warnings? []string",
  "swarm.LocalNodeState": "= string",
  "swarm.Peer": "NodeID Addr string",
  "swarm.ClusterInfo": "ID string",
  "system.Commit": "ID string; Expected? string",
  "system.NetworkAddressPool": "Base string; Size int",
  "system.FirewallInfo": "Driver string; Info? [][2]string",
  "system.DeviceInfo": "Source ID string",
  "system.NRIInfo": "Info? [][2]string",
  "system.ContainerdInfo": "Address? string; Namespaces system.ContainerdNamespaces",
  "system.ContainerdNamespaces": "Containers Plugins string",
  "system.clientInfo": "Debug bool; ...system.clientVersion; Plugins []manager.Plugin; Warnings []string",
  "system.clientVersion":
    "Platform? *system.platformInfo; Version? APIVersion=ApiVersion? DefaultAPIVersion? GitCommit? GoVersion? Os? Arch? BuildTime? Context string; BunVersion? string",
  "system.platformInfo": "Name? string",
  "manager.Plugin": "SchemaVersion? Vendor? Version? ShortDescription? URL? Name? Path? Err? string",
  "system.versionInfo": "Client system.clientVersion; Server *types.Version",
  "types.Version":
    "Platform? types.platform; Components? []types.ComponentVersion; Version APIVersion=ApiVersion string; MinAPIVersion? string; GitCommit GoVersion Os Arch string; KernelVersion? string; Experimental? bool; BuildTime? string",
  "types.platform": "Name string",
  "types.ComponentVersion": "Name Version string; Details? map[string]string",
  "events.Message":
    "Status=status? ID=id? From=from? string; Type events.Type; Action events.Action; Actor events.Actor; Scope=scope? string; Time=time? TimeNano=timeNano? int64; Initiator? *tsd.Initiator",
  // Of tsd alone.
  "tsd.Initiator": "Kind string; Uid? Gid? Pid? *int; Command? Reason? string",
  "context.contextWithTLSListing": "...store.Metadata; TLSMaterial map[string][]string; Storage store.StorageInfo",
  "store.Metadata": "Name string; Metadata command.DockerContext; Endpoints map[string]context.EndpointMetaBase",
  "command.DockerContext": "Description? string; AdditionalFields=- map[string]interface {}",
  "context.EndpointMetaBase": "Host? string; SkipTLSVerify bool",
  "store.StorageInfo": "MetadataPath TLSPath string",
  "events.Type": "= string",
  "events.Action": "= string",
  "events.Actor": "ID string; Attributes map[string]string",
};
