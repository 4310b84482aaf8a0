/**
 * The compiler of filters against a plain reading of the profile, over all system calls of each architecture.
 *
 * The reading knows nothing of how the compiler works: it goes through the rules for each call, as config-linux.md
 * "Seccomp" and seccomp_rule_add(3) describe them. What these leave open is decided as libseccomp does, which is what
 * runc uses: see `decide`.
 */
import { describe, setDefaultTimeout, test } from "bun:test";
import { fileURLToPath } from "node:url";
import * as fc from "fast-check";
import { defaultSeccomp } from "../../bundle/seccomp-default.ts";
import {
  type LinuxSeccomp,
  type LinuxSeccompArgument,
  type LinuxSeccompRule,
  seccompOperator,
} from "../../oci/runtime.ts";
import { arbitrarySeccomp } from "../testing/arbitrary-seccomp.ts";
import { forAll } from "../testing/rounds.ts";
import { compileSeccomp } from "./compile.ts";
import { runFilter, type SeccompData } from "./machine.ts";
import { type SyscallAbi, syscallNumber, x32Bit } from "./syscalls.ts";

setDefaultTimeout(600_000);

const ENOSYS = 38;
/** seccomp(2). */
const returns: Record<string, number> = {
  SCMP_ACT_KILL: 0,
  SCMP_ACT_KILL_THREAD: 0,
  SCMP_ACT_KILL_PROCESS: 0x80000000,
  SCMP_ACT_TRAP: 0x00030000,
  SCMP_ACT_ERRNO: 0x00050000,
  SCMP_ACT_NOTIFY: 0x7fc00000,
  SCMP_ACT_TRACE: 0x7ff00000,
  SCMP_ACT_LOG: 0x7ffc0000,
  SCMP_ACT_ALLOW: 0x7fff0000,
};

function answer(action: string, errnoRet: number | undefined): number {
  const value = returns[action]!;
  return action === "SCMP_ACT_ERRNO" || action === "SCMP_ACT_TRACE" ? value + (errnoRet ?? 1) : value;
}

function holds({ index, op, value, valueTwo = 0 }: LinuxSeccompArgument, args: readonly bigint[]): boolean {
  const [actual, wanted] = [args[index]!, BigInt(value)];
  switch (op) {
    case "SCMP_CMP_EQ":
      return actual === wanted;
    case "SCMP_CMP_NE":
      return actual !== wanted;
    case "SCMP_CMP_GT":
      return actual > wanted;
    case "SCMP_CMP_GE":
      return actual >= wanted;
    case "SCMP_CMP_LT":
      return actual < wanted;
    case "SCMP_CMP_LE":
      return actual <= wanted;
    case "SCMP_CMP_MASKED_EQ":
      return (actual & wanted) === (BigInt(valueTwo) & wanted);
  }
}

/** socketcall(2) and ipc(2) of i386, by their first argument (include/uapi/linux/net.h, ipc.h). */
const socketcalls = (
  "- socket bind connect listen accept getsockname getpeername socketpair send recv sendto recvfrom shutdown " +
  "setsockopt getsockopt sendmsg recvmsg accept4 recvmmsg sendmmsg"
).split(" ");
const ipcCalls: Record<number, string> = {
  1: "semop",
  2: "semget",
  3: "semctl",
  4: "semtimedop",
  11: "msgsnd",
  12: "msgrcv",
  13: "msgget",
  14: "msgctl",
  21: "shmat",
  22: "shmdt",
  23: "shmget",
  24: "shmctl",
};
const [socketcallNumber, ipcNumber] = [102, 117];
const isSocketcall = (name: string) => socketcalls.includes(name);
const isIpc = (name: string) => Object.values(ipcCalls).includes(name);

/** A call as a rule may mean it: by its own number, or from inside of a multiplexer. */
interface Call {
  abi: SyscallAbi;
  nr: number;
  args: readonly bigint[];
}

function isMeant(name: string, { abi, nr, args }: Call): "itself" | "inside" | undefined {
  if (syscallNumber(name, abi) === nr) return "itself";
  if (abi !== "x86") return undefined;
  const first = Number(args[0]! & 0xffffffffn);
  if (nr === socketcallNumber && isSocketcall(name) && socketcalls[first] === name) return "inside";
  if (nr === ipcNumber && isIpc(name) && ipcCalls[first & 0xffff] === name) return "inside";
  return undefined;
}

/** SECCOMP_RET_* order by severity, of which KILL_PROCESS is the strictest (seccomp(2)). */
const severity = (value: number): number => (value & 0xffff0000) | 0;

