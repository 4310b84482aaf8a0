/** Networks as users ask for them and as they are: what the engine gives and gets. Addresses are text here. */

export const networkDrivers = ["bridge", "host", "null", "macvlan", "ipvlan"] as const;
export type NetworkDriver = (typeof networkDrivers)[number];

export interface SubnetRequest {
  /** `172.28.0.0/16`, `fd00:1::/64`; absent: chosen from the pools. */
  subnet?: string;
  /** The part of the subnet from which addresses are chosen; fixed ones may lie outside of it. */
  ipRange?: string;
  /** Absent: the subnet's first address. */
  gateway?: string;
  /** Addresses that somebody else has, by names for people. */
  auxiliaryAddresses?: Record<string, string>;
}

export interface NetworkRequest {
  name: string;
  /** One of `networkDrivers`; checked by whoever makes the network. */
  driver: string;
  /** Absent: yes, and for IPv6 where the host has it. */
  enableIpv4?: boolean;
  enableIpv6?: boolean;
  subnets: SubnetRequest[];
  /** `default`, or `null` for none. */
  ipamDriver?: string;
  ipamOptions?: Record<string, string>;
  /** Of the driver: `com.docker.network.bridge.name`, `parent`. */
  options: Record<string, string>;
  labels: Record<string, string>;
  internal: boolean;
  attachable: boolean;
  /** Nothing is made: other networks take their configuration from this one. */
  configOnly: boolean;
  /** The name of a network with `configOnly`. */
  configFrom?: string;
}

export interface NetworkSubnet {
  subnet: string;
  /** The user chose it, and not tsd from its pools: only there a container may ask for a fixed address. */
  isConfigured?: boolean;
  ipRange?: string;
  /** Absent where a driver has none (ipvlan l3). */
  gateway?: string;
  auxiliaryAddresses?: Record<string, string>;
}

export interface Network {
  /** 64 hexadecimal digits. */
  id: string;
  name: string;
  driver: NetworkDriver;
  /** RFC 3339 with nanoseconds. */
  createdAt: string;
  enableIpv4: boolean;
  enableIpv6: boolean;
  internal: boolean;
  attachable: boolean;
  configOnly: boolean;
  configFrom?: string;
  ipamDriver: string;
  ipamOptions: Record<string, string>;
  options: Record<string, string>;
  labels: Record<string, string>;
  /** IPv4 before IPv6. Of the default bridge empty where none was free yet; its first container says why. */
  subnets: NetworkSubnet[];
  /** `bridge`, `host` and `none`, which cannot be removed. */
  isBuiltIn: boolean;
  /** The host's interface: the bridge, or the parent of macvlan and ipvlan. */
  device?: string;
}

/** A container on a network, as `network inspect` shows it. */
export interface NetworkMember {
  containerId: string;
  endpointId: string;
  mac: string;
  /** With prefix length; "" where there is none. */
  ipv4: string;
  ipv6: string;
}

/** How many addresses of a subnet are taken and free. */
export interface SubnetStatus {
  subnet: string;
  inUse: bigint;
  available: bigint;
}
