/**
 * Classic BPF as seccomp(2) takes it (Documentation/networking/filter.rst), written from its last instruction to its
 * first: jumps only go forward, so that every target stands before the jump that leads to it is written.
 *
 * Only instructions that the kernel's emulator understands decide on a system call's number (seccomp_is_const_allow in
 * kernel/seccomp.c): calls that are allowed whatever their arguments go into a bitmap then, since Linux 5.11, and never
 * run the filter.
 */

/** A place in the program, counted from its end. */
export type Place = number;

/** Opcodes of linux/bpf_common.h: class, size or operation, mode or source. */
export const LOAD_WORD = 0x20; // BPF_LD | BPF_W | BPF_ABS
export const AND = 0x54; // BPF_ALU | BPF_AND | BPF_K
export const JUMP = 0x05; // BPF_JMP | BPF_JA
export const JUMP_EQUAL = 0x15; // BPF_JMP | BPF_JEQ | BPF_K
export const JUMP_GREATER = 0x25; // BPF_JMP | BPF_JGT | BPF_K
export const JUMP_GREATER_EQUAL = 0x35; // BPF_JMP | BPF_JGE | BPF_K
export const RETURN = 0x06; // BPF_RET | BPF_K

/** Conditional jumps hold their distances in a byte. Less than that, because a jump's two targets are found one after the other. */
const reachMax = 255 - 2;

export class BpfAssembler {
  readonly #code: number[] = [];
  readonly #jumpTrue: number[] = [];
  readonly #jumpFalse: number[] = [];
  readonly #k: number[] = [];
  readonly #returns = new Map<number, Place>();

  /** Number of instructions so far. */
  get length(): number {
    return this.#code.length;
  }

  /** `ret value`: the latest such instruction when a jump reaches it, else a new one. */
  return(value: number): Place {
    const latest = this.#returns.get(value);
    if (latest !== undefined && this.length - latest - 1 <= reachMax) return latest;
    const place = this.#emit(RETURN, value);
    this.#returns.set(value, place);
    return place;
  }

  /** Loads a word of struct seccomp_data, and goes on at `next`. */
  load(offset: number, next: Place): Place {
    this.#fallThrough(next);
    return this.#emit(LOAD_WORD, offset);
  }

  /** Masks what was loaded, and goes on at `next`. */
  and(mask: number, next: Place): Place {
    this.#fallThrough(next);
    return this.#emit(AND, mask);
  }

  /** Compares what was loaded with k, unsigned. */
  branch(code: number, k: number, yes: Place, no: Place): Place {
    if (yes === no) return yes;
    const nearYes = this.#near(yes);
    const nearNo = this.#near(no);
    return this.#emit(code, k, this.#distance(nearYes), this.#distance(nearNo));
  }

  /** The program that begins at `entry`: an array of struct sock_filter, little-endian. */
  assemble(entry: Place): Uint8Array {
    this.#fallThrough(entry);
    const count = this.length;
    const bytes = new Uint8Array(count * 8);
    const view = new DataView(bytes.buffer);
    for (let place = 0; place < count; place++) {
      const at = (count - 1 - place) * 8;
      view.setUint16(at, this.#code[place]!, true);
      view.setUint8(at + 2, this.#jumpTrue[place]!);
      view.setUint8(at + 3, this.#jumpFalse[place]!);
      view.setUint32(at + 4, this.#k[place]! >>> 0, true);
    }
    return bytes;
  }

  #emit(code: number, k: number, jumpTrue = 0, jumpFalse = 0): Place {
    this.#code.push(code);
    this.#k.push(k);
    this.#jumpTrue.push(jumpTrue);
    this.#jumpFalse.push(jumpFalse);
    return this.length - 1;
  }

  #distance(target: Place): number {
    return this.length - 1 - target;
  }

  /** The target itself, or a stepping stone to it that a conditional jump reaches. */
  #near(target: Place): Place {
    if (this.#distance(target) <= reachMax) return target;
    if (this.#code[target] === RETURN) return this.return(this.#k[target]!);
    return this.#emit(JUMP, this.#distance(target));
  }

  #fallThrough(next: Place): void {
    if (this.#distance(next) > 0) this.#emit(JUMP, this.#distance(next));
  }
}
