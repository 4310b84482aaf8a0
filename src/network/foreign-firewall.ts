/**
 * Living with other people's firewalls.
 *
 * An accept in tsd's own table accepts for that table alone: a packet passes all chains that hang at the forward hook,
 * and one that drops has the last word. So nothing in a table of tsd's own can help where another table drops what it
 * has no rule for, as dockerd's does (it sets iptables' FORWARD policy to DROP), ufw's and firewalld's. A mark would
 * not help either: nobody's rules ask for it.
 *
 * What remains is to ask the owner. dockerd has a chain for that, DOCKER-USER, which is the administrator's and which
 * dockerd neither fills nor empties: tsd adds its own rules there, last, so that the administrator's come first, each
 * with a comment that says whose it is. Everywhere else it changes nothing and says what to do.
 */
import { readFileSync } from "node:fs";
import type { Expression } from "../../ffi/netlink/nftables/expression.ts";
import { counter, verdict } from "../../ffi/netlink/nftables/match.ts";
import { type Chain, deleteRule, newRule, type Rule, type TableName } from "../../ffi/netlink/nftables/objects.ts";
import { commitBatch, listChains, listRules, readGeneration } from "../../ffi/netlink/nftables/ruleset.ts";
import type { NetlinkSocket } from "../../ffi/netlink/socket.ts";
import { type LegacyForward, readLegacyForward } from "../../ffi/xtables.ts";
import { isErrno } from "../core/errors.ts";

const dockerTable: TableName = { family: "ip", table: "filter" };
const dockerUser = "DOCKER-USER";
/** Names of bridges that dockerd gives: rules of its own isolate them, and they are to go on doing so. */
const dockerBridges = ["docker", "br-"];
const commitAttemptsMax = 5;

/** Something that will drop what containers on the bridge send or get through this host. */
export interface Blocker {
  /** `chain FORWARD of table ip filter`. */
  where: string;
  why: string;
  hint: string;
}

/**
 * Looks for what would drop the bridge's packets, and lets them pass where dockerd has a chain for that.
 * @returns what is still in the way.
 * @throws NetlinkError, SyscallError
 */
export function passForeignFirewalls(socket: NetlinkSocket, bridge: string): Blocker[] {
  for (let attempt = 1; ; attempt++) {
    const generation = readGeneration(socket);
    const { blockers, dockerDrops } = inspect(socket, bridge);
    if (!dockerDrops) return [...blockers, ...legacyBlockers(bridge)];
    try {
      openDockerUser(socket, bridge, generation);
    } catch (error) {
      // Somebody changed the tables between reading and writing: read them again.
      if (!isErrno(error, "ERESTART") || attempt === commitAttemptsMax) throw error;
    }
  }
}

/** Takes tsd's rules for the bridge out of DOCKER-USER. */
export function closeDockerUser(socket: NetlinkSocket, bridge: string): void {
  if (!hasDockerUser(listChains(socket))) return;
  const mine = listRules(socket, dockerTable, dockerUser).filter((rule) => isOurs(rule, bridge));
  if (mine.length === 0) return;
  const handles = mine.flatMap((rule) => rule.handle ?? []);
  commitBatch(
    socket,
    handles.map((handle) => deleteRule({ ...dockerTable, chain: dockerUser, handle })),
  );
}

function inspect(socket: NetlinkSocket, bridge: string): { blockers: Blocker[]; dockerDrops: boolean } {
  const chains = listChains(socket);
  const forwarding = chains.filter((chain) => chain.base?.hook === "forward" && isForeign(chain, bridge));
  const blockers: Blocker[] = [];
  let dockerDrops = false;
  for (const chain of forwarding) {
    const rules = listRules(socket, chain);
    const own = rules.filter((rule) => rule.chain === chain.chain);
    const why = reasonToDrop(chain, own);
    if (why === undefined || rules.some((rule) => namesInterface(rule, bridge))) continue;
    if (asksDockerUser(chain, own) && hasDockerUser(chains)) dockerDrops = true;
    else blockers.push(blockerOf(chain, why, bridge));
  }
  return { blockers, dockerDrops };
}

function isForeign(chain: Chain, bridge: string): boolean {
  if (chain.family !== "ip" && chain.family !== "inet") return false;
  return chain.table !== bridge;
}

/** A policy of drop, or a last rule that takes everything that came so far and refuses it. */
function reasonToDrop(chain: Chain, rules: readonly Rule[]): string | undefined {
  if (chain.base?.policy === "drop") return "its policy is drop";
  const last = rules.at(-1)?.expressions.filter((expression) => expression.type !== "counter") ?? [];
  const [only] = last;
  if (last.length !== 1 || only === undefined) return undefined;
  const refuses = only.type === "verdict" ? only.verdict === "drop" : only.type === "other" && only.name === "reject";
  return refuses ? "its last rule refuses what no other rule took" : undefined;
}

