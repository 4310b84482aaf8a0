/**
 * The expressions that a rule of nf_tables is made of: small instructions over registers, run in order until one
 * breaks off. include/uapi/linux/netfilter/nf_tables.h.
 *
 * Register 0 takes verdicts; 1 to 4 hold 16 bytes each, and 8 to 23 are the same in pieces of 4 bytes, by which the
 * fields of a concatenation follow each other (the kernel gives 8, 12, 16 and 20 back as 1 to 4). Data is in the byte
 * order that the packet or the kernel keeps it in: addresses and ports in network order, marks and connection states in
 * the machine's.
 */
import { Attributes, type Message } from "../message.ts";

/** nft_meta_keys, those in use here. */
const metaKeys = { protocol: 1, mark: 3, iif: 4, oif: 5, iifname: 6, oifname: 7, nfproto: 15, l4proto: 16 } as const;
/** nft_ct_keys. */
const ctKeys = { state: 0, direction: 1, status: 2, mark: 3 } as const;
/** nft_cmp_ops. */
const comparisons = { eq: 0, neq: 1, lt: 2, lte: 3, gt: 4, gte: 5 } as const;
/** nft_payload_bases. */
const payloadBases = { link: 0, network: 1, transport: 2 } as const;
/** nft_fib_result. */
const fibResults = { oif: 1, oifname: 2, type: 3 } as const;
/** nft_fib_flags. */
const fibFlags = { saddr: 1, daddr: 2, mark: 4, iif: 8, oif: 16, present: 32 } as const;
/** nft_nat_types, and NFPROTO_IPV4 and NFPROTO_IPV6. */
const natTypes = { snat: 0, dnat: 1 } as const;
const natFamilies = { ip: 2, ip6: 10 } as const;
/** NF_DROP, NF_ACCEPT and nft_verdicts. */
const verdicts = { drop: 0, accept: 1, continue: -1, break: -2, jump: -3, goto: -4, return: -5 } as const;

export type MetaKey = keyof typeof metaKeys;
export type CtKey = keyof typeof ctKeys;
export type Comparison = keyof typeof comparisons;
export type PayloadBase = keyof typeof payloadBases;
export type Verdict = keyof typeof verdicts;
export type FibResult = keyof typeof fibResults;
export type FibFlag = keyof typeof fibFlags;

export type Expression =
  /** Loads what the kernel knows of the packet. Interface names are 16 bytes, padded with NUL. */
  | { type: "meta"; key: MetaKey; to: number }
  /** Sets the packet's mark from a register. */
  | { type: "meta set"; key: MetaKey; from: number }
  /** Loads bytes of the packet. */
  | { type: "payload"; base: PayloadBase; offset: number; length: number; to: number }
  /**
   * Writes a register over bytes of the packet, and puts right the checksum that is at `checksumOffset` of the same
   * header. That is not for addresses: TCP's and UDP's checksums cover them, too.
   */
  | { type: "payload set"; base: PayloadBase; offset: number; length: number; from: number; checksumOffset: number }
  /** Loads what connection tracking knows. */
  | { type: "ct"; key: CtKey; to: number }
  /** Breaks off unless the register compares so; fewer bytes than the register holds compare its beginning. */
  | { type: "cmp"; operator: Comparison; from: number; data: Uint8Array }
  /** register = (register & mask) ^ xor. */
  | { type: "bitwise"; from: number; to: number; mask: Uint8Array; xor: Uint8Array }
  /** Breaks off unless the register is (or, inverted, is not) in the set; with `to`, loads what a map has there. */
  | { type: "lookup"; set: string; from: number; to?: number; inverted: boolean }
  | { type: "immediate"; to: number; data: Uint8Array }
  | { type: "verdict"; verdict: Verdict; chain?: string }
  /** Source address of the interface that the packet leaves by; in a postrouting chain of type nat. */
  | { type: "masquerade" }
  /** Translates to the address, and where there is one the port, in the registers; in a chain of type nat. */
  | { type: "nat"; kind: "snat" | "dnat"; family: "ip" | "ip6"; address: number; port?: number }
  /** Asks the routing table about one of the packet's addresses, as seen from its interface where `flags` says so. */
  | { type: "fib"; result: FibResult; flags: FibFlag[]; to: number }
  | { type: "counter"; packets: bigint; bytes: bigint }
  /** A match of iptables' own, with its C structure: what iptables-nft writes into its tables (nft_compat). */
  | { type: "match"; name: string; revision: number; info: Uint8Array }
  /** One that is not taken apart here. */
  | { type: "other"; name: string; data: Uint8Array };

