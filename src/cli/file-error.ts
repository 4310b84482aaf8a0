/** Errors of files of the client's, in the words of Go's os.PathError: `open /x: no such file or directory`. */
import { EngineError, errorMessage, isErrno } from "../core/errors.ts";

const reasons: Record<string, string> = {
  ENOENT: "no such file or directory",
  ENOTDIR: "not a directory",
  EACCES: "permission denied",
  EISDIR: "is a directory",
  EEXIST: "file exists",
  EROFS: "read-only file system",
  ENOSPC: "no space left on device",
  ELOOP: "too many levels of symbolic links",
  ENAMETOOLONG: "file name too long",
};

/** @param before what is said before it: `container ID file: `. */
export function fileError(
  call: "open" | "read" | "lstat" | "stat",
  path: string,
  cause: unknown,
  before = "",
): EngineError {
  const errno = Object.keys(reasons).find((name) => isErrno(cause, name));
  const reason = errno === undefined ? errorMessage(cause) : reasons[errno];
  // A directory can be opened.
  const failed = call === "open" && errno === "EISDIR" ? "read" : call;
  const code = errno === "ENOENT" ? "not_found" : "invalid_argument";
  return new EngineError(code, `${before}${failed} ${path}: ${reason}`, { path, cause });
}
