/** What the engine asks of the network, and what it gets. */

/** Where a container's network comes from: `--network` after the names have been looked up. */
export type NetworkMode =
  | { kind: "bridge" }
  | { kind: "none" }
  | { kind: "host" }
  /** `container:ID`: the other container's namespace, for example `/proc/<its pid>/ns/net`. */
  | { kind: "container"; namespacePath: string };

/** A container's place on a network, for as long as it runs. */
export interface Endpoint {
  kind: NetworkMode["kind"];
  /**
   * The network namespace to join; absent for `host`. It is the daemon's own descriptor, `/proc/<pid>/fd/<n>`, and
   * good until `detach`: once the container runs, its processes keep the namespace alive, with the daemon or without.
   */
  namespacePath?: string;
  /** The namespace's id, as Docker's `SandboxID`; empty for `container:ID`, which has none of its own. */
  sandboxId: string;
  /** `bridge`, `host`, `none`; with the ids below empty for `container:ID`, which is on no network itself. */
  networkName: string;
  networkId: string;
  endpointId: string;
  /** The rest is there on a bridge alone. `eth0`. */
  interface?: string;
  /** Dotted IPv4. */
  ipv4?: string;
  prefixLength?: number;
  gateway?: string;
  /** `02:42:ac:1c:00:02`. */
  mac?: string;
}

/** A network as `network ls` shows it. */
export interface NetworkSummary {
  id: string;
  name: string;
  driver: "bridge" | "host" | "null";
  /** ISO 8601. */
  createdAt: string;
  /** A bridge's own. */
  bridge?: string;
  /** Empty until the network is first used: the subnet is chosen then. */
  subnets: { subnet: string; gateway: string }[];
  endpoints: { containerId: string; endpointId: string; mac: string; ipv4: string; prefixLength: number }[];
}
