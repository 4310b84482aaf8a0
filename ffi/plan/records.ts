/** A plan as data, and the layout of its records in memory. The interpreter (interpreter.ts) is the other side of it. */
import type { SyscallName } from "../constants/syscalls.ts";
import type { ErrnoName } from "../errno.ts";
import type { Argument, Memory, Ref } from "./values.ts";

/** Where each field of a record lies, in bytes. */
export const field = {
  /** u32: system call number, or one of `operation`. */
  number: 0,
  /** u32: recordFlags. */
  flags: 4,
  /** u64[6]. */
  arguments: 8,
  /** i64: the kernel's answer, `notRun` before. */
  result: 56,
  /** u64: address of a list of addresses that a result ≥ 0 is copied to, ended by 0; or 0. Bit 0 asks for 64 bits. */
  copies: 64,
  /** u16[4]: errnos that count as success (without copying the result), 0 for none. */
  ignored: 72,
  /** i32: bytes from this record to the next one after success. */
  next: 80,
  /** i32: the same when the result is 0; 0 for none. */
  onZero: 84,
  /** i32: the same after a failure. */
  onError: 88,
  /** u32: how often the call may be made again because of an errno in `retried`. */
  retries: 92,
  /** u16[2]. */
  retried: 96,
} as const;

/** Bytes of a record, a multiple of 8. */
export const recordSize = 104;

export const recordFlags = {
  /** The child of a fork gets 0 and must not overwrite the result that its parent stores in the memory they share. */
  fork: 1,
  /**
   * After a clone that succeeds the parent ends at once, by code alone: the child may be in a container where others
   * can write to the memory that both have, and the parent is not in it.
   */
  handOver: 2,
} as const;

/** Records that make no system call; told apart from calls by bit 31 and from each other by bit 0. */
export const operation = {
  /** (*(u64 *)a0 & a1) == a2 ? a3 : a4 */
  select: 0x80000000,
  /** (*(u64 *)a0 & a1) + a2 */
  load: 0x80000001,
} as const;

/** The result of a record that was not reached: no kernel call answers it. */
export const notRun = -0x8000_0000_0000_0000n;

/**
 * What the record with that index has answered; undefined when it was not reached. Results are errnos, descriptors,
 * counts and addresses of user memory: a number holds them exactly.
 */
export function resultAt(plan: Uint8Array, index: number): number | undefined {
  const offset = plan.byteOffset + index * recordSize + field.result;
  const [low, high] = new Int32Array(plan.buffer, offset, 2) as unknown as [number, number];
  if (high === -0x8000_0000 && low === 0) return undefined;
  return high * 2 ** 32 + (low >>> 0);
}

/** Where the plan's memory lies in the capsule: a constant, so that plans can be compared. */
export const planBase = 0x10000000;
/** The most that the capsule maps. */
export const planSizeMax = 16 << 20;

/** A place in a plan that records jump to. */
export interface Label {
  readonly name: string;
  /** Index of the record that it stands before; -1 until it is placed. */
  position: number;
  /** Whoever arrives here by an error ends: the record that jumped is the failure. */
  readonly fatal: boolean;
  /** Of a fatal label: where the reason is read into, in the words of the file system that refused. */
  readonly log: Memory | undefined;
}

export interface PlanRecord {
  readonly call: SyscallName | keyof typeof operation;
  readonly args: readonly Argument[];
  /** What the result is called in explanations. */
  readonly name: string | undefined;
  /** The field of config.json, or the rule, because of which the record exists. */
  readonly why: string | undefined;
  /** The object of the call in an error: `proc on /proc`. */
  readonly what: string | undefined;
  readonly ignore: readonly ErrnoName[];
  readonly retry: { readonly errnos: readonly ErrnoName[]; readonly times: number } | undefined;
  readonly next: Label | undefined;
  readonly onZero: Label | undefined;
  readonly onError: Label;
  readonly fork: boolean;
  /** Of a fork whose parent is to end. */
  readonly handOver: boolean;
  /** An earlier record that this one replaces: the result goes where that one's would have gone. */
  readonly into: Ref | undefined;
}

export interface Plan {
  readonly records: readonly PlanRecord[];
  /** CLONE_NEW* of the clone that starts the plan. Everything else is unshared by records. */
  readonly cloneFlags: number;
  /** The descriptors that the parent has to give, by name. */
  readonly descriptors: readonly string[];
  /** Checkpoints by the byte that announces them. */
  readonly checkpoints: readonly string[];
  /** Where the kernel writes the pid of the second process that the first hands over to; undefined when it does not. */
  readonly handOver: Memory | undefined;
  /** Index of the first of the final execve records. Arriving there, the plan has done all its work. */
  readonly finish: number;
}

/** The checkpoint by which the second process says that it exists. */
export const handOverCheckpoint = "hand-over";