const NFTA_LIST_ELEM = 1;
const NFTA_EXPR_NAME = 1;
const NFTA_EXPR_DATA = 2;
const NFTA_DATA_VALUE = 1;
const NFTA_DATA_VERDICT = 2;
const NFTA_VERDICT_CODE = 1;
const NFTA_VERDICT_CHAIN = 2;

const NFTA_META_DREG = 1;
const NFTA_META_KEY = 2;
const NFTA_META_SREG = 3;
const NFTA_PAYLOAD_DREG = 1;
const NFTA_PAYLOAD_BASE = 2;
const NFTA_PAYLOAD_OFFSET = 3;
const NFTA_PAYLOAD_LEN = 4;
const NFTA_PAYLOAD_SREG = 5;
const NFTA_PAYLOAD_CSUM_TYPE = 6;
const NFTA_PAYLOAD_CSUM_OFFSET = 7;
const NFTA_PAYLOAD_CSUM_FLAGS = 8;
/** The one of RFC 1071. */
const NFT_PAYLOAD_CSUM_INET = 1;
const NFTA_CT_DREG = 1;
const NFTA_CT_KEY = 2;
const NFTA_CT_DIRECTION = 3;
const NFTA_CT_SREG = 4;
const NFTA_CMP_SREG = 1;
const NFTA_CMP_OP = 2;
const NFTA_CMP_DATA = 3;
const NFTA_BITWISE_SREG = 1;
const NFTA_BITWISE_DREG = 2;
const NFTA_BITWISE_LEN = 3;
const NFTA_BITWISE_MASK = 4;
const NFTA_BITWISE_XOR = 5;
const NFTA_BITWISE_OP = 6;
const NFTA_LOOKUP_SET = 1;
const NFTA_LOOKUP_SREG = 2;
const NFTA_LOOKUP_DREG = 3;
const NFTA_LOOKUP_FLAGS = 5;
const NFT_LOOKUP_F_INV = 1;
const NFTA_IMMEDIATE_DREG = 1;
const NFTA_IMMEDIATE_DATA = 2;
const NFTA_NAT_TYPE = 1;
const NFTA_NAT_FAMILY = 2;
const NFTA_NAT_REG_ADDR_MIN = 3;
const NFTA_NAT_REG_ADDR_MAX = 4;
const NFTA_NAT_REG_PROTO_MIN = 5;
const NFTA_NAT_REG_PROTO_MAX = 6;
const NFTA_NAT_FLAGS = 7;
/** NF_NAT_RANGE_MAP_IPS and NF_NAT_RANGE_PROTO_SPECIFIED: the kernel sets them where there are such registers. */
const natFlagsImplied = 3;
const NFTA_FIB_DREG = 1;
const NFTA_FIB_RESULT = 2;
const NFTA_FIB_FLAGS = 3;
const NFTA_COUNTER_BYTES = 1;
const NFTA_COUNTER_PACKETS = 2;
const NFTA_MATCH_NAME = 1;
const NFTA_MATCH_REV = 2;
const NFTA_MATCH_INFO = 3;

/** Appends the expressions as the list that a rule's attribute holds. */
export function encodeExpressions(message: Message, attribute: number, expressions: readonly Expression[]): void {
  message.nest(attribute, (list) => {
    for (const expression of expressions) {
      list.nest(NFTA_LIST_ELEM, (element) => {
        element.string(NFTA_EXPR_NAME, kernelName(expression));
        element.nest(NFTA_EXPR_DATA, (data) => encode(data, expression));
      });
    }
  });
}

function kernelName(expression: Expression): string {
  switch (expression.type) {
    case "meta set":
      return "meta";
    case "payload set":
      return "payload";
    case "verdict":
      return "immediate";
    case "masquerade":
      return "masq";
    case "other":
      return expression.name;
    default:
      return expression.type;
  }
}

