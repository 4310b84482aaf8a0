/** Mount calls that wait for a disk or a server: in the background, so that nothing else waits with them. */
import { callByPathInBackground, callInBackground } from "./background-call.ts";
import { FSCONFIG_CMD_CREATE } from "./constants/mount.ts";
import { SyscallError } from "./errno.ts";
import type { Fd } from "./fd.ts";
import { contextError, mountOf } from "./mount.ts";
import { str } from "./plan/values.ts";

/** As `fsmount`. */
export async function fsmountInBackground(context: Fd, attributes = 0): Promise<Fd> {
  try {
    await callInBackground("fsconfig", context, [FSCONFIG_CMD_CREATE, null, null, 0], undefined);
  } catch (error) {
    throw error instanceof SyscallError ? contextError(context, "fsconfig", error.number, "create") : error;
  }
  return mountOf(context, attributes);
}

/** mount(2). */
export async function mountInBackground(
  source: string,
  target: string,
  { type, flags, data }: { type: string; flags: number; data: string },
): Promise<void> {
  await callByPathInBackground("mount", [str(source), str(target), str(type), flags, str(data)], target);
}

/** umount2(2): file systems that are not used any more write what they have. */
export async function umount2InBackground(target: string, flags = 0): Promise<void> {
  await callByPathInBackground("umount2", [str(target), flags], target);
}
