/**
 * What is in tsd's table, and why. One table per daemon; a bridge and a port are elements of its sets and maps, so that
 * adding one costs the same however many there are, and no rule is ever written twice.
 *
 * - `forward` decides what passes from one interface to another. The administrator's `tsd-user` comes first. Bridges
 *   hand their own frames to these chains too where br_netfilter is on, with the bridge as both interfaces.
 * - `input` keeps containers on internal networks from the host's other addresses, and from ports that tsd proxy passes
 *   on: those that are translated `forward` keeps them from.
 * - `raw` drops what claims to be of or for this host's loopback and comes from elsewhere: the bridges of ports that are
 *   published on 127.0.0.1 let such packets in (route_localnet), which without this would lead to the host's own
 *   services (CVE-2020-8558).
 * - `prerouting` and `output` (the host's own packets) translate published ports. 127.0.0.1 is asked for in `output`
 *   alone: `raw` drops it before `prerouting`. `::1` is left alone, because no packet from it may leave the loopback
 *   interface.
 * - `postrouting` gives packets another source only where the answer would not come back through this host by itself:
 *   to elsewhere, from 127.0.0.1, and from a container to its own network by a published port.
 *
 * Others' tables, chains and policies are not touched. Objects that the administrator makes in this table stay.
 */
import {
  address,
  counter,
  ctDestinationNat,
  ctState,
  type Field,
  fibTypeLocal,
  inSet,
  interfaceInSet,
  interfaceKey,
  interfaceName,
  noInputInterface,
  protocolFamily,
  translateByMap,
  transportProtocol,
  verdict,
} from "../../../ffi/netlink/nftables/match.ts";
import { concatenation, type DataType, type SetElement } from "../../../ffi/netlink/nftables/set.ts";
import { type Address, addressBytes } from "../address.ts";
import type { Transport } from "../ports/port.ts";
import type { BridgeRules, GatewayMode, PortTranslation } from "./rules.ts";
import type { DesiredChain, DesiredRule, DesiredTable } from "./table.ts";

/** Where chains hang among others' at the same hook: nft(8), "priority". */
const priorities = { raw: -300, destinationNat: -100, filter: 0, sourceNat: 100 } as const;

/** NFPROTO_IPV4 and NFPROTO_IPV6. */
const families = { 4: 2, 6: 10 } as const;
/** IANA's. */
export const protocolNumbers: Record<Transport, number> = { tcp: 6, udp: 17, sctp: 132 };
const icmp = { ip: 1, ip6: 58 } as const;

const loopback4 = new Uint8Array([127, 0, 0, 0]);
const loopback6 = Uint8Array.from({ length: 16 }, (_, i) => (i === 15 ? 1 : 0));

const portKey = {
  4: ["ipv4_addr", "inet_proto", "inet_service"],
  6: ["ipv6_addr", "inet_proto", "inet_service"],
} as const;

/** The sets, and what their elements say. */
const sets = {
  /** Every bridge. */
  bridges: { key: ["ifname"] },
  /** Bridges that nothing passes into or out of. */
  internal: { key: ["ifname"] },
  /** Every bridge twice: from itself to itself. */
  within: { key: ["ifname", "ifname"] },
  /** The same for bridges whose containers do not talk to each other. */
  apart: { key: ["ifname", "ifname"] },
  /** An interface of the host's, and a bridge that is open to it. */
  trusted: { key: ["ifname", "ifname"] },
  /** Bridges whose packets leave with the host's address. */
  masqueraded: { key: ["nf_proto", "ifname"] },
  /** Bridges whose containers answer ICMP at their own address. */
  routed: { key: ["nf_proto", "ifname"] },
  /** Bridges whose containers are reached freely at their own address. */
  unprotected: { key: ["nf_proto", "ifname"] },
  /** Containers' own ports that are reached without translation. */
  "open-ipv4": { key: portKey[4] },
  "open-ipv6": { key: portKey[6] },
  /** Ports of all of the host's addresses at which tsd proxy listens, and passes on what comes. */
  "passed-on": { key: ["nf_proto", "inet_proto", "inet_service"] },
  /** Ports of one of the host's addresses. */
  "published-ipv4": { key: portKey[4], data: ["ipv4_addr", "inet_service"] },
  "published-ipv6": { key: portKey[6], data: ["ipv6_addr", "inet_service"] },
  /** Ports of all of the host's addresses. */
  "published-ipv4-any": { key: ["inet_proto", "inet_service"], data: ["ipv4_addr", "inet_service"] },
  "published-ipv6-any": { key: ["inet_proto", "inet_service"], data: ["ipv6_addr", "inet_service"] },
} as const satisfies Record<string, { key: readonly DataType[]; data?: readonly DataType[] }>;
export type SetName = keyof typeof sets;

export interface Placed {
  set: SetName;
  element: SetElement;
}

