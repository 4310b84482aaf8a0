/** From the lists of linux.seccomp to what shall happen at each system call of an ABI. */
import { EngineError } from "../../core/errors.ts";
import type { LinuxSeccomp, LinuxSeccompAction, LinuxSeccompArgument } from "../../oci/runtime.ts";
import { multiplexer, numbersEnd, type SyscallAbi, syscallTable } from "./syscalls.ts";

/** SECCOMP_RET_* of linux/seccomp.h; the low 16 bits are data. */
export const returnKillThread = 0x00000000;
export const returnErrno = 0x00050000;
export const returnTrace = 0x7ff00000;
const actionReturns: Record<LinuxSeccompAction, number> = {
  SCMP_ACT_KILL: returnKillThread,
  SCMP_ACT_KILL_THREAD: returnKillThread,
  SCMP_ACT_KILL_PROCESS: 0x80000000,
  SCMP_ACT_TRAP: 0x00030000,
  SCMP_ACT_ERRNO: returnErrno,
  SCMP_ACT_NOTIFY: 0x7fc00000,
  SCMP_ACT_TRACE: returnTrace,
  SCMP_ACT_LOG: 0x7ffc0000,
  SCMP_ACT_ALLOW: 0x7fff0000,
};

export const seccompActions: readonly string[] = Object.keys(actionReturns);

const EPERM = 1;
const errnoMax = 4095;

/** An action if all of the conditions hold. */
export interface ConditionalRule {
  value: number;
  conditions: LinuxSeccompArgument[];
}

/** What happens at one system call: the first conditional rule that matches, else `otherwise`. */
export interface SyscallRules {
  rules: ConditionalRule[];
  otherwise: number;
}

/** The filter's return value for an action; errno and trace carry a number, EPERM unless one is given. */
export function returnValue(action: LinuxSeccompAction, errnoRet: number | undefined, field: string): number {
  const value = actionReturns[action];
  if (value === returnErrno || value === returnTrace) {
    const data = errnoRet ?? EPERM;
    const max = value === returnErrno ? errnoMax : 0xffff;
    if (data > max) throw new EngineError("invalid_argument", `${field}: ${data} is above ${max}`);
    return value | data;
  }
  // config-linux.md, "errnoRet": an action that does not support it must be an error.
  if (errnoRet !== undefined) throw new EngineError("invalid_argument", `${field}: ${action} takes no errno`);
  return value;
}

/** An answer: what the filter returns, or the rules that find it out. */
export type Answer = { value: number } | { rules: SyscallRules };

/**
 * What a profile says about each call of the ABIs, and the names that no ABI of x86 has.
 *
 * What the specification leaves open is decided as libseccomp does, which runc and crun use: a rule without conditions
 * stands above those with, and the first of its kind counts; a rule that does the same as the default is dropped
 * before that; conditions of one rule on the same argument are alternatives.
 */
export function answersOf(
  seccomp: LinuxSeccomp,
  abis: readonly SyscallAbi[],
  defaultValue: number,
): { answers: AbiAnswers[]; unknownNames: string[] } {
  const { rows } = syscallTable();
  const answers = abis.map((abi) => new AbiAnswers(abi, defaultValue));
  const unknownNames = new Set<string>();
  for (const [index, rule] of (seccomp.syscalls ?? []).entries()) {
    const value = returnValue(rule.action, rule.errnoRet, `linux.seccomp.syscalls[${index}].errnoRet`);
    const ruleRows: number[] = [];
    for (const name of rule.names) {
      const row = rows.get(name);
      if (row === undefined) unknownNames.add(name);
      else ruleRows.push(row);
    }
    for (const of of answers) of.add(ruleRows, value, rule.args ?? []);
  }
  return { answers, unknownNames: [...unknownNames] };
}

/** What a profile says about an ABI. */
export class AbiAnswers {
  readonly abi: SyscallAbi;
  /** By number (x32's without the bit): an index into `answers`; 0 is the profile's default. */
  readonly byNumber = new Uint16Array(numbersEnd);
  readonly answers: Answer[];
  /** The highest number that any rule is about, or -1. */
  newest = -1;
  readonly #defaultValue: number;

  constructor(abi: SyscallAbi, defaultValue: number) {
    this.abi = abi;
    this.#defaultValue = defaultValue;
    this.answers = [{ value: defaultValue }];
  }

  /** Adds a rule for the calls of some rows of the table. */
  add(rows: number[], value: number, conditions: LinuxSeccompArgument[]): void {
    const numbers = syscallTable().numbers[this.abi];
    for (const row of rows) if (numbers[row]! > this.newest) this.newest = numbers[row]!;
    if (value === this.#defaultValue) return;
    if (conditions.length === 0) this.#addAlways(rows, numbers, value);
    else this.#addConditional(rows, numbers, value, splitAlternatives(conditions));
    if (this.abi === "x86") this.#addMultiplexed(rows, value, conditions.length > 0);
  }

  #addAlways(rows: number[], numbers: Int16Array, value: number): void {
    const { byNumber, answers } = this;
    const index = answers.length;
    answers.push({ value });
    for (const row of rows) {
      const number = numbers[row]!;
      // The first rule without conditions stands.
      if (number >= 0 && (byNumber[number] === 0 || "rules" in answers[byNumber[number]!]!)) byNumber[number] = index;
    }
  }

  #addConditional(rows: number[], numbers: Int16Array, value: number, alternatives: LinuxSeccompArgument[][]): void {
    for (const row of rows) {
      const number = numbers[row]!;
      if (number < 0) continue;
      for (const conditions of alternatives) this.#put(number, { value, conditions });
    }
  }

  /**
   * socketcall and ipc hold the real arguments behind a pointer, where a filter cannot look. A rule with conditions
   * that restricts holds for the whole call there, and one that permits does not hold at all.
   */
  #addMultiplexed(rows: number[], value: number, isConditional: boolean): void {
    const permits = severity(value) >= severity(this.#defaultValue);
    const { socketcall, ipc } = syscallTable();
    for (const row of rows) {
      if (socketcall[row]! < 0 && ipc[row]! < 0) continue;
      const detour = multiplexer(row)!;
      this.newest = Math.max(this.newest, detour.number);
      if (isConditional && permits) continue;
      const condition = { index: 0, op: "SCMP_CMP_MASKED_EQ", value: detour.mask, valueTwo: detour.value } as const;
      this.#put(detour.number, { value, conditions: [condition] });
    }
  }

  #put(number: number, rule: ConditionalRule): void {
    const index = this.byNumber[number]!;
    const answer = this.answers[index]!;
    if ("rules" in answer) {
      answer.rules.rules.push(rule);
    } else if (index === 0) {
      this.byNumber[number] = this.answers.length;
      this.answers.push({ rules: { rules: [rule], otherwise: this.#defaultValue } });
    }
  }
}

/** The kernel's order of actions, as in seccomp(2): the lower, the stricter. KILL_PROCESS is a negative number there. */
function severity(value: number): number {
  return (value & 0xffff0000) | 0;
}

/**
 * One list of conditions for each alternative. Conditions are joined by "and"; but where two concern the same argument
 * each becomes a rule of its own, which is what runc has always done and what profiles therefore rely on.
 */
function splitAlternatives(conditions: LinuxSeccompArgument[]): LinuxSeccompArgument[][] {
  if (conditions.length < 2) return [conditions];
  const repeated = new Set(conditions.map((condition) => condition.index)).size < conditions.length;
  return repeated ? conditions.map((condition) => [condition]) : [conditions];
}
