/** What the network routes answer and are asked: Docker's JSON field for field. Types only. */
import type { EndpointSettings } from "./container-config.ts";

export interface IpamConfig {
  /** `172.28.0.0/16`, `fd00:1::/64` */
  Subnet?: string;
  IPRange?: string;
  Gateway?: string;
  AuxiliaryAddresses?: Record<string, string>;
}

export interface Ipam {
  Driver: string;
  Options: Record<string, string> | null;
  Config: IpamConfig[];
}

/** One of GET /networks. */
export interface NetworkSummary {
  Name: string;
  Id: string;
  /** RFC 3339 with nanoseconds. */
  Created: string;
  /** `local`: there is nothing else without a swarm. */
  Scope: string;
  Driver: string;
  EnableIPv4: boolean;
  EnableIPv6: boolean;
  IPAM: Ipam;
  Internal: boolean;
  Attachable: boolean;
  Ingress: boolean;
  ConfigFrom: { Network: string };
  ConfigOnly: boolean;
  Options: Record<string, string>;
  Labels: Record<string, string>;
}

export interface EndpointResource {
  /** The container's name. */
  Name: string;
  EndpointID: string;
  MacAddress: string;
  /** With prefix length; "" where there is none. */
  IPv4Address: string;
  IPv6Address: string;
}

export interface SubnetStatus {
  /** Beyond 2^53 with IPv6, hence bigints; a plain number on the wire, 2^64 - 1 at most. */
  IPsInUse: bigint;
  DynamicIPsAvailable: bigint;
}

export interface NetworkInspect extends NetworkSummary {
  /** By container id: those that run. */
  Containers: Record<string, EndpointResource>;
  /** By subnet. */
  Status?: { IPAM: { Subnets: Record<string, SubnetStatus> } };
}

/** Body of POST /networks/create. */
export interface NetworkCreateRequest {
  Name: string;
  Driver?: string;
  Scope?: string;
  /** Absent: yes. */
  EnableIPv4?: boolean;
  EnableIPv6?: boolean;
  IPAM?: { Driver?: string; Options?: Record<string, string>; Config?: IpamConfig[] };
  Internal?: boolean;
  Attachable?: boolean;
  Ingress?: boolean;
  ConfigOnly?: boolean;
  ConfigFrom?: { Network?: string };
  Options?: Record<string, string>;
  Labels?: Record<string, string>;
}

export interface NetworkCreateResponse {
  Id: string;
  Warning: string;
}

/** Body of POST /networks/{id}/connect. */
export interface NetworkConnectRequest {
  Container: string;
  EndpointConfig?: EndpointSettings;
}

/** Body of POST /networks/{id}/disconnect. */
export interface NetworkDisconnectRequest {
  Container: string;
  Force?: boolean;
}
