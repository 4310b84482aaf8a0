/**
 * Which file of a log it is, counted from the log's first, as an attribute of the file: by it a reader that has come to
 * a file's end, and finds it rotated away, knows whether the oldest one that is left is the next one. Nothing but that
 * depends on it: on a file system without such attributes the reader does not say that lines are missing.
 */
import { getXattr, setXattr } from "../../ffi/stat.ts";
import { isErrno } from "../core/errors.ts";

const attribute = Buffer.from("user.tsd.log");

/** 0 of the first, which has no attribute: a log that is never rotated costs nothing. @throws the kernel's error. */
export function sequenceOf(fd: number): number {
  const value = getXattr(fd, attribute);
  return Number.parseInt(Buffer.from(value ?? "0").toString(), 10) || 0;
}

/** Has a new file come after the one before. @throws the kernel's error. */
export function numberAfter(before: number, next: number): void {
  setSequence(next, sequenceOf(before) + 1);
}

/** @throws the kernel's error. */
export function setSequence(fd: number, sequence: number): void {
  try {
    setXattr(fd, attribute, Buffer.from(String(sequence)));
  } catch (error) {
    // Where there is no room for it, there are other worries.
    if (!isErrno(error, "EOPNOTSUPP", "EPERM", "ENOSPC", "EDQUOT")) throw error;
  }
}