/**
 * A rule that does what the default does is as good as absent. Of the others a rule without conditions stands above all
 * with, wherever it is; else the first whose conditions hold counts. Conditions of one rule are joined by "and", except
 * where two concern the same argument (then runc makes each a rule of its own). Arguments inside of a multiplexer
 * cannot be looked at: there conditions count as holding for what is stricter than the default, and as not holding for
 * what is not.
 */
function decide(profile: LinuxSeccomp, call: Call): number {
  const otherwise = answer(profile.defaultAction, profile.defaultErrnoRet);
  const rules = (profile.syscalls ?? []).filter(({ action, errnoRet }) => answer(action, errnoRet) !== otherwise);
  const value = ({ action, errnoRet }: LinuxSeccompRule) => answer(action, errnoRet);
  // The name that the multiplexer is known by has a number too, and may be in a rule itself.
  const always = rules.find(
    (rule) => !rule.args?.length && rule.names.some((name) => isMeant(name, call) === "itself"),
  );
  if (always !== undefined) return value(always);
  for (const rule of rules) {
    const { args: conditions = [], names } = rule;
    const ways = names.map((name) => isMeant(name, call));
    if (ways.includes("inside")) {
      if (conditions.length === 0 || severity(value(rule)) < severity(otherwise)) return value(rule);
    }
    if (!ways.includes("itself")) continue;
    const indices = conditions.map(({ index }) => index);
    const isAny = new Set(indices).size < indices.length;
    const matches = conditions.map((condition) => holds(condition, call.args));
    if (isAny ? matches.includes(true) : !matches.includes(false)) return value(rule);
  }
  return isNewer(profile, call) && isStrict(profile) ? answer("SCMP_ACT_ERRNO", ENOSYS) : otherwise;
}

/** Calls above the newest that the profile names exist since it was written: they get ENOSYS, as with runc. */
function isNewer(profile: LinuxSeccomp, { abi, nr }: Call): boolean {
  const names = (profile.syscalls ?? []).flatMap((rule) => rule.names);
  const numbers = names.flatMap((name) => {
    const detour = isSocketcall(name) ? [socketcallNumber] : isIpc(name) ? [ipcNumber] : [];
    return [syscallNumber(name, abi) ?? -1, ...(abi === "x86" ? detour : [])];
  });
  const newest = Math.max(-1, ...numbers);
  return newest >= 0 && nr > newest;
}

function isStrict({ defaultAction }: LinuxSeccomp): boolean {
  return !["SCMP_ACT_ALLOW", "SCMP_ACT_LOG", "SCMP_ACT_TRACE"].includes(defaultAction);
}

/** linux/audit.h. */
const [archX64, archI386] = [0xc000003e, 0x40000003];

function interpret(profile: LinuxSeccomp, { arch, nr, args }: SeccompData): number {
  const killed = returns.SCMP_ACT_KILL!;
  const names = profile.architectures ?? [];
  if (arch === archI386) return names.includes("SCMP_ARCH_X86") ? decide(profile, { abi: "x86", nr, args }) : killed;
  if (arch !== archX64) return killed;
  // Everything from the bit on is x32's for libseccomp.
  if (nr < x32Bit) return decide(profile, { abi: "x86_64", nr, args });
  if (names.includes("SCMP_ARCH_X32")) return decide(profile, { abi: "x32", nr, args });
  // A tracer has skipped the call.
  return nr === 0xffffffff ? answer(profile.defaultAction, profile.defaultErrnoRet) : killed;
}

/** All numbers that some call has, some around and above them, and the ends of the range. */
const numbers = Array.from({ length: 620 }, (_, index) => index);
const architectures: [arch: number, numbers: number[]][] = [
  [archX64, [...numbers, 0x3fffffff]],
  [archX64, [...numbers.map((number) => number + x32Bit), 0x7fffffff, 0x80000000, 0xffffffff]],
  [archI386, [...numbers, 0x3fffffff, 0xffffffff]],
  [0xc00000b7, [0, 1, 0xffffffff]],
];

/** What the conditions on the arguments compare with, and its neighbours, in both halves. */
function edges(profile: LinuxSeccomp): bigint[] {
  const constants = new Set([0n]);
  for (const { args = [] } of profile.syscalls ?? []) {
    for (const { value, valueTwo = 0 } of args) constants.add(BigInt(value)).add(BigInt(valueTwo));
  }
  const around = [...constants].flatMap((it) => [it, it - 1n, it + 1n, it ^ 0x80000000n, it ^ (1n << 32n), it << 32n]);
  return [...new Set(around.map((it) => BigInt.asUintN(64, it)))];
}

