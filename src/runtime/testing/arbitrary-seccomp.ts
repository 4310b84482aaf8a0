/** Random seccomp profiles, for property tests. */
import * as fc from "fast-check";
import {
  type LinuxSeccomp,
  type LinuxSeccompAction,
  type LinuxSeccompArgument,
  type LinuxSeccompRule,
  seccompOperator,
} from "../../oci/runtime.ts";
import { syscallTable } from "../seccomp/syscalls.ts";

const actions: LinuxSeccompAction[] = [
  "SCMP_ACT_KILL",
  "SCMP_ACT_KILL_PROCESS",
  "SCMP_ACT_KILL_THREAD",
  "SCMP_ACT_TRAP",
  "SCMP_ACT_ERRNO",
  "SCMP_ACT_TRACE",
  "SCMP_ACT_ALLOW",
  "SCMP_ACT_LOG",
];
/** Around the places where a word of 32 bits ends, and where signs change. */
const value: fc.Arbitrary<number | bigint> = fc.oneof(
  fc.nat(4),
  fc.constantFrom(0x7fffffff, 0x80000000, 0xffffffff, 2 ** 32, 2n ** 63n - 1n, 2n ** 63n, 2n ** 64n - 1n),
  fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
);
const condition: fc.Arbitrary<LinuxSeccompArgument> = fc.record(
  { index: fc.nat(5), op: fc.constantFrom(...seccompOperator.options), value, valueTwo: value },
  { requiredKeys: ["index", "op", "value"] },
);
/** A few calls come often, so that rules meet: those that i386 multiplexes are among them. */
const names = ["read", "clone", "socket", "shmget", "personality", "no_such_call", ...syscallTable().rows.keys()];
const callName = fc.oneof(fc.constantFrom(...names.slice(0, 6)), fc.constantFrom(...names));

const rule: fc.Arbitrary<LinuxSeccompRule> = fc
  .record(
    {
      names: fc.array(callName, { minLength: 1, maxLength: 8 }),
      action: fc.constantFrom<LinuxSeccompAction>(...actions, "SCMP_ACT_NOTIFY"),
      errnoRet: fc.nat(4095),
      args: fc.array(condition, { maxLength: 4 }),
    },
    { requiredKeys: ["names", "action"] },
  )
  .map(({ errnoRet, ...rest }) => {
    const takesErrno = rest.action === "SCMP_ACT_ERRNO" || rest.action === "SCMP_ACT_TRACE";
    const names = rest.action === "SCMP_ACT_NOTIFY" ? rest.names.filter((name) => name !== "write") : rest.names;
    const named = { ...rest, names: names.length === 0 ? ["read"] : names };
    return { ...named, ...(takesErrno && errnoRet !== undefined && { errnoRet }) } as LinuxSeccompRule;
  });

export const arbitrarySeccomp: fc.Arbitrary<LinuxSeccomp> = fc
  .record(
    {
      defaultAction: fc.constantFrom(...actions),
      defaultErrnoRet: fc.nat(4095),
      architectures: fc.subarray(["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32", "SCMP_ARCH_AARCH64"]),
      flags: fc.subarray(["SECCOMP_FILTER_FLAG_TSYNC", "SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_SPEC_ALLOW"]),
      syscalls: fc.array(rule, { maxLength: 24 }),
    },
    { requiredKeys: ["defaultAction"] },
  )
  .map(({ defaultErrnoRet, ...rest }) => {
    const takesErrno = rest.defaultAction === "SCMP_ACT_ERRNO" || rest.defaultAction === "SCMP_ACT_TRACE";
    return { ...rest, ...(takesErrno && defaultErrnoRet !== undefined && { defaultErrnoRet }) } as LinuxSeccomp;
  });
