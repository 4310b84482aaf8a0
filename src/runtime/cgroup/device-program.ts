/**
 * Device rules as eBPF for BPF_PROG_TYPE_CGROUP_DEVICE: Documentation/admin-guide/cgroup-v2.rst, "Device controller".
 *
 * Rules stand in the order of the configuration, and the last that speaks of a device counts. So the program goes
 * through them from the last to the first, and keeps of the access that was asked for what no rule has answered yet.
 */
import { accessAll, type DeviceRule } from "./device-rules.ts";

/** struct bpf_cgroup_dev_ctx: access in the upper and type in the lower half of the first word, then major and minor. */
const typeBlock = 1;
const typeCharacter = 2;

/** Registers. The kernel hands over the context in r1 and takes the answer from r0. */
const result = 0;
const context = 1;
const type = 2;
const access = 3;
const major = 4;
const minor = 5;
const asked = 6;

/** Opcodes of linux/bpf.h. */
const loadWord = 0x61; // BPF_LDX | BPF_MEM | BPF_W
const andImmediate = 0x54; // BPF_ALU | BPF_AND | BPF_K, 32 bits
const shiftRight = 0x74; // BPF_ALU | BPF_RSH | BPF_K, 32 bits
const moveImmediate = 0xb7; // BPF_ALU64 | BPF_MOV | BPF_K
const moveRegister = 0xbf; // BPF_ALU64 | BPF_MOV | BPF_X
const jumpNotEqual = 0x55; // BPF_JMP | BPF_JNE | BPF_K
const jumpEqual = 0x15; // BPF_JMP | BPF_JEQ | BPF_K
const exit = 0x95; // BPF_JMP | BPF_EXIT

/** code, destination, source, offset, immediate. */
type Instruction = [code: number, dst: number, src: number, offset: number, immediate: number];

/** struct bpf_insn[]. What no rule speaks of is refused. */
export function compileDeviceRules(rules: readonly DeviceRule[]): Uint8Array {
  const program: Instruction[] = [
    [loadWord, type, context, 0, 0],
    [moveRegister, access, type, 0, 0],
    [andImmediate, type, 0, 0, 0xffff],
    [shiftRight, access, 0, 0, 16],
    [loadWord, major, context, 4, 0],
    [loadWord, minor, context, 8, 0],
  ];
  let decided = false;
  for (const rule of [...rules].reverse()) {
    program.push(...ruleCode(rule));
    // Nothing that stands before a rule for everything is ever asked; the verifier refuses code that cannot be reached.
    decided = rule.type === "a" && rule.major < 0 && rule.minor < 0 && rule.access === accessAll;
    if (decided) break;
  }
  if (!decided) program.push(...answer(0));
  return encode(program);
}

function answer(value: 0 | 1): Instruction[] {
  return [
    [moveImmediate, result, 0, 0, value],
    [exit, 0, 0, 0, 0],
  ];
}

function ruleCode(rule: DeviceRule): Instruction[] {
  const code: Instruction[] = [];
  /** Jumps past the rule's end, which is not known yet. */
  const skips: number[] = [];
  const skipUnless = (register: number, value: number): void => {
    skips.push(code.length);
    code.push([jumpNotEqual, register, 0, 0, value]);
  };
  if (rule.type !== "a") skipUnless(type, rule.type === "b" ? typeBlock : typeCharacter);
  if (rule.major >= 0) skipUnless(major, rule.major);
  if (rule.minor >= 0) skipUnless(minor, rule.minor);
  if (rule.access !== accessAll) {
    if (rule.allow) {
      // What is allowed here needs no further rule; the rest does.
      code.push([andImmediate, access, 0, 0, accessAll & ~rule.access]);
      skipUnless(access, 0);
    } else {
      code.push([moveRegister, asked, access, 0, 0], [andImmediate, asked, 0, 0, rule.access]);
      skips.push(code.length);
      code.push([jumpEqual, asked, 0, 0, 0]);
    }
  }
  code.push(...answer(rule.allow ? 1 : 0));
  for (const at of skips) code[at]![3] = code.length - at - 1;
  return code;
}

function encode(program: readonly Instruction[]): Uint8Array {
  const bytes = new Uint8Array(program.length * 8);
  const view = new DataView(bytes.buffer);
  for (const [index, [code, dst, src, offset, immediate]] of program.entries()) {
    view.setUint8(index * 8, code);
    view.setUint8(index * 8 + 1, (src << 4) | dst);
    view.setInt16(index * 8 + 2, offset, true);
    view.setInt32(index * 8 + 4, immediate, true);
  }
  return bytes;
}
