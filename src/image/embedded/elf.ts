/** What an ELF executable needs to be loaded (elf(5), System V ABI "Dynamic Linking"): read from the file, no ldd. */
import { closeSync, openSync, readSync } from "node:fs";
import { EngineError } from "../../core/errors.ts";

export interface ElfNeeds {
  /** PT_INTERP: the loader's path; undefined for a static executable and for libraries. */
  interpreter: string | undefined;
  /** DT_NEEDED, in order. */
  needed: string[];
  /** DT_RUNPATH, or DT_RPATH where there is none: directories, `$ORIGIN` not yet replaced. */
  searchPath: string[];
  /** e_machine: libraries must be for the same. */
  machine: number;
}

const PT_LOAD = 1;
const PT_DYNAMIC = 2;
const PT_INTERP = 3;
const DT_NULL = 0;
const DT_NEEDED = 1;
const DT_STRTAB = 5;
const DT_STRSZ = 10;
const DT_RPATH = 15;
const DT_RUNPATH = 29;

const headerBytes = 64;
/** Nothing that is read here is larger in a sound file. */
const tableBytesMax = 2 ** 22;

interface Segment {
  type: number;
  offset: number;
  address: number;
  fileBytes: number;
}

/** @throws EngineError invalid_argument for what is no 64-bit little-endian ELF file. */
export function readElf(path: string): ElfNeeds {
  const file = openSync(path, "r");
  try {
    const read = (offset: number, size: number) => readAt(file, path, offset, size);
    const header = read(0, headerBytes);
    const isElf64 = header.toString("latin1", 0, 4) === "\x7fELF" && header[4] === 2 && header[5] === 1;
    if (!isElf64) throw malformed(path, "not a 64-bit little-endian ELF file");
    const segments = readSegments(read, header);
    const interpreter = segments.find(({ type }) => type === PT_INTERP);
    const dynamic = segments.find(({ type }) => type === PT_DYNAMIC);
    return {
      machine: header.readUInt16LE(18),
      interpreter: interpreter && cString(read(interpreter.offset, interpreter.fileBytes), 0),
      ...(dynamic ? readDynamic(path, read, segments, dynamic) : { needed: [], searchPath: [] }),
    };
  } finally {
    closeSync(file);
  }
}

function readSegments(read: (offset: number, size: number) => Buffer, header: Buffer): Segment[] {
  const size = header.readUInt16LE(54);
  const count = header.readUInt16LE(56);
  const table = read(Number(header.readBigUInt64LE(32)), size * count);
  return Array.from({ length: count }, (_, index) => ({
    type: table.readUInt32LE(index * size),
    offset: Number(table.readBigUInt64LE(index * size + 8)),
    address: Number(table.readBigUInt64LE(index * size + 16)),
    fileBytes: Number(table.readBigUInt64LE(index * size + 32)),
  }));
}

function readDynamic(
  path: string,
  read: (offset: number, size: number) => Buffer,
  segments: readonly Segment[],
  dynamic: Segment,
): { needed: string[]; searchPath: string[] } {
  const table = read(dynamic.offset, dynamic.fileBytes);
  const entries: [tag: number, value: number][] = [];
  for (let at = 0; at + 16 <= table.length; at += 16) {
    const tag = Number(table.readBigInt64LE(at));
    if (tag === DT_NULL) break;
    entries.push([tag, Number(table.readBigUInt64LE(at + 8))]);
  }
  const values = (wanted: number) => entries.filter(([tag]) => tag === wanted).map(([, value]) => value);
  const [address] = values(DT_STRTAB);
  const [size] = values(DT_STRSZ);
  if (address === undefined || size === undefined) return { needed: [], searchPath: [] };
  // The table is given by its address in memory; the segment that is loaded there says where it is in the file.
  const holder = segments.find(
    (segment) =>
      segment.type === PT_LOAD && address >= segment.address && address < segment.address + segment.fileBytes,
  );
  if (!holder) throw malformed(path, "its string table is in no segment");
  const strings = read(holder.offset + address - holder.address, size);
  const runPath = values(DT_RUNPATH).length > 0 ? values(DT_RUNPATH) : values(DT_RPATH);
  return {
    needed: values(DT_NEEDED).map((offset) => cString(strings, offset)),
    searchPath: runPath.flatMap((offset) => cString(strings, offset).split(":")).filter((part) => part !== ""),
  };
}

function readAt(file: number, path: string, offset: number, size: number): Buffer {
  if (!Number.isSafeInteger(offset) || size > tableBytesMax) throw malformed(path, "a table lies outside of it");
  const buffer = Buffer.alloc(size);
  if (readSync(file, buffer, 0, size, offset) !== size) throw malformed(path, "it is cut short");
  return buffer;
}

function cString(bytes: Buffer, start: number): string {
  const end = bytes.indexOf(0, start);
  return bytes.toString("utf8", start, end < 0 ? bytes.length : end);
}

function malformed(path: string, reason: string): EngineError {
  return new EngineError("invalid_argument", `${path}: ${reason}`, { path });
}
