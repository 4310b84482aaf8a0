/**
 * Conditions on arguments as BPF. The machine compares 32-bit words; an argument has two of them.
 *
 * The rules of a system call become one decision graph. While it is built, what is already known on a path (a word's
 * value, a value that it does not have, what the accumulator holds) is carried along: a word is not loaded twice
 * in a row, and the high halves of five rules on the same argument are compared once.
 */
import type { LinuxSeccompArgument } from "../../oci/runtime.ts";
import { type BpfAssembler, JUMP_EQUAL, JUMP_GREATER, JUMP_GREATER_EQUAL, type Place } from "./assembler.ts";
import type { SyscallRules } from "./rules.ts";

/** struct seccomp_data: int nr; __u32 arch; __u64 instruction_pointer; __u64 args[6]. */
const argumentsOffset = 16;
const fullMask = 0xffffffff;

/** A comparison of one word with a constant, and where to go after it. true and false end the condition. */
interface Test {
  word: number;
  mask: number;
  code: number;
  k: number;
  yes: Outcome;
  no: Outcome;
}
type Outcome = boolean | Test;

/** What is known at a point of the program. */
interface Facts {
  /** What the accumulator holds: a word's offset and the mask it went through. */
  loaded: { word: number; mask: number } | undefined;
  known: ReadonlyMap<number, number>;
  excluded: ReadonlySet<string>;
}

/** The usual few rules are done before anything could repeat itself: looking for it would be most of the work. */
const visitsUnshared = 32;
/** After this many, knowledge is dropped: the same test with different knowledge is different code. */
const visitsInformed = 256;

/**
 * Emits the decision and returns its first instruction.
 * @param wide whether arguments have 64 bits; in i386 the upper halves are zero (the kernel clears them).
 */
export function emitRules(assembler: BpfAssembler, { rules, otherwise }: SyscallRules, wide: boolean): Place {
  const outcomes = rules.map((rule) => rule.conditions.map(outcomeOf));
  const known = new Map<number, number>();
  if (!wide) for (let index = 0; index < 6; index++) known.set(argumentsOffset + index * 8 + 4, 0);
  const nothing: Facts = { loaded: undefined, known, excluded: new Set() };
  const ids = new Map<Test, number>();
  const places = new Map<string, Place>();
  let visits = 0;
  const idOf = (node: Test): number => {
    if (!ids.has(node)) ids.set(node, ids.size);
    return ids.get(node)!;
  };

  const condition = (rule: number, index: number, facts: Facts): Place => {
    if (rule === rules.length) return assembler.return(otherwise);
    const conditions = outcomes[rule]!;
    if (index === conditions.length) return assembler.return(rules[rule]!.value);
    return outcome(conditions[index]!, rule, index, facts);
  };
  const outcome = (node: Outcome, rule: number, index: number, facts: Facts): Place => {
    if (node === true) return condition(rule, index + 1, facts);
    if (node === false) return condition(rule + 1, 0, facts);
    const certain = evaluate(node, facts);
    if (certain !== undefined) return outcome(certain ? node.yes : node.no, rule, index, facts);
    const state = ++visits < visitsInformed ? facts : nothing;
    const key = visits < visitsUnshared ? undefined : `${idOf(node)} ${describe(state)}`;
    const existing = key === undefined ? undefined : places.get(key);
    if (existing !== undefined) return existing;
    const loaded = { word: node.word, mask: node.mask };
    const after = { ...state, loaded };
    const no = outcome(node.no, rule, index, learn(after, node, false));
    const yes = outcome(node.yes, rule, index, learn(after, node, true));
    let place = assembler.branch(node.code, node.k, yes, no);
    if (yes !== no && !(state.loaded?.word === node.word && state.loaded.mask === node.mask)) {
      if (node.mask !== fullMask) place = assembler.and(node.mask, place);
      place = assembler.load(node.word, place);
    }
    if (key !== undefined) places.set(key, place);
    return place;
  };
  return condition(0, 0, nothing);
}

function describe({ loaded, known, excluded }: Facts): string {
  const accumulator = loaded === undefined ? "" : `${loaded.word}&${loaded.mask}`;
  return `${accumulator};${[...known].sort(([a], [b]) => a - b).join(" ")};${[...excluded].sort().join(" ")}`;
}

function learn(facts: Facts, test: Test, held: boolean): Facts {
  if (test.code !== JUMP_EQUAL || test.mask !== fullMask) return facts;
  if (held) return { ...facts, known: new Map(facts.known).set(test.word, test.k) };
  return { ...facts, excluded: new Set(facts.excluded).add(`${test.word}=${test.k}`) };
}

/** The test's answer where it is known without looking. */
function evaluate(test: Test, facts: Facts): boolean | undefined {
  if (test.mask === 0) return compare(test, 0);
  if (test.code === JUMP_GREATER_EQUAL && test.k === 0) return true;
  if (test.code === JUMP_GREATER && test.k === fullMask) return false;
  const known = facts.known.get(test.word);
  if (known !== undefined) return compare(test, (known & test.mask) >>> 0);
  const isExcluded = test.code === JUMP_EQUAL && test.mask === fullMask && facts.excluded.has(`${test.word}=${test.k}`);
  return isExcluded ? false : undefined;
}

function compare(test: Test, value: number): boolean {
  if (test.code === JUMP_EQUAL) return value === test.k;
  return test.code === JUMP_GREATER ? value > test.k : value >= test.k;
}

function outcomeOf(condition: LinuxSeccompArgument): Outcome {
  const low = argumentsOffset + condition.index * 8;
  const high = low + 4;
  const value = words(condition.value);
  const test = (word: number, code: number, k: number, yes: Outcome, no: Outcome, mask = fullMask): Test => {
    return { word, mask, code, k, yes, no };
  };
  const equal = (yes: boolean): Test =>
    test(high, JUMP_EQUAL, value.high, test(low, JUMP_EQUAL, value.low, yes, !yes), !yes);
  /** `code` compares the low words where the high ones are equal. */
  const greater = (code: number, yes: boolean): Test => {
    const lower = test(low, code, value.low, yes, !yes);
    return test(high, JUMP_EQUAL, value.high, lower, test(high, JUMP_GREATER, value.high, yes, !yes));
  };
  switch (condition.op) {
    case "SCMP_CMP_EQ":
      return equal(true);
    case "SCMP_CMP_NE":
      return equal(false);
    case "SCMP_CMP_GT":
      return greater(JUMP_GREATER, true);
    case "SCMP_CMP_GE":
      return greater(JUMP_GREATER_EQUAL, true);
    case "SCMP_CMP_LT":
      return greater(JUMP_GREATER_EQUAL, false);
    case "SCMP_CMP_LE":
      return greater(JUMP_GREATER, false);
    case "SCMP_CMP_MASKED_EQ": {
      // seccomp_rule_add(3): the masked argument is compared with the masked datum.
      const datum = words(condition.valueTwo ?? 0);
      const lower = test(low, JUMP_EQUAL, (datum.low & value.low) >>> 0, true, false, value.low);
      return test(high, JUMP_EQUAL, (datum.high & value.high) >>> 0, lower, false, value.high);
    }
  }
}

/** The halves of an unsigned 64-bit number. */
function words(value: number | bigint): { high: number; low: number } {
  if (typeof value === "number") return { high: Math.floor(value / 2 ** 32), low: value % 2 ** 32 };
  return { high: Number(value >> 32n), low: Number(value & 0xffffffffn) };
}
