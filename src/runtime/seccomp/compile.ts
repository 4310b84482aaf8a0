/**
 * linux.seccomp of config.json as a program of classic BPF.
 *
 * libseccomp compares a call's number with every number of the profile in turn, or four by four in its tree. Here
 * neighbours with the same answer become one interval, and a balanced tree of comparisons finds it: Docker's profile,
 * of some 400 calls, takes about ten instructions a call.
 */
import { EngineError } from "../../core/errors.ts";
import type { LinuxSeccomp } from "../../oci/runtime.ts";
import { BpfAssembler, JUMP_EQUAL, JUMP_GREATER_EQUAL, type Place } from "./assembler.ts";
import { emitRules } from "./conditions.ts";
import {
  type AbiAnswers,
  type Answer,
  answersOf,
  returnErrno,
  returnKillThread,
  returnValue,
  type SyscallRules,
} from "./rules.ts";
import { type SyscallAbi, x32Bit } from "./syscalls.ts";

export interface SeccompProgram {
  /** An array of struct sock_filter. */
  bytes: Uint8Array;
  /** SECCOMP_FILTER_FLAG_* for seccomp(2). */
  flags: number;
  /** Some call is answered by an agent: SECCOMP_FILTER_FLAG_NEW_LISTENER is in `flags`. */
  notifies: boolean;
  /** Names that no ABI of the profile has; they are ignored, as runc and crun do. */
  unknownNames: string[];
}

/** BPF_MAXINSNS of linux/bpf_common.h. */
const instructionsMax = 4096;

/** linux/audit.h: the ELF machine with its flags for 64 bits and little-endian. */
const auditArchX64 = 0xc000003e;
const auditArchI386 = 0x40000003;
const numberOffset = 0;
const archOffset = 4;

const ENOSYS = 38;

/** SECCOMP_FILTER_FLAG_* of linux/seccomp.h. */
const flagBits = {
  SECCOMP_FILTER_FLAG_TSYNC: 1,
  SECCOMP_FILTER_FLAG_LOG: 2,
  SECCOMP_FILTER_FLAG_SPEC_ALLOW: 4,
  SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV: 32,
} as const;
/** linux.seccomp.flags by name, with the bits that seccomp(2) is called with for one alone. */
export const seccompFlags: Readonly<Record<string, number>> = flagBits;

export const flagNewListener = 8;
const flagTsyncEsrch = 16;

/** A container's exec's use the same configuration again. */
const compiled = new WeakMap<LinuxSeccomp, SeccompProgram>();

/** The program's bytes alone. Errors as of compileSeccompProgram. */
export function compileSeccomp(seccomp: LinuxSeccomp): Uint8Array {
  return compileSeccompProgram(seccomp).bytes;
}

/**
 * Compiles a profile for x86-64, and for i386 and x32 where it names them. Calls of an ABI that it does not name kill
 * the caller, as with libseccomp.
 * @throws EngineError invalid_argument with the field, or when the program is too long for the kernel.
 */
export function compileSeccompProgram(seccomp: LinuxSeccomp): SeccompProgram {
  let program = compiled.get(seccomp);
  if (program === undefined) {
    program = compile(seccomp);
    compiled.set(seccomp, program);
  }
  return program;
}

function compile(seccomp: LinuxSeccomp): SeccompProgram {
  refuseNotify(seccomp);
  const defaultValue = returnValue(seccomp.defaultAction, seccomp.defaultErrnoRet, "linux.seccomp.defaultErrnoRet");
  const { answers, unknownNames } = answersOf(seccomp, abisOf(seccomp), defaultValue);
  const ofAbi = (abi: SyscallAbi): AbiAnswers | undefined => answers.find((candidate) => candidate.abi === abi);
  const newer = valueForNewer(seccomp, defaultValue);
  const assembler = new BpfAssembler();
  const places = new Map<string, Place>();
  const tree = (of: AbiAnswers, above?: Place): Place => {
    return emitTree(assembler, intervalsOf(of, defaultValue, newer, above), of.abi !== "x86", places);
  };
  const otherArch = assembler.return(returnKillThread);
  const [x86, x32] = [ofAbi("x86"), ofAbi("x32")];
  const notX64 =
    x86 === undefined
      ? otherArch
      : assembler.branch(JUMP_EQUAL, auditArchI386, assembler.load(numberOffset, tree(x86)), otherArch);
  // A tracer skips a call by setting its number to -1 (ptrace(2)): that must not kill the tracee, even without x32.
  const aboveX64 =
    x32 === undefined ? assembler.branch(JUMP_EQUAL, 0xffffffff, assembler.return(defaultValue), otherArch) : tree(x32);
  const x64 = assembler.load(numberOffset, tree(ofAbi("x86_64")!, aboveX64));
  const bytes = assembler.assemble(assembler.load(archOffset, assembler.branch(JUMP_EQUAL, auditArchX64, x64, notX64)));
  const length = bytes.length / 8;
  if (length > instructionsMax) {
    const message = `linux.seccomp: compiles to ${length} instructions, the kernel takes ${instructionsMax}`;
    throw new EngineError("invalid_argument", message);
  }
  const notifies = (seccomp.syscalls ?? []).some((rule) => rule.action === "SCMP_ACT_NOTIFY");
  return { bytes, flags: flagsOf(seccomp, notifies), notifies, unknownNames };
}

