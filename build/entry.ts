/**
 * The executable's first instructions, before Bun's own: they build the environment that Bun is to see.
 *
 * Some things can be told to Bun and JavaScriptCore by the environment alone, and before their first instruction:
 *
 * - A variable that begins with BUN_ may turn a compiled program into Bun's own command line (BUN_BE_BUN), load
 *   foreign code (BUN_OPTIONS), open a debugger's port (BUN_INSPECT), or end it before it begins (an unknown BUN_JSC_
 *   option). Whoever starts tsd means none of that: they are left out.
 * - A command lives for some 20 ms, in which compiling its functions costs more than it saves: a third of the
 *   processor time of `tsd runtime run`. In all modes but those that live long, or may have thousands of files to
 *   copy, a function is compiled only after it has run a hundred times as long as JavaScriptCore would wait; a loop
 *   that copies a gigabyte gets there soon.
 * - There is a shim for each container, idle for nearly all of its life: it does, beside that, without threads that
 *   collect and compile, whose heaps would stay, and without a timer that wakes it.
 *
 * The kernel starts ld.so, and ld.so jumps to the address in e_entry: to these instructions, in a segment of their own
 * at the end of the file, whose program header replaces the one of the build's notes (elf(5)). They copy argc, argv and
 * what is left of envp below the stack's end, point libc's `environ` there and jump to Bun's `_start`. What
 * /proc/<pid>/environ shows stays what it was. The same segment holds the machine code that ffi/ calls: mapping it
 * anew would take each process 0.4 ms.
 */

import { closeSync, fstatSync, openSync, readSync, writeSync } from "node:fs";
import { codeVariable, machineCode } from "../ffi/machine-code.ts";

/** How often a function, or a loop in it, runs before it is compiled: JavaScriptCore has 500 and 100. */
const lateCompiling = ["BUN_JSC_thresholdForJITAfterWarmUp=50000", "BUN_JSC_thresholdForJITSoon=50000"];

/**
 * Measured of a shim with a container, with both: 5.6 MB of memory of its own in place of 7.1 to 8.3 MB; an exec takes
 * no longer, and lines of output take less time.
 */
const lean = [
  "BUN_JSC_numberOfGCMarkers=1",
  "BUN_JSC_useConcurrentGC=0",
  "BUN_JSC_useConcurrentJIT=0",
  // Bun looks every second whether the heap has grown. It is collected when it has, all the same.
  "BUN_GC_TIMER_DISABLE=1",
  // What is freed is the kernel's again at once, and not by a thread that looks for it.
  "MIMALLOC_PURGE_DELAY=0",
];

/** Of short commands the first two, of a shim all. */
const variables = [...lateCompiling, ...lean];

/** What each of them has in the executable, with NULs behind it. */
const textBytes = 48;

/**
 * What an assembler is given (entry.test.ts). `environ`, `variables`, `code` and `start` are symbols: their places in the
 * code are filled in for the executable at hand. `%rdx` is from ld.so and for `_start`, and stays untouched.
 */
export const entryListing = `
        mov   (%rsp),%rcx             # argc
        lea   16(%rsp,%rcx,8),%rdi    # envp
count:  cmpq  $0,(%rdi)
        lea   8(%rdi),%rdi
        jnz   count
        mov   %rsp,%rsi
        mov   %rsp,%rax
        sub   %rdi,%rax               # less the size of argc, argv and envp
        lea   -80(%rsp,%rax),%rdi     # and of eight more variables
        and   $-16,%rdi
        mov   %rsp,%r8
        mov   %rdi,%rsp
        add   $2,%ecx                 # argc, argv, NULL
        rep movsq
        mov   %rdi,environ
next:   lodsq
        test  %rax,%rax
        jz    mode
        cmpl  $0x5f4e5542,(%rax)      # "BUN_"
        je    next
        stosq
        jmp   next
mode:   mov   16(%r8),%rsi            # argv[1]
        test  %rsi,%rsi
        jz    short
        cmpl  $0x6d656164,(%rsi)      # "daem"on
        je    done
        mov   $7,%ecx
        cmpl  $0x6d696873,(%rsi)      # "shim"
        je    texts
        cmpl  $0x61706e75,(%rsi)      # "unpa"ck
        je    done
        cmpl  $0x6b636170,(%rsi)      # "pack"
        je    done
        cmpl  $0x786f7270,(%rsi)      # "prox"y
        je    done
        cmpl  $0x6f736572,(%rsi)      # "reso"lver
        je    done
        cmpl  $0x79706f63,(%rsi)      # "copy"
        je    done
        mov   (%rsi),%eax
        shl   $8,%eax                 # without what follows
        cmp   $0x00706300,%eax        # "cp"
        je    done
short:  mov   $2,%ecx
texts:  lea   variables(%rip),%rax
text:   stosq
        add   $48,%rax
        loop  text
done:   lea   code(%rip),%rax
        stosq
        xor   %eax,%eax
        stosq
        jmp   start
`;

