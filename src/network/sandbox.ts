/** A container's networking as the engine asks for it and as it gets it: a sandbox with endpoints and ports. */
import type { Descriptor } from "../../ffi/fd.ts";
import type { NetworkDriver } from "./network.ts";
import type { PortRequest, PublishedPort } from "./ports/port.ts";

/** What a container asks for on one network. */
export interface EndpointRequest {
  networkId: string;
  /** Fixed addresses, without prefix length; the MAC address as `02:42:ac:1c:00:02`. */
  ipv4?: string;
  ipv6?: string;
  linkLocal?: string[];
  mac?: string;
  /** What other containers on a user-defined network find it by: its name, aliases, short id, hostname. */
  names: string[];
  /** Names that only this container finds others by. The other one need not run yet. */
  links: LinkRequest[];
  driverOptions: Record<string, string>;
  /** The default route is the endpoint's with the highest; 0 unless told. */
  gatewayPriority: number;
}

export interface LinkRequest {
  containerId: string;
  alias: string;
}

/** `--dns`, `--dns-search`, `--dns-option`; empty: the host's. */
export interface DnsRequest {
  servers: string[];
  search: string[];
  options: string[];
}

/** What a container asks for beside its networks. */
export interface SandboxWishes {
  /** For whoever finds one of its ports taken. */
  containerName: string;
  ports: PortRequest[];
  dns: DnsRequest;
}

export type SandboxRequest =
  /** The wishes are for the networks that it may come on after it has left `none`. */
  | { kind: "none"; wishes?: SandboxWishes; userNamespace?: Descriptor }
  | { kind: "host" }
  /** `container:ID`: the other container's namespace, for example `/proc/<its pid>/ns/net`. */
  | { kind: "container"; namespacePath: string }
  | ({
      kind: "networks";
      endpoints: EndpointRequest[];
      /** Whose the container's network namespace is to be; the host's unless told. */
      userNamespace?: Descriptor;
    } & SandboxWishes);

/** What a container is called from now on. */
export interface ContainerNames {
  /** As in SandboxWishes. */
  containerName: string;
  /** As in EndpointRequest, by the network's id; on others nothing changes. */
  names: ReadonlyMap<string, string[]>;
}

/** A container's place on a network. */
export interface SandboxEndpoint {
  networkId: string;
  networkName: string;
  driver: NetworkDriver;
  endpointId: string;
  /** `eth0` */
  interface?: string;
  mac?: string;
  ipv4?: string;
  ipv4PrefixLength?: number;
  ipv4Gateway?: string;
  ipv6?: string;
  ipv6PrefixLength?: number;
  ipv6Gateway?: string;
  names: string[];
  gatewayPriority: number;
}

export interface Sandbox {
  kind: SandboxRequest["kind"];
  /** Docker's `SandboxID`; "" for `container:ID`, which has none of its own. */
  id: string;
  /** Where the namespace is joined: the daemon's own descriptor, `/proc/<pid>/fd/<n>`, or after a restart the container's. */
  namespacePath?: string;
  /** In the order of their interfaces. */
  endpoints: SandboxEndpoint[];
  ports: PublishedPort[];
  /** The container asks tsd's own server (127.0.0.11), as on every user-defined network. */
  hasResolver: boolean;
}
