/** Reading and writing the files of a cgroup. */

import { O_WRONLY } from "../../../ffi/constants/open.ts";
import { open, write } from "../../../ffi/files.ts";
import { readFileSync } from "../../../ffi/fs.ts";
import { EngineError, type ErrorCode, errorMessage, isErrno } from "../../core/errors.ts";

let observer: ((path: string, value: string) => void) | undefined;

/** Has somebody told of every value before it is written for a field of config.json. */
export function observeWrites(tell: ((path: string, value: string) => void) | undefined): void {
  observer = tell;
}

/**
 * Writes a value that a field of config.json asked for.
 * @throws EngineError that names the field, the file and the errno:
 *   `linux.resources.memory.limit: write 4096 to /sys/fs/cgroup/x/memory.max: EINVAL`.
 * @param more what else the error shall say.
 */
export function writeField(field: string, path: string, value: string, more?: () => string): void {
  observer?.(path, value);
  try {
    writeCgroupFile(path, value);
  } catch (error) {
    throw fieldError(field, path, value, error, more?.());
  }
}

/** True when it was written; false for the errnos that the caller expects. */
export function tryWriteField(field: string, path: string, value: string, ...expected: string[]): boolean {
  observer?.(path, value);
  try {
    writeCgroupFile(path, value);
    return true;
  } catch (error) {
    if (isErrno(error, ...expected)) return false;
    throw fieldError(field, path, value, error);
  }
}

/** Without O_CREAT: in a cgroup that would be refused with EACCES, and hide that there is no such file. */
export function writeCgroupFile(path: string, value: string): void {
  using file = open(path, O_WRONLY);
  write(file, value);
}

/** The error for a value that a file did not take. */
export function fieldError(field: string, path: string, value: string, cause: unknown, more = ""): EngineError {
  const errno = (cause as { errno?: unknown }).errno;
  const code: ErrorCode = isErrno(cause, "ENOENT")
    ? "unsupported"
    : isErrno(cause, "EINVAL", "ERANGE", "ENODEV", "ENOSPC")
      ? "invalid_argument"
      : isErrno(cause, "EBUSY")
        ? "conflict"
        : isErrno(cause, "EPERM", "EACCES")
          ? "forbidden"
          : "internal";
  const reason = typeof errno === "string" ? errno : errorMessage(cause);
  return new EngineError(code, `${field}: write ${value} to ${path}: ${reason}${more}`, { path, cause });
}

export function readCgroupFile(path: string): string {
  return readFileSync(path, "utf8");
}

/** The file's text, or undefined where this kernel or this cgroup has no such file. */
export function readOptional(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    // ENODEV: the cgroup was removed while the file was open; EOPNOTSUPP: it is there, but not for this cgroup.
    if (isErrno(error, "ENOENT", "ENODEV", "EOPNOTSUPP")) return undefined;
    throw error;
  }
}

/** `key value` lines, as memory.stat and cpu.stat have them. */
export function parseKeyed(text: string): Record<string, number> {
  const values: Record<string, number> = {};
  for (const line of text.split("\n")) {
    const separator = line.indexOf(" ");
    if (separator > 0) values[line.slice(0, separator)] = Number(line.slice(separator + 1));
  }
  return values;
}

/** v1 writes a limit that nobody set as the largest number of pages: PAGE_COUNTER_MAX of linux/page_counter.h. */
const unlimitedV1 = 2 ** 63 - 2 ** 20;

/** A number from a file; undefined where there is no file or no limit ("max", or v1's largest number). */
export function readNumber(path: string): number | undefined {
  const text = readOptional(path)?.trim();
  if (text === undefined || text === "max" || text === "") return undefined;
  const value = Number(text);
  return value >= unlimitedV1 ? undefined : value;
}

/** `0-2,7`, the kernel's lists of CPUs and memory nodes. */
export function parseNumberList(text: string): number[] {
  const numbers: number[] = [];
  for (const range of text.trim().split(",")) {
    if (range === "") continue;
    const [first = 0, last = first] = range.split("-").map(Number);
    for (let number = first; number <= last; number++) numbers.push(number);
  }
  return numbers;
}