export const entryCode =
  "488b0c24488d7ccc1048833f00488d7f0875f64889e64889e04829f8488d7c04b04883e7f04989e04889fc83c102f348" +
  "a548893c250000000048ad4885c0740c813842554e5f74f148abebed498b70104885f67449813e6461656d7455b9070000" +
  "00813e7368696d7439813e756e70617440813e7061636b7438813e70726f787430813e7265736f7428813e636f70797420" +
  "8b06c1e0083d006370007414b902000000488d050000000048ab4883c030e2f8488d050000000048ab31c048abe9000000" +
  "00";

/** Where the code names its symbols, in bytes from its start; each is a field of 32 bits. */
const holes = { environ: 0x35, variables: 0xa6, code: 0xb5, start: 0xc0 };

const headerSize = 64;
const programHeaderSize = 56;
const pageSize = 4096;
const [PT_LOAD, PT_DYNAMIC, PT_NOTE] = [1, 2, 4];
const [readable, executable] = [4, 1];
/** Tags of Elf64_Dyn. */
const [DT_STRTAB, DT_SYMTAB, DT_RELA, DT_RELASZ] = [5, 6, 7, 8];
const R_X86_64_COPY = 5;

interface ProgramHeader {
  index: number;
  type: number;
  offset: number;
  address: number;
  fileSize: number;
  memorySize: number;
}

/**
 * Puts the instructions before those of a compiled executable.
 * @throws Error when a later Bun is linked in another way: then this file has to change with it.
 */
export function prependEntry(path: string): void {
  const file = new ElfFile(path);
  try {
    const headers = file.programHeaders();
    const note = headers.find(({ type }) => type === PT_NOTE);
    if (note === undefined) throw new Error(`${path}: no program header of notes to replace`);
    const loaded = headers.filter(({ type }) => type === PT_LOAD);
    const end = Math.max(...loaded.map(({ address, memorySize }) => address + memorySize));
    // At addresses above all others, where the heap would begin: the kernel begins it after the last segment.
    const address = Math.ceil(end / pageSize) * pageSize;
    const offset = Math.ceil(file.size / pageSize) * pageSize;
    const code = entryFor(address, { environ: file.addressOfCopied("environ", headers), start: file.entry() });
    file.write(offset, code);
    file.writeLoadHeader(note.index, { offset, address, size: code.length });
    file.setEntry(address);
  } finally {
    file.close();
  }
}

/** The instructions, the texts of the variables, and the machine code that JavaScript calls. */
function entryFor(address: number, symbols: { environ: number; start: number }): Uint8Array {
  const entry = Uint8Array.fromHex(entryCode);
  const alignment = 16;
  const texts = (codeAddress: number) =>
    Buffer.from([...variables, `${codeVariable}=${codeAddress}`].map((text) => text.padEnd(textBytes, "\0")).join(""));
  const codeOffset = Math.ceil((entry.length + texts(address).length) / alignment) * alignment;
  const segment = Buffer.alloc(codeOffset + machineCode().length);
  segment.set(entry);
  segment.set(texts(address + codeOffset), entry.length);
  segment.set(machineCode(), codeOffset);
  segment.writeInt32LE(symbols.environ, holes.environ);
  // The others are relative to the ends of their instructions, which they are at.
  const relative = (hole: number, target: number) => segment.writeInt32LE(target - (address + hole + 4), hole);
  relative(holes.variables, address + entry.length);
  relative(holes.code, address + entry.length + variables.length * textBytes);
  relative(holes.start, symbols.start);
  return segment;
}

/** As much of elf(5) as this takes: 64-bit, little-endian. */
class ElfFile {
  readonly size: number;
  readonly #path: string;
  readonly #fd: number;

