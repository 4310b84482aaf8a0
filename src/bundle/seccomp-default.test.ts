import { describe, expect, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { LinuxSeccomp } from "../oci/runtime.ts";
import { compileSeccomp } from "../runtime/seccomp/compile.ts";
import { runFilter } from "../runtime/seccomp/machine.ts";
import { syscallNumber } from "../runtime/seccomp/syscalls.ts";
import { defaultCapabilities } from "./capabilities.ts";
import { defaultSeccomp } from "./seccomp-default.ts";
import { seccompFromProfile } from "./seccomp-profile.ts";

const archX64 = 0xc000003e;
const archI386 = 0x40000003;
const allow = 0x7fff0000;
const errno = (number: number) => 0x50000 + number;
const recent = [6, 12] as const;

/** What Docker itself ships, where a copy lies beside the repository. It is not part of it. */
const referencePath = join(import.meta.dir, "../../../shared/reference/data/seccomp-default.json");

function decide(profile: LinuxSeccomp, name: string, ...args: bigint[]): number {
  const six = [...args, 0n, 0n, 0n, 0n, 0n, 0n].slice(0, 6);
  return runFilter(compileSeccomp(profile), { nr: syscallNumber(name, "x86_64")!, arch: archX64, args: six }).value;
}

/** Arguments on both sides of every constant that the profile compares with. */
const argumentsToTry = [0, 1, 8, 37, 38, 39, 40, 41, 0x20000, 0x20008, 0xffffffff, 0x7e020000, 0x10000000, 0x1200011]
  .map(BigInt)
  .flatMap((value) => [value, value + (1n << 32n)]);

function expectSame(actual: LinuxSeccomp, expected: LinuxSeccomp, context: string): void {
  const [mine, reference] = [compileSeccomp(actual), compileSeccomp(expected)];
  for (const [arch, base] of [
    [archX64, 0],
    [archX64, 0x40000000],
    [archI386, 0],
  ] as const) {
    for (let number = 0; number < 600; number++) {
      for (const first of argumentsToTry) {
        const data = { nr: base + number, arch, args: [first, 0n, 0n, 0n, 0n, 0n] };
        const [a, b] = [runFilter(mine, data).value, runFilter(reference, data).value];
        if (a !== b)
          throw new Error(`${context}: arch ${arch} number ${number} first argument ${first}: ${a}, not ${b}`);
      }
    }
  }
}

const capabilitySets = [
  [],
  [...defaultCapabilities],
  ["CAP_SYS_ADMIN"],
  ["CAP_SYS_PTRACE"],
  [
    "CAP_BPF",
    "CAP_PERFMON",
    "CAP_DAC_READ_SEARCH",
    "CAP_SYS_BOOT",
    "CAP_SYS_CHROOT",
    "CAP_SYS_MODULE",
    "CAP_SYS_PACCT",
    "CAP_SYS_RAWIO",
    "CAP_SYS_TIME",
    "CAP_SYS_TTY_CONFIG",
    "CAP_SYS_NICE",
    "CAP_SYSLOG",
  ],
];

describe("default seccomp profile", () => {
  test.skipIf(!existsSync(referencePath))(
    "decides every call as Docker's own profile does, whatever the capabilities and kernel",
    () => {
      const text = readFileSync(referencePath, "utf8");
      for (const kernel of [recent, [4, 7], [4, 8]] as const) {
        for (const capabilities of capabilitySets) {
          const expected = seccompFromProfile(text, { capabilities, kernel });
          expectSame(defaultSeccomp(capabilities, kernel), expected, `${kernel} ${capabilities}`);
        }
      }
    },
    60_000,
  );
  if (!existsSync(referencePath)) console.log(`not compared with Docker's own profile: there is no ${referencePath}`);

  test("lets ordinary calls through and keeps mount, unshare, keyrings, io_uring and AF_VSOCK out", () => {
    const profile = defaultSeccomp(defaultCapabilities, recent);
    for (const name of ["read", "openat2", "execve", "chroot", "ptrace", "landlock_restrict_self"]) {
      expect([name, decide(profile, name)]).toEqual([name, allow]);
    }
    for (const name of ["mount", "unshare", "setns", "keyctl", "io_uring_setup", "bpf", "userfaultfd", "open_tree"]) {
      expect([name, decide(profile, name)]).toEqual([name, errno(1)]);
    }
    expect(decide(profile, "socket", 2n)).toBe(allow);
    expect(decide(profile, "socket", 38n)).toBe(errno(1));
    expect(decide(profile, "socket", 40n)).toBe(errno(1));
    expect(decide(profile, "clone", 0x1200011n)).toBe(allow);
    expect(decide(profile, "clone", 0x10000000n)).toBe(errno(1));
    expect(decide(profile, "clone3")).toBe(errno(38));
    expect(decide(profile, "personality", 0x40000n)).toBe(errno(1));
    expect(decide(profile, "rseq_slice_yield")).toBe(errno(38));
  });

  test("a capability brings the calls that need it", () => {
    expect(decide(defaultSeccomp(["CAP_SYS_ADMIN"], recent), "mount")).toBe(allow);
    expect(decide(defaultSeccomp(["CAP_SYS_ADMIN"], recent), "clone3")).toBe(allow);
    expect(decide(defaultSeccomp(["CAP_SYS_ADMIN"], recent), "clone", 0x10000000n)).toBe(allow);
    expect(decide(defaultSeccomp([], recent), "chroot")).toBe(errno(1));
    expect(decide(defaultSeccomp([], [4, 7]), "ptrace")).toBe(errno(1));
    expect(decide(defaultSeccomp(["CAP_SYS_PTRACE"], [4, 7]), "ptrace")).toBe(allow);
  });

  test("takes no more than sixteen instructions for a call that looks at no argument", () => {
    const program = compileSeccomp(defaultSeccomp(defaultCapabilities, recent));
    const steps = Array.from({ length: 480 }, (_, nr) => {
      return runFilter(program, { nr, arch: archX64, args: [0n, 0n, 0n, 0n, 0n, 0n] }).steps;
    });
    expect(Math.max(...steps)).toBeLessThanOrEqual(16);
    expect(program.length / 8).toBeLessThan(400);
  });
});

describe("the profile of containers whose files have to stay in their projects", () => {
  const requests = [0x401c5820n, 0x40086602n, 0x40046602n];

  test("forbids the requests of ioctl(2) that change it, whatever their upper bits, and no other", () => {
    const profile = defaultSeccomp(defaultCapabilities, recent, true);
    const program = compileSeccomp(profile);
    const ioctl = (request: bigint, arch = archX64) => {
      const nr = arch === archX64 ? syscallNumber("ioctl", "x86_64")! : 54;
      return runFilter(program, { nr, arch, args: [3n, request, 0n, 0n, 0n, 0n] }).value;
    };
    for (const request of requests) {
      for (const upper of [0n, 1n << 32n, 0xffffffffn << 32n]) expect(ioctl(request | upper)).toBe(errno(1));
      expect(ioctl(request, archI386)).toBe(errno(1));
      // Each differs from it in one bit.
      for (let bit = 0n; bit < 32n; bit++) {
        const other = request ^ (1n << bit);
        if (!requests.includes(other)) expect([other, ioctl(other)]).toEqual([other, allow]);
      }
    }
    for (const request of [0n, 0x5401n, 0x5413n, 0xffffffffn, 0x801c581fn]) expect(ioctl(request)).toBe(allow);
    expect(decide(defaultSeccomp(defaultCapabilities, recent), "ioctl", 3n, requests[0]!)).toBe(allow);
  });
});

describe("seccomp profiles in Docker's format", () => {
  const context = { capabilities: ["CAP_SYS_ADMIN"], kernel: [5, 10] } as const;
  const namesOf = (rule: object) => {
    const text = JSON.stringify({ defaultAction: "SCMP_ACT_ERRNO", syscalls: [rule] });
    return seccompFromProfile(text, context).syscalls!.flatMap(({ names }) => names);
  };
  const rule = { names: ["mount"], action: "SCMP_ACT_ALLOW" };

  test("a rule holds when all that it includes is there and nothing that it excludes", () => {
    expect(namesOf(rule)).toEqual(["mount"]);
    expect(
      namesOf({ ...rule, includes: { caps: ["CAP_SYS_ADMIN"], minKernel: "5.4", arches: ["amd64", "x32"] } }),
    ).toEqual(["mount"]);
    for (const no of [
      { includes: { caps: ["CAP_SYS_ADMIN", "CAP_BPF"] } },
      { includes: { minKernel: "5.11" } },
      { includes: { arches: ["arm64"] } },
      { excludes: { caps: ["CAP_BPF", "CAP_SYS_ADMIN"] } },
      { excludes: { minKernel: "4.8" } },
      { excludes: { arches: ["amd64"] } },
    ]) {
      expect(namesOf({ ...rule, ...no })).toEqual([]);
    }
  });

  test("old profiles name one call a rule, and 64-bit numbers stay whole", () => {
    const text = `{"defaultAction":"SCMP_ACT_ALLOW","defaultErrnoRet":null,"architectures":["SCMP_ARCH_X86_64"],
      "syscalls":[{"name":"clone","action":"SCMP_ACT_ERRNO","errnoRet":5,
        "args":[{"index":0,"value":18446744073709551615,"valueTwo":0,"op":"SCMP_CMP_EQ"}]}]}`;
    expect(seccompFromProfile(text, context)).toEqual({
      defaultAction: "SCMP_ACT_ALLOW",
      architectures: ["SCMP_ARCH_X86_64"],
      syscalls: [
        {
          names: ["clone"],
          action: "SCMP_ACT_ERRNO",
          errnoRet: 5,
          args: [{ index: 0, value: 2n ** 64n - 1n, valueTwo: 0, op: "SCMP_CMP_EQ" }],
        },
      ],
    });
  });

  test("what is wrong is named", () => {
    const refused: [string, string][] = [
      ["{", "decoding seccomp profile failed"],
      ['{"defaultAction":"SCMP_ACT_MAYBE"}', "seccomp profile: defaultAction"],
      ['{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["a"]}]}', "syscalls.0.action"],
      [
        '{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"name":"a","names":["b"],"action":"SCMP_ACT_LOG"}]}',
        "both 'name' and 'names'",
      ],
      [
        '{"defaultAction":"SCMP_ACT_ALLOW","architectures":["SCMP_ARCH_X86"],"archMap":[{"architecture":"SCMP_ARCH_X86_64"}]}',
        "both 'architectures' and 'archMap'",
      ],
    ];
    for (const [text, message] of refused) expect(() => seccompFromProfile(text, context)).toThrow(message);
  });
});
