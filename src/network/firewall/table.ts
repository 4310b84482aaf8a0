/** A table of nf_tables as it should be, and the one transaction that turns what is there into it. */

import type { Message } from "../../../ffi/netlink/message.ts";
import type { Expression } from "../../../ffi/netlink/nftables/expression.ts";
import {
  type BaseChain,
  type Chain,
  deleteChain,
  deleteRule,
  newChain,
  newRule,
  newTable,
  type Rule,
  type TableName,
} from "../../../ffi/netlink/nftables/objects.ts";
import { listChains, listElements, listRules, listSets, listTables } from "../../../ffi/netlink/nftables/ruleset.ts";
import {
  deleteElements,
  deleteSet,
  newElements,
  newSet,
  type SetDefinition,
  type SetElement,
} from "../../../ffi/netlink/nftables/set.ts";
import type { NetlinkSocket } from "../../../ffi/netlink/socket.ts";

export interface DesiredRule {
  expressions: Expression[];
  comment?: string;
}

export interface DesiredSet extends Pick<SetDefinition, "key" | "data"> {
  name: string;
  elements: SetElement[];
}

export interface DesiredChain {
  name: string;
  base?: BaseChain;
  /** Absent: whatever is in it is somebody else's. */
  rules?: DesiredRule[];
}

export interface DesiredTable extends TableName {
  comment: string;
  sets: DesiredSet[];
  chains: DesiredChain[];
}

/** What the kernel has of a table. */
export interface ActualTable {
  chains: Chain[];
  rules: Rule[];
  sets: (SetDefinition & { elements: SetElement[] })[];
}

const nothing: ActualTable = { chains: [], rules: [], sets: [] };

/** Undefined when there is no such table. */
export function readTable(socket: NetlinkSocket, name: TableName): ActualTable | undefined {
  const same = (other: TableName): boolean => other.family === name.family && other.table === name.table;
  if (!listTables(socket).some(same)) return undefined;
  return {
    chains: listChains(socket).filter(same),
    rules: listRules(socket, name),
    sets: listSets(socket, name).map((set) => ({ ...set, elements: listElements(socket, set) })),
  };
}

/**
 * The messages that turn the one into the other, for one transaction; none when it is right. Rules and elements that
 * are right already are not touched, and their counters run on. Chains and sets that are not named there are left as
 * they are.
 */
export function changesTo(actual: ActualTable | undefined, desired: DesiredTable): Message[] {
  const { family, table } = desired;
  if (actual === undefined) return [newTable({ family, table, comment: desired.comment }), ...fill(nothing, desired)];
  const obsolete = obsoleteIn(actual, desired);
  if (obsolete.length === 0) return fill(actual, desired);
  // What is of another nature cannot be changed, only made anew, and must be empty and asked for by no rule before.
  const managed = desired.chains.filter(({ rules }) => rules !== undefined).map(({ name }) => name);
  const emptied = managed.filter((name) => actual.rules.some((rule) => rule.chain === name));
  const rest: ActualTable = {
    chains: actual.chains.filter((chain) => !obsolete.includes(chain)),
    rules: actual.rules.filter((rule) => !emptied.includes(rule.chain)),
    sets: actual.sets.filter((set) => !obsolete.includes(set)),
  };
  return [
    ...emptied.map((chain) => deleteRule({ family, table, chain })),
    ...obsolete.map((each) => ("chain" in each ? deleteChain(each) : deleteSet(each))),
    ...fill(rest, desired),
  ];
}

/** A base chain at another place, a set of other keys: what has a right name and a wrong nature. */
function obsoleteIn(actual: ActualTable, desired: DesiredTable): (Chain | SetDefinition)[] {
  const chains = actual.chains.filter((there) => {
    const chain = desired.chains.find((each) => each.name === there.chain);
    return chain !== undefined && JSON.stringify(there.base) !== JSON.stringify(chain.base && order(chain.base));
  });
  const sets = actual.sets.filter((there) => {
    const set = desired.sets.find((each) => each.name === there.set);
    return set !== undefined && JSON.stringify([there.key, there.data]) !== JSON.stringify([set.key, set.data]);
  });
  return [...chains, ...sets];
}

