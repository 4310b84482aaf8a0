/** Files that are there whole or not at all. */
import { AT_FDCWD, O_CREAT, O_EXCL, O_TMPFILE, O_WRONLY } from "./constants/open.ts";
import { SyscallError } from "./errno.ts";
import type { Fd } from "./fd.ts";
import { linkDescriptor, openat, write } from "./files.ts";
import { renameSync, rmSync } from "./fs.ts";
import { basename, dirname, join } from "./path.ts";

/** How often somebody else may put a file at the path between its removal and the new one. */
const attemptsMax = 100;

/**
 * Puts a file at a path, in place of what was there; a symlink is replaced, not followed. Who reads it never sees half
 * of it. A process that is killed meanwhile leaves nothing else behind: the file has no name until it is complete
 * (O_TMPFILE), except on file systems that cannot do that, network file systems above all.
 * @param mode the permissions, less the umask.
 */
export function putFile(path: string, data: string | Uint8Array, mode: number): void {
  using file = namelessFile(dirname(path), mode);
  if (file === undefined) {
    putFileByName(path, data, mode);
    return;
  }
  write(file, data);
  for (let attempt = 1; ; attempt++) {
    rmSync(path, { force: true });
    try {
      linkDescriptor(file, AT_FDCWD, path);
      return;
    } catch (error) {
      if (!(error instanceof SyscallError && error.errno === "EEXIST") || attempt === attemptsMax) throw error;
    }
  }
}

/** EISDIR is the answer of file systems that do not know the flag; EOPNOTSUPP, of those that know and cannot. */
function namelessFile(directory: string, mode: number): Fd | undefined {
  try {
    return openat(AT_FDCWD, directory, O_TMPFILE | O_WRONLY, mode);
  } catch (error) {
    if (error instanceof SyscallError && ["EOPNOTSUPP", "EISDIR"].includes(error.errno)) return undefined;
    throw error;
  }
}

/**
 * The same under a hidden name first. The directory may be one that others can write to: what lies at the hidden name is
 * removed, and no symlink is followed (O_EXCL).
 */
export function putFileByName(path: string, data: string | Uint8Array, mode: number): void {
  const temporary = join(dirname(path), `.${basename(path)}`);
  rmSync(temporary, { force: true });
  try {
    using file = openat(AT_FDCWD, temporary, O_WRONLY | O_CREAT | O_EXCL, mode);
    write(file, data);
    renameSync(temporary, path);
  } catch (error) {
    rmSync(temporary, { force: true });
    throw error;
  }
}
