/** GET /tsd/ports: what is published, and from where it can be reached. Types only. */
export interface PublishedPortEntry {
  ContainerID: string;
  ContainerName: string;
  HostIp: string;
  HostPort: number;
  PrivatePort: number;
  Type: "tcp" | "udp" | "sctp";
  /** `nat`: the kernel translates. `socket`: tsd listens, and passes on. */
  Mode: "nat" | "socket";
  ReachableFrom: "loopback" | "this host" | "local networks" | "everywhere";
  /** The host's input rules decide who of those gets in. */
  InputRules: boolean;
}
