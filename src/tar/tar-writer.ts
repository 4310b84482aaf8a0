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
  const own = headerBlock(
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
  if (records.length === 0) return own;
  const body = Buffer.concat(records);
  const name = `PaxHeaders/${path.replace(/\/$/, "").split("/").pop()!}`;
  const zero = { linkPath: "", mode: 0o644, uid: 0, gid: 0, seconds: 0, device: [0, 0] as [number, number] };
  return Buffer.concat([
    headerBlock({ ...zero, path: name, size: body.length }, "x"),
    body,
    padding(body.length),
    own,
    map,
  ]);
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
  const bytes = typeof value === "string" ? Buffer.from(value, "latin1") : value;
  const rest = Buffer.concat([Buffer.from(` ${key}=`, "latin1"), bytes, Buffer.from("\n")]);
  let length = rest.length + 1;
  while (String(length).length + rest.length !== length) length = String(length).length + rest.length;
  return Buffer.concat([Buffer.from(String(length)), rest]);
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

/** One block; a number that does not fit is 0 and stands in the extended header, a name is cut off. */
function headerBlock(fields: HeaderFields, typeflag: string): Uint8Array {
  const block = Buffer.alloc(blockSize);
  const { prefix, name } = splitName(fields.path) ?? { prefix: "", name: fields.path.slice(0, nameMax) };
  block.write(name, 0, nameMax, "latin1");
  octal(block, 100, 8, fields.mode);
  octal(block, 108, 8, fields.uid > idMax ? 0 : fields.uid);
  octal(block, 116, 8, fields.gid > idMax ? 0 : fields.gid);
  octal(block, 124, 12, fields.size > longMax ? 0 : fields.size);
  octal(block, 136, 12, fields.seconds < 0 || fields.seconds > longMax ? 0 : fields.seconds);
  block.write(typeflag, 156, "latin1");
  block.write(fields.linkPath, 157, nameMax, "latin1");
  block.write("ustar\x0000", 257, "latin1");
  octal(block, 329, 8, fields.device[0]);
  octal(block, 337, 8, fields.device[1]);
  block.write(prefix, 345, prefixMax, "latin1");
  block.fill(0x20, 148, 156);
  let sum = 0;
  for (let at = 0; at < blockSize; at++) sum += block[at]!;
  block.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148, "latin1");
  return block;
}

function octal(block: Buffer, at: number, length: number, value: number): void {
  block.write(`${value.toString(8).padStart(length - 1, "0")}\0`, at, "latin1");
}