/** In the order of fields in which chains are read. */
function order({ type, hook, priority, policy }: BaseChain): BaseChain {
  return { type, hook, priority, policy };
}

/** Sets before the chains whose rules look into them, chains before the rules that jump to them. */
function fill(actual: ActualTable, desired: DesiredTable): Message[] {
  const { family, table } = desired;
  const name = { family, table };
  const sets = desired.sets.flatMap((set, i) => setChanges(name, actual, set, i + 1));
  const made = desired.chains
    .filter((chain) => !actual.chains.some((each) => each.chain === chain.name))
    .map((chain) => newChain({ ...name, chain: chain.name, ...(chain.base && { base: chain.base }) }));
  const rules = desired.chains.flatMap((chain) => {
    if (chain.rules === undefined) return [];
    const there = actual.rules.filter((rule) => rule.chain === chain.name);
    return ruleChanges({ ...name, chain: chain.name }, there, chain.rules);
  });
  return [...sets, ...made, ...rules];
}

function setChanges(name: TableName, actual: ActualTable, set: DesiredSet, id: number): Message[] {
  const target = { ...name, set: set.name };
  const there = actual.sets.find((each) => each.set === set.name);
  const has = new Map((there?.elements ?? []).map((element) => [elementText(element), element]));
  const wanted = new Map(set.elements.map((element) => [elementText(element), element]));
  const gone = [...has].filter(([text]) => !wanted.has(text)).map(([, element]) => element);
  const added = [...wanted].filter(([text]) => !has.has(text)).map(([, element]) => element);
  return [
    ...(there === undefined ? [newSet({ ...target, key: set.key, ...(set.data && { data: set.data }) }, id)] : []),
    ...deleteElements(target, gone),
    ...newElements(target, added),
  ];
}

function elementText({ key, data, verdict }: SetElement): string {
  return `${hex(key)} ${data === undefined ? "" : hex(data)} ${verdict?.verdict ?? ""} ${verdict?.chain ?? ""}`;
}

/** Keeps the longest row of rules that are right, takes out what is between them, and puts in what is missing there. */
function ruleChanges(chain: TableName & { chain: string }, there: readonly Rule[], wanted: DesiredRule[]): Message[] {
  const kept = longestCommon(there.map(ruleText), wanted.map(ruleText));
  const keptThere = new Set(kept.map(([at]) => at));
  const messages: Message[] = [];
  for (const [at, { handle }] of there.entries()) {
    if (!keptThere.has(at) && handle !== undefined) messages.push(deleteRule({ ...chain, handle }));
  }
  for (const [at, { expressions, comment }] of wanted.entries()) {
    if (kept.some(([, index]) => index === at)) continue;
    const next = kept.find(([, index]) => index > at);
    const rule = { ...chain, expressions, ...(comment !== undefined && { comment }) };
    messages.push(newRule(rule, next && there[next[0]]!.handle));
  }
  return messages;
}

/** Pairs of indices of what both have, in order. */
function longestCommon(a: readonly string[], b: readonly string[]): [number, number][] {
  const lengths = Array.from({ length: a.length + 1 }, () => new Array<number>(b.length + 1).fill(0));
  for (let i = a.length - 1; i >= 0; i--) {
    for (let j = b.length - 1; j >= 0; j--) {
      const skip = Math.max(lengths[i + 1]![j]!, lengths[i]![j + 1]!);
      lengths[i]![j] = a[i] === b[j] ? lengths[i + 1]![j + 1]! + 1 : skip;
    }
  }
  const pairs: [number, number][] = [];
  for (let i = 0, j = 0; i < a.length && j < b.length; ) {
    if (a[i] === b[j]) pairs.push([i++, j++]);
    else if (lengths[i + 1]![j]! >= lengths[i]![j + 1]!) i++;
    else j++;
  }
  return pairs;
}

/** A rule as text that is equal for rules that do the same; what counters have counted does not count. */
function ruleText({ expressions, comment }: DesiredRule): string {
  return JSON.stringify([comment ?? "", expressions.map(expressionFields)]);
}

function expressionFields(expression: Expression): unknown[] {
  if (expression.type === "counter") return ["counter"];
  return Object.entries(expression)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, value]) => [key, value instanceof Uint8Array ? hex(value) : value]);
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("hex");
}
