/** What the firewall is told: a bridge, and a published port that the kernel translates. */
import type { Address, Subnet } from "../address.ts";
import type { Transport } from "../ports/port.ts";

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
}
