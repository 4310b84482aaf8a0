import { errnoName, SyscallError } from "../errno.ts";
import { formatCall } from "./explain.ts";
import { notRun, operation, type Plan, type PlanRecord } from "./records.ts";
import type { Memory } from "./values.ts";

/** Why a plan ended before its execve succeeded. */
export interface PlanFailure {
  /** Index of the record that failed; of the last one that ran when the process was killed. */
  record: number;
  /** The system call's name; `verify` for a record that compares. */
  call: string;
  /** The errno's name; undefined when the process was killed in between. */
  errno: string | undefined;
  /** The call in words, with its arguments. */
  text: string;
  /** The object of the call. */
  what: string | undefined;
  /** The field of config.json because of which the call was made. */
  why: string | undefined;
  error: Error;
}

/** Finds the record that ended a plan; `result` gives the answer of the record with an index. */
export function describeFailure(
  plan: Plan,
  result: (index: number) => bigint,
  memory: (memory: Memory) => Uint8Array,
): PlanFailure | undefined {
  let last = 0;
  for (const [index, record] of plan.records.entries()) {
    const word = result(index);
    if (word === notRun) continue;
    if (index < plan.finish) last = index;
    const number = Number(-word);
    const ignored: readonly string[] = record.ignore;
    const isErrno = number > 0 && number <= 4095;
    if (!isErrno || !record.onError.fatal || ignored.includes(errnoName(number))) continue;
    const log = record.onError.log === undefined ? "" : readLog(memory(record.onError.log));
    const call = record.call in operation ? "verify" : record.call;
    const object = [record.what, log].filter((text) => text !== undefined && text !== "").join(": ");
    const error = new SyscallError(call, number, object === "" ? undefined : object);
    return { ...outline(record, index), call, errno: error.errno, error };
  }
  if (result(plan.finish - 1) !== notRun) return undefined;
  const record = plan.records[last]!;
  const text = formatCall(record);
  const error = new Error(`the process was killed while it was set up, after ${text}`);
  return { ...outline(record, last), call: record.call, errno: undefined, error };
}

function outline(record: PlanRecord, index: number): Pick<PlanFailure, "record" | "text" | "what" | "why"> {
  return { record: index, text: formatCall(record), what: record.what, why: record.why };
}

/** A message of a file system context, such as `e overlay: …`. */
function readLog(bytes: Uint8Array): string {
  const end = bytes.indexOf(0);
  const text = Buffer.from(bytes.subarray(0, end === -1 ? bytes.length : end)).toString();
  return text.trim().replace(/^[ewi] /, "");
}
