/** What tsd's own table does for a bridge. */
import { address, counter, ctState, interfaceName, verdict } from "../../ffi/netlink/nftables/match.ts";
import { addressBytes } from "./address.ts";
import type { BridgeRules } from "./firewall/rules.ts";
import type { DesiredTable } from "./firewall/table.ts";

/** Where others hang their chains: nft(8), "priority". */
const priorityFilter = 0;
const prioritySourceNat = 100;

/**
 * The table of one bridge, named after it: several daemons can be neighbours, and `nft list table inet tsd0` shows
 * all that tsd does. Nobody else's table, chain or policy is touched.
 *
 * - forward: what comes for the bridge from elsewhere passes when it answers, or when it goes from port to port of
 *   the bridge (bridges hand that to IP's chains where br_netfilter is on); the rest is dropped, so that containers
 *   cannot be reached by whoever has a route through this host.
 * - postrouting: what leaves the bridge's subnet by another interface gets that interface's address.
 */
export function bridgeTable({ bridge, subnets }: Pick<BridgeRules, "bridge" | "subnets">): DesiredTable {
  return {
    family: "inet",
    table: bridge,
    comment: "made by tsd, which puts it back when it is changed",
    sets: [],
    chains: [
      {
        name: "forward",
        base: { type: "filter", hook: "forward", priority: priorityFilter, policy: "accept" },
        rules: [
          {
            expressions: [...interfaceName("oifname", bridge), ...ctState("established", "related"), verdict("accept")],
          },
          {
            expressions: [...interfaceName("oifname", bridge), ...interfaceName("iifname", bridge), verdict("accept")],
          },
          {
            expressions: [...interfaceName("oifname", bridge), counter(), verdict("drop")],
            comment: "not asked for by a container",
          },
        ],
      },
      {
        name: "postrouting",
        base: { type: "nat", hook: "postrouting", priority: prioritySourceNat, policy: "accept" },
        rules: subnets.map((subnet) => ({
          expressions: [
            ...address("source", addressBytes({ family: subnet.family, value: subnet.base }), subnet.prefixLength),
            ...interfaceName("oifname", bridge, "neq"),
            { type: "masquerade" },
          ],
        })),
      },
    ],
  };
}
