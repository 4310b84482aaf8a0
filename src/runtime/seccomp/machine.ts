/** The machine of classic BPF, as the kernel has it: what tests and `explain` ask about a filter. */

/** struct seccomp_data of linux/seccomp.h, without the instruction pointer, which no profile can ask for. */
export interface SeccompData {
  nr: number;
  /** AUDIT_ARCH_*. */
  arch: number;
  /** Six unsigned 64-bit numbers. */
  args: bigint[];
}

/**
 * Runs a filter on one system call.
 * @returns what it answers, and how many instructions that took.
 * @throws Error for an instruction that the compiler does not write, or a jump out of the program.
 */
export function runFilter(program: Uint8Array, data: SeccompData): { value: number; steps: number } {
  const input = new DataView(new ArrayBuffer(64));
  input.setUint32(0, data.nr, true);
  input.setUint32(4, data.arch, true);
  data.args.forEach((arg, index) => {
    input.setBigUint64(16 + index * 8, arg, true);
  });
  const code = new DataView(program.buffer, program.byteOffset, program.byteLength);
  let accumulator = 0;
  let steps = 0;
  for (let pc = 0; ; ) {
    if (pc * 8 >= program.length) throw new Error(`left the program at ${pc}`);
    steps++;
    const opcode = code.getUint16(pc * 8, true);
    const jumps = { yes: code.getUint8(pc * 8 + 2), no: code.getUint8(pc * 8 + 3) };
    const k = code.getUint32(pc * 8 + 4, true);
    pc++;
    const jump = (holds: boolean) => {
      pc += holds ? jumps.yes : jumps.no;
    };
    if (opcode === 0x20) accumulator = input.getUint32(k, true);
    else if (opcode === 0x54) accumulator = (accumulator & k) >>> 0;
    else if (opcode === 0x05) pc += k;
    else if (opcode === 0x15) jump(accumulator === k);
    else if (opcode === 0x25) jump(accumulator > k);
    else if (opcode === 0x35) jump(accumulator >= k);
    else if (opcode === 0x06) return { value: k, steps };
    else throw new Error(`opcode ${opcode}`);
  }
}
