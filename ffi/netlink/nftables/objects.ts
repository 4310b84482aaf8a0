/** Tables, chains, rules and sets of nf_tables as messages. include/uapi/linux/netfilter/nf_tables.h. */
import { Attributes, Message, NLM_F_APPEND, NLM_F_CREATE, type Reply, textOf } from "../message.ts";
import { decodeExpressions, type Expression, encodeExpressions, encodeVerdict, type Verdict } from "./expression.ts";

const NFNL_SUBSYS_NFTABLES = 10;
export const NFT_MSG = {
  NEWTABLE: 0,
  GETTABLE: 1,
  DELTABLE: 2,
  NEWCHAIN: 3,
  GETCHAIN: 4,
  DELCHAIN: 5,
  NEWRULE: 6,
  GETRULE: 7,
  DELRULE: 8,
  NEWSET: 9,
  GETSET: 10,
  DELSET: 11,
  NEWSETELEM: 12,
  GETSETELEM: 13,
  DELSETELEM: 14,
  NEWGEN: 15,
  GETGEN: 16,
} as const;

const NFTA_TABLE_NAME = 1;
const NFTA_TABLE_USERDATA = 6;
const NFTA_CHAIN_TABLE = 1;
const NFTA_CHAIN_NAME = 3;
const NFTA_CHAIN_HOOK = 4;
const NFTA_CHAIN_POLICY = 5;
const NFTA_CHAIN_TYPE = 7;
const NFTA_HOOK_HOOKNUM = 1;
const NFTA_HOOK_PRIORITY = 2;
const NFTA_RULE_TABLE = 1;
const NFTA_RULE_CHAIN = 2;
const NFTA_RULE_HANDLE = 3;
const NFTA_RULE_EXPRESSIONS = 4;
const NFTA_RULE_POSITION = 6;
const NFTA_RULE_USERDATA = 7;
const NFTA_SET_TABLE = 1;
const NFTA_SET_NAME = 2;
const NFTA_SET_FLAGS = 3;
const NFTA_SET_KEY_TYPE = 4;
const NFTA_SET_KEY_LEN = 5;
const NFTA_SET_DATA_TYPE = 6;
const NFTA_SET_DATA_LEN = 7;
const NFTA_SET_ID = 10;
const NFTA_SET_USERDATA = 13;
const NFTA_SET_ELEM_LIST_TABLE = 1;
const NFTA_SET_ELEM_LIST_SET = 2;
const NFTA_SET_ELEM_LIST_ELEMENTS = 3;
const NFTA_LIST_ELEM = 1;
const NFTA_SET_ELEM_KEY = 1;
const NFTA_SET_ELEM_DATA = 2;
const NFTA_DATA_VALUE = 1;

const NFT_SET_ANONYMOUS = 0x1;
const NFT_SET_MAP = 0x8;
const NFT_DATA_VERDICT = 0xffffff00;

/** Text for people is kept as type, length, value with type 0, as nft(8) writes and shows it ("comment"). */
const userdataComment = 0;
const commentLengthMax = 128;
/** On a set, type 0 is the byte order of its keys. */
const userdataKeyOrder = 0;

export const families = { inet: 1, ip: 2, arp: 3, netdev: 5, bridge: 7, ip6: 10 } as const;
export type Family = keyof typeof families;

const hooks = { prerouting: 0, input: 1, forward: 2, output: 3, postrouting: 4 } as const;
export type Hook = keyof typeof hooks;

export type Policy = "accept" | "drop";

/**
 * Sets' key types: the number and the byte order (1 the machine's, 2 the network's) by which nft(8) shows the keys.
 * The kernel knows their length in bytes and compares.
 */
const keyTypes = {
  ipv4_addr: { type: 7, length: 4, order: 2 },
  ipv6_addr: { type: 8, length: 16, order: 2 },
  inet_service: { type: 13, length: 2, order: 2 },
  mark: { type: 19, length: 4, order: 1 },
  ifname: { type: 41, length: 16, order: 1 },
} as const;
export type KeyType = keyof typeof keyTypes;

