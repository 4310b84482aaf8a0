/**
 * One file of a log, read from any place, whether it is compressed or not.
 *
 * Opening is synchronous: it takes microseconds, and a follower that is quick finds the next file before it is rotated
 * away. What may have to wait for the disk is not.
 */
import { closeSync, fstatSync, openSync, read, rmSync, statSync, write } from "node:fs";
import { pipeline } from "node:stream/promises";
import { promisify } from "node:util";
import { createGunzip } from "node:zlib";
import { errorMessage, isErrno } from "../core/errors.ts";
import { CompressedLog } from "./compressed.ts";
import { sequenceOf } from "./log-sequence.ts";

const readAt = promisify(read);
const writeTo = promisify(write);

export class LogSource implements Disposable {
  #fd: number;
  readonly #path: string;
  /** What another program has compressed is unpacked before it is read. */
  #isForeign = false;
  readonly #compressed: CompressedLog | undefined;
  #damage: string | undefined;
  /** Of the file that was opened: while it is open, no other has it. */
  readonly inode: number;

  private constructor(fd: number, path: string, isCompressed: boolean) {
    this.#fd = fd;
    this.#path = path;
    try {
      this.inode = fstatSync(fd).ino;
      if (!isCompressed) return;
      this.#compressed = CompressedLog.open(fd);
      this.#isForeign = this.#compressed === undefined;
    } catch (error) {
      closeSync(fd);
      throw error;
    }
  }

  /**
   * Opens `path`, or `path.gz`.
   * @returns undefined when there is neither. @throws the kernel's error.
   */
  static open(path: string): LogSource | undefined {
    for (;;) {
      const plain = openIfPresent(path);
      if (plain !== undefined) return new LogSource(plain, path, false);
      const compressed = openIfPresent(`${path}.gz`);
      if (compressed !== undefined) return new LogSource(compressed, path, true);
      // It may have been given another name between the two looks.
      if (inodeOf(path) === undefined) return undefined;
    }
  }

  /** Whether this file of the log is at `path` now, or (compressed since it was opened) at `path.gz`. */
  isAt(path: string): boolean {
    if (this.#compressed === undefined && inodeOf(path) === this.inode) return true;
    if (inodeOf(`${path}.gz`) === this.inode) return true;
    const fd = this.#compressed === undefined ? openIfPresent(`${path}.gz`) : undefined;
    if (fd === undefined) return false;
    try {
      // Of a file that was compressed before this one began it may have the inode: older ones come later in the row.
      return CompressedLog.inodeOf(fd) === this.inode;
    } finally {
      closeSync(fd);
    }
  }

  /** Of the file that this is, or was before it was compressed. */
  get originalInode(): number {
    return this.#compressed?.inode ?? this.inode;
  }

  /** Why not all of it can be read, as far as that is known by now; undefined when nothing is wrong with it. */
  get damage(): string | undefined {
    return this.#damage ?? this.#compressed?.damage;
  }

  /** Which file of the log it is: see log-sequence.ts. */
  get sequence(): number {
    return sequenceOf(this.#fd);
  }

  /** Of the text, at the moment. @throws the kernel's error, or zlib's. */
  async sizeBytes(): Promise<number> {
    if (this.#isForeign) await this.#unpack();
    return this.sizeNow;
  }

  /** As `sizeBytes`, of a file that was not compressed by another program. */
  get sizeNow(): number {
    return this.#compressed?.sizeBytes ?? fstatSync(this.#fd).size;
  }

  /** @returns how many bytes from `position` on came to the beginning of `target`: 0 at the end. */
  async read(target: Uint8Array, position: number): Promise<number> {
    if (this.#isForeign) await this.#unpack();
    if (this.#compressed === undefined) {
      return (await readAt(this.#fd, target, 0, target.length, position)).bytesRead;
    }
    let length = 0;
    while (length < target.length) {
      const more = await this.#compressed.read(target.subarray(length), position + length);
      if (more === 0) break;
      length += more;
    }
    return length;
  }

  /** To a file without a name: it can be as large as a disk. Of a damaged one what comes before the damage is kept. */
  async #unpack(): Promise<void> {
    const place = `${this.#path}.unpacked-${crypto.randomUUID()}`;
    const unpacked = openSync(place, "wx+", 0o600);
    try {
      rmSync(place);
      await pipeline(bytesOf(this.#fd), createGunzip(), async (text: AsyncIterable<Uint8Array>) => {
        for await (const piece of text) {
          for (let done = 0; done < piece.length; ) done += (await writeTo(unpacked, piece, done)).bytesWritten;
        }
      });
    } catch (error) {
      if (!isFromZlib(error)) {
        closeSync(unpacked);
        throw error;
      }
      this.#damage = `a compressed file is damaged: ${errorMessage(error)}`;
    }
    closeSync(this.#fd);
    this.#fd = unpacked;
    this.#isForeign = false;
  }

  /** Not while it is read. */
  [Symbol.dispose](): void {
    closeSync(this.#fd);
  }
}

function isFromZlib(error: unknown): boolean {
  return error instanceof Error && "code" in error && String(error.code).startsWith("Z_");
}

/** @returns undefined when there is none. @throws the kernel's error. */
export function inodeOf(path: string): number | undefined {
  return statSync(path, { throwIfNoEntry: false })?.ino;
}

/** Whether there is a file of that name, compressed or not. */
export function isLogThere(path: string): boolean {
  return inodeOf(path) !== undefined || inodeOf(`${path}.gz`) !== undefined;
}

function openIfPresent(path: string): number | undefined {
  try {
    return openSync(path, "r");
  } catch (error) {
    if (isErrno(error, "ENOENT")) return undefined;
    throw error;
  }
}

async function* bytesOf(fd: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; ; ) {
    const buffer = new Uint8Array(64 * 1024);
    const { bytesRead } = await readAt(fd, buffer, 0, buffer.length, at);
    if (bytesRead === 0) return;
    at += bytesRead;
    yield buffer.subarray(0, bytesRead);
  }
}
