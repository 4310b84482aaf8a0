/** Paths that may lie on a server which does not answer. */
import { callInBackground } from "./background-call.ts";
import { AT_FDCWD, O_CLOEXEC, O_PATH, RESOLVE_CACHED } from "./constants/open.ts";
import { SyscallError } from "./errno.ts";
import type { Descriptor } from "./fd.ts";
import { openat2 } from "./files.ts";
import { str, struct } from "./plan/values.ts";

/**
 * Waits until what a path leads to has been found, which may be never, and lets others go on meanwhile. Whoever looks it
 * up next has it from the kernel's memory, or of a server that has just answered.
 * @throws SyscallError
 */
export async function reach(path: string): Promise<void> {
  await reachBelow(AT_FDCWD, path);
}

/** As `reach`, from a directory. @param resolve RESOLVE_*. */
export async function reachBelow(directory: Descriptor, path: string, resolve = 0): Promise<void> {
  try {
    using _found = openat2(directory, path, { flags: O_PATH, resolve: resolve | RESOLVE_CACHED });
  } catch (error) {
    // Something has to be asked for it; EINVAL is of Linux before 5.12.
    if (!(error instanceof SyscallError) || !["EAGAIN", "EINVAL"].includes(error.errno)) throw error;
    const how = struct({ flags: O_PATH | O_CLOEXEC, mode: 0, resolve });
    await callInBackground("openat2", directory, [str(path), how, 24], path);
  }
}
