import { AT_FDCWD, O_CREAT, O_EXCL, O_WRONLY } from "../../ffi/constants/open.ts";
import { openat, write } from "../../ffi/files.ts";
import { renameSync, rmSync } from "../../ffi/fs.ts";
import { basename, dirname, join } from "../../ffi/path.ts";
import { wrapError } from "../core/errors.ts";

/**
 * Writes a pid under a hidden name first: who watches for the file never reads half of it. The directory may be one that
 * others can write to: what lies at the hidden name is removed, and no symlink is followed (O_EXCL).
 */
export function writePidFile(path: string, pid: number): void {
  const temporary = join(dirname(path), `.${basename(path)}`);
  rmSync(temporary, { force: true });
  try {
    using file = openat(AT_FDCWD, temporary, O_WRONLY | O_CREAT | O_EXCL, 0o644);
    write(file, String(pid));
    renameSync(temporary, path);
  } catch (error) {
    rmSync(temporary, { force: true });
    throw wrapError(error, `pid file ${path}`);
  }
}
