/** The end of a log that nobody writes: a place to go on from. */
import { type FileHandle, open } from "node:fs/promises";
import { isErrno, wrapError } from "../core/errors.ts";
import { recordBytesMax } from "./json-record.ts";
import { beginsLocalFile, endOfBlocks } from "./local-format.ts";
import { type LogPosition, positionAt } from "./log-position.ts";

const newline = 10;

/**
 * What a crash has left of a record behind the last whole one does not count.
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
