/** fdatasync(2) and syncfs(2) in the background: they take as long as the disk does. */

import { callInBackground } from "./background-call.ts";
import type { Descriptor } from "./fd.ts";

/** Waits until a file's data and size are on the disk. @throws SyscallError. */
export async function fdatasyncInBackground(file: Descriptor, path?: string): Promise<void> {
  await callInBackground("fdatasync", file, [], path);
}

/** Waits until everything that was written to the file system of `file` before is on the disk. @throws SyscallError. */
export async function syncfsInBackground(file: Descriptor, path?: string): Promise<void> {
  await callInBackground("syncfs", file, [], path);
}
