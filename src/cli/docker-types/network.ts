/** The types of networks and volumes in docker's client, in the notation of ../template/type-table.ts. */
export const networkTypes: Record<string, string> = {
  "network.Inspect":
    "Name ID=Id string; Created time.Time; Scope Driver string; EnableIPv4 EnableIPv6 bool; IPAM network.IPAM; Internal Attachable Ingress bool; ConfigFrom network.ConfigReference; ConfigOnly bool; Containers map[string]network.EndpointResource; Options Labels map[string]string; Peers? []network.PeerInfo; Services? map[string]network.ServiceInfo",
  "network.IPAM": "Driver string; Options map[string]string; Config []network.IPAMConfig",
  "network.IPAMConfig": "Subnet? IPRange? Gateway? string; AuxAddress=AuxiliaryAddresses? map[string]string",
  "network.ConfigReference": "Network string",
  "network.EndpointResource": "Name EndpointID MacAddress IPv4Address IPv6Address string",
  "network.PeerInfo": "Name IP string",
  "network.ServiceInfo": "VIP string; Ports []string; LocalLBIndex int; Tasks []network.Task",
  "network.Task": "Name EndpointID EndpointIP string; Info map[string]string",
  "volume.Volume":
    "ClusterVolume? *volume.ClusterVolume; CreatedAt? string; Driver string; Labels map[string]string; Mountpoint Name string; Options map[string]string; Scope string; Status? map[string]interface {}; UsageData? *volume.UsageData",
  "volume.ClusterVolume": "ID string",
  "volume.UsageData": "RefCount Size int64",
};
