/** Expressions in the combinations that rules use, each as nft(8) itself would write it. */
import type { Comparison, Expression, FibFlag, Verdict } from "./expression.ts";

const interfaceNameSize = 16;

/** nf_inet_protocols. */
const NFPROTO_IPV4 = 2;
const NFPROTO_IPV6 = 10;

/** RTN_LOCAL: an address of this host, or of one of its interfaces. */
const routeTypeLocal = 2;

/** Bits of the connection's state, include/uapi/linux/netfilter/nf_conntrack_common.h. */
const ctStates = { invalid: 1, established: 2, related: 4, new: 8, untracked: 64 } as const;
/** IPS_DST_NAT: the connection's destination was translated, as a published port's is. */
const ctStatusDestinationNat = 0x20;

/** An interface's name as a key: 16 bytes, padded with NUL. */
export function interfaceKey(name: string): Uint8Array {
  const bytes = new Uint8Array(interfaceNameSize);
  bytes.set(new TextEncoder().encode(name).subarray(0, interfaceNameSize - 1));
  return bytes;
}

/** `iifname "tsd0"`, `oifname != "tsd0"`. */
export function interfaceName(key: "iifname" | "oifname", name: string, operator: Comparison = "eq"): Expression[] {
  return [
    { type: "meta", key, to: 1 },
    { type: "cmp", operator, from: 1, data: interfaceKey(name) },
  ];
}

/** `iifname "docker*"`: every interface whose name begins so. */
export function interfacePrefix(key: "iifname" | "oifname", prefix: string): Expression[] {
  return [
    { type: "meta", key, to: 1 },
    { type: "cmp", operator: "eq", from: 1, data: new TextEncoder().encode(prefix) },
  ];
}

/** `oifname @set`. */
export function interfaceInSet(key: "iifname" | "oifname", set: string, inverted = false): Expression[] {
  return [
    { type: "meta", key, to: 1 },
    { type: "lookup", set, from: 1, inverted },
  ];
}

/** What can be looked up in a set or a map, alone or one after the other, by the names that nft(8) has for it. */
const fields = {
  iifname: { length: interfaceNameSize, load: (to: number): Expression => ({ type: "meta", key: "iifname", to }) },
  oifname: { length: interfaceNameSize, load: (to: number): Expression => ({ type: "meta", key: "oifname", to }) },
  nfproto: { length: 1, load: (to: number): Expression => ({ type: "meta", key: "nfproto", to }) },
  l4proto: { length: 1, load: (to: number): Expression => ({ type: "meta", key: "l4proto", to }) },
  // The destination in the headers of IPv4 and IPv6; RFC 791 section 3.1, RFC 8200 section 3.
  "ip daddr": { length: 4, load: (to: number): Expression => network(16, 4, to) },
  "ip6 daddr": { length: 16, load: (to: number): Expression => network(24, 16, to) },
  // TCP, UDP and SCTP have their ports at the same place.
  "th dport": {
    length: 2,
    load: (to: number): Expression => ({ type: "payload", base: "transport", offset: 2, length: 2, to }),
  },
};
export type Field = keyof typeof fields;

function network(offset: number, length: number, to: number): Expression {
  return { type: "payload", base: "network", offset, length, to };
}

/** `iifname . oifname @set`. */
export function inSet(names: readonly Field[], set: string, inverted = false): Expression[] {
  return [...loadAll(names), { type: "lookup", set, from: 1, inverted }];
}

/**
 * `dnat ip to meta l4proto . th dport map @map`: to the address and port that the map leads to, if it does. Without an
 * address among the fields the caller asks for the packet's family.
 */
export function translateByMap(family: "ip" | "ip6", names: readonly Field[], map: string): Expression[] {
  return [
    ...loadAll(names),
    { type: "lookup", set: map, from: 1, to: 1, inverted: false },
    { type: "nat", kind: "dnat", family, address: 1, port: registerAt(family === "ip" ? 4 : 16) },
  ];
}

