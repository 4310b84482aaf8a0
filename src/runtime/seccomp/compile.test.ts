import { describe, expect, test } from "bun:test";
import { fileURLToPath } from "node:url";
import type { LinuxSeccomp, LinuxSeccompArgument, LinuxSeccompRule } from "../../oci/runtime.ts";
import { compileSeccomp, compileSeccompProgram } from "./compile.ts";
import { runFilter, type SeccompData } from "./machine.ts";
import { multiplexer, type SyscallAbi, syscallNumber, syscallTable, x32Bit } from "./syscalls.ts";

const archX64 = 0xc000003e;
const archI386 = 0x40000003;
const seed = Number(process.env.TSD_SEED ?? Math.floor(Math.random() * 2 ** 32));
const allow = 0x7fff0000;
const errno = (number: number) => 0x50000 + number;

/** mulberry32: small, and the same numbers for the same seed. */
function randomNumbers(start: number): () => number {
  let state = start;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

const returns: Record<string, number> = {
  SCMP_ACT_KILL: 0,
  SCMP_ACT_KILL_THREAD: 0,
  SCMP_ACT_KILL_PROCESS: 0x80000000,
  SCMP_ACT_TRAP: 0x30000,
  SCMP_ACT_ERRNO: 0x50000,
  SCMP_ACT_NOTIFY: 0x7fc00000,
  SCMP_ACT_TRACE: 0x7ff00000,
  SCMP_ACT_LOG: 0x7ffc0000,
  SCMP_ACT_ALLOW: allow,
};

function holds(condition: LinuxSeccompArgument, args: bigint[]): boolean {
  const actual = args[condition.index]!;
  const value = BigInt(condition.value);
  switch (condition.op) {
    case "SCMP_CMP_EQ":
      return actual === value;
    case "SCMP_CMP_NE":
      return actual !== value;
    case "SCMP_CMP_GT":
      return actual > value;
    case "SCMP_CMP_GE":
      return actual >= value;
    case "SCMP_CMP_LT":
      return actual < value;
    case "SCMP_CMP_LE":
      return actual <= value;
    case "SCMP_CMP_MASKED_EQ":
      return (actual & value) === (BigInt(condition.valueTwo ?? 0) & value);
  }
}

function interpret(profile: LinuxSeccomp, data: SeccompData): number {
  const value = (action: string, errnoRet: number | undefined): number => {
    const base = returns[action]!;
    return base === 0x50000 || base === 0x7ff00000 ? base + (errnoRet ?? 1) : base;
  };
  const architectures = profile.architectures ?? [];
  const isX32 = data.arch === archX64 && (data.nr & x32Bit) !== 0;
  if (data.arch === archI386 && !architectures.includes("SCMP_ARCH_X86")) return 0;
  if (data.arch !== archX64 && data.arch !== archI386) return 0;
  const otherwise = value(profile.defaultAction, profile.defaultErrnoRet);
  if (isX32 && !architectures.includes("SCMP_ARCH_X32")) return data.nr === 0xffffffff ? otherwise : 0;
  const abi: SyscallAbi = data.arch === archI386 ? "x86" : isX32 ? "x32" : "x86_64";
  const names = (profile.syscalls ?? []).flatMap((rule) => rule.names);
  const rowOf = (name: string): number => syscallTable().rows.get(name) ?? -1;
  const detour = (name: string): number => (abi === "x86" ? (multiplexer(rowOf(name))?.number ?? -1) : -1);
  const newest = Math.max(-1, ...names.map((name) => Math.max(syscallNumber(name, abi) ?? -1, detour(name))));
  const restrictive = !["SCMP_ACT_ALLOW", "SCMP_ACT_LOG", "SCMP_ACT_TRACE"].includes(profile.defaultAction);
  if (newest >= 0 && data.nr > newest && restrictive && otherwise !== errno(38)) return errno(38);
  const matching = (profile.syscalls ?? []).filter(
    (rule) =>
      rule.names.some((name) => syscallNumber(name, abi) === data.nr) &&
      value(rule.action, rule.errnoRet) !== otherwise,
  );
  const matches = ({ args = [] }: LinuxSeccompRule): boolean => {
    const alternatives = new Set(args.map((arg) => arg.index)).size < args.length;
    return alternatives ? args.some((arg) => holds(arg, data.args)) : args.every((arg) => holds(arg, data.args));
  };
  const winner = matching.find((rule) => (rule.args ?? []).length === 0) ?? matching.find(matches);
  return winner === undefined ? otherwise : value(winner.action, winner.errnoRet);
}

/** Values near what the conditions compare with, in each half; else anything. */
function interestingArgs(profile: LinuxSeccomp, random: () => number, wide: boolean): bigint[] {
  const constants = (profile.syscalls ?? []).flatMap((rule) =>
    (rule.args ?? []).flatMap((arg) => [BigInt(arg.value), BigInt(arg.valueTwo ?? 0)]),
  );
  const word = () => BigInt(Math.floor(random() * 2 ** 32));
  return Array.from({ length: 6 }, () => {
    const constant = constants[Math.floor(random() * constants.length)];
    let value = constant === undefined || random() < 0.2 ? (word() << 32n) | word() : constant;
    const kind = random();
    if (kind < 0.2) value += 1n;
    else if (kind < 0.4) value -= 1n;
    else if (kind < 0.5) value ^= 1n << BigInt(Math.floor(random() * 64));
    return BigInt.asUintN(wide ? 64 : 32, value);
  });
}

const namesOfX64 = [...syscallTable().rows.keys()].filter((name) => syscallNumber(name, "x86_64") !== undefined);

const archs: [number, number][] = [
  [archX64, 0],
  [archX64, x32Bit],
  [archI386, 0],
];

/** Compares the program with the plain reading of the profile, over all numbers and several arguments each. */
function expectSameDecisions(profile: LinuxSeccomp, random: () => number, rounds: number, skip?: Set<number>): void {
  const program = compileSeccomp(profile);
  for (const [arch, base] of archs) {
    const numbers = [...Array.from({ length: 620 }, (_, index) => base + index), 0xffffffff, 0x3fffffff, 0x7fffffff];
    for (const nr of numbers) {
      if (arch === archI386 && skip?.has(nr)) continue;
      for (let round = 0; round < rounds; round++) {
        const data = { nr, arch, args: interestingArgs(profile, random, arch !== archI386) };
        const actual = runFilter(program, data).value;
        const expected = interpret(profile, data);
        if (actual !== expected) {
          const call = `arch ${arch.toString(16)} nr ${nr} args ${data.args.join(" ")}`;
          throw new Error(`seed ${seed}: ${call}: ${actual.toString(16)}, expected ${expected.toString(16)}
${JSON.stringify(profile, (_, value) => (typeof value === "bigint" ? value.toString() : value))}`);
        }
      }
    }
  }
  for (const arch of [0, 0xc00000b7, 0x4000003e]) {
    expect(runFilter(program, { nr: 0, arch, args: [0n, 0n, 0n, 0n, 0n, 0n] }).value).toBe(0);
  }
}

const multiplexers = new Set([102, 117]);
const allArchitectures = ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"];
const operators: LinuxSeccompArgument["op"][] = [
  "SCMP_CMP_NE",
  "SCMP_CMP_LT",
  "SCMP_CMP_LE",
  "SCMP_CMP_EQ",
  "SCMP_CMP_GE",
  "SCMP_CMP_GT",
  "SCMP_CMP_MASKED_EQ",
];

function randomProfile(random: () => number): LinuxSeccomp {
  const pick = <T>(from: readonly T[]): T => from[Math.floor(random() * from.length)]!;
  const names = [...syscallTable().rows.keys(), "no_such_call"];
  const constant = (): number | bigint => {
    const kind = random();
    if (kind < 0.4) return Math.floor(random() * 4);
    if (kind < 0.6) return 0xffffffff;
    if (kind < 0.8) return BigInt(Math.floor(random() * 4)) << 32n;
    return (BigInt(Math.floor(random() * 2 ** 32)) << 32n) | BigInt(Math.floor(random() * 3));
  };
  const actions = Object.keys(returns).filter((action) => action !== "SCMP_ACT_NOTIFY") as LinuxSeccompRule["action"][];
  const hot = Array.from({ length: 5 }, () => pick(names));
  const rules = Array.from({ length: Math.floor(random() * 40) }, (): LinuxSeccompRule => {
    const action = pick(actions);
    const withErrno = (action === "SCMP_ACT_ERRNO" || action === "SCMP_ACT_TRACE") && random() < 0.5;
    return {
      names: Array.from({ length: 1 + Math.floor(random() * 12) }, () => pick(random() < 0.3 ? hot : names)),
      action,
      ...(withErrno && { errnoRet: Math.floor(random() * 100) }),
      ...(random() < 0.5 && {
        args: Array.from({ length: Math.floor(random() * 4) }, () => ({
          index: Math.floor(random() * 3),
          op: pick(operators),
          value: constant(),
          valueTwo: constant(),
        })),
      }),
    };
  });
  const defaultAction = pick(actions);
  return {
    defaultAction,
    ...(defaultAction === "SCMP_ACT_ERRNO" && random() < 0.5 && { defaultErrnoRet: pick([1, 38, 95]) }),
    architectures: allArchitectures.filter(() => random() < 0.7),
    syscalls: rules,
  };
}

describe("seccomp compiler", () => {
  test("random profiles decide as a plain reading of them, for every number and random arguments", () => {
    console.log(`seccomp seed ${seed} (TSD_SEED=${seed} repeats it)`);
    const random = randomNumbers(seed);
    for (let profile = 0; profile < 4; profile++) expectSameDecisions(randomProfile(random), random, 2, multiplexers);
  }, 60_000);

  test("each operator compares all 64 bits", () => {
    for (const op of operators) {
      for (const value of [0, 1, 0xffffffff, 2n ** 32n, 2n ** 63n + 5n, 2n ** 64n - 1n]) {
        const profile: LinuxSeccomp = {
          defaultAction: "SCMP_ACT_ERRNO",
          architectures: allArchitectures,
          syscalls: [{ names: ["mmap"], action: "SCMP_ACT_ALLOW", args: [{ index: 5, op, value, valueTwo: value }] }],
        };
        expectSameDecisions(profile, randomNumbers(seed), 2);
      }
    }
  }, 60_000);

  test("a tree whose leaves are farther apart than a jump reaches is still right", () => {
    // Every second number another errno: nothing merges, and no return instruction is near for long.
    const syscalls = namesOfX64.map(
      (name, index): LinuxSeccompRule => ({ names: [name], action: "SCMP_ACT_ERRNO", errnoRet: 100 + index }),
    );
    const profile: LinuxSeccomp = { defaultAction: "SCMP_ACT_KILL", architectures: allArchitectures, syscalls };
    expect(compileSeccomp(profile).length / 8).toBeGreaterThan(1000);
    expectSameDecisions(profile, randomNumbers(seed), 1, multiplexers);
  });

  test("many conditions on calls all over the table reach across the program", () => {
    const names = namesOfX64.filter((_, index) => index % 3 === 0);
    const syscalls = names.map((name, index): LinuxSeccompRule => {
      const args = [{ index: index % 6, op: "SCMP_CMP_GT" as const, value: BigInt(index) << 20n }];
      return { names: [name], action: "SCMP_ACT_ALLOW", args };
    });
    expectSameDecisions({ defaultAction: "SCMP_ACT_ERRNO", syscalls }, randomNumbers(seed), 3);
  });

  test("calls newer than the profile get ENOSYS, those that it leaves out its default", () => {
    const program = compileSeccomp({
      defaultAction: "SCMP_ACT_ERRNO",
      syscalls: [{ names: ["read", "openat2"], action: "SCMP_ACT_ALLOW" }],
    });
    const decide = (nr: number) => runFilter(program, { nr, arch: archX64, args: [0n, 0n, 0n, 0n, 0n, 0n] }).value;
    expect(decide(0)).toBe(allow);
    expect(decide(1)).toBe(errno(1));
    expect(decide(400)).toBe(errno(1));
    expect(decide(437)).toBe(allow);
    expect(decide(438)).toBe(errno(38));
    expect(decide(9999)).toBe(errno(38));
  });

  test("a call of i386 through socketcall or ipc is decided as the call itself", () => {
    const program = compileSeccomp({
      defaultAction: "SCMP_ACT_ERRNO",
      architectures: ["SCMP_ARCH_X86"],
      syscalls: [{ names: ["connect", "shmget"], action: "SCMP_ACT_ALLOW" }],
    });
    const decide = (nr: number, arg: bigint) => {
      return runFilter(program, { nr, arch: archI386, args: [arg, 0n, 0n, 0n, 0n, 0n] }).value;
    };
    expect(decide(102, 3n)).toBe(allow);
    expect(decide(102, 1n)).toBe(errno(1));
    expect(decide(117, 23n)).toBe(allow);
    expect(decide(117, 0x10000n + 23n)).toBe(allow);
    expect(decide(117, 1n)).toBe(errno(1));
  });

  test("through a multiplexer, conditions that permit do not hold and conditions that restrict always do", () => {
    const args: LinuxSeccompArgument[] = [{ index: 0, op: "SCMP_CMP_EQ", value: 16 }];
    const decide = (profile: LinuxSeccomp) => {
      const program = compileSeccomp({ ...profile, architectures: ["SCMP_ARCH_X86"] });
      return runFilter(program, { nr: 102, arch: archI386, args: [1n, 0n, 0n, 0n, 0n, 0n] }).value;
    };
    const permit: LinuxSeccompRule = { names: ["socket"], action: "SCMP_ACT_ALLOW", args };
    expect(decide({ defaultAction: "SCMP_ACT_ERRNO", syscalls: [permit] })).toBe(errno(1));
    const restrict: LinuxSeccompRule = { names: ["socket"], action: "SCMP_ACT_ERRNO", errnoRet: 97, args };
    expect(decide({ defaultAction: "SCMP_ACT_ALLOW", syscalls: [restrict] })).toBe(errno(97));
  });

  test("unknown names are left out and told", () => {
    const profile: LinuxSeccomp = {
      defaultAction: "SCMP_ACT_ALLOW",
      syscalls: [{ names: ["read", "frobnicate", "socketcall", "accept"], action: "SCMP_ACT_ERRNO" }],
    };
    expect(compileSeccompProgram(profile).unknownNames).toEqual(["frobnicate"]);
  });

  test("flags become seccomp(2)'s, and a listener is asked for where a call is notified", () => {
    const flags = ["SECCOMP_FILTER_FLAG_TSYNC", "SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_SPEC_ALLOW"] as const;
    expect(compileSeccompProgram({ defaultAction: "SCMP_ACT_ALLOW", flags: [...flags] })).toMatchObject({
      flags: 7,
      notifies: false,
    });
    const syscalls: LinuxSeccompRule[] = [{ names: ["mount"], action: "SCMP_ACT_NOTIFY" }];
    const notifying = compileSeccompProgram({ defaultAction: "SCMP_ACT_ALLOW", syscalls, flags: [flags[0]] });
    expect(notifying).toMatchObject({ flags: 1 | 8 | 16, notifies: true });
  });

  test("what cannot be is refused with its field", () => {
    const refused: [LinuxSeccomp, string][] = [
      [{ defaultAction: "SCMP_ACT_NOTIFY" }, "linux.seccomp.defaultAction"],
      [{ defaultAction: "SCMP_ACT_ALLOW", defaultErrnoRet: 1 }, "linux.seccomp.defaultErrnoRet: SCMP_ACT_ALLOW"],
      [{ defaultAction: "SCMP_ACT_ERRNO", defaultErrnoRet: 4096 }, "4096 is above 4095"],
      [{ defaultAction: "SCMP_ACT_ALLOW", architectures: ["SCMP_ARCH_Z80"] }, "architectures[0]: SCMP_ARCH_Z80"],
      [
        { defaultAction: "SCMP_ACT_ALLOW", syscalls: [{ names: ["write"], action: "SCMP_ACT_NOTIFY" }] },
        "linux.seccomp.syscalls[0].action",
      ],
    ];
    for (const [profile, message] of refused) expect(() => compileSeccomp(profile)).toThrow(message);
  });

  test("a program longer than the kernel takes is refused", () => {
    const syscalls = namesOfX64.map((name, call): LinuxSeccompRule => {
      const args = Array.from({ length: 6 }, (_, index) => ({
        index,
        op: "SCMP_CMP_EQ" as const,
        value: BigInt(call * 7 + index) << 31n,
      }));
      return { names: [name], action: "SCMP_ACT_ALLOW", args };
    });
    const profile: LinuxSeccomp = { defaultAction: "SCMP_ACT_ERRNO", syscalls };
    expect(() => compileSeccomp(profile)).toThrow(/compiles to \d+ instructions, the kernel takes 4096/);
  });

  test("the kernel takes a program and decides by it", () => {
    const profile: LinuxSeccomp = {
      defaultAction: "SCMP_ACT_ALLOW",
      architectures: allArchitectures,
      syscalls: [
        { names: ["getppid"], action: "SCMP_ACT_ERRNO", errnoRet: 77 },
        { names: ["alarm"], action: "SCMP_ACT_ERRNO", args: [{ index: 0, op: "SCMP_CMP_GT", value: 2n ** 33n }] },
      ],
    };
    const child = Bun.spawnSync([process.execPath, fileURLToPath(new URL("compile.child.ts", import.meta.url))], {
      stdin: Buffer.from(compileSeccomp(profile)),
      env: { CALLS: JSON.stringify([[110], [37, "8589934593"], [37, "0"], [39]]) },
    });
    expect(child.stderr.toString()).toBe("");
    const [getppid, longAlarm, alarm, getpid] = JSON.parse(child.stdout.toString()) as number[];
    expect([getppid, longAlarm, alarm]).toEqual([-77, -1, 0]);
    expect(getpid).toBeGreaterThan(0);
  }, 60_000);
});