function encode(data: Message, expression: Expression): void {
  switch (expression.type) {
    case "meta":
      data.u32be(NFTA_META_KEY, metaKeys[expression.key]).u32be(NFTA_META_DREG, expression.to);
      break;
    case "meta set":
      data.u32be(NFTA_META_KEY, metaKeys[expression.key]).u32be(NFTA_META_SREG, expression.from);
      break;
    case "payload":
      data.u32be(NFTA_PAYLOAD_DREG, expression.to).u32be(NFTA_PAYLOAD_BASE, payloadBases[expression.base]);
      data.u32be(NFTA_PAYLOAD_OFFSET, expression.offset).u32be(NFTA_PAYLOAD_LEN, expression.length);
      break;
    case "payload set":
      data.u32be(NFTA_PAYLOAD_SREG, expression.from).u32be(NFTA_PAYLOAD_BASE, payloadBases[expression.base]);
      data.u32be(NFTA_PAYLOAD_OFFSET, expression.offset).u32be(NFTA_PAYLOAD_LEN, expression.length);
      data.u32be(NFTA_PAYLOAD_CSUM_TYPE, NFT_PAYLOAD_CSUM_INET);
      data.u32be(NFTA_PAYLOAD_CSUM_OFFSET, expression.checksumOffset).u32be(NFTA_PAYLOAD_CSUM_FLAGS, 0);
      break;
    case "ct":
      data.u32be(NFTA_CT_KEY, ctKeys[expression.key]).u32be(NFTA_CT_DREG, expression.to);
      break;
    case "cmp":
      data.u32be(NFTA_CMP_SREG, expression.from).u32be(NFTA_CMP_OP, comparisons[expression.operator]);
      data.nest(NFTA_CMP_DATA, (value) => value.bytes(NFTA_DATA_VALUE, expression.data));
      break;
    case "bitwise":
      data.u32be(NFTA_BITWISE_SREG, expression.from).u32be(NFTA_BITWISE_DREG, expression.to);
      data.u32be(NFTA_BITWISE_LEN, expression.mask.length);
      data.nest(NFTA_BITWISE_MASK, (value) => value.bytes(NFTA_DATA_VALUE, expression.mask));
      data.nest(NFTA_BITWISE_XOR, (value) => value.bytes(NFTA_DATA_VALUE, expression.xor));
      break;
    case "lookup":
      data.u32be(NFTA_LOOKUP_SREG, expression.from).string(NFTA_LOOKUP_SET, expression.set);
      if (expression.to !== undefined) data.u32be(NFTA_LOOKUP_DREG, expression.to);
      if (expression.inverted) data.u32be(NFTA_LOOKUP_FLAGS, NFT_LOOKUP_F_INV);
      break;
    case "immediate":
      data.u32be(NFTA_IMMEDIATE_DREG, expression.to);
      data.nest(NFTA_IMMEDIATE_DATA, (value) => value.bytes(NFTA_DATA_VALUE, expression.data));
      break;
    case "verdict":
      data.u32be(NFTA_IMMEDIATE_DREG, 0);
      data.nest(NFTA_IMMEDIATE_DATA, (value) => encodeVerdict(value, expression.verdict, expression.chain));
      break;
    case "masquerade":
      break;
    case "nat":
      data.u32be(NFTA_NAT_TYPE, natTypes[expression.kind]).u32be(NFTA_NAT_FAMILY, natFamilies[expression.family]);
      data.u32be(NFTA_NAT_REG_ADDR_MIN, expression.address);
      if (expression.port !== undefined) data.u32be(NFTA_NAT_REG_PROTO_MIN, expression.port);
      break;
    case "fib":
      data.u32be(NFTA_FIB_DREG, expression.to).u32be(NFTA_FIB_RESULT, fibResults[expression.result]);
      data.u32be(
        NFTA_FIB_FLAGS,
        expression.flags.reduce((bits, flag) => bits | fibFlags[flag], 0),
      );
      break;
    case "counter":
      data.u64be(NFTA_COUNTER_BYTES, expression.bytes).u64be(NFTA_COUNTER_PACKETS, expression.packets);
      break;
    case "match":
      data.string(NFTA_MATCH_NAME, expression.name).u32be(NFTA_MATCH_REV, expression.revision);
      data.bytes(NFTA_MATCH_INFO, expression.info);
      break;
    case "other":
      data.structure(expression.data);
  }
}

