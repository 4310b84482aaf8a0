/** Reading what is there, and changing it: whole batches that the kernel takes or refuses as one. */
import { Attributes, Message, type Reply } from "../message.ts";
import type { NetlinkSocket } from "../socket.ts";
import {
  type Chain,
  decodeChain,
  decodeRule,
  decodeTable,
  nfgenmsg,
  objectMessage,
  type Rule,
  type Table,
  type TableName,
} from "./objects.ts";
import { decodeElements, decodeSet, type SetDefinition, type SetElement } from "./set.ts";

const NFNL_SUBSYS_NFTABLES = 10;
const NFNL_MSG_BATCH_BEGIN = 0x10;
const NFNL_MSG_BATCH_END = 0x11;
const NFNL_BATCH_GENID = 1;
const NFTA_GEN_ID = 1;
/** NFTA_CHAIN_TABLE, NFTA_RULE_TABLE, NFTA_SET_TABLE and NFTA_SET_ELEM_LIST_TABLE are all 1. */
const NFTA_ANY_TABLE = 1;
const NFTA_RULE_CHAIN = 2;
const NFTA_SET_ELEM_LIST_SET = 2;

/**
 * Commits the messages as one transaction. With a generation, it is refused when anybody changed any table since that
 * generation was read.
 * @throws NetlinkError of the message that was refused; ERESTART when the generation is no longer the current one.
 */
export function commitBatch(socket: NetlinkSocket, messages: readonly Message[], generation?: number): void {
  const begin = batchMessage(NFNL_MSG_BATCH_BEGIN, "NFNL_MSG_BATCH_BEGIN");
  if (generation !== undefined) begin.u32be(NFNL_BATCH_GENID, generation);
  socket.commit([begin, ...messages, batchMessage(NFNL_MSG_BATCH_END, "NFNL_MSG_BATCH_END")]);
}

function batchMessage(type: number, call: string): Message {
  return new Message(type, 0, { call }).structure(nfgenmsg(0, NFNL_SUBSYS_NFTABLES));
}

/** A number that changes with every change of any table of this network namespace. */
export function readGeneration(socket: NetlinkSocket): number {
  const reply = socket.get(objectMessage("GETGEN", {}));
  return new Attributes(reply.body, 4).u32be(NFTA_GEN_ID) ?? 0;
}

/** The generation after one more commit: each adds one, and 0 is left out. */
export function generationAfter(generation: number): number {
  return (generation + 1) >>> 0 || 1;
}

export function listTables(socket: NetlinkSocket): Table[] {
  return decodeAll(socket.dump(objectMessage("GETTABLE", {})), decodeTable);
}

/** The chains of all tables. */
export function listChains(socket: NetlinkSocket): Chain[] {
  return decodeAll(socket.dump(objectMessage("GETCHAIN", {})), decodeChain);
}

/** The rules of a table, or of one of its chains, in their order. */
export function listRules(socket: NetlinkSocket, name: TableName, chain?: string): Rule[] {
  const message = objectMessage("GETRULE", name, 0, chain).string(NFTA_ANY_TABLE, name.table);
  if (chain !== undefined) message.string(NFTA_RULE_CHAIN, chain);
  return decodeAll(socket.dump(message), decodeRule);
}

export function listSets(socket: NetlinkSocket, name: TableName): SetDefinition[] {
  const message = objectMessage("GETSET", name).string(NFTA_ANY_TABLE, name.table);
  return decodeAll(socket.dump(message), decodeSet);
}

/** What is in a set or a map. @throws NetlinkError ENOENT when there is no such set. */
export function listElements(socket: NetlinkSocket, name: TableName & { set: string }): SetElement[] {
  const message = objectMessage("GETSETELEM", name, 0, name.set)
    .string(NFTA_ANY_TABLE, name.table)
    .string(NFTA_SET_ELEM_LIST_SET, name.set);
  return socket.dump(message).flatMap(decodeElements);
}

function decodeAll<T>(replies: Reply[], decode: (reply: Reply) => T | undefined): T[] {
  return replies.flatMap((reply) => decode(reply) ?? []);
}
