/** A place in a container's log, told in one process and found again in another, whatever was rotated meanwhile. */
import { fstatSync, readSync } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { isErrno, wrapError } from "../core/errors.ts";
import { recordBytesMax } from "./json-record.ts";
import { beginsLocalFile, endOfBlocks } from "./local-format.ts";
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
const newline = 10;

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

/**
 * The end of a log that nobody writes: what a crash has left of a record behind it does not count.
 * @returns undefined when there is none.
 */
export async function endOfLog(path: string): Promise<LogPosition | undefined> {
  try {
    await using handle = await open(path, "r");
    const { size } = await handle.stat();
    if (await isLocal(handle)) return positionAt(handle.fd, endOfBlocks(handle.fd));
    const tail = new Uint8Array(Math.min(size, recordBytesMax));
    const { bytesRead } = await handle.read(tail, 0, tail.length, size - tail.length);
    const torn = bytesRead - 1 - tail.subarray(0, bytesRead).lastIndexOf(newline);
    return positionAt(handle.fd, size - torn);
  } catch (error) {
    if (isErrno(error, "ENOENT")) return undefined;
    throw wrapError(error, `read log ${path}`, { path });
  }
}

async function isLocal(handle: FileHandle): Promise<boolean> {
  const first = new Uint8Array(1);
  const { bytesRead } = await handle.read(first, 0, 1, 0);
  return bytesRead === 1 && beginsLocalFile(first[0]!);
}