/** A verdict as data: of a rule, or of an element of a verdict map. */
export function encodeVerdict(data: Message, verdict: Verdict, chain?: string): void {
  data.nest(NFTA_DATA_VERDICT, (value) => {
    value.u32be(NFTA_VERDICT_CODE, verdicts[verdict]);
    if (chain !== undefined) value.string(NFTA_VERDICT_CHAIN, chain);
  });
}

/** The expressions of a rule's attribute. What is not known, or not in full, comes back as `other`, never half. */
export function decodeExpressions(list: Attributes): Expression[] {
  return list.entries.map(({ value }) => {
    const element = new Attributes(value);
    const name = element.string(NFTA_EXPR_NAME) ?? "";
    const data = element.bytes(NFTA_EXPR_DATA) ?? new Uint8Array(0);
    return decode(name, new Attributes(data)) ?? { type: "other", name, data };
  });
}

function decode(name: string, data: Attributes): Expression | undefined {
  switch (name) {
    case "meta":
      return decodeMeta(data);
    case "payload":
      return decodePayload(data);
    case "ct":
      return decodeCt(data);
    case "cmp":
      return decodeCmp(data);
    case "bitwise":
      return decodeBitwise(data);
    case "lookup":
      return decodeLookup(data);
    case "immediate":
      return decodeImmediate(data);
    case "masq":
      return data.entries.length === 0 ? { type: "masquerade" } : undefined;
    case "nat":
      return decodeNat(data);
    case "fib":
      return decodeFib(data);
    case "counter":
      return {
        type: "counter",
        packets: data.u64be(NFTA_COUNTER_PACKETS) ?? 0n,
        bytes: data.u64be(NFTA_COUNTER_BYTES) ?? 0n,
      };
    case "match":
      return {
        type: "match",
        name: data.string(NFTA_MATCH_NAME) ?? "",
        revision: data.u32be(NFTA_MATCH_REV) ?? 0,
        info: data.bytes(NFTA_MATCH_INFO) ?? new Uint8Array(0),
      };
    default:
      return undefined;
  }
}

function decodeMeta(data: Attributes): Expression | undefined {
  const key = nameOf(metaKeys, data.u32be(NFTA_META_KEY));
  const to = data.u32be(NFTA_META_DREG);
  const from = data.u32be(NFTA_META_SREG);
  if (key === undefined) return undefined;
  if (to !== undefined) return { type: "meta", key, to };
  return from === undefined ? undefined : { type: "meta set", key, from };
}

function decodePayload(data: Attributes): Expression | undefined {
  const base = nameOf(payloadBases, data.u32be(NFTA_PAYLOAD_BASE));
  const offset = data.u32be(NFTA_PAYLOAD_OFFSET);
  const length = data.u32be(NFTA_PAYLOAD_LEN);
  const to = data.u32be(NFTA_PAYLOAD_DREG);
  if (base === undefined || offset === undefined || length === undefined) return undefined;
  const from = data.u32be(NFTA_PAYLOAD_SREG);
  if (from === undefined) return to === undefined ? undefined : { type: "payload", base, offset, length, to };
  const checksumOffset = data.u32be(NFTA_PAYLOAD_CSUM_OFFSET);
  if (data.u32be(NFTA_PAYLOAD_CSUM_TYPE) !== NFT_PAYLOAD_CSUM_INET || checksumOffset === undefined) return undefined;
  if ((data.u32be(NFTA_PAYLOAD_CSUM_FLAGS) ?? 0) !== 0) return undefined;
  return { type: "payload set", base, offset, length, from, checksumOffset };
}

function decodeCt(data: Attributes): Expression | undefined {
  const key = nameOf(ctKeys, data.u32be(NFTA_CT_KEY));
  const to = data.u32be(NFTA_CT_DREG);
  if (key === undefined || to === undefined || data.has(NFTA_CT_SREG) || data.has(NFTA_CT_DIRECTION)) return undefined;
  return { type: "ct", key, to };
}

