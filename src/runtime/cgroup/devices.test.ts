import { describe, expect, test } from "bun:test";
import type { LinuxDeviceRule } from "../../oci/runtime.ts";
import { compileDeviceRules } from "./device-program.ts";
import { accessAll, accessMknod, accessRead, accessWrite, type DeviceRule, effectiveRules } from "./device-rules.ts";
import { parseList, stateOf } from "./devices.ts";

/** A request as the kernel hands it to the program. */
interface Asked {
  type: "b" | "c";
  major: number;
  minor: number;
  access: number;
}

/** The few instructions of eBPF that the compiler writes, with the checks that the kernel's verifier makes. */
function runProgram(program: Uint8Array, asked: Asked): number {
  const view = new DataView(program.buffer);
  const context = [((asked.access << 16) | (asked.type === "b" ? 1 : 2)) >>> 0, asked.major, asked.minor];
  const registers: (number | undefined)[] = [];
  for (let pc = 0, steps = 0; steps < 10_000; steps++) {
    if (pc < 0 || (pc + 1) * 8 > program.length) throw new Error(`left the program at ${pc}`);
    const code = view.getUint8(pc * 8);
    const dst = view.getUint8(pc * 8 + 1) & 15;
    const src = view.getUint8(pc * 8 + 1) >> 4;
    const offset = view.getInt16(pc * 8 + 2, true);
    const immediate = view.getInt32(pc * 8 + 4, true);
    const value = (register: number): number => {
      const held = registers[register];
      if (held === undefined) throw new Error(`register ${register} is read before it is written`);
      return held;
    };
    pc++;
    if (code === 0x61) registers[dst] = context[offset / 4];
    else if (code === 0x54) registers[dst] = (value(dst) & immediate) >>> 0;
    else if (code === 0x74) registers[dst] = value(dst) >>> immediate;
    else if (code === 0xb7) registers[dst] = immediate;
    else if (code === 0xbf) registers[dst] = value(src);
    else if (code === 0x55) pc += value(dst) !== immediate ? offset : 0;
    else if (code === 0x15) pc += value(dst) === immediate ? offset : 0;
    else if (code === 0x95) return value(0);
    else throw new Error(`opcode ${code}`);
  }
  throw new Error("a loop");
}

/** For each access that is asked for, the last rule that speaks of it counts. */
function decide(rules: readonly DeviceRule[], asked: Asked): number {
  const bits = [accessMknod, accessRead, accessWrite].filter((bit) => asked.access & bit);
  const isAllowed = (bit: number): boolean => {
    const last = rules.findLast(
      (rule) =>
        (rule.type === "a" || rule.type === asked.type) &&
        (rule.major < 0 || rule.major === asked.major) &&
        (rule.minor < 0 || rule.minor === asked.minor) &&
        rule.access & bit,
    );
    return last?.allow ?? false;
  };
  return bits.every(isAllowed) ? 1 : 0;
}

describe("device programs", () => {
  test("random rules decide as a plain reading of them", () => {
    const seed = Number(process.env.TSD_SEED ?? Math.floor(Math.random() * 2 ** 31));
    let state = seed;
    const random = (below: number) => {
      state = (Math.imul(state, 1103515245) + 12345) & 0x7fffffff;
      return Math.floor((state / 0x80000000) * below);
    };
    for (let round = 0; round < 300; round++) {
      const rules = Array.from(
        { length: random(8) },
        (): DeviceRule => ({
          allow: random(2) === 1,
          type: (["a", "b", "c"] as const)[random(3)]!,
          major: random(4) - 1,
          minor: random(4) - 1,
          access: 1 + random(accessAll),
        }),
      );
      const program = compileDeviceRules(rules);
      for (let major = 0; major < 3; major++) {
        for (let access = 1; access <= accessAll; access++) {
          for (const type of ["b", "c"] as const) {
            const asked = { type, major, minor: random(3), access };
            if (runProgram(program, asked) !== decide(rules, asked)) {
              throw new Error(`seed ${seed}: ${JSON.stringify(asked)} of ${JSON.stringify(rules)}`);
            }
          }
        }
      }
    }
  });

  test("the specification's defaults are allowed, all else is not", () => {
    const program = compileDeviceRules(effectiveRules([{ allow: false, access: "rwm" }]));
    const ask = (type: "b" | "c", major: number, minor: number, access: number) =>
      runProgram(program, { type, major, minor, access });
    expect(ask("c", 1, 3, accessRead | accessWrite)).toBe(1);
    expect(ask("c", 136, 77, accessAll)).toBe(1);
    expect(ask("b", 8, 0, accessMknod)).toBe(1);
    expect(ask("b", 8, 0, accessRead)).toBe(0);
    expect(ask("c", 10, 229, accessWrite)).toBe(0);
  });

  test("a node of the configuration takes the place of the default with its path", () => {
    const rules = effectiveRules([], [{ type: "c", path: "/dev/null", major: 9, minor: 9 }]);
    expect(rules.some(({ major, minor }) => major === 1 && minor === 3)).toBe(false);
    expect(rules.some(({ major, minor }) => major === 1 && minor === 5)).toBe(true);
  });
});

describe("device rules of cgroup v1", () => {
  const state = (rules: LinuxDeviceRule[]) => {
    const { allowAll, exceptions } = stateOf(effectiveRules(rules).slice(0, rules.length));
    return { allowAll, exceptions: Object.fromEntries(exceptions) };
  };

  test("come to everything or nothing, and exceptions", () => {
    expect(state([{ allow: true, type: "c", major: 1, minor: 3, access: "rw" }])).toEqual({
      allowAll: false,
      exceptions: { "c 1:3": accessRead | accessWrite },
    });
    expect(
      state([
        { allow: true, type: "c", major: 1, minor: 3, access: "rwm" },
        { allow: false, access: "rwm" },
        { allow: true, type: "b", major: 8, access: "r" },
        { allow: false, type: "b", major: 8, minor: -1, access: "rw" },
      ]),
    ).toEqual({ allowAll: false, exceptions: {} });
    expect(state([{ allow: true }, { allow: false, type: "c", major: 1, minor: 3, access: "w" }])).toEqual({
      allowAll: true,
      exceptions: { "c 1:3": accessWrite },
    });
    expect(state([{ allow: true, access: "m" }])).toEqual({
      allowAll: false,
      exceptions: { "b *:*": accessMknod, "c *:*": accessMknod },
    });
  });

  test("a hole in a wildcard, which the kernel would pass over, is refused", () => {
    expect(() =>
      state([
        { allow: true, type: "c", major: 1, access: "rw" },
        { allow: false, type: "c", major: 1, minor: 3, access: "w" },
      ]),
    ).toThrow('rule "c 1:3 w" makes a hole in rule "c 1:*"');
  });

  test("are read back from devices.list", () => {
    expect(parseList("a *:* rwm\n")).toEqual({ allowAll: true, exceptions: new Map() });
    expect(parseList("c 1:3 rwm\nb *:* m\n")).toEqual({
      allowAll: false,
      exceptions: new Map([
        ["c 1:3", accessAll],
        ["b *:*", accessMknod],
      ]),
    });
  });
});
