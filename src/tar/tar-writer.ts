/**
 * Writes tar headers: ustar, and in front of it extended headers (pax(1)) for what ustar has no room for: long names,
 * large numbers, fractions of seconds, extended attributes, holes. The same entry always makes the same bytes.
 *
 * tar-stream's writer would not do: it cuts user ids off at 262143, knows whole seconds only, and takes values of
 * extended headers for UTF-8, which security.capability is not.
 */
import type { SparseRegion, TarEntry, TarTime, TarType } from "./tar-entry.ts";
import { blockSize } from "./tar-header.ts";

const typeflags: Record<TarType, string> = {
  file: "0",
  hardlink: "1",
  symlink: "2",
  character: "3",
  block: "4",
  directory: "5",
  fifo: "6",
};

const nameMax = 100;
const prefixMax = 155;
/** What fits into seven and eleven octal digits. */
const idMax = 0o7777777;
const longMax = 0o77777777777;

/** The two blocks of zeros that end an archive. */
export const endOfArchive: Uint8Array = new Uint8Array(2 * blockSize);

/** Zeros that fill an entry's data up to a whole block. */
export function padding(size: number): Uint8Array {
  return endOfArchive.subarray(0, (blockSize - (size % blockSize)) % blockSize);
}

/** Bytes of data that follow the header: of a sparse file those of its regions, and the map in front of them. */
export function storedSize(entry: Pick<TarEntry, "type" | "size" | "sparse">): number {
  if (entry.type !== "file") return 0;
  if (entry.sparse === undefined) return entry.size;
  return sparseMap(entry.sparse).length + entry.sparse.reduce((sum, region) => sum + region.size, 0);
}

/**
 * The header of an entry, extended header and sparse map included: what is to follow are the bytes of the file (of a
 * sparse one those of its regions) and their padding.
 */
export function tarHeader(entry: TarEntry): Uint8Array {
  const records = extendedRecords(entry);
  const path = entry.type === "directory" && !entry.path.endsWith("/") ? `${entry.path}/` : entry.path;
  const map = entry.sparse ? sparseMap(entry.sparse) : new Uint8Array();
  const bodyBytes = records.reduce((sum, { length }) => sum + length, 0);
  const extendedBytes = bodyBytes === 0 ? 0 : blockSize + bodyBytes + padding(bodyBytes).length;
  const header = Buffer.alloc(extendedBytes + blockSize + map.length);
  if (bodyBytes > 0) {
    const zero = { linkPath: "", mode: 0o644, uid: 0, gid: 0, seconds: 0, device: noDevice };
    writeBlock(header.subarray(0, blockSize), { ...zero, path: extendedName(path), size: bodyBytes }, "x");
    let at = blockSize;
    for (const each of records) {
      header.set(each, at);
      at += each.length;
    }
  }
  writeBlock(
    header.subarray(extendedBytes, extendedBytes + blockSize),
    {
      path: entry.sparse ? `GNUSparseFile.0/${path.slice(path.lastIndexOf("/") + 1)}` : path,
      linkPath: entry.linkPath,
      mode: entry.mode,
      uid: entry.uid,
      gid: entry.gid,
      size: storedSize(entry),
      seconds: entry.mtime.seconds,
      device: [entry.deviceMajor, entry.deviceMinor],
    },
    typeflags[entry.type],
  );
  header.set(map, extendedBytes + blockSize);
  return header;
}

/** As many bytes as `putUsualHeader` writes at most. */
export const usualHeaderMax = 3 * blockSize;

/**
 * The same bytes as `tarHeader` makes, straight into a buffer, for what most files are: a short name, small numbers,
 * and a fraction of a second at most in an extended header.
 * @returns how many were written; 0 where the entry needs more.
 */