/** What a leaf of the tree leads to: an answer, or a part of the program that is there already. */
type Leaf = Answer | { place: Place };

/** From its `start` to the next one's, all numbers have the same answer. The first start is the ABI's lowest number. */
interface Interval {
  start: number;
  leaf: Leaf;
}

/**
 * Numbers that no call has today keep the default and are not merged into their neighbours' answers: a later kernel
 * may give them a call.
 */
function intervalsOf(of: AbiAnswers, defaultValue: number, newer: number | undefined, above?: Place): Interval[] {
  const { abi, byNumber, answers, newest } = of;
  const base = abi === "x32" ? x32Bit : 0;
  const intervals: Interval[] = [{ start: base, leaf: answers[byNumber[0]!]! }];
  let last = byNumber[0]!;
  for (let number = 1; number < byNumber.length; number++) {
    const answer = byNumber[number]!;
    if (answer === last || isSame(answers[answer]!, answers[last]!)) continue;
    intervals.push({ start: base + number, leaf: answers[answer]! });
    last = answer;
  }
  if (newer !== undefined && newer !== defaultValue && newest >= 0) {
    // Above the newest there is nothing but an interval of the default, which begins right there if it begins at all.
    if (intervals.length > 1 && intervals.at(-1)!.start > base + newest) intervals.pop();
    intervals.push({ start: base + newest + 1, leaf: { value: newer } });
  }
  if (above !== undefined) intervals.push({ start: x32Bit, leaf: { place: above } });
  return intervals;
}

function isSame(a: Answer, b: Answer): boolean {
  return "value" in a && "value" in b && a.value === b.value;
}

/**
 * The answer to calls above the highest number that the profile knows of: ENOSYS, although the profile's default says
 * otherwise. They are newer than the profile, which cannot have meant to forbid them. C libraries try a new call first
 * and fall back to the old one on ENOSYS alone; with EPERM they give up, and each new call would break old profiles (as
 * clone3, faccessat2 and close_range did). runc does the same since 1.0.0-rc93, crun does not.
 *
 * Undefined where the default lets calls through anyway; a tracer decides for itself.
 */
function valueForNewer(seccomp: LinuxSeccomp, defaultValue: number): number | undefined {
  const permissive = ["SCMP_ACT_ALLOW", "SCMP_ACT_LOG", "SCMP_ACT_TRACE"].includes(seccomp.defaultAction);
  return permissive || defaultValue === (returnErrno | ENOSYS) ? undefined : returnErrno | ENOSYS;
}

/** @param places where the code of a call's rules is: calls with the same rules share it, x32's with x86-64's too. */
function emitTree(assembler: BpfAssembler, intervals: Interval[], wide: boolean, places: Map<string, Place>): Place {
  const leaf = (index: number): Place => {
    const it = intervals[index]!.leaf;
    if ("place" in it) return it.place;
    if ("value" in it) return assembler.return(it.value);
    const key = `${wide} ${keyOf(it.rules)}`;
    let place = places.get(key);
    if (place === undefined) {
      place = emitRules(assembler, it.rules, wide);
      places.set(key, place);
    }
    return place;
  };
  const node = (from: number, to: number): Place => {
    if (to - from === 1) return leaf(from);
    if (to - from === 3 && isSingleException(intervals, from)) {
      const around = leaf(from);
      return assembler.branch(JUMP_EQUAL, intervals[from + 1]!.start, leaf(from + 1), around);
    }
    const middle = (from + to) >> 1;
    const right = node(middle, to);
    return assembler.branch(JUMP_GREATER_EQUAL, intervals[middle]!.start, right, node(from, middle));
  };
  return node(0, intervals.length);
}

