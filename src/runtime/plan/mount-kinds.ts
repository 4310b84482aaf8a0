import { O_DIRECTORY, O_PATH, RESOLVE_IN_ROOT, RESOLVE_NO_MAGICLINKS } from "../../../ffi/constants/open.ts";
import { open, openat2 } from "../../../ffi/files.ts";
import { isAbsolute } from "../../../ffi/path.ts";
import type { PlanFailure } from "../../../ffi/plan/failure.ts";
import { isDirectory, statx } from "../../../ffi/stat.ts";
import { isErrno } from "../../core/errors.ts";
import type { RuntimeConfig } from "../../oci/runtime.ts";
import { cleanPath } from "./emit.ts";

/**
 * move_mount(2) answers EINVAL where a directory would be mounted on what is none, or the other way round. This says
 * so, with the words "not a directory", for which dockerd looks to explain it, and without "is a directory", which
 * docker takes for a command that cannot be executed; undefined where it is not the reason,
 * or the two are not to be seen from here.
 * @param rootfs absolute, on the host.
 */
export function differentKinds(
  failure: PlanFailure | undefined,
  config: RuntimeConfig,
  rootfs: string,
): string | undefined {
  if (failure?.call !== "move_mount" || failure.errno !== "EINVAL") return undefined;
  const index = /^mounts\[(\d+)\]$/.exec(failure.why ?? "")?.[1];
  const { source, destination } = config.mounts?.[Number(index)] ?? {};
  if (source === undefined || destination === undefined || !isAbsolute(source)) return undefined;
  try {
    using mounted = open(source, O_PATH);
    using root = open(rootfs, O_PATH | O_DIRECTORY);
    const resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS;
    using covered = openat2(root, cleanPath(destination), { flags: O_PATH, resolve });
    const kinds = [isDirectory(statx(mounted)), isDirectory(statx(covered))];
    if (kinds[0] === kinds[1]) return undefined;
    return kinds[0]
      ? `${destination} is not a directory, as ${source} is`
      : `${source} is not a directory, as ${destination} is`;
  } catch (error) {
    // An engine's root can be mounted in the container's namespace alone: the kernel's answer has to do.
    if (isErrno(error, "ENOENT", "ENOTDIR", "EACCES", "ELOOP", "EXDEV")) return undefined;
    throw error;
  }
}