/** The elements that a bridge is made of. */
export function bridgeElements(rules: BridgeRules): Placed[] {
  const name = interfaceKey(rules.bridge);
  const twice = concatenation(name, name);
  const placed: Placed[] = [
    { set: "bridges", element: { key: name } },
    { set: "within", element: { key: twice } },
  ];
  if (rules.internal) placed.push({ set: "internal", element: { key: name } });
  if (!rules.interContainer) placed.push({ set: "apart", element: { key: twice } });
  for (const other of rules.trustedInterfaces ?? []) {
    placed.push({ set: "trusted", element: { key: concatenation(interfaceKey(other), name) } });
  }
  const each = [
    { family: 4, masquerade: rules.masquerade.ipv4, mode: rules.gatewayMode?.ipv4 ?? "nat" },
    { family: 6, masquerade: rules.masquerade.ipv6, mode: rules.gatewayMode?.ipv6 ?? "nat" },
  ] as const;
  for (const { family, masquerade, mode } of each) {
    const element = { key: concatenation(new Uint8Array([families[family]]), name) };
    if (masquerade) placed.push({ set: "masqueraded", element });
    const set = setOfMode(mode);
    if (set !== undefined) placed.push({ set, element });
  }
  return placed;
}

function setOfMode(mode: GatewayMode): SetName | undefined {
  if (mode === "nat") return undefined;
  return mode === "routed" ? "routed" : "unprotected";
}

/** The element that a published port is. */
export function portElement(port: PortTranslation): Placed {
  const protocol = new Uint8Array([protocolNumbers[port.transport]]);
  const target = addressBytes(port.target);
  if (port.direct === true) {
    const set = port.family === 4 ? "open-ipv4" : "open-ipv6";
    return { set, element: { key: concatenation(target, protocol, portBytes(port.targetPort)) } };
  }
  const data = concatenation(target, portBytes(port.targetPort));
  const host = portBytes(port.hostPort);
  if (port.passedOn === true) {
    const family = new Uint8Array([families[port.family]]);
    return { set: "passed-on", element: { key: concatenation(family, protocol, host) } };
  }
  if (port.hostAddress === undefined || isWildcard(port.hostAddress)) {
    const set = port.family === 4 ? "published-ipv4-any" : "published-ipv6-any";
    return { set, element: { key: concatenation(protocol, host), data } };
  }
  const set = port.family === 4 ? "published-ipv4" : "published-ipv6";
  return { set, element: { key: concatenation(addressBytes(port.hostAddress), protocol, host), data } };
}

/** `0.0.0.0` and `::` mean every address, as none at all does. */
function isWildcard(address: Address): boolean {
  return address.value === 0n;
}

/** Whether it is reached at 127.0.0.1, whose packets a bridge takes only when it is told to (route_localnet). */
export function isOnLoopback({ family, direct, passedOn, hostAddress }: PortTranslation): boolean {
  if (family !== 4 || direct === true || passedOn === true) return false;
  return hostAddress === undefined || isWildcard(hostAddress) || addressBytes(hostAddress)[0] === loopback4[0];
}

/** Where a packet to that address and port is looked up, in this order. */
export function lookupsOf(destination: Address, protocol: number, port: number): { set: SetName; key: Uint8Array }[] {
  const service = [new Uint8Array([protocol]), portBytes(port)];
  const [one, any] =
    destination.family === 4
      ? (["published-ipv4", "published-ipv4-any"] as const)
      : (["published-ipv6", "published-ipv6-any"] as const);
  return [
    { set: one, key: concatenation(addressBytes(destination), ...service) },
    { set: any, key: concatenation(...service) },
  ];
}

function portBytes(port: number): Uint8Array {
  return new Uint8Array([port >> 8, port & 0xff]);
}

export function tableContents(
  table: string,
  bridges: Iterable<BridgeRules>,
  ports: Iterable<PortTranslation>,
): DesiredTable {
  const elements = new Map<SetName, SetElement[]>((Object.keys(sets) as SetName[]).map((name) => [name, []]));
  for (const rules of bridges) for (const { set, element } of bridgeElements(rules)) elements.get(set)!.push(element);
  for (const port of ports) {
    const { set, element } = portElement(port);
    elements.get(set)!.push(element);
  }
  return {
    family: "inet",
    table,
    comment: "made by tsd, which puts it back when it is changed; tsd-user is the administrator's",
    sets: [...elements].map(([name, each]) => ({ name, ...sets[name], elements: each })),
    chains: [
      { name: userChain },
      { name: "published", rules: publishedRules() },
      chain("forward", "filter", "forward", priorities.filter, forwardRules()),
      chain("input", "filter", "input", priorities.filter, inputRules()),
      chain("raw", "filter", "prerouting", priorities.raw, rawRules()),
      chain("prerouting", "nat", "prerouting", priorities.destinationNat, toPublished()),
      chain("output", "nat", "output", priorities.destinationNat, toPublished()),
      chain("postrouting", "nat", "postrouting", priorities.sourceNat, postroutingRules()),
    ],
  };
}

/** Made empty; what is in it is the administrator's, and never touched. */
export const userChain = "tsd-user";

type Base = NonNullable<DesiredChain["base"]>;

function chain(
  name: string,
  type: Base["type"],
  hook: Base["hook"],
  priority: number,
  rules: DesiredRule[],
): DesiredChain {
  return { name, base: { type, hook, priority, policy: "accept" }, rules };
}

