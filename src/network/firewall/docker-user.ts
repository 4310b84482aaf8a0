/**
 * dockerd's chain for others' rules, and tsd's rules in it.
 *
 * iptables-nft refuses to show a table in which it finds what it would not have written itself. So these rules are in
 * its dialect: interface names compared with their NUL and no padding, a comment as a match, a counter, a verdict.
 */
import type { Expression } from "../../../ffi/netlink/nftables/expression.ts";
import { counter, verdict } from "../../../ffi/netlink/nftables/match.ts";
import type { Chain, Rule, TableName } from "../../../ffi/netlink/nftables/objects.ts";

export const dockerUser = "DOCKER-USER";
/** Names of bridges that dockerd gives: rules of its own isolate them, and they are to go on doing so. */
const dockerBridges = ["docker", "br-"];
/** struct xt_comment_info: 256 bytes of text. */
const commentLength = 256;
const commentPrefix = "tsd: bridge ";

/** The table filter of iptables or ip6tables, when the chain is in it and dockerd has its own there. */
export function tableOfDocker(chain: Chain, chains: readonly Chain[]): TableName | undefined {
  const { family, table } = chain;
  if ((family !== "ip" && family !== "ip6") || table !== "filter") return undefined;
  const has = chains.some((each) => each.family === family && each.table === table && each.chain === dockerUser);
  return has ? { family, table } : undefined;
}

/** Whether rules of the forward chain send packets there. */
export function asksDockerUser(rules: readonly Rule[]): boolean {
  return rules.some(({ expressions }) =>
    expressions.some((expression) => expression.type === "verdict" && expression.chain === dockerUser),
  );
}

/**
 * From the bridge to anywhere but docker's own bridges, whose isolation is docker's affair; to the bridge, for which
 * tsd's own table decides what passes.
 */
export function dockerUserRules(bridge: string): Expression[][] {
  const from = matchInterface("iifname", bridge);
  return [
    ...dockerBridges.map((prefix) => [...from, ...matchPrefix("oifname", prefix), ...ending(bridge, "return")]),
    [...from, ...ending(bridge, "accept")],
    [...matchInterface("oifname", bridge), ...ending(bridge, "accept")],
  ];
}

/** The bridge for which tsd put the rule there; undefined for everybody else's rules. */
export function bridgeOfRule({ expressions }: Rule): string | undefined {
  for (const expression of expressions) {
    if (expression.type !== "match" || expression.name !== "comment") continue;
    const end = expression.info.indexOf(0);
    const text = Buffer.from(end < 0 ? expression.info : expression.info.subarray(0, end)).toString();
    if (text.startsWith(commentPrefix)) return text.slice(commentPrefix.length);
  }
  return undefined;
}

export function isUnconditionalReturn({ expressions }: Rule): boolean {
  const rest = expressions.filter((expression) => expression.type !== "counter");
  return rest.length === 1 && rest[0]!.type === "verdict" && rest[0]!.verdict === "return";
}

function matchInterface(key: "iifname" | "oifname", name: string): Expression[] {
  return matchPrefix(key, `${name}\0`);
}

function matchPrefix(key: "iifname" | "oifname", prefix: string): Expression[] {
  return [
    { type: "meta", key, to: 1 },
    { type: "cmp", operator: "eq", from: 1, data: new TextEncoder().encode(prefix) },
  ];
}

function ending(bridge: string, name: "accept" | "return"): Expression[] {
  const info = new Uint8Array(commentLength);
  info.set(new TextEncoder().encode(`${commentPrefix}${bridge}`));
  return [{ type: "match", name: "comment", revision: 0, info }, counter(), verdict(name)];
}
