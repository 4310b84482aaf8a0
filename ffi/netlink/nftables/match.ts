/** Expressions in the combinations that rules use, each as nft(8) itself would write it. */
import type { Comparison, Expression, Verdict } from "./expression.ts";

const interfaceNameSize = 16;

/** nf_inet_protocols. */
const NFPROTO_IPV4 = 2;
const NFPROTO_IPV6 = 10;

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
  // Where the addresses are: RFC 791 section 3.1, RFC 8200 section 3.
  const source = v4 ? 12 : 8;
  const offset = field === "source" ? source : source + subnet.length;
  const mask = Uint8Array.from(subnet, (_, i) => 0xff00 >> Math.min(8, Math.max(0, prefixLength - i * 8)));
  const masked = subnet.map((byte, i) => byte & mask[i]!);
  return [
    { type: "meta", key: "nfproto", to: 1 },
    { type: "cmp", operator: "eq", from: 1, data: new Uint8Array([v4 ? NFPROTO_IPV4 : NFPROTO_IPV6]) },
    { type: "payload", base: "network", offset, length: subnet.length, to: 1 },
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
