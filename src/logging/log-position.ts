/** A place in a container's log, told in one process and found again in another, whatever was rotated meanwhile. Shims load this. */
import { fstatSync, readSync } from "node:fs";
import type { LogSource } from "./log-source.ts";
import type { OutputStream } from "./log-writer.ts";

/** Between two records of one file. */
export interface LogPosition {
  inode: number;
  /** From the beginning of the file. */
  bytes: number;
  /**
   * The bytes before it, at most `markBytes`, in base64: they end with a record's time, which a file that was emptied and
   * grew again, or another that has the inode by now, does not have at that place.
   */
  mark: string;
}

/** Where what an attached client gets begins: all that was written before is in the log up to there, or held back. */
export interface LogSeam {
  position: LogPosition;
  /** In base64: beginnings of lines, which come into the log when they are whole. */
  held: Record<OutputStream, string>;
}

const markBytes = 48;

/** @throws the kernel's error. */
export function positionAt(fd: number, bytes: number): LogPosition {
  const mark = new Uint8Array(Math.min(markBytes, bytes));
  const length = readSync(fd, mark, 0, mark.length, bytes - mark.length);
  return { inode: fstatSync(fd).ino, bytes, mark: Buffer.from(mark.subarray(0, length)).toString("base64") };
}

/** Whether the position is one of this file. */
export async function isIn(source: LogSource, position: LogPosition): Promise<boolean> {
  if (source.originalInode !== position.inode) return false;
  const mark = Buffer.from(position.mark, "base64");
  const found = new Uint8Array(mark.length);
  const length = await source.read(found, position.bytes - mark.length);
  return length === mark.length && mark.equals(found);
}