  constructor(path: string) {
    this.#path = path;
    this.#fd = openSync(path, "r+");
    this.size = fstatSync(this.#fd).size;
    const [magic, x86] = [0x7f454c46, 62];
    if (this.#read(0, 4).getUint32(0) === magic && this.#read(18, 2).getUint16(0, true) === x86) return;
    this.close();
    throw new Error(`${path}: no ELF executable for x86-64`);
  }

  close(): void {
    closeSync(this.#fd);
  }

  entry(): number {
    return Number(this.#read(24, 8).getBigUint64(0, true));
  }

  setEntry(address: number): void {
    this.write(24, new Uint8Array(new BigUint64Array([BigInt(address)]).buffer));
  }

  programHeaders(): ProgramHeader[] {
    const count = this.#read(56, 2).getUint16(0, true);
    const view = this.#read(headerSize, count * programHeaderSize);
    return Array.from({ length: count }, (_, index) => {
      const at = index * programHeaderSize;
      const word = (field: number) => Number(view.getBigUint64(at + field, true));
      return {
        index,
        type: view.getUint32(at, true),
        offset: word(8),
        address: word(16),
        fileSize: word(32),
        memorySize: word(40),
      };
    });
  }

  writeLoadHeader(index: number, segment: { offset: number; address: number; size: number }): void {
    const view = new DataView(new ArrayBuffer(programHeaderSize));
    view.setUint32(0, PT_LOAD, true);
    view.setUint32(4, readable | executable, true);
    const { offset, address, size } = segment;
    [offset, address, address, size, size, pageSize].forEach((word, position) => {
      view.setBigUint64(8 + position * 8, BigInt(word), true);
    });
    this.write(headerSize + index * programHeaderSize, new Uint8Array(view.buffer));
  }

  /** The address of a variable of libc's that the executable has a copy of, which is the one that counts. */
  addressOfCopied(name: string, headers: readonly ProgramHeader[]): number {
    const dynamic = this.#dynamic(headers);
    const table = (tag: number) => offsetOf(dynamic.get(tag) ?? 0, headers);
    const relocations = this.#read(table(DT_RELA), dynamic.get(DT_RELASZ) ?? 0);
    const [symbols, strings] = [table(DT_SYMTAB), table(DT_STRTAB)];
    // Elf64_Rela: address, type and symbol, addend.
    for (let at = 0; at < relocations.byteLength; at += 24) {
      if (relocations.getUint32(at + 8, true) !== R_X86_64_COPY) continue;
      // Elf64_Sym, 24 bytes, begins with the place of its name.
      const text = strings + this.#read(symbols + relocations.getUint32(at + 12, true) * 24, 4).getUint32(0, true);
      const bytes = new Uint8Array(this.#read(text, name.length + 1).buffer);
      if (Buffer.from(bytes).toString() === `${name}\0`) return Number(relocations.getBigUint64(at, true));
    }
    throw new Error(`${this.#path}: has no copy of libc's ${name}`);
  }

  #dynamic(headers: readonly ProgramHeader[]): Map<number, number> {
    const header = headers.find(({ type }) => type === PT_DYNAMIC);
    if (header === undefined) throw new Error(`${this.#path}: not dynamically linked`);
    const view = this.#read(header.offset, header.fileSize);
    const entries = new Map<number, number>();
    for (let at = 0; at < view.byteLength; at += 16) {
      entries.set(Number(view.getBigUint64(at, true)), Number(view.getBigUint64(at + 8, true)));
    }
    return entries;
  }

  #read(offset: number, size: number): DataView {
    const bytes = new Uint8Array(size);
    if (readSync(this.#fd, bytes, 0, size, offset) !== size) throw new Error(`${this.#path}: ends before ${offset}`);
    return new DataView(bytes.buffer);
  }

  write(offset: number, bytes: Uint8Array): void {
    for (let done = 0; done < bytes.length; ) {
      done += writeSync(this.#fd, bytes, done, bytes.length - done, offset + done);
    }
  }
}

function offsetOf(address: number, headers: readonly ProgramHeader[]): number {
  const segment = headers.find((header) => {
    return header.type === PT_LOAD && address >= header.address && address < header.address + header.fileSize;
  });
  if (segment === undefined) throw new Error(`address ${address.toString(16)} is in no segment`);
  return segment.offset + (address - segment.address);
}
