/** One 512-byte header block: POSIX.1-1988 ustar, and what GNU tar and star made of it. */
import { EngineError } from "../core/errors.ts";
import type { TarType } from "./tar-entry.ts";

export const blockSize = 512;

export interface RawHeader {
  type: TarType;
  typeflag: string;
  path: string;
  linkPath: string;
  mode: number;
  uid: number;
  gid: number;
  /** Bytes that follow in the archive. */
  size: number;
  mtimeSeconds: number;
  deviceMajor: number;
  deviceMinor: number;
  /** Of a GNU sparse file, its size once unpacked. */
  realSize: number;
}

/** `undefined`: an extension that describes the next entry and is none itself. */
const types: Record<string, TarType | undefined> = {
  "\0": "file",
  "0": "file",
  "1": "hardlink",
  "2": "symlink",
  "3": "character",
  "4": "block",
  "5": "directory",
  "6": "fifo",
  "7": "file", // contiguous
  S: "file", // GNU sparse
};
const extensions = "xXgLKV";

/**
 * The header that begins at an offset of the bytes.
 * @throws EngineError corrupt for a bad checksum or field, unsupported for a type nobody puts in layers.
 */
export function parseHeader(bytes: Buffer, at = 0): RawHeader {
  verifyChecksum(bytes, at);
  const typeflag = String.fromCharCode(bytes[at + 156]!);
  const type = types[typeflag];
  if (type === undefined && !extensions.includes(typeflag)) {
    const name = JSON.stringify(text(bytes, at, 100));
    throw new EngineError("unsupported", `tar entry ${name}: unsupported type ${JSON.stringify(typeflag)}`);
  }
  const isDevice = type === "character" || type === "block";
  return {
    type: type ?? "file",
    typeflag,
    path: fullPath(bytes, at),
    linkPath: text(bytes, at + 157, 100),
    mode: number(bytes, at + 100, 8),
    uid: number(bytes, at + 108, 8),
    gid: number(bytes, at + 116, 8),
    // Links, devices and directories have no data whatever their header says (POSIX; Go's archive/tar too).
    size: type === "file" || type === undefined ? positive(number(bytes, at + 124, 12)) : 0,
    mtimeSeconds: number(bytes, at + 136, 12),
    deviceMajor: isDevice ? number(bytes, at + 329, 8) : 0,
    deviceMinor: isDevice ? number(bytes, at + 337, 8) : 0,
    realSize: typeflag === "S" ? positive(number(bytes, at + 483, 12)) : 0,
  };
}

export function isZeroBlock(bytes: Uint8Array, start = 0): boolean {
  for (let at = start; at < start + blockSize; at++) if (bytes[at] !== 0) return false;
  return true;
}

/** Offset and length in turn, of the `count` regions at `at`; a region without length is none. */
export function sparseNumbers(block: Buffer, at: number, count: number): number[] {
  const numbers: number[] = [];
  for (let index = 0; index < count; index++) {
    const start = at + 24 * index;
    if (block[start] === 0) break;
    numbers.push(positive(number(block, start, 12)), positive(number(block, start + 12, 12)));
  }
  return numbers;
}

export function isSparseExtended(block: Buffer, at: number): boolean {
  return block[at] !== 0 && block[at] !== 0x30;
}

/** ustar has 155 bytes for what stands before the name, star 131; GNU uses that room otherwise. */
function fullPath(bytes: Buffer, at: number): string {
  const name = text(bytes, at, 100);
  if (bytes[at + 345] === 0 || !isAt(bytes, at + 257, "ustar\0")) return name;
  const isStar = isAt(bytes, at + 508, "tar\0");
  return `${text(bytes, at + 345, isStar ? 131 : 155)}/${name}`;
}

function isAt(bytes: Buffer, at: number, expected: string): boolean {
  for (let index = 0; index < expected.length; index++) {
    if (bytes[at + index] !== expected.charCodeAt(index)) return false;
  }
  return true;
}

/** The sum of the bytes with the checksum's own taken for spaces; old programs summed signed characters. */
function verifyChecksum(bytes: Buffer, start: number): void {
  let sum = 8 * 0x20;
  for (let at = start; at < start + 148; at++) sum += bytes[at]!;
  for (let at = start + 156; at < start + blockSize; at++) sum += bytes[at]!;
  const digits = bytes.toString("latin1", start + 148, start + 156).replaceAll("\0", " ");
  const expected = Number.parseInt(digits, 8);
  if (expected !== sum && expected !== sum - 256 * negatives(bytes, start)) {
    throw new EngineError("corrupt", "not a tar archive, or a damaged one: wrong header checksum");
  }
}

/** How many of the bytes that are summed are negative as signed characters. */
function negatives(bytes: Buffer, start: number): number {
  let count = 0;
  for (let at = 0; at < blockSize; at++) if ((at < 148 || at >= 156) && bytes[start + at]! >= 128) count++;
  return count;
}

function text(bytes: Buffer, at: number, length: number): string {
  let end = at;
  while (end < at + length && bytes[end] !== 0) end++;
  return end === at ? "" : bytes.toString("latin1", at, end);
}

/** Octal digits between spaces and zero bytes, or GNU's base 256 where the top bit of the first byte is set. */
function number(block: Buffer, at: number, length: number): number {
  const first = block[at]!;
  if (first >= 0x80) return base256(block, at, length);
  let value = 0;
  let digits = 0;
  for (let index = at; index < at + length; index++) {
    const byte = block[index]!;
    if (byte === 0 || byte === 0x20) {
      if (digits > 0) break;
      continue;
    }
    if (byte < 0x30 || byte > 0x37) throw new EngineError("corrupt", "tar header: a field is no octal number");
    value = value * 8 + byte - 0x30;
    digits++;
  }
  return value;
}

function base256(block: Buffer, at: number, length: number): number {
  const isNegative = (block[at]! & 0x40) !== 0;
  let value = BigInt(isNegative ? block[at]! - 256 : block[at]! & 0x3f);
  for (let index = at + 1; index < at + length; index++) value = value * 256n + BigInt(block[index]!);
  const result = Number(value);
  if (!Number.isSafeInteger(result)) throw new EngineError("corrupt", "tar header: a number is out of range");
  return result;
}

function positive(value: number): number {
  if (value < 0) throw new EngineError("corrupt", "tar header: a negative size");
  return value;
}
