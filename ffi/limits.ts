/** Limits of this process: getrlimit(2). */
import { call } from "./syscall.ts";

const RLIMIT_NOFILE = 7;

/**
 * Lets this process open as many files as it may.
 * @returns how many that are.
 */
export function raiseOpenFilesLimit(): number {
  const limit = new BigUint64Array(new ArrayBuffer(16));
  const bytes = new Uint8Array(limit.buffer);
  call("prlimit64", "RLIMIT_NOFILE", 0, RLIMIT_NOFILE, null, bytes);
  if (limit[0] !== limit[1]) {
    limit[0] = limit[1]!;
    call("prlimit64", "RLIMIT_NOFILE", 0, RLIMIT_NOFILE, bytes, null);
  }
  return Number(limit[0]);
}
