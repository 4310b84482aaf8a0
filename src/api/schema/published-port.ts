/** GET /tsd/ports: what is published, and from where it can be reached. Types only. */
export interface PublishedPortEntry {
  ContainerID: string;
  ContainerName: string;
  HostIp: string;
  /** 0 where it is routed. */
  HostPort: number;
  PrivatePort: number;
  Type: "tcp" | "udp" | "sctp";
  /**
   * `nat`: the kernel translates. `socket`: tsd listens, and passes on. `routed`: the container's own port, at its own
   * address.
   */
  Mode: "nat" | "socket" | "routed";
  ReachableFrom: "loopback" | "this host" | "local networks" | "routed networks" | "everywhere";
  /** The host's input rules decide who of those gets in. */
  InputRules: boolean;
}