export function putUsualHeader(buffer: Uint8Array, at: number, entry: TarEntry): number {
  const { uid, gid, mtime, linkPath, size } = entry;
  const path = entry.type === "directory" && !entry.path.endsWith("/") ? `${entry.path}/` : entry.path;
  if (path.length > nameMax || linkPath.length > nameMax || entry.sparse !== undefined || entry.xattrs.size > 0)
    return 0;
  if (uid > idMax || gid > idMax || size > longMax || mtime.seconds < 0 || mtime.seconds > longMax) return 0;
  const extendedBytes = mtime.nanoseconds === 0 ? 0 : 2 * blockSize;
  buffer.fill(0, at, at + extendedBytes + blockSize);
  if (extendedBytes > 0) {
    const text = `mtime=${decimalTime(mtime)}\n`;
    // Between 10 and 99 bytes, the two digits and the space among them.
    const bodyBytes = text.length + 3;
    latin1(buffer, at + blockSize, bodyBytes, `${bodyBytes} ${text}`);
    const zero = { linkPath: "", mode: 0o644, uid: 0, gid: 0, seconds: 0, device: noDevice };
    fillBlock(buffer, at, { ...zero, path: extendedName(path), size: bodyBytes }, "x", "");
  }
  const stored = entry.type === "file" ? size : 0;
  const { mode, deviceMajor, deviceMinor } = entry;
  const device: [number, number] = [deviceMajor, deviceMinor];
  const fields = { path, linkPath, mode, uid, gid, size: stored, seconds: mtime.seconds, device };
  fillBlock(buffer, at + extendedBytes, fields, typeflags[entry.type], "");
  return extendedBytes + blockSize;
}

/** What the extended header of a path is called. */
function extendedName(path: string): string {
  const end = path.endsWith("/") ? path.length - 1 : path.length;
  return `PaxHeaders/${path.slice(path.lastIndexOf("/", end - 1) + 1, end)}`;
}

/** What the ustar header cannot say, in a fixed order. */
function extendedRecords(entry: TarEntry): Uint8Array[] {
  const { uid, gid, mtime, linkPath, sparse } = entry;
  const path = entry.type === "directory" && !entry.path.endsWith("/") ? `${entry.path}/` : entry.path;
  const records: Uint8Array[] = [];
  const add = (key: string, value: string | Uint8Array) => records.push(record(key, value));
  if (sparse !== undefined) {
    add("GNU.sparse.major", "1");
    add("GNU.sparse.minor", "0");
    add("GNU.sparse.name", path);
    add("GNU.sparse.realsize", String(entry.size));
  } else if (splitName(path) === undefined) add("path", path);
  if (linkPath.length > nameMax) add("linkpath", linkPath);
  if (storedSize(entry) > longMax) add("size", String(storedSize(entry)));
  if (uid > idMax) add("uid", String(uid));
  if (gid > idMax) add("gid", String(gid));
  if (mtime.nanoseconds !== 0 || mtime.seconds < 0 || mtime.seconds > longMax) add("mtime", decimalTime(mtime));
  for (const [name, value] of [...entry.xattrs].sort(([a], [b]) => (a < b ? -1 : 1)))
    add(`SCHILY.xattr.${name}`, value);
  return records;
}

/** `LENGTH KEY=VALUE\n`, where the length counts itself. */
function record(key: string, value: string | Uint8Array): Uint8Array {
  const rest = key.length + value.length + 3;
  let length = rest + 1;
  while (String(length).length + rest !== length) length = String(length).length + rest;
  const bytes = new Uint8Array(length);
  const start = `${length} ${key}=`;
  latin1(bytes, 0, start.length, start);
  if (typeof value === "string") latin1(bytes, start.length, value.length, value);
  else bytes.set(value, start.length);
  bytes[length - 1] = 0x0a;
  return bytes;
}

function decimalTime({ seconds, nanoseconds }: TarTime): string {
  if (nanoseconds === 0) return String(seconds);
  // Before 1970 the fraction is taken from the next second: -1 s and 250 ms are -0.75.
  const [whole, fraction] = seconds < 0 ? [seconds + 1, 1_000_000_000 - nanoseconds] : [seconds, nanoseconds];
  const sign = seconds < 0 && whole === 0 ? "-" : "";
  return `${sign}${whole}.${String(fraction).padStart(9, "0").replace(/0+$/, "")}`;
}

