/** Commands by which an administrator lets containers' packets pass another firewall. */
import type { Chain } from "../../../ffi/netlink/nftables/objects.ts";

/** The bridges that tsd names begin so: for several of them one rule does. */
const commonPrefix = "tsd";

export function hintFor(chain: Chain, bridges: readonly string[]): string {
  if (chain.table === "firewalld") {
    const interfaces = bridges.map((bridge) => `--add-interface=${bridge}`).join(" ");
    return `firewall-cmd --permanent --zone=trusted ${interfaces} && firewall-cmd --reload`;
  }
  if (chain.table === "filter" && chain.chain === "FORWARD" && chain.family !== "inet") {
    return iptablesHint(chain.family === "ip6" ? "ip6tables" : "iptables", bridges);
  }
  const insert = `insert rule ${chain.family} ${chain.table} ${chain.chain}`;
  return patterns(bridges, "*")
    .flatMap((name) => [
      `nft '${insert} iifname "${name}" accept'`,
      `nft '${insert} oifname "${name}" ct state related,established accept'`,
      `nft '${insert} oifname "${name}" ct status dnat accept'`,
    ])
    .join("; ");
}

export function legacyHint(bridges: readonly string[]): string {
  return iptablesHint("iptables-legacy", bridges);
}

function iptablesHint(program: string, bridges: readonly string[]): string {
  return patterns(bridges, "+")
    .flatMap((name) => [
      `${program} -I FORWARD -i ${name} -j ACCEPT`,
      `${program} -I FORWARD -o ${name} -m conntrack --ctstate RELATED,ESTABLISHED,DNAT -j ACCEPT`,
    ])
    .join("; ");
}

function patterns(bridges: readonly string[], wildcard: "*" | "+"): readonly string[] {
  const isCommon = bridges.length > 1 && bridges.every((bridge) => bridge.startsWith(commonPrefix));
  return isCommon ? [`${commonPrefix}${wildcard}`] : bridges;
}
