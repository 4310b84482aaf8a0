import {
  O_DIRECTORY,
  O_NOCTTY,
  O_NONBLOCK,
  O_PATH,
  O_RDONLY,
  RESOLVE_IN_ROOT,
  RESOLVE_NO_MAGICLINKS,
} from "../../ffi/constants/open.ts";
import type { Descriptor } from "../../ffi/fd.ts";
import { open, openat2, read } from "../../ffi/files.ts";
import { isRegularFile, statx } from "../../ffi/stat.ts";
import { decodeText } from "../../ffi/text.ts";
import { isErrno } from "../core/errors.ts";

/** A file of users that is longer does not come from a distribution. */
const passwdBytesMax = 1 << 20;

/** The environment with a HOME, which a process that has none gets from its root's /etc/passwd: "/" for unknown users. */
export function withHome(environment: readonly string[], rootfs: string, uid: number): string[] {
  if (environment.some((entry) => entry.startsWith("HOME="))) return [...environment];
  using root = open(rootfs, O_PATH | O_DIRECTORY);
  return [...environment, `HOME=${homeDirectory(root, uid)}`];
}

function homeDirectory(root: Descriptor, uid: number): string {
  for (const line of readPasswd(root).split("\n")) {
    const fields = line.split(":");
    if (fields.length >= 6 && /^\d+$/.test(fields[2]!) && Number(fields[2]) === uid) return fields[5] || "/";
  }
  return "/";
}

/** The root is hostile: no link leads out of it, and what is not a plain file (a fifo, a device) is not read. */
function readPasswd(root: Descriptor): string {
  try {
    using file = openat2(root, "etc/passwd", {
      flags: O_RDONLY | O_NONBLOCK | O_NOCTTY,
      resolve: RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS,
    });
    const status = statx(file);
    if (!isRegularFile(status) || status.size > passwdBytesMax) return "";
    const buffer = new Uint8Array(status.size);
    let length = 0;
    for (let count = -1; count !== 0 && length < buffer.length; length += count) {
      count = read(file, buffer.subarray(length));
    }
    return decodeText(buffer.subarray(0, length));
  } catch (error) {
    if (isErrno(error, "ENOENT", "ENOTDIR", "ELOOP", "EACCES", "ENXIO")) return "";
    throw error;
  }
}
