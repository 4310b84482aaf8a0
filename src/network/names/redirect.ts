/**
 * The way from 127.0.0.11:53, which a container asks, to the ports that the resolver has in its network namespace. Port
 * 53 itself stays free: a container may have a name server of its own on all addresses.
 *
 * The ports are written into the packets as they go by, without connection tracking: that would have every packet of
 * the container looked up for the sake of a few. Questions get the resolver's port before all other chains, answers get
 * 53 after them, so that a firewall inside the container sees the same two ports both ways.
 */
import type { Expression } from "../../../ffi/netlink/nftables/expression.ts";
import { address, interfaceName, verdict } from "../../../ffi/netlink/nftables/match.ts";
import {
  deleteRule,
  newChain,
  newRule,
  newTable,
  type Rule,
  type TableName,
} from "../../../ffi/netlink/nftables/objects.ts";
import { commitBatch, listRules } from "../../../ffi/netlink/nftables/ruleset.ts";
import { NETLINK_NETFILTER, NetlinkSocket } from "../../../ffi/netlink/socket.ts";
import { resolverAddress } from "./address.ts";

export const dnsPort = 53;

const table: TableName = { family: "inet", table: "tsd-resolver" };
const loopback = "lo";
/** NF_IP_PRI_RAW, before connection tracking; and behind NF_IP_PRI_NAT_SRC, the last that is in use. */
const priorities = { questions: -300, answers: 150 } as const;

/** The number of each in an IP header, and where in its own header the checksum is: RFC 768, RFC 9293. */
const protocols = { udp: { number: 17, checksumOffset: 6 }, tcp: { number: 6, checksumOffset: 16 } } as const;
/** In both. */
const portOffsets = { source: 0, destination: 2 } as const;

export interface ResolverPorts {
  udp: number;
  tcp: number;
}

/**
 * Leads questions to these ports, and nowhere else. The thread has to be in the network namespace.
 * @throws NetlinkError
 */
export function redirectQuestions(ports: ResolverPorts): void {
  using socket = new NetlinkSocket(NETLINK_NETFILTER);
  const wanted = rulesFor(ports);
  const there = listRules(socket, table);
  if (isSame(there, wanted)) return;
  const messages = [newTable({ ...table, comment: "made by tsd: 127.0.0.11 port 53 is its resolver" })];
  for (const [chain, priority] of Object.entries(priorities)) {
    messages.push(newChain({ ...table, chain, base: { type: "filter", hook: "output", priority, policy: "accept" } }));
    // To remove something takes the kernel some 10 ms, whatever it is.
    if (there.length > 0) messages.push(deleteRule({ ...table, chain }));
  }
  commitBatch(socket, [...messages, ...wanted.map((rule) => newRule(rule))]);
}

/**
 * The ports to which questions are led already: those of a resolver that was killed. Whoever takes them need not change
 * anything. The thread has to be in the network namespace.
 */
export function redirectedPorts(): ResolverPorts | undefined {
  using socket = new NetlinkSocket(NETLINK_NETFILTER);
  const there = listRules(socket, table);
  const [udp, tcp] = there.slice(1, 3).map(({ expressions }) => {
    const set = expressions.find((expression) => expression.type === "immediate");
    return set === undefined ? 0 : (set.data[0]! << 8) | set.data[1]!;
  });
  if (udp === undefined || tcp === undefined) return undefined;
  return isSame(there, rulesFor({ udp, tcp })) ? { udp, tcp } : undefined;
}

function rulesFor(ports: ResolverPorts): Rule[] {
  // For what leaves the container the first rule is the only one.
  const elsewhere = [...interfaceName("oifname", loopback, "neq"), verdict("accept")];
  return [
    { ...table, chain: "questions", expressions: elsewhere },
    { ...table, chain: "questions", expressions: changePort("udp", "destination", dnsPort, ports.udp) },
    { ...table, chain: "questions", expressions: changePort("tcp", "destination", dnsPort, ports.tcp) },
    { ...table, chain: "answers", expressions: elsewhere },
    { ...table, chain: "answers", expressions: changePort("udp", "source", ports.udp, dnsPort) },
    { ...table, chain: "answers", expressions: changePort("tcp", "source", ports.tcp, dnsPort) },
  ];
}

function isSame(there: readonly Rule[], wanted: readonly Rule[]): boolean {
  return Bun.deepEquals(
    there.map(({ chain, expressions }) => ({ chain, expressions })),
    wanted.map(({ chain, expressions }) => ({ chain, expressions })),
  );
}

/** `ip daddr 127.0.0.11 udp dport 53 udp dport set 40000`. */
function changePort(protocol: "udp" | "tcp", field: "source" | "destination", from: number, to: number): Expression[] {
  const { number, checksumOffset } = protocols[protocol];
  const port = { base: "transport", offset: portOffsets[field], length: 2 } as const;
  return [
    ...address(field, Uint8Array.from(resolverAddress.split("."), Number), 32),
    { type: "meta", key: "l4proto", to: 1 },
    { type: "cmp", operator: "eq", from: 1, data: Uint8Array.of(number) },
    { type: "payload", ...port, to: 1 },
    { type: "cmp", operator: "eq", from: 1, data: networkOrder(from) },
    { type: "immediate", to: 1, data: networkOrder(to) },
    { type: "payload set", ...port, from: 1, checksumOffset },
  ];
}

function networkOrder(port: number): Uint8Array {
  return Uint8Array.of(port >> 8, port & 0xff);
}