function expectAgreement(profile: LinuxSeccomp, seed: number, rounds: number): void {
  const program = compileSeccomp(profile);
  const values = edges(profile);
  let state = seed;
  const next = (): number => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state >>> 8;
  };
  const argument = (): bigint => {
    const value = values[next() % values.length]!;
    return next() % 8 === 0 ? value ^ (1n << BigInt(next() % 64)) : value;
  };
  const argumentsOf = (arch: number): bigint[] =>
    // The kernel clears the upper halves for i386. Small numbers are the multiplexers' first arguments.
    Array.from({ length: 6 }, (_, index) => {
      const value = index === 0 && arch === archI386 && next() % 2 === 0 ? BigInt(next() % 26) : argument();
      return BigInt.asUintN(arch === archI386 ? 32 : 64, value);
    });
  for (const [arch, all] of architectures) {
    for (const nr of all) {
      const isMultiplexer = arch === archI386 && (nr === socketcallNumber || nr === ipcNumber);
      for (let round = 0; round < rounds * (isMultiplexer ? 200 : 1); round++) {
        const data = { arch, nr, args: argumentsOf(arch) };
        const [actual, expected] = [runFilter(program, data).value, interpret(profile, data)];
        if (actual === expected) continue;
        const call = `arch 0x${arch.toString(16)}, number ${nr}, arguments ${data.args.join(" ")}`;
        throw new Error(`${call}: 0x${actual.toString(16)}, and a reading says 0x${expected.toString(16)}`);
      }
    }
  }
}

/** What a child process with the filter gets for calls of x86-64. */
function askKernel(profile: LinuxSeccomp, calls: readonly (readonly [number, ...bigint[]])[]): number[] {
  const child = Bun.spawnSync([process.execPath, fileURLToPath(new URL("compile.child.ts", import.meta.url))], {
    stdin: Buffer.from(compileSeccomp(profile)),
    env: { CALLS: JSON.stringify(calls.map(([nr, ...args]) => [nr, ...args.map(String)])) },
  });
  if (!child.success) throw new Error(child.stderr.toString());
  return JSON.parse(child.stdout.toString());
}

describe("a compiled filter", () => {
  test("decides as a plain reading of the profile, for every call and arguments around its constants", () => {
    forAll(fc.tuple(arbitrarySeccomp, fc.nat()), 12, ([profile, seed]) => expectAgreement(profile, seed, 1));
  });

  test.each([
    ["without capabilities", []],
    ["with some", ["CAP_SYS_ADMIN", "CAP_SYS_PTRACE", "CAP_SYS_NICE"]],
  ])("decides so for Docker's default profile %s", (_name, capabilities) => {
    const profile = defaultSeccomp(capabilities, [6, 12]);
    forAll(fc.nat(), 1, (seed) => expectAgreement(profile, seed, 1));
  });

  test("decides so in the kernel, too", () => {
    // Calls that do nothing with any argument, or fail: none of them changes the process.
    const harmless = ["getpid", "getppid", "gettid", "getuid", "geteuid", "getgid", "getegid", "getpgrp"];
    const rule = fc.record({
      names: fc.subarray(harmless, { minLength: 1 }),
      errnoRet: fc.integer({ min: 200, max: 220 }),
      args: fc.array(
        fc.record({
          index: fc.nat(5),
          op: fc.constantFrom(...seccompOperator.options),
          value: fc.constantFrom(0, 1, 0xffffffff, 2 ** 32, 2n ** 63n, 2n ** 64n - 1n),
          valueTwo: fc.constantFrom(0, 1, 0xffffffff, 2 ** 32),
        }),
        { maxLength: 3 },
      ),
    });
    forAll(fc.tuple(fc.array(rule, { minLength: 1, maxLength: 12 }), fc.nat()), 4, ([rules, seed]) => {
      const profile: LinuxSeccomp = {
        defaultAction: "SCMP_ACT_ALLOW",
        syscalls: rules.map((it) => ({ ...it, action: "SCMP_ACT_ERRNO" })),
      };
      const values = edges(profile);
      const calls = harmless.flatMap((name, call) =>
        Array.from({ length: 20 }, (_, round): [number, ...bigint[]] => {
          const args = [0, 1, 2, 3, 4, 5].map(
            (index) => values[(seed + call * 7 + round * 13 + index * 5) % values.length]!,
          );
          return [syscallNumber(name, "x86_64")!, ...args];
        }),
      );
      const answers = askKernel(profile, calls);
      calls.forEach(([nr, ...args], index) => {
        const wanted = decide(profile, { abi: "x86_64", nr, args });
        const got = answers[index]!;
        const denied = wanted === returns.SCMP_ACT_ALLOW ? undefined : -(wanted & 0xffff);
        if (denied === undefined ? got < 0 : got !== denied)
          throw new Error(`call ${nr} with ${args.join(" ")}: ${got}`);
      });
    });
  });
});
