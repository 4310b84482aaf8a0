/**
 * For tests: reads a filter from standard input, puts it on this thread, makes the system calls that CALLS names and
 * prints the kernel's answers as JSON.
 */
import { readFileSync } from "node:fs";
import { SYS } from "../../../ffi/constants/syscalls.ts";
import { addressOf, check, syscall } from "../../../ffi/syscall.ts";

const PR_SET_NO_NEW_PRIVS = 38;
const SECCOMP_SET_MODE_FILTER = 1;

const filter = new Uint8Array(readFileSync(0));
const calls = JSON.parse(process.env.CALLS ?? "[]") as [number, ...string[]][];
// struct sock_fprog: unsigned short len, then a pointer.
const program = new Uint8Array(16);
new DataView(program.buffer).setUint16(0, filter.length / 8, true);
new DataView(program.buffer).setBigUint64(8, BigInt(addressOf(filter)), true);
check("prctl", syscall(SYS.prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
check("seccomp", syscall(SYS.seccomp, SECCOMP_SET_MODE_FILTER, 0, program));
console.log(JSON.stringify(calls.map(([nr, ...args]) => syscall(nr, ...args.map(BigInt)))));
