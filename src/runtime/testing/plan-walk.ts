/** What tests ask about plans: the calls of a start in which everything goes well, and the jumps between all. */
import type { Plan, PlanRecord } from "../../../ffi/plan/records.ts";
import type { Argument, Text } from "../../../ffi/plan/values.ts";

/** Where a record may go on: after success, after zero, after an error that ends nothing. */
export function successors({ records }: Plan, index: number): number[] {
  const { next, onZero, onError, call, args, ignore } = records[index]!;
  if (call === "exit_group") return [];
  // What succeeds does not come back.
  if (call === "execve" && ignore.length === 0) return [onError.position];
  if (call === "select" && args[3] === args[4]) return [(args[3] === 0 ? onZero! : onError).position];
  return [next?.position ?? index + 1, ...(onZero === undefined ? [] : [onZero.position]), onError.position];
}

/**
 * The records of a start in which every call succeeds and nothing is in the way, up to execve; in the second process
 * where there is one. What a comparison finds is right, and a jump is one.
 */
export function happyPath(plan: Plan): { index: number; record: PlanRecord }[] {
  const path: { index: number; record: PlanRecord }[] = [];
  for (let index = 0; ; ) {
    const record = plan.records[index];
    if (record === undefined) throw new Error(`the plan is left at ${index}`);
    if (path.length > plan.records.length) throw new Error(`the plan goes round in circles at ${index}`);
    path.push({ index, record });
    if (record.call === "execve" || record.call === "exit_group") return path;
    index = follow(record, index);
  }
}

function follow(record: PlanRecord, index: number): number {
  const isChild = record.call === "clone" && record.handOver;
  const [, , , equal, different] = record.args;
  const isJump = record.call === "select" && equal === 0 && (different === 0 || different === 1);
  const isFailure = record.call === "select" && Number(equal) < 0 && equal === different;
  // The program's path with a dot after it: it is no directory.
  const isFile = record.call === "faccessat" && textsOf(record)[0]?.endsWith("/.");
  const target = isFailure || isFile ? record.onError : isChild || isJump ? record.onZero : record.next;
  return target?.position ?? index + 1;
}

/** The texts among the arguments of a call, with those in its structures. */
export function textsOf(record: PlanRecord): string[] {
  const texts: string[] = [];
  const visit = (argument: Argument): void => {
    if (typeof argument !== "object" || argument === null) return;
    if (argument.kind === "text") texts.push((argument as Text).text);
    else if (argument.kind === "words") argument.items.forEach(visit);
  };
  record.args.forEach(visit);
  return texts;
}

/** The bits of an argument that is flags, wherever in the call they are; 0 without any. */
export function flagsOf(record: PlanRecord): number {
  let bits = 0;
  const visit = (argument: Argument): void => {
    if (typeof argument !== "object" || argument === null) return;
    if (argument.kind === "flags") bits |= Number(argument.value);
    else if (argument.kind === "words") argument.items.forEach(visit);
  };
  record.args.forEach(visit);
  return bits;
}
