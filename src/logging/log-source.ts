/** One file of a log, read from any place, whether it is compressed or not. */
import { type FileHandle, open, rm, stat } from "node:fs/promises";
import { pipeline } from "node:stream/promises";
import { createGunzip } from "node:zlib";
import { isErrno } from "../core/errors.ts";
import { CompressedLog } from "./compressed.ts";
import { sequenceOf } from "./log-sequence.ts";

export class LogSource implements AsyncDisposable {
  readonly #handle: FileHandle;
  readonly #compressed: CompressedLog | undefined;
  /** Of the file that was opened: while it is open, no other has it. */
  readonly inode: number;

  private constructor(handle: FileHandle, inode: number, compressed: CompressedLog | undefined) {
    this.#handle = handle;
    this.#compressed = compressed;
    this.inode = inode;
  }

  /**
   * Opens `path`, or `path.gz`.
   * @returns undefined when there is neither. @throws the kernel's error, or zlib's.
   */
  static async open(path: string): Promise<LogSource | undefined> {
    for (;;) {
      const plain = await openIfPresent(path);
      if (plain !== undefined) return new LogSource(plain, (await plain.stat()).ino, undefined);
      const compressed = await openIfPresent(`${path}.gz`);
      if (compressed !== undefined) return LogSource.#openCompressed(compressed, path);
      // It may have been given another name between the two looks.
      if ((await inodeOf(path)) === undefined) return undefined;
    }
  }

  static async #openCompressed(handle: FileHandle, path: string): Promise<LogSource> {
    try {
      const { ino } = await handle.stat();
      const compressed = await CompressedLog.open(handle);
      if (compressed !== undefined) return new LogSource(handle, ino, compressed);
      const unpacked = await unpack(handle, path);
      await handle.close();
      return new LogSource(unpacked, ino, undefined);
    } catch (error) {
      await handle.close();
      throw error;
    }
  }

  /** Whether this file of the log is at `path` now, or (compressed since it was opened) at `path.gz`. */
  async isAt(path: string): Promise<boolean> {
    if (this.#compressed !== undefined) return (await inodeOf(`${path}.gz`)) === this.inode;
    if ((await inodeOf(path)) === this.inode) return true;
    const handle = await openIfPresent(`${path}.gz`);
    if (handle === undefined) return false;
    try {
      // Of a file that was compressed before this one began it may have the inode: older ones come later in the row.
      return (await CompressedLog.inodeOf(handle)) === this.inode || (await handle.stat()).ino === this.inode;
    } finally {
      await handle.close();
    }
  }

  /** Of the file that this is, or was before it was compressed. */
  get originalInode(): number {
    return this.#compressed?.inode ?? this.inode;
  }

  /** Of the text, at the moment. */
  async sizeBytes(): Promise<number> {
    return this.#compressed?.sizeBytes ?? (await this.#handle.stat()).size;
  }

  /** @returns how many bytes from `position` on came to the beginning of `target`: 0 at the end. */
  async read(target: Uint8Array, position: number): Promise<number> {
    if (this.#compressed === undefined) return (await this.#handle.read(target, 0, target.length, position)).bytesRead;
    let length = 0;
    while (length < target.length) {
      const more = await this.#compressed.read(target.subarray(length), position + length);
      if (more === 0) break;
      length += more;
    }
    return length;
  }

  /** Which file of the log it is: see log-sequence.ts. */
  get sequence(): number {
    return sequenceOf(this.#handle.fd);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#handle.close();
  }
}

/** @returns undefined when there is none. @throws the kernel's error. */
export async function inodeOf(path: string): Promise<number | undefined> {
  try {
    return (await stat(path)).ino;
  } catch (error) {
    if (isErrno(error, "ENOENT")) return undefined;
    throw error;
  }
}

/** Whether there is a file of that name, compressed or not. */
export async function isLogThere(path: string): Promise<boolean> {
  return (await inodeOf(path)) !== undefined || (await inodeOf(`${path}.gz`)) !== undefined;
}

async function openIfPresent(path: string): Promise<FileHandle | undefined> {
  try {
    return await open(path, "r");
  } catch (error) {
    if (isErrno(error, "ENOENT")) return undefined;
    throw error;
  }
}

async function* bytesOf(handle: FileHandle): AsyncGenerator<Uint8Array> {
  for (let at = 0; ; ) {
    const { bytesRead, buffer } = await handle.read(new Uint8Array(64 * 1024), 0, 64 * 1024, at);
    if (bytesRead === 0) return;
    at += bytesRead;
    yield buffer.subarray(0, bytesRead);
  }
}

/** What another program has compressed is unpacked to a file without a name: it can be as large as a disk. */
async function unpack(handle: FileHandle, path: string): Promise<FileHandle> {
  const place = `${path}.unpacked-${crypto.randomUUID()}`;
  const unpacked = await open(place, "wx+", 0o600);
  try {
    await rm(place);
    await pipeline(bytesOf(handle), createGunzip(), async (text: AsyncIterable<Uint8Array>) => {
      for await (const piece of text) await unpacked.write(piece);
    });
    return unpacked;
  } catch (error) {
    await unpacked.close();
    throw error;
  }
}