/** A count, then offset and length of each region, a decimal number a line, up to a whole block (GNU tar, "PAX Format, Version 1.0"). */
function sparseMap(regions: readonly SparseRegion[]): Uint8Array {
  const numbers = [regions.length, ...regions.flatMap(({ offset, size }) => [offset, size])];
  const text = Buffer.from(numbers.map((number) => `${number}\n`).join(""));
  return Buffer.concat([text, padding(text.length)]);
}

/** A path as prefix and name, cut at a slash; undefined where it does not fit. */
function splitName(path: string): { prefix: string; name: string } | undefined {
  if (path.length <= nameMax) return { prefix: "", name: path };
  const slash = path.lastIndexOf("/", prefixMax);
  const name = path.slice(slash + 1);
  return slash > 0 && name !== "" && name.length <= nameMax ? { prefix: path.slice(0, slash), name } : undefined;
}

interface HeaderFields {
  path: string;
  linkPath: string;
  mode: number;
  uid: number;
  gid: number;
  size: number;
  seconds: number;
  device: [major: number, minor: number];
}

const noDevice: [number, number] = [0, 0];

/** Fills one empty block; a number that does not fit is 0 and stands in the extended header, a name is cut off. */
function writeBlock(block: Uint8Array, fields: HeaderFields, typeflag: string): void {
  const { prefix, name } = splitName(fields.path) ?? { prefix: "", name: fields.path.slice(0, nameMax) };
  fillBlock(block, 0, { ...fields, path: name }, typeflag, prefix);
}

/** Fills the empty block at an offset. What is written is summed on the way: most of a block are zeros. */
function fillBlock(block: Uint8Array, at: number, fields: HeaderFields, typeflag: string, prefix: string): void {
  const { uid, gid, size, seconds, device } = fields;
  const sum =
    latin1(block, at, nameMax, fields.path) +
    octal(block, at + 100, 8, fields.mode) +
    octal(block, at + 108, 8, uid > idMax ? 0 : uid) +
    octal(block, at + 116, 8, gid > idMax ? 0 : gid) +
    octal(block, at + 124, 12, size > longMax ? 0 : size) +
    octal(block, at + 136, 12, seconds < 0 || seconds > longMax ? 0 : seconds) +
    latin1(block, at + 156, 1, typeflag) +
    latin1(block, at + 157, nameMax, fields.linkPath) +
    latin1(block, at + 257, 8, "ustar\x0000") +
    octal(block, at + 329, 8, device[0]) +
    octal(block, at + 337, 8, device[1]) +
    latin1(block, at + 345, prefixMax, prefix);
  // The sum's own place counts as spaces; its last byte stays one.
  const space = 0x20;
  octal(block, at + 148, 7, sum + 8 * space);
  block[at + 155] = space;
}

/** By hand, as the numbers: Buffer's own way takes longer than the text is worth. @returns the sum of the bytes. */
function latin1(block: Uint8Array, at: number, lengthMax: number, text: string): number {
  const length = Math.min(text.length, lengthMax);
  let sum = 0;
  for (let index = 0; index < length; index++) {
    block[at + index] = text.charCodeAt(index);
    sum += block[at + index]!;
  }
  return sum;
}

/** Digits with zeros before them, and a zero byte after them. @returns the sum of the bytes. */
function octal(block: Uint8Array, at: number, length: number, value: number): number {
  const zero = 0x30;
  let rest = value;
  let sum = zero * (length - 1);
  for (let index = at + length - 2; index >= at; index--) {
    const digit = rest % 8;
    block[index] = zero + digit;
    sum += digit;
    rest = (rest - digit) / 8;
  }
  block[at + length - 1] = 0;
  return sum;
}
