/** A table of nf_tables as it should be, and the one transaction that turns what is there into it. */

import type { Message } from "../../ffi/netlink/message.ts";
import type { Expression } from "../../ffi/netlink/nftables/expression.ts";
import {
  type BaseChain,
  type Chain,
  deleteChain,
  deleteElements,
  deleteRule,
  deleteSet,
  deleteTable,
  type KeyType,
  newChain,
  newElements,
  newRule,
  newSet,
  newTable,
  type Rule,
  type SetDefinition,
  type TableName,
} from "../../ffi/netlink/nftables/objects.ts";
import {
  commitBatch,
  listChains,
  listElementKeys,
  listRules,
  listSets,
  listTables,
} from "../../ffi/netlink/nftables/ruleset.ts";
import type { NetlinkSocket } from "../../ffi/netlink/socket.ts";

export interface DesiredRule {
  expressions: Expression[];
  comment?: string;
}

export interface DesiredTable extends TableName {
  comment: string;
  sets: { name: string; key: KeyType; elements: Uint8Array[] }[];
  chains: { name: string; base?: BaseChain; rules: DesiredRule[] }[];
}

/** What the kernel has of a table. */
export interface ActualTable {
  chains: Chain[];
  rules: Rule[];
  sets: (SetDefinition & { elements: Uint8Array[] })[];
}

/** Undefined when there is no such table. */
export function readTable(socket: NetlinkSocket, name: TableName): ActualTable | undefined {
  const same = (other: TableName): boolean => other.family === name.family && other.table === name.table;
  if (!listTables(socket).some(same)) return undefined;
  return {
    chains: listChains(socket).filter(same),
    rules: listRules(socket, name),
    sets: listSets(socket, name).map((set) => ({ ...set, elements: listElementKeys(socket, set) })),
  };
}

/**
 * Makes the table what it should be, in one transaction; chains that are right already are not touched, and their
 * counters run on.
 * @returns whether anything had to be done.
 * @throws NetlinkError and the table stays as it was.
 */
export function applyTable(socket: NetlinkSocket, desired: DesiredTable): boolean {
  const messages = changesTo(readTable(socket, desired), desired);
  if (messages.length > 0) commitBatch(socket, messages);
  return messages.length > 0;
}

/** Removes the table; one that is not there is no error. */
export function removeTable(socket: NetlinkSocket, name: TableName): void {
  const { family, table } = name;
  if (listTables(socket).some((other) => other.family === family && other.table === table)) {
    commitBatch(socket, [deleteTable({ family, table })]);
  }
}

/** The messages that turn the one into the other. */
export function changesTo(actual: ActualTable | undefined, desired: DesiredTable): Message[] {
  const { family, table } = desired;
  const name = { family, table };
  const create = newTable({ ...name, comment: desired.comment });
  if (actual === undefined) return [create, ...fill({ chains: [], rules: [], sets: [] }, desired)];
  // A base chain or a set cannot be changed in its nature: then the whole table is made anew, in the same transaction.
  if (!isCompatible(actual, desired)) {
    return [deleteTable(name), create, ...fill({ chains: [], rules: [], sets: [] }, desired)];
  }
  return fill(actual, desired);
}

function isCompatible(actual: ActualTable, desired: DesiredTable): boolean {
  return (
    desired.chains.every((chain) => {
      const there = actual.chains.find((each) => each.chain === chain.name);
      return there === undefined || JSON.stringify(there.base) === JSON.stringify(chain.base && order(chain.base));
    }) &&
    desired.sets.every((set) => {
      const there = actual.sets.find((each) => each.set === set.name);
      return there === undefined || (there.key === set.key && there.verdicts !== true);
    })
  );
}

/** In the order of fields in which chains are read. */
function order({ type, hook, priority, policy }: BaseChain): BaseChain {
  return { type, hook, priority, policy };
}

/** Sets before the chains whose rules look into them, chains before the rules that jump to them, removals last. */
function fill(actual: ActualTable, desired: DesiredTable): Message[] {
  const { family, table } = desired;
  const name = { family, table };
  const sets = desired.sets.flatMap((set, i) => setChanges(name, actual, set, i + 1));
  const made: Message[] = [];
  const filled: Message[] = [];
  for (const chain of desired.chains) {
    const there = actual.chains.some((each) => each.chain === chain.name);
    const target = { ...name, chain: chain.name };
    if (!there) made.push(newChain({ ...target, ...(chain.base && { base: chain.base }) }));
    const rules = actual.rules.filter((rule) => rule.chain === chain.name);
    if (fingerprint(rules) === fingerprint(chain.rules)) continue;
    if (rules.length > 0) filled.push(deleteRule(target));
    filled.push(...chain.rules.map((rule) => newRule({ ...target, ...rule })));
  }
  const surplus = actual.chains.filter((each) => !desired.chains.some((chain) => chain.name === each.chain));
  const emptied = surplus
    .filter((chain) => actual.rules.some((rule) => rule.chain === chain.chain))
    .map((chain) => deleteRule({ ...name, chain: chain.chain }));
  const removed = surplus.map((chain) => deleteChain({ ...name, chain: chain.chain }));
  const unknownSets = actual.sets.filter((each) => !desired.sets.some((set) => set.name === each.set));
  return [...sets, ...made, ...filled, ...emptied, ...removed, ...unknownSets.map((set) => deleteSet(set))];
}

function setChanges(name: TableName, actual: ActualTable, set: DesiredTable["sets"][number], id: number): Message[] {
  const target = { ...name, set: set.name };
  const there = actual.sets.find((each) => each.set === set.name);
  const keys = new Set((there?.elements ?? []).map(hex));
  const wanted = new Set(set.elements.map(hex));
  const added = set.elements.filter((element) => !keys.has(hex(element)));
  const gone = (there?.elements ?? []).filter((element) => !wanted.has(hex(element)));
  const messages: Message[] = there === undefined ? [newSet({ ...target, key: set.key }, id)] : [];
  if (gone.length > 0) messages.push(deleteElements(target, gone.map(asElement)));
  if (added.length > 0) messages.push(newElements(target, added.map(asElement)));
  return messages;
}

function asElement(key: Uint8Array): { key: Uint8Array } {
  return { key };
}

/** The rules as text that is equal for rules that do the same; what counters have counted does not count. */
function fingerprint(rules: readonly DesiredRule[]): string {
  return JSON.stringify(rules.map(({ expressions, comment }) => [comment ?? "", expressions.map(fingerprintOf)]));
}

function fingerprintOf(expression: Expression): unknown[] {
  if (expression.type === "counter") return ["counter"];
  return Object.entries(expression)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, value]) => [key, value instanceof Uint8Array ? hex(value) : value]);
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("hex");
}