/** Loads fields as a set's key has them: one after the other, each from a word of four bytes on. */
function loadAll(names: readonly Field[]): Expression[] {
  let offset = 0;
  return names.map((name) => {
    const { length, load } = fields[name];
    const expression = load(registerAt(offset));
    offset += (length + 3) & ~3;
    return expression;
  });
}

/** The register at a byte: those of 16 bytes where one begins, as the kernel gives them back. */
function registerAt(offset: number): number {
  return offset % 16 === 0 ? 1 + offset / 16 : 8 + offset / 4;
}

/** `meta nfproto ipv4`. */
export function protocolFamily(family: "ip" | "ip6"): Expression[] {
  return [
    { type: "meta", key: "nfproto", to: 1 },
    { type: "cmp", operator: "eq", from: 1, data: new Uint8Array([family === "ip" ? NFPROTO_IPV4 : NFPROTO_IPV6]) },
  ];
}

/** `meta l4proto icmp`. */
export function transportProtocol(number: number): Expression[] {
  return [
    { type: "meta", key: "l4proto", to: 1 },
    { type: "cmp", operator: "eq", from: 1, data: new Uint8Array([number]) },
  ];
}

/** `iif 0`: the packet came by no interface, or by one that is not told (a bridge that hands frames to IP's chains). */
export function noInputInterface(): Expression[] {
  return [
    { type: "meta", key: "iif", to: 1 },
    { type: "cmp", operator: "eq", from: 1, data: hostOrder(0) },
  ];
}

/** `fib daddr type local`; with the flag iif only addresses of the interface by which the packet came. */
export function fibTypeLocal(flags: FibFlag[], operator: "eq" | "neq" = "eq"): Expression[] {
  return [
    { type: "fib", result: "type", flags, to: 1 },
    { type: "cmp", operator, from: 1, data: hostOrder(routeTypeLocal) },
  ];
}

/** `ct state established,related`: any of them. */
export function ctState(...states: (keyof typeof ctStates)[]): Expression[] {
  return ctBits(
    "state",
    states.reduce((bits, state) => bits | ctStates[state], 0),
  );
}

/** `ct status dnat`. */
export function ctDestinationNat(): Expression[] {
  return ctBits("status", ctStatusDestinationNat);
}

/** `ip saddr 172.28.0.0/16`, in a table of family inet: the packet's family is asked first. */
export function address(field: "source" | "destination", subnet: Uint8Array, prefixLength: number): Expression[] {
  const v4 = subnet.length === 4;
  const family = protocolFamily(v4 ? "ip" : "ip6");
  // Where the addresses are: RFC 791 section 3.1, RFC 8200 section 3.
  const source = v4 ? 12 : 8;
  const offset = field === "source" ? source : source + subnet.length;
  const mask = Uint8Array.from(subnet, (_, i) => 0xff00 >> Math.min(8, Math.max(0, prefixLength - i * 8)));
  const masked = subnet.map((byte, i) => byte & mask[i]!);
  return [
    ...family,
    network(offset, subnet.length, 1),
    { type: "bitwise", from: 1, to: 1, mask, xor: new Uint8Array(subnet.length) },
    { type: "cmp", operator: "eq", from: 1, data: masked },
  ];
}

export function verdict(name: Verdict, chain?: string): Expression {
  return chain === undefined ? { type: "verdict", verdict: name } : { type: "verdict", verdict: name, chain };
}

export function counter(): Expression {
  return { type: "counter", packets: 0n, bytes: 0n };
}

function ctBits(key: "state" | "status", bits: number): Expression[] {
  return [
    { type: "ct", key, to: 1 },
    { type: "bitwise", from: 1, to: 1, mask: hostOrder(bits), xor: new Uint8Array(4) },
    { type: "cmp", operator: "neq", from: 1, data: new Uint8Array(4) },
  ];
}

function hostOrder(value: number): Uint8Array {
  return new Uint8Array(new Uint32Array([value]).buffer);
}
