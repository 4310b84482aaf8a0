/** Tables, chains and rules of nf_tables as messages; sets are in set.ts. include/uapi/linux/netfilter/nf_tables.h. */
import { Attributes, Message, NLM_F_APPEND, NLM_F_CREATE, type Reply, textOf } from "../message.ts";
import { decodeExpressions, type Expression, encodeExpressions } from "./expression.ts";

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
/** Text for people is kept as type, length, value with type 0, as nft(8) writes and shows it ("comment"). */
const userdataComment = 0;
const commentLengthMax = 128;

export const families = { inet: 1, ip: 2, arp: 3, netdev: 5, bridge: 7, ip6: 10 } as const;
export type Family = keyof typeof families;

const hooks = { prerouting: 0, input: 1, forward: 2, output: 3, postrouting: 4 } as const;
export type Hook = keyof typeof hooks;

export type Policy = "accept" | "drop";

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

export const nfgenmsgLength = 4;

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

export function decodeName(reply: Reply, table: string | undefined): TableName | undefined {
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