export interface TableName {
  family: Family;
  table: string;
}

export interface Table extends TableName {
  comment?: string;
}

/** Where a base chain hangs in the packet's way. */
export interface BaseChain {
  type: "filter" | "nat" | "route";
  hook: Hook;
  priority: number;
  policy: Policy;
}

export interface Chain extends TableName {
  chain: string;
  /** Absent for a chain that others jump to. */
  base?: BaseChain;
}

export interface Rule extends TableName {
  chain: string;
  expressions: Expression[];
  comment?: string;
  /** The kernel's number for it, on rules that were read. */
  handle?: bigint;
}

export interface SetDefinition extends TableName {
  set: string;
  key: KeyType;
  /** A map from keys to verdicts. */
  verdicts?: boolean;
}

export interface SetElement {
  key: Uint8Array;
  verdict?: { verdict: Verdict; chain?: string };
}

export function newTable(table: Table): Message {
  const message = objectMessage("NEWTABLE", table, NLM_F_CREATE).string(NFTA_TABLE_NAME, table.table);
  if (table.comment !== undefined) message.bytes(NFTA_TABLE_USERDATA, encodeComment(table.comment));
  return message;
}

/** Deletes the table with all that is in it. */
export function deleteTable(table: TableName): Message {
  return objectMessage("DELTABLE", table).string(NFTA_TABLE_NAME, table.table);
}

export function newChain(chain: Chain): Message {
  const message = objectMessage("NEWCHAIN", chain, NLM_F_CREATE, chain.chain)
    .string(NFTA_CHAIN_TABLE, chain.table)
    .string(NFTA_CHAIN_NAME, chain.chain);
  const { base } = chain;
  if (base === undefined) return message;
  return message
    .string(NFTA_CHAIN_TYPE, base.type)
    .u32be(NFTA_CHAIN_POLICY, base.policy === "accept" ? 1 : 0)
    .nest(NFTA_CHAIN_HOOK, (hook) =>
      hook.u32be(NFTA_HOOK_HOOKNUM, hooks[base.hook]).u32be(NFTA_HOOK_PRIORITY, base.priority),
    );
}

/** A chain must be empty, and no rule may jump to it. */
export function deleteChain(chain: TableName & { chain: string }): Message {
  return objectMessage("DELCHAIN", chain, 0, chain.chain)
    .string(NFTA_CHAIN_TABLE, chain.table)
    .string(NFTA_CHAIN_NAME, chain.chain);
}

/** Adds a rule at the chain's end, or before the rule with that handle. */
export function newRule(rule: Rule, before?: bigint): Message {
  const flags = NLM_F_CREATE | (before === undefined ? NLM_F_APPEND : 0);
  const message = objectMessage("NEWRULE", rule, flags, rule.chain)
    .string(NFTA_RULE_TABLE, rule.table)
    .string(NFTA_RULE_CHAIN, rule.chain);
  if (before !== undefined) message.u64be(NFTA_RULE_POSITION, before);
  encodeExpressions(message, NFTA_RULE_EXPRESSIONS, rule.expressions);
  if (rule.comment !== undefined) message.bytes(NFTA_RULE_USERDATA, encodeComment(rule.comment));
  return message;
}

/** Deletes one rule by its handle, or without one all rules of the chain. */
export function deleteRule(rule: TableName & { chain: string; handle?: bigint }): Message {
  const message = objectMessage("DELRULE", rule, 0, rule.chain)
    .string(NFTA_RULE_TABLE, rule.table)
    .string(NFTA_RULE_CHAIN, rule.chain);
  return rule.handle === undefined ? message : message.u64be(NFTA_RULE_HANDLE, rule.handle);
}