function keyOf({ rules, otherwise }: SyscallRules): string {
  const conditions = rules.map((rule) =>
    rule.conditions.map(({ index, op, value, valueTwo }) => `${index} ${op} ${value} ${valueTwo ?? 0}`).join("&"),
  );
  return `${rules.map((rule, index) => `${conditions[index]}:${rule.value}`).join("|")}|${otherwise}`;
}

/** One number with an answer of its own between two intervals that have the same. */
function isSingleException(intervals: Interval[], from: number): boolean {
  const [before, middle, after] = [intervals[from]!, intervals[from + 1]!, intervals[from + 2]!];
  if (!("value" in before.leaf) || !("value" in after.leaf)) return false;
  return before.leaf.value === after.leaf.value && middle.start + 1 === after.start;
}

/** Architectures that are little-endian with libseccomp's names, but never make a call on this one. */
const foreignArchitectures = new Set(
  (
    "SCMP_ARCH_NATIVE SCMP_ARCH_ARM SCMP_ARCH_AARCH64 SCMP_ARCH_LOONGARCH64 SCMP_ARCH_M68K SCMP_ARCH_MIPS " +
    "SCMP_ARCH_MIPS64 SCMP_ARCH_MIPS64N32 SCMP_ARCH_MIPSEL SCMP_ARCH_MIPSEL64 SCMP_ARCH_MIPSEL64N32 SCMP_ARCH_PARISC " +
    "SCMP_ARCH_PARISC64 SCMP_ARCH_PPC SCMP_ARCH_PPC64 SCMP_ARCH_PPC64LE SCMP_ARCH_RISCV64 SCMP_ARCH_S390 " +
    "SCMP_ARCH_S390X SCMP_ARCH_SH SCMP_ARCH_SHEB"
  ).split(" "),
);

/** The machine's, which have calls of their own. */
const ownArchitectures: Readonly<Record<string, SyscallAbi>> = {
  SCMP_ARCH_X86_64: "x86_64",
  SCMP_ARCH_X86: "x86",
  SCMP_ARCH_X32: "x32",
};

/** Those that a profile may name. */
export function seccompArchitectures(): string[] {
  return [...Object.keys(ownArchitectures), ...foreignArchitectures];
}

/** The machine's own ABI always belongs to the filter, as with libseccomp. */
function abisOf(seccomp: LinuxSeccomp): SyscallAbi[] {
  const abis = new Set<SyscallAbi>(["x86_64"]);
  for (const [index, name] of (seccomp.architectures ?? []).entries()) {
    const abi = ownArchitectures[name];
    if (abi !== undefined) abis.add(abi);
    else if (!foreignArchitectures.has(name)) {
      throw new EngineError("invalid_argument", `linux.seccomp.architectures[${index}]: ${name} is not known`);
    }
  }
  return [...abis];
}

function flagsOf(seccomp: LinuxSeccomp, notifies: boolean): number {
  let flags = notifies ? flagNewListener : 0;
  for (const name of seccomp.flags ?? []) flags |= flagBits[name];
  // seccomp(2): together with a listener, TSYNC has to report failure by errno, for the result is a descriptor.
  if (notifies && flags & flagBits.SECCOMP_FILTER_FLAG_TSYNC) flags |= flagTsyncEsrch;
  return flags;
}

/** As runc: an agent that answers every call would have to answer those that start the container, before it knows of it. */
function refuseNotify(seccomp: LinuxSeccomp): void {
  if (seccomp.defaultAction === "SCMP_ACT_NOTIFY") {
    throw new EngineError("invalid_argument", "linux.seccomp.defaultAction: SCMP_ACT_NOTIFY cannot be the default");
  }
  for (const [index, rule] of (seccomp.syscalls ?? []).entries()) {
    if (rule.action === "SCMP_ACT_NOTIFY" && rule.names.includes("write")) {
      const field = `linux.seccomp.syscalls[${index}].action`;
      throw new EngineError("invalid_argument", `${field}: SCMP_ACT_NOTIFY cannot be used for write`);
    }
  }
}
