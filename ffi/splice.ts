/** splice(2): moves bytes between a pipe and a socket without copying them. */
import { SYS } from "./constants/syscalls.ts";
import { type Descriptor, descriptorNumber } from "./fd.ts";
import { check, syscall } from "./syscall.ts";

const SPLICE_F_MOVE = 1;
const SPLICE_F_NONBLOCK = 2;
const EINTR = 4;
const EAGAIN = 11;

/**
 * Moves up to `length` bytes; one of the two is a pipe.
 * @returns how many; 0 at the end of `from`; undefined when `from` has nothing or `to` no room now.
 * @throws SyscallError ECONNRESET, EPIPE, …
 */
export function splice(from: Descriptor, to: Descriptor, length: number): number | undefined {
  const flags = SPLICE_F_MOVE | SPLICE_F_NONBLOCK;
  for (;;) {
    const result = syscall(SYS.splice, descriptorNumber(from), null, descriptorNumber(to), null, length, flags);
    if (result === -EAGAIN) return undefined;
    if (result !== -EINTR) return check("splice", result);
  }
}
