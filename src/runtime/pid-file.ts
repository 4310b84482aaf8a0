import { renameSync, rmSync, writeFileSync } from "../../ffi/fs.ts";
import { basename, dirname, join } from "../../ffi/path.ts";
import { wrapError } from "../core/errors.ts";

/** Writes a pid under a hidden name first: who watches for the file never reads half of it. */
export function writePidFile(path: string, pid: number): void {
  const temporary = join(dirname(path), `.${basename(path)}`);
  try {
    writeFileSync(temporary, String(pid), { mode: 0o644 });
    renameSync(temporary, path);
  } catch (error) {
    rmSync(temporary, { force: true });
    throw wrapError(error, `pid file ${path}`);
  }
}
