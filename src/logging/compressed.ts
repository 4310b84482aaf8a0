/**
 * Rotated log files that are compressed: ordinary gzip files, which zcat(1) reads, made so that a reader needs neither
 * the whole of one in its memory nor to begin at its beginning.
 *
 * A file is a row of gzip members (RFC 1952, section 2.2) of 256 KiB of the log each, cut between records. The extra field
 * of a member's head has a subfield `Td` of 16 bytes, little endian: how long the member is (4), how much of the log is in
 * it (4), and the inode of the file that was compressed (8), by which a reader that has that one open finds its place.
 * A file of other members was compressed by somebody else: it has to be read from its beginning.
 */
import { closeSync, fdatasync, fstatSync, openSync, read, readSync, rmSync, writeSync } from "node:fs";
import { promisify } from "node:util";
import { beginsLocalFile, pageBytes } from "./local-format.ts";
import { sequenceOf, setSequence } from "./log-sequence.ts";

const readAt = promisify(read);
const toDisk = promisify(fdatasync);
const newline = 10;
const subfieldBytes = 16;
const headBytes: number = 12 + 4 + subfieldBytes;
const trailerBytes = 8;
const memberTextBytes = pageBytes;
/** Of deflate: what a container writes shrinks to a tenth at the lowest, in a fifth of the time of the usual one. */
const level = 1;

/**
 * Compresses what is in an open log file into a new file, which is on the disk when this resolves: the other one can be
 * removed. Between two members everybody else has a turn: one takes about a millisecond.
 * @param target is made, or written anew; after a failure or an abort it is gone. @throws the kernel's error.
 */
export async function compressLog(fd: number, target: string, signal?: AbortSignal): Promise<void> {
  const { ino, size } = fstatSync(fd);
  const out = openSync(target, "w", 0o600);
  let finished = false;
  try {
    setSequence(out, sequenceOf(fd));
    const buffer = new Uint8Array(memberTextBytes);
    let at = 0;
    while (at < size) {
      signal?.throwIfAborted();
      const length = readSync(fd, buffer, 0, Math.min(buffer.length, size - at), at);
      if (length === 0) break;
      const text = buffer.subarray(0, at + length < size ? recordsEnd(buffer, length) : length);
      writeAll(out, member(text, ino));
      at += text.length;
      await new Promise(setImmediate);
    }
    await toDisk(out);
    signal?.throwIfAborted();
    finished = true;
  } finally {
    closeSync(out);
    if (!finished) rmSync(target, { force: true });
  }
}

/** A local log's blocks end with its pages; in a json-file log it is the last newline. */
function recordsEnd(buffer: Uint8Array, length: number): number {
  if (beginsLocalFile(buffer[0]!)) return length;
  return buffer.subarray(0, length).lastIndexOf(newline) + 1 || length;
}

function member(text: Uint8Array, inode: number): Uint8Array {
  const body = Bun.deflateSync(text as Uint8Array<ArrayBuffer>, { level, library: "libdeflate" });
  const bytes = new Uint8Array(headBytes + body.length + trailerBytes);
  const view = new DataView(bytes.buffer);
  // Magic, deflate, an extra field and nothing else; no time, an unknown system.
  bytes.set([0x1f, 0x8b, 8, 4, 0, 0, 0, 0, 0, 255]);
  view.setUint16(10, 4 + subfieldBytes, true);
  bytes.set([0x54, 0x64, subfieldBytes, 0], 12);
  view.setUint32(16, bytes.length, true);
  view.setUint32(20, text.length, true);
  view.setBigUint64(24, BigInt(inode), true);
  bytes.set(body, headBytes);
  view.setUint32(bytes.length - 8, Bun.hash.crc32(text), true);
  view.setUint32(bytes.length - 4, text.length, true);
  return bytes;
}

function writeAll(fd: number, bytes: Uint8Array): void {
  let written = 0;
  while (written < bytes.length) written += writeSync(fd, bytes, written, bytes.length - written);
}

/** Whether a member begins with what `member` writes. */
function isOurs(head: DataView): boolean {
  return head.getUint32(0, true) === 0x0408_8b1f && head.getUint16(12, true) === 0x6454;
}

