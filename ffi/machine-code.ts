/** The machine code that is the same in every process of tsd, and where it lies in the executable. */
import { cloneCode, interpreterCode } from "./plan/interpreter.ts";

/**
 * `long thunk(nr, a0 … a5)` in the System V calling convention:
 *
 *     48 89 f8        mov  %rdi,%rax      number
 *     48 89 f7        mov  %rsi,%rdi      a0
 *     48 89 d6        mov  %rdx,%rsi      a1
 *     48 89 ca        mov  %rcx,%rdx      a2
 *     4d 89 c2        mov  %r8,%r10       a3: the kernel clobbers rcx
 *     4d 89 c8        mov  %r9,%r8        a4
 *     4c 8b 4c 24 08  mov  8(%rsp),%r9    a5
 *     0f 05           syscall
 *     c3              ret
 */
export const thunkX64 = "4889f84889f74889d64889ca4d89c24d89c84c8b4c24080f05c3";

/** The code that starts a plan's process (plan/interpreter.ts). */
export const cloneX64: string = cloneCode + interpreterCode;

/** Where each lies in `machineCode`, in bytes. */
export const codeOffsets = { thunk: 0, clone: 32 } as const;

/** What build/entry.ts puts into the executable, where it is mapped already when JavaScript begins. */
export function machineCode(): Uint8Array {
  const clone = Uint8Array.fromHex(cloneX64);
  const code = new Uint8Array(codeOffsets.clone + clone.length);
  code.set(Uint8Array.fromHex(thunkX64), codeOffsets.thunk);
  code.set(clone, codeOffsets.clone);
  return code;
}

/**
 * The variable by which the executable's entry says at what address the code is. Its prefix makes it nobody else's: the
 * entry passes on no variable of the caller's that begins so.
 */
export const codeVariable = "BUN_TSD_CODE";

/** The address of a piece of it; undefined where tsd runs from its source, and has to map the code. */
export function embeddedCode(piece: keyof typeof codeOffsets): number | undefined {
  const base = process.env[codeVariable];
  return base === undefined ? undefined : Number(base) + codeOffsets[piece];
}