/** @param id tells sets of one batch apart. */
export function newSet(set: SetDefinition, id: number): Message {
  const key = keyTypes[set.key];
  const message = objectMessage("NEWSET", set, NLM_F_CREATE, set.set)
    .string(NFTA_SET_TABLE, set.table)
    .string(NFTA_SET_NAME, set.set)
    .u32be(NFTA_SET_FLAGS, set.verdicts === true ? NFT_SET_MAP : 0)
    .u32be(NFTA_SET_KEY_TYPE, key.type)
    .u32be(NFTA_SET_KEY_LEN, key.length)
    .u32be(NFTA_SET_ID, id)
    .bytes(NFTA_SET_USERDATA, new Uint8Array([userdataKeyOrder, 4, key.order, 0, 0, 0]));
  if (set.verdicts !== true) return message;
  return message.u32be(NFTA_SET_DATA_TYPE, NFT_DATA_VERDICT).u32be(NFTA_SET_DATA_LEN, 0);
}

export function deleteSet(set: TableName & { set: string }): Message {
  return objectMessage("DELSET", set, 0, set.set).string(NFTA_SET_TABLE, set.table).string(NFTA_SET_NAME, set.set);
}

/** All elements of one message share its 64 KiB: some thousand of them. */
export function newElements(set: TableName & { set: string }, elements: readonly SetElement[]): Message {
  return elementMessage("NEWSETELEM", NLM_F_CREATE, set, elements);
}

/** @throws NetlinkError on commit, ENOENT when one is not in the set. */
export function deleteElements(set: TableName & { set: string }, elements: readonly SetElement[]): Message {
  return elementMessage("DELSETELEM", 0, set, elements);
}

function elementMessage(
  type: "NEWSETELEM" | "DELSETELEM",
  flags: number,
  set: TableName & { set: string },
  elements: readonly SetElement[],
): Message {
  return objectMessage(type, set, flags, set.set)
    .string(NFTA_SET_ELEM_LIST_TABLE, set.table)
    .string(NFTA_SET_ELEM_LIST_SET, set.set)
    .nest(NFTA_SET_ELEM_LIST_ELEMENTS, (list) => {
      for (const { key, verdict } of elements) {
        list.nest(NFTA_LIST_ELEM, (element) => {
          element.nest(NFTA_SET_ELEM_KEY, (value) => value.bytes(NFTA_DATA_VALUE, key));
          if (verdict === undefined) return;
          element.nest(NFTA_SET_ELEM_DATA, (value) => encodeVerdict(value, verdict.verdict, verdict.chain));
        });
      }
    });
}

/** A message of nf_tables: its type, the family (struct nfgenmsg), and what it is about. */
export function objectMessage(
  type: keyof typeof NFT_MSG,
  name: { family?: Family; table?: string },
  flags = 0,
  object?: string,
): Message {
  const words = [name.family, name.table, object].filter((word) => word !== undefined);
  const subject = { call: `NFT_MSG_${type}`, ...(words.length > 0 && { object: words.join(" ") }) };
  return new Message((NFNL_SUBSYS_NFTABLES << 8) | NFT_MSG[type], flags, subject).structure(
    nfgenmsg(name.family === undefined ? 0 : families[name.family], 0),
  );
}

/** struct nfgenmsg: family, version 0, and the subsystem in network order where a batch begins and ends. */
export function nfgenmsg(family: number, subsystem: number): Uint8Array {
  return new Uint8Array([family, 0, subsystem >> 8, subsystem & 0xff]);
}

const nfgenmsgLength = 4;

export function decodeTable(reply: Reply): Table | undefined {
  const attributes = new Attributes(reply.body, nfgenmsgLength);
  const name = decodeName(reply, attributes.string(NFTA_TABLE_NAME));
  const comment = decodeComment(attributes.bytes(NFTA_TABLE_USERDATA));
  return name && { ...name, ...(comment !== undefined && { comment }) };
}

