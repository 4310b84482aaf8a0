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

/** @throws EngineError corrupt for a bad checksum or field, unsupported for a type nobody puts in layers. */
export function parseHeader(block: Buffer): RawHeader {
  verifyChecksum(block);
  const typeflag = String.fromCharCode(block[156]!);
  const type = types[typeflag];
  if (type === undefined && !extensions.includes(typeflag)) {
    const name = JSON.stringify(text(block, 0, 100));
    throw new EngineError("unsupported", `tar entry ${name}: unsupported type ${JSON.stringify(typeflag)}`);
  }
  const isDevice = type === "character" || type === "block";
  return {
    type: type ?? "file",
    typeflag,
    path: fullPath(block),
    linkPath: text(block, 157, 100),
    mode: number(block, 100, 8),
    uid: number(block, 108, 8),
    gid: number(block, 116, 8),
    // Links, devices and directories have no data whatever their header says (POSIX; Go's archive/tar too).
    size: type === "file" || type === undefined ? positive(number(block, 124, 12)) : 0,
    mtimeSeconds: number(block, 136, 12),
    deviceMajor: isDevice ? number(block, 329, 8) : 0,
    deviceMinor: isDevice ? number(block, 337, 8) : 0,
    realSize: typeflag === "S" ? positive(number(block, 483, 12)) : 0,
  };
}

export function isZeroBlock(block: Buffer): boolean {
  for (let at = 0; at < blockSize; at++) if (block[at] !== 0) return false;
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
function fullPath(block: Buffer): string {
  const name = text(block, 0, 100);
  if (block.toString("latin1", 257, 263) !== "ustar\0") return name;
  const isStar = block.toString("latin1", 508, 512) === "tar\0";
  const prefix = text(block, 345, isStar ? 131 : 155);
  return prefix === "" ? name : `${prefix}/${name}`;
}

/** The sum of the bytes with the checksum's own taken for spaces; old programs summed signed characters. */
function verifyChecksum(block: Buffer): void {
  let unsigned = 8 * 0x20;
  let signed = unsigned;
  for (let at = 0; at < blockSize; at++) {
    if (at === 148) at = 156;
    const byte = block[at]!;
    unsigned += byte;
    signed += byte < 128 ? byte : byte - 256;
  }
  const expected = Number.parseInt(block.toString("latin1", 148, 156).replaceAll("\0", " "), 8);
  if (expected !== unsigned && expected !== signed) {
    throw new EngineError("corrupt", "not a tar archive, or a damaged one: wrong header checksum");
  }
}

function text(block: Buffer, at: number, length: number): string {
  const zero = block.indexOf(0, at);
  return block.toString("latin1", at, zero < 0 || zero > at + length ? at + length : zero);
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