const toBridges = interfaceInSet("oifname", "bridges");
const alongBridge: Field[] = ["iifname", "oifname"];
const drop = [counter(), verdict("drop")];

function forwardRules(): DesiredRule[] {
  const open = (family: "ip" | "ip6", field: Field, set: SetName): DesiredRule => ({
    expressions: [...protocolFamily(family), ...inSet([field, "l4proto", "th dport"], set), verdict("accept")],
  });
  const routedIcmp = (family: "ip" | "ip6"): DesiredRule => ({
    expressions: [...inSet(["nfproto", "oifname"], "routed"), ...transportProtocol(icmp[family]), verdict("accept")],
  });
  const elsewhere = inSet(alongBridge, "within", true);
  return [
    { expressions: [verdict("jump", userChain)] },
    // Before what belongs to a flow: a container may forge packets of one that somebody else has.
    {
      expressions: [...interfaceInSet("iifname", "internal"), ...elsewhere, ...drop],
      comment: "out of an internal network",
    },
    {
      expressions: [...interfaceInSet("oifname", "internal"), ...elsewhere, ...drop],
      comment: "into an internal network",
    },
    { expressions: [...ctState("established", "related"), verdict("accept")] },
    {
      expressions: [
        ...toBridges,
        ...ctDestinationNat(),
        ...interfaceInSet("iifname", "internal", true),
        ...interfaceInSet("oifname", "internal", true),
        verdict("accept"),
      ],
      comment: "published ports",
    },
    { expressions: [...inSet(alongBridge, "apart"), ...drop], comment: "inter-container communication is off" },
    { expressions: [...inSet(alongBridge, "within"), verdict("accept")] },
    { expressions: [...inSet(alongBridge, "trusted"), verdict("accept")] },
    { expressions: [...inSet(["nfproto", "oifname"], "unprotected"), verdict("accept")] },
    open("ip", "ip daddr", "open-ipv4"),
    open("ip6", "ip6 daddr", "open-ipv6"),
    routedIcmp("ip"),
    routedIcmp("ip6"),
    {
      expressions: [...interfaceInSet("iifname", "bridges"), ...toBridges, ...drop],
      comment: "networks do not reach each other",
    },
    { expressions: [...toBridges, ...drop], comment: "not published, and not asked for by a container" },
  ];
}

function inputRules(): DesiredRule[] {
  return [
    {
      expressions: [
        ...interfaceInSet("iifname", "internal"),
        ...fibTypeLocal(["daddr"]),
        ...fibTypeLocal(["daddr", "iif"], "neq"),
        ...drop,
      ],
      comment: "from an internal network to another address than its bridge's",
    },
    {
      expressions: [
        ...interfaceInSet("iifname", "internal"),
        ...inSet(["nfproto", "l4proto", "th dport"], "passed-on"),
        ...drop,
      ],
      comment: "from an internal network to another's port, by tsd proxy",
    },
  ];
}

function rawRules(): DesiredRule[] {
  const fromElsewhere = interfaceName("iifname", "lo", "neq");
  return [
    {
      expressions: [...fromElsewhere, ...address("destination", loopback4, 8), ...drop],
      comment: "for the loopback, from elsewhere",
    },
    {
      expressions: [...fromElsewhere, ...address("source", loopback4, 8), ...drop],
      comment: "as if from the loopback",
    },
  ];
}

function toPublished(): DesiredRule[] {
  return [{ expressions: [...fibTypeLocal(["daddr"]), verdict("jump", "published")] }];
}

/** One of the host's addresses before all of them. */
function publishedRules(): DesiredRule[] {
  const port: Field[] = ["l4proto", "th dport"];
  return [
    { expressions: [...protocolFamily("ip"), ...translateByMap("ip", ["ip daddr", ...port], "published-ipv4")] },
    { expressions: [...protocolFamily("ip"), ...translateByMap("ip", port, "published-ipv4-any")] },
    { expressions: [...address("destination", loopback6, 128), verdict("return")] },
    { expressions: [...protocolFamily("ip6"), ...translateByMap("ip6", ["ip6 daddr", ...port], "published-ipv6")] },
    { expressions: [...protocolFamily("ip6"), ...translateByMap("ip6", port, "published-ipv6-any")] },
  ];
}

function postroutingRules(): DesiredRule[] {
  return [
    { expressions: [...toBridges, ...address("source", loopback4, 8), { type: "masquerade" }] },
    {
      expressions: [...toBridges, ...ctDestinationNat(), ...inSet(alongBridge, "within"), { type: "masquerade" }],
      comment: "by a published port to the own network",
    },
    {
      expressions: [
        ...toBridges,
        ...ctDestinationNat(),
        ...noInputInterface(),
        ...fibTypeLocal(["saddr"], "neq"),
        { type: "masquerade" },
      ],
      comment: "the same, where br_netfilter is on",
    },
    { expressions: [...toBridges, verdict("return")] },
    { expressions: [...inSet(["nfproto", "iifname"], "masqueraded"), { type: "masquerade" }] },
  ];
}