function asksDockerUser(chain: Chain, rules: readonly Rule[]): boolean {
  if (chain.family !== dockerTable.family || chain.table !== dockerTable.table) return false;
  return rules.some(({ expressions }) =>
    expressions.some((expression) => expression.type === "verdict" && expression.chain === dockerUser),
  );
}

function hasDockerUser(chains: readonly Chain[]): boolean {
  return chains.some(
    ({ family, table, chain }) => family === dockerTable.family && table === dockerTable.table && chain === dockerUser,
  );
}

/** Whether a rule speaks of the interface by its name, with or without the NUL behind it. */
function namesInterface(rule: Rule, name: string): boolean {
  const bytes = new TextEncoder().encode(name);
  return rule.expressions.some((expression, i) => {
    const before = rule.expressions[i - 1];
    if (expression.type !== "cmp" || before?.type !== "meta") return false;
    if (before.key !== "iifname" && before.key !== "oifname") return false;
    const { data } = expression;
    return bytes.every((byte, at) => data[at] === byte) && (data[bytes.length] ?? 0) === 0;
  });
}

function blockerOf(chain: Chain, why: string, bridge: string): Blocker {
  const where = `chain ${chain.chain} of table ${chain.family} ${chain.table}`;
  if (chain.table === "firewalld") {
    const hint = `firewall-cmd --permanent --zone=trusted --add-interface=${bridge} && firewall-cmd --reload`;
    return { where, why, hint };
  }
  if (chain.table === "filter" && chain.chain === "FORWARD")
    return { where, why, hint: iptablesHint("iptables", bridge) };
  const insert = `nft insert rule ${chain.family} ${chain.table} ${chain.chain}`;
  return {
    where,
    why,
    hint: `${insert} iifname ${bridge} accept; ${insert} oifname ${bridge} ct state related,established accept`,
  };
}

function iptablesHint(program: string, bridge: string): string {
  const answers = `-o ${bridge} -m conntrack --ctstate RELATED,ESTABLISHED`;
  return `${program} -I FORWARD -i ${bridge} -j ACCEPT; ${program} -I FORWARD ${answers} -j ACCEPT`;
}

/** What iptables-legacy has is not in nf_tables, and can only be read. */
function legacyBlockers(bridge: string): Blocker[] {
  const forward = legacyForward();
  if (forward?.policy !== "drop" || forward.interfaces.includes(bridge)) return [];
  const where = "chain FORWARD of iptables-legacy's table filter";
  return [{ where, why: "its policy is drop", hint: iptablesHint("iptables-legacy", bridge) }];
}

function legacyForward(): LegacyForward | undefined {
  try {
    // Asking the kernel for a table makes it: only those that are there already are read.
    const names = readFileSync("/proc/net/ip_tables_names", "utf8").split("\n");
    return names.includes("filter") ? readLegacyForward() : undefined;
  } catch (error) {
    if (isErrno(error, "ENOENT")) return undefined;
    throw error;
  }
}

/**
 * From the bridge to anywhere but docker's own bridges, whose isolation is docker's affair; to the bridge, for which
 * tsd's own table lets only answers pass.
 */
function openDockerUser(socket: NetlinkSocket, bridge: string, generation: number): void {
  const rules = listRules(socket, dockerTable, dockerUser);
  const chain = { ...dockerTable, chain: dockerUser };
  const from = matchInterface("iifname", bridge);
  const wanted: Expression[][] = [
    ...dockerBridges.map((prefix) => [...from, ...matchPrefix("oifname", prefix), ...ending(bridge, "return")]),
    [...from, ...ending(bridge, "accept")],
    [...matchInterface("oifname", bridge), ...ending(bridge, "accept")],
  ];
  // Older dockerds end the chain with a return; what comes behind it is never asked.
  const last = rules.at(-1);
  const before = last !== undefined && isUnconditionalReturn(last) ? last.handle : undefined;
  const messages = wanted.map((expressions) => newRule({ ...chain, expressions }, before));
  commitBatch(socket, messages, generation);
}

function isUnconditionalReturn(rule: Rule): boolean {
  const rest = rule.expressions.filter((expression) => expression.type !== "counter");
  return rest.length === 1 && rest[0]!.type === "verdict" && rest[0]!.verdict === "return";
}

/*
 * iptables-nft refuses to show a table in which it finds what it would not have written itself. So these rules are in
 * its dialect: interface names compared with their NUL and no padding, a comment as a match, a counter, a verdict.
 */

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
  return [{ type: "match", name: "comment", revision: 0, info: commentInfo(bridge) }, counter(), verdict(name)];
}

/** struct xt_comment_info: 256 bytes of text. */
function commentInfo(bridge: string): Uint8Array {
  const info = new Uint8Array(256);
  info.set(new TextEncoder().encode(`tsd: bridge ${bridge}`));
  return info;
}

function isOurs(rule: Rule, bridge: string): boolean {
  const comment = Buffer.from(commentInfo(bridge));
  return rule.expressions.some(
    (expression) => expression.type === "match" && expression.name === "comment" && comment.equals(expression.info),
  );
}
