import { putFile } from "../../ffi/whole-file.ts";
import { wrapError } from "../core/errors.ts";

/** Who watches for the file never reads half of it. */
export function writePidFile(path: string, pid: number): void {
  try {
    putFile(path, String(pid), 0o644);
  } catch (error) {
    throw wrapError(error, `pid file ${path}`);
  }
}
