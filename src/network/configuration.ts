/** What the network part is told by the daemon's configuration. */
import type { DefaultBridgeAddresses } from "./default-bridge.ts";
import type { PublishMode } from "./ports/port.ts";
import type { DnsRequest } from "./sandbox.ts";

export interface NetworkConfiguration {
  /** Name of the default bridge; absent: made from the daemon's root. */
  bridge?: string;
  /** Of the default bridge. */
  addresses: DefaultBridgeAddresses;
  /** `172.28.0.0/14 size 16`, of either family, in order of preference; absent: tsd's own. */
  pools?: string[];
  /** Of the default bridge; absent: where the host has it. */
  ipv6?: boolean;
  /** The host is made to forward what it does not forward yet. */
  forwarding: boolean;
  /** The default bridge's driver options. */
  options: Record<string, string>;
  /** By driver, the options of networks that users make and that are given no other value. */
  driverOptions?: Readonly<Record<string, Record<string, string>>>;
  /** For containers that say nothing of the one or the other; absent: all the host's. */
  dns?: DnsRequest;
  /** What `host-gateway` of `--add-host` stands for, one of a family; absent: the host as the container sees it. */
  hostGateway?: readonly string[];
  /** How, and on which address of the host's, ports are published that do not say it; without one, on all. */
  publish: { mode: PublishMode; hostAddress?: string };
}
