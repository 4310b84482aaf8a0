import { errnoName, SyscallError } from "../errno.ts";
import { decodeText } from "../text.ts";
import { formatCall } from "./format.ts";
import { operation, type Plan, type PlanRecord } from "./records.ts";
import type { Memory } from "./values.ts";

/** The kernel answers errors as -4095 to -1; everything else is a result. */
const errnoMax = 4095;

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

/**
 * Finds the record that ended a plan; `result` gives the answer of the record with an index, undefined where it has
 * not run. Every start asks, in code that runs once in a process: numbers and a plain loop, no bigints.
 */
export function describeFailure(
  plan: Plan,
  result: (index: number) => number | undefined,
  memory: (memory: Memory) => Uint8Array,
): PlanFailure | undefined {
  let last = 0;
  const { records } = plan;
  for (let index = 0; index < records.length; index++) {
    const word = result(index);
    if (word === undefined) continue;
    if (index < plan.finish) last = index;
    if (word >= 0 || word < -errnoMax) continue;
    const record = records[index]!;
    const number = -word;
    const ignored: readonly string[] = record.ignore;
    if (!record.onError.fatal || ignored.includes(errnoName(number))) continue;
    const log = record.onError.log === undefined ? "" : readLog(memory(record.onError.log));
    const call = record.call in operation ? "verify" : record.call;
    const object = [record.what, log].filter((text) => text !== undefined && text !== "").join(": ");
    const error = new SyscallError(call, number, object === "" ? undefined : object);
    return { ...outline(record, index), call, errno: error.errno, error };
  }
  if (result(plan.finish - 1) !== undefined) return undefined;
  const record = records[last]!;
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
  const text = decodeText(bytes.subarray(0, end === -1 ? bytes.length : end));
  return text.trim().replace(/^[ewi] /, "");
}
