/** One layer's files, looked at beside the layers above and below it. */
import {
  O_DIRECTORY,
  O_NOFOLLOW,
  O_PATH,
  O_RDONLY,
  RESOLVE_BENEATH,
  RESOLVE_NO_MAGICLINKS,
  RESOLVE_NO_SYMLINKS,
} from "../../../ffi/constants/open.ts";
import type { Fd } from "../../../ffi/fd.ts";
import { openat2 } from "../../../ffi/files.ts";
import { type FileStatus, getXattr, isDirectory, statx } from "../../../ffi/stat.ts";
import { isErrno } from "../../core/errors.ts";
import { parentOf } from "../../tar/entry-path.ts";

/** overlayfs.rst, "whiteouts and opaque directories". */
export const opaqueAttribute = "trusted.overlay.opaque";

/** Up to the root, which is the empty string and has none. */
export function directoriesAbove(path: string): string[] {
  const above: string[] = [];
  for (let at = path; at !== ""; at = parentOf(at)) above.push(parentOf(at));
  return above;
}

/** A directory of a layer; `hides`: nothing of the layers below shows at its path. */
type Look = { directory: Fd; status: FileStatus; hides: boolean } | { directory: undefined; hides: boolean };

/** Looks for the directory at a path (not the root's) in one layer. The caller closes what is found. */
export function look(layer: Fd, path: string): Look {
  let hides = false;
  const parts = path.split("/");
  for (let depth = 1; depth <= parts.length; depth++) {
    const prefix = parts.slice(0, depth).join("/");
    const found = openBeneath(layer, prefix, O_RDONLY | O_NOFOLLOW, true);
    if (found === undefined) return { directory: undefined, hides };
    if (found === "other") return { directory: undefined, hides: true };
    using directory = found;
    hides ||= getXattr(directory, opaqueAttribute) !== undefined;
    const status = statx(directory);
    if (depth === parts.length) return { directory: directory.move(), status, hides };
  }
  return { directory: undefined, hides };
}

/**
 * Opens below a directory without following any symlink: both trees are an image's work. Undefined where there is
 * nothing; with `tellOther`, "other" where there is something that is no directory.
 */
export function openBeneath(root: Fd, path: string, flags: number): Fd | undefined;
export function openBeneath(root: Fd, path: string, flags: number, tellOther: true): Fd | undefined | "other";
export function openBeneath(root: Fd, path: string, flags: number, tellOther = false): Fd | undefined | "other" {
  const resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;
  const name = path === "" ? "." : Buffer.from(path, "latin1");
  try {
    if (tellOther) {
      // Looked at before it is opened: opening a device or a fifo has effects.
      using probe = openat2(root, name, { flags: O_PATH | O_NOFOLLOW, resolve });
      if (!isDirectory(statx(probe))) return "other";
    }
    return openat2(root, name, { flags: flags | O_DIRECTORY, resolve });
  } catch (error) {
    if (isErrno(error, "ENOENT")) return undefined;
    if (isErrno(error, "ENOTDIR", "ELOOP")) return tellOther ? "other" : undefined;
    throw error;
  }
}