function decodeCmp(data: Attributes): Expression | undefined {
  const from = data.u32be(NFTA_CMP_SREG);
  const operator = nameOf(comparisons, data.u32be(NFTA_CMP_OP));
  const value = data.nested(NFTA_CMP_DATA)?.bytes(NFTA_DATA_VALUE);
  if (from === undefined || operator === undefined || value === undefined) return undefined;
  return { type: "cmp", operator, from, data: value };
}

function decodeBitwise(data: Attributes): Expression | undefined {
  const from = data.u32be(NFTA_BITWISE_SREG);
  const to = data.u32be(NFTA_BITWISE_DREG);
  const mask = data.nested(NFTA_BITWISE_MASK)?.bytes(NFTA_DATA_VALUE);
  const xor = data.nested(NFTA_BITWISE_XOR)?.bytes(NFTA_DATA_VALUE);
  // 0 is mask and xor; the others are shifts.
  if ((data.u32be(NFTA_BITWISE_OP) ?? 0) !== 0 || from === undefined || to === undefined || !mask || !xor) {
    return undefined;
  }
  return { type: "bitwise", from, to, mask, xor };
}

function decodeLookup(data: Attributes): Expression | undefined {
  const set = data.string(NFTA_LOOKUP_SET);
  const from = data.u32be(NFTA_LOOKUP_SREG);
  const to = data.u32be(NFTA_LOOKUP_DREG);
  if (set === undefined || from === undefined) return undefined;
  const inverted = (data.u32be(NFTA_LOOKUP_FLAGS) ?? 0) === NFT_LOOKUP_F_INV;
  return { type: "lookup", set, from, ...(to !== undefined && { to }), inverted };
}

function decodeImmediate(data: Attributes): Expression | undefined {
  const to = data.u32be(NFTA_IMMEDIATE_DREG);
  const content = data.nested(NFTA_IMMEDIATE_DATA);
  const value = content?.bytes(NFTA_DATA_VALUE);
  if (to === undefined || content === undefined) return undefined;
  if (value !== undefined) return { type: "immediate", to, data: value };
  const verdict = decodeVerdict(content);
  return verdict && { type: "verdict", ...verdict };
}

/** The other way of `encodeVerdict`. */
export function decodeVerdict(content: Attributes): { verdict: Verdict; chain?: string } | undefined {
  const value = content.nested(NFTA_DATA_VERDICT);
  const code = value?.u32be(NFTA_VERDICT_CODE);
  const verdict = nameOf(verdicts, code === undefined ? undefined : code | 0);
  const chain = value?.string(NFTA_VERDICT_CHAIN);
  return verdict && { verdict, ...(chain !== undefined && { chain }) };
}

function decodeNat(data: Attributes): Expression | undefined {
  const kind = nameOf(natTypes, data.u32be(NFTA_NAT_TYPE));
  const family = nameOf(natFamilies, data.u32be(NFTA_NAT_FAMILY));
  const address = data.u32be(NFTA_NAT_REG_ADDR_MIN);
  const port = data.u32be(NFTA_NAT_REG_PROTO_MIN);
  if (kind === undefined || family === undefined || address === undefined) return undefined;
  // A range, or a flag such as random: not what is written here.
  if ((data.u32be(NFTA_NAT_REG_ADDR_MAX) ?? address) !== address) return undefined;
  if (data.u32be(NFTA_NAT_REG_PROTO_MAX) !== port && data.has(NFTA_NAT_REG_PROTO_MAX)) return undefined;
  if (((data.u32be(NFTA_NAT_FLAGS) ?? 0) & ~natFlagsImplied) !== 0) return undefined;
  return { type: "nat", kind, family, address, ...(port !== undefined && { port }) };
}

function decodeFib(data: Attributes): Expression | undefined {
  const result = nameOf(fibResults, data.u32be(NFTA_FIB_RESULT));
  const to = data.u32be(NFTA_FIB_DREG);
  const bits = data.u32be(NFTA_FIB_FLAGS);
  if (result === undefined || to === undefined || bits === undefined) return undefined;
  const flags = (Object.keys(fibFlags) as FibFlag[]).filter((flag) => (bits & fibFlags[flag]) !== 0);
  return { type: "fib", result, flags, to };
}

function nameOf<Name extends string>(table: Record<Name, number>, value: number | undefined): Name | undefined {
  return (Object.keys(table) as Name[]).find((name) => table[name] === value);
}
