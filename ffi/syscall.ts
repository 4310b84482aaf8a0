/**
 * System calls without libc: a few bytes of machine code that put the arguments into the kernel's registers.
 *
 * libc's own wrappers answer -1 and leave the reason in a variable of the thread, which the runtime's own calls may
 * overwrite before JavaScript reads it. The raw instruction answers -errno. libc serves only to get the page that
 * holds the code.
 */
import { dlopen, FFIType, linkSymbols, type Pointer, ptr, toArrayBuffer } from "bun:ffi";
import { MAP_ANONYMOUS, MAP_PRIVATE, PROT_EXEC, PROT_READ, PROT_WRITE } from "./constants/memory.ts";
import { SYS, type SyscallName } from "./constants/syscalls.ts";
import { SyscallError } from "./errno.ts";
import { embeddedCode, thunkX64 } from "./machine-code.ts";
import { decodeText, encodeText } from "./text.ts";

/** A pointer is passed as the array that it points to. */
export type SyscallArgument = number | bigint | Uint8Array | null;

type Thunk = (nr: number, ...args: (number | bigint)[]) => number;
let thunk: Thunk | undefined;

const pageSize = 4096;

/**
 * Puts machine code into memory of its own, which is never writable and executable at once, and gives its address.
 * The memory is never freed.
 */
export function mapCode(code: Uint8Array): number {
  const size = Math.ceil(code.length / pageSize) * pageSize;
  const protection = PROT_READ | PROT_WRITE;
  const address = call("mmap", "machine code", 0, size, protection, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  new Uint8Array(toArrayBuffer(address as Pointer, 0, size)).set(code);
  // A security module may forbid it.
  call("mprotect", "machine code", address, size, PROT_READ | PROT_EXEC);
  return address;
}

/** A function of JavaScript that calls the machine code at an address with that many integer arguments. */
export function linkCode(address: number, argumentCount: number): (...args: (number | bigint)[]) => number {
  const args = new Array<"i64">(argumentCount).fill("i64");
  const library = linkSymbols({ code: { ptr: address as Pointer, args, returns: FFIType.i64_fast } });
  return library.symbols.code as unknown as (...args: (number | bigint)[]) => number;
}

/** The thunk in memory that libc gets: without the thunk there is no other way to a page for it. */
function mapThunk(): number {
  const symbols = {
    mmap: { args: ["ptr", "u64", "i32", "i32", "i32", "i64"], returns: "ptr" },
    mprotect: { args: ["ptr", "u64", "i32"], returns: "i32" },
  } as const;
  // Bun itself is linked to it, so the name is that of a library which is loaded already. A name that is not (as
  // musl's) Bun would look for in the working directory, too: whose code would that be?
  const libc = dlopen("libc.so.6", symbols).symbols;
  const size = BigInt(pageSize);
  const address = libc.mmap(null, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0n);
  // MAP_FAILED is (void *)-1.
  if (address === null || Number(address) >= 2 ** 63) throw new Error("mmap of a page for machine code failed");
  new Uint8Array(toArrayBuffer(address, 0, pageSize)).set(Uint8Array.fromHex(thunkX64));
  if (libc.mprotect(address, size, PROT_READ | PROT_EXEC) !== 0) {
    throw new Error("mprotect(PROT_EXEC) of machine code was refused: a security module forbids it");
  }
  return Number(address);
}

function makeThunk(): Thunk {
  if (process.arch !== "x64") throw new Error(`system calls on ${process.arch} are not built: tsd runs on x86-64`);
  return linkCode(embeddedCode("thunk") ?? mapThunk(), 7);
}

/**
 * The system call itself, on this thread, which stands still until it returns.
 * @returns the kernel's answer as it is: -errno on failure.
 */
export function syscall(nr: number, ...args: SyscallArgument[]): number {
  thunk ??= makeThunk();
  const result = thunk(nr, word(args[0]), word(args[1]), word(args[2]), word(args[3]), word(args[4]), word(args[5]));
  // `args` is still referred to here, so that no array was collected while the kernel held its address.
  return args.length > 6 ? -38 : result;
}

function word(argument: SyscallArgument | undefined): number | bigint {
  if (typeof argument === "number" || typeof argument === "bigint") return argument;
  if (argument === undefined || argument === null) return 0;
  return addressOf(argument);
}

/** Where an array's bytes are. The array must outlive the use of the address; an empty array has no address. */
export function addressOf(bytes: Uint8Array): number {
  return bytes.byteLength === 0 ? 0 : Number(ptr(bytes));
}

/**
 * Throws what a raw result says went wrong; `path` is the object of the call. Bytes are decoded for the error alone:
 * that takes longer than most calls do.
 */
export function check(name: string, result: number, path?: string | Uint8Array): number {
  if (result < 0) throw new SyscallError(name, -result, typeof path === "object" ? decodeText(path) : path);
  return result;
}

const EINTR = 4;

/**
 * A call by name, again when a signal interrupted it, checked. Every wrapper in ffi/ is made of it: close(2) alone
 * must not be repeated, because Linux has closed the descriptor even when it answers EINTR.
 */
export function call(name: SyscallName, path: string | Uint8Array | undefined, ...args: SyscallArgument[]): number {
  thunk ??= makeThunk();
  const nr = SYS[name];
  for (;;) {
    // As in `syscall`, which is not called for the array that each of them makes of its arguments.
    const result = thunk(nr, word(args[0]), word(args[1]), word(args[2]), word(args[3]), word(args[4]), word(args[5]));
    if (result !== -EINTR) return check(name, result, path);
  }
}

/**
 * A C string.
 * @throws TypeError for a string with a NUL in it: the kernel would see another, shorter path.
 */
export function cString(text: string | Uint8Array): Uint8Array {
  const string = typeof text === "string" ? encodeText(`${text}\0`) : withNul(text);
  if (string.indexOf(0) === string.length - 1) return string;
  throw new TypeError(`${JSON.stringify(decodeText(string.subarray(0, -1)))} contains a NUL`);
}

function withNul(bytes: Uint8Array): Uint8Array {
  const string = new Uint8Array(bytes.length + 1);
  string.set(bytes);
  return string;
}

/** Text from a buffer that the kernel wrote, up to the first NUL or `length` bytes. */
export function fromCString(bytes: Uint8Array, length = bytes.length): string {
  const text = bytes.subarray(0, length);
  const end = text.indexOf(0);
  return decodeText(end === -1 ? text : text.subarray(0, end));
}