export function decodeChain(reply: Reply): Chain | undefined {
  const attributes = new Attributes(reply.body, nfgenmsgLength);
  const name = decodeName(reply, attributes.string(NFTA_CHAIN_TABLE));
  const chain = attributes.string(NFTA_CHAIN_NAME);
  if (name === undefined || chain === undefined) return undefined;
  const hook = attributes.nested(NFTA_CHAIN_HOOK);
  const number = hook?.u32be(NFTA_HOOK_HOOKNUM);
  const hookName = (Object.keys(hooks) as Hook[]).find((key) => hooks[key] === number);
  // Hooks of the families netdev and arp have other numbers and no name here: such a chain is of no concern.
  if (hook === undefined || hookName === undefined || name.family === "netdev") return { ...name, chain };
  const base: BaseChain = {
    type: (attributes.string(NFTA_CHAIN_TYPE) ?? "filter") as BaseChain["type"],
    hook: hookName,
    priority: (hook.u32be(NFTA_HOOK_PRIORITY) ?? 0) | 0,
    policy: attributes.u32be(NFTA_CHAIN_POLICY) === 0 ? "drop" : "accept",
  };
  return { ...name, chain, base };
}

export function decodeRule(reply: Reply): Rule | undefined {
  const attributes = new Attributes(reply.body, nfgenmsgLength);
  const name = decodeName(reply, attributes.string(NFTA_RULE_TABLE));
  const chain = attributes.string(NFTA_RULE_CHAIN);
  if (name === undefined || chain === undefined) return undefined;
  const expressions = attributes.nested(NFTA_RULE_EXPRESSIONS);
  const comment = decodeComment(attributes.bytes(NFTA_RULE_USERDATA));
  const handle = attributes.u64be(NFTA_RULE_HANDLE);
  return {
    ...name,
    chain,
    expressions: expressions === undefined ? [] : decodeExpressions(expressions),
    ...(comment !== undefined && { comment }),
    ...(handle !== undefined && { handle }),
  };
}

/** Undefined for anonymous sets, which belong to a rule, and for key types that have no name here. */
export function decodeSet(reply: Reply): SetDefinition | undefined {
  const attributes = new Attributes(reply.body, nfgenmsgLength);
  const name = decodeName(reply, attributes.string(NFTA_SET_TABLE));
  const set = attributes.string(NFTA_SET_NAME);
  const flags = attributes.u32be(NFTA_SET_FLAGS) ?? 0;
  const type = attributes.u32be(NFTA_SET_KEY_TYPE);
  const key = (Object.keys(keyTypes) as KeyType[]).find((each) => keyTypes[each].type === type);
  if (name === undefined || set === undefined || key === undefined || (flags & NFT_SET_ANONYMOUS) !== 0)
    return undefined;
  return { ...name, set, key, ...((flags & NFT_SET_MAP) !== 0 && { verdicts: true }) };
}

export function decodeElementKeys(reply: Reply): Uint8Array[] {
  const attributes = new Attributes(reply.body, nfgenmsgLength);
  const elements = attributes.nested(NFTA_SET_ELEM_LIST_ELEMENTS)?.entries ?? [];
  return elements.flatMap(({ value }) => {
    return new Attributes(value).nested(NFTA_SET_ELEM_KEY)?.bytes(NFTA_DATA_VALUE) ?? [];
  });
}

function decodeName(reply: Reply, table: string | undefined): TableName | undefined {
  const family = (Object.keys(families) as Family[]).find((key) => families[key] === reply.body[0]);
  return family === undefined || table === undefined ? undefined : { family, table };
}

function encodeComment(text: string): Uint8Array {
  const bytes = new TextEncoder().encode(text).subarray(0, commentLengthMax - 1);
  return new Uint8Array([userdataComment, bytes.length + 1, ...bytes, 0]);
}

function decodeComment(userdata: Uint8Array | undefined): string | undefined {
  for (let offset = 0; userdata !== undefined && offset + 2 <= userdata.length; ) {
    const length = userdata[offset + 1]!;
    if (userdata[offset] === userdataComment) return textOf(userdata.subarray(offset + 2, offset + 2 + length));
    offset += 2 + length;
  }
  return undefined;
}
