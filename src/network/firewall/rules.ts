/** What the firewall is told: a bridge, and a published port that the kernel translates. */
import type { Address, Subnet } from "../address.ts";
import type { Transport } from "../ports/port.ts";

/**
 * How containers are reached from elsewhere: `nat` by published ports at the host's addresses; `routed` by published
 * ports (and ICMP) at their own, for which others have a route; `nat-unprotected` by every port at their own, beside
 * those that are published.
 */
export type GatewayMode = "nat" | "routed" | "nat-unprotected";

export interface BridgeRules {
  /** The interface. */
  bridge: string;
  subnets: Subnet[];
  /** Nothing goes in or out. */
  internal: boolean;
  /** What leaves for elsewhere gets the host's address, by family. */
  masquerade: { ipv4: boolean; ipv6: boolean };
  /** False: `enable_icc=false`. The bridge isolates its ports itself; this is for what comes by br_netfilter. */
  interContainer: boolean;
  /** Absent: nat. */
  gatewayMode?: { ipv4: GatewayMode; ipv6: GatewayMode };
  /** Interfaces of the host from which containers' own addresses are reached freely. */
  trustedInterfaces?: string[];
}

export interface PortTranslation {
  transport: Transport;
  family: 4 | 6;
  /** Absent: every address of the host's. */
  hostAddress?: Address;
  hostPort: number;
  target: Address;
  targetPort: number;
  /** The bridge that leads to the target. */
  bridge: string;
  /** Of a routed network: nothing is translated and no port of the host is taken; the target's own is let through. */
  direct?: true;
  /** Nothing is translated: tsd proxy listens at every address of the host's. It is kept from internal networks. */
  passedOn?: true;
}