/** Where a member is, and what of the log is in it. */
interface Member {
  at: number;
  bytes: number;
  textAt: number;
  textBytes: number;
}

/** Reads a file of these as if it were not compressed. */
export class CompressedLog {
  readonly #fd: number;
  readonly #members: Member[];
  /** Of the file that was compressed. */
  readonly inode: number;
  /** Of the log that is in it. */
  readonly sizeBytes: number;
  /** What is known of its damage, which is passed over; undefined when none was met. */
  damage: string | undefined;
  #text: { member: Member; bytes: Uint8Array } | undefined;

  private constructor(fd: number, members: Member[], inode: number, damage: string | undefined) {
    this.#fd = fd;
    this.damage = damage;
    this.#members = members;
    this.inode = inode;
    const last = members.at(-1);
    this.sizeBytes = last === undefined ? 0 : last.textAt + last.textBytes;
  }

  /**
   * The descriptor stays the caller's. A last member that is not whole is left out.
   * @returns undefined when the file was compressed by somebody else. @throws the kernel's error.
   */
  static open(fd: number): CompressedLog | undefined {
    const { size } = fstatSync(fd);
    const members: Member[] = [];
    const head = new Uint8Array(headBytes);
    const view = new DataView(head.buffer);
    let inode = 0;
    let textAt = 0;
    let at = 0;
    while (at + headBytes + trailerBytes <= size) {
      readSync(fd, head, 0, headBytes, at);
      if (!isOurs(view)) return undefined;
      const bytes = view.getUint32(16, true);
      const textBytes = view.getUint32(20, true);
      if (bytes <= headBytes + trailerBytes || textBytes > memberTextBytes || at + bytes > size) break;
      inode = Number(view.getBigUint64(24, true));
      members.push({ at, bytes, textAt, textBytes });
      at += bytes;
      textAt += textBytes;
    }
    return new CompressedLog(fd, members, inode, at === size ? undefined : `a compressed file ends at byte ${at}`);
  }

  /** @returns undefined when it is not known. @throws the kernel's error. */
  static inodeOf(fd: number): number | undefined {
    const head = new Uint8Array(headBytes);
    const length = readSync(fd, head, 0, headBytes, 0);
    const view = new DataView(head.buffer);
    return length === headBytes && isOurs(view) ? Number(view.getBigUint64(24, true)) : undefined;
  }

  /**
   * Reads what is at a place of the log into `target`, as much as one member has of it. Of a damaged member that is
   * nothing that a reader takes for a record: zeros, which pad local's pages, and a newline, which ends a line of json-file's.
   * @returns how much that was; 0 at the end. @throws the kernel's error.
   */
  async read(target: Uint8Array, position: number): Promise<number> {
    const member = this.#memberAt(position);
    if (member === undefined) return 0;
    if (this.#text?.member !== member) this.#text = { member, bytes: await this.#inflate(member) };
    const from = position - member.textAt;
    const part = this.#text.bytes.subarray(from, from + target.length);
    target.set(part);
    return part.length;
  }

  #memberAt(position: number): Member | undefined {
    let low = 0;
    let high = this.#members.length - 1;
    while (low <= high) {
      const middle = (low + high) >> 1;
      const member = this.#members[middle]!;
      if (position < member.textAt) high = middle - 1;
      else if (position >= member.textAt + member.textBytes) low = middle + 1;
      else return member;
    }
    return undefined;
  }

  async #inflate(member: Member): Promise<Uint8Array> {
    const bytes = new Uint8Array(member.bytes);
    const { bytesRead } = await readAt(this.#fd, bytes, 0, bytes.length, member.at);
    const body = bytes.subarray(headBytes, bytesRead - trailerBytes);
    let text: Uint8Array | undefined;
    try {
      text = Bun.inflateSync(body);
    } catch {
      text = undefined; // Said below, as of what is no text of that length.
    }
    const crc = new DataView(bytes.buffer).getUint32(bytes.length - 8, true);
    if (text?.length !== member.textBytes || Bun.hash.crc32(text) !== crc) {
      this.damage = `a compressed file is damaged at byte ${member.at}`;
      text = new Uint8Array(member.textBytes);
      text[text.length - 1] = newline;
    }
    return text;
  }
}
