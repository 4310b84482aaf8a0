/**
 * Extended headers of pax(1): records `LENGTH KEY=VALUE\n`. Values are bytes, not text: SCHILY.xattr.* carries
 * raw attribute values (security.capability is binary) and names of files need not be UTF-8.
 */
import { EngineError } from "../core/errors.ts";
import type { SparseRegion, TarTime } from "./tar-entry.ts";

/** One set of records, as the next entry (or with `g` all entries) is to have them. Byte strings are latin1. */
export interface PaxRecords {
  path?: string;
  linkPath?: string;
  size?: number;
  uid?: number;
  gid?: number;
  mtime?: TarTime;
  xattrs: Map<string, Uint8Array>;
  sparse: PaxSparse;
}

/** GNU tar manual, "PAX Format, Versions 0.0, 0.1 and 1.0". */
export interface PaxSparse {
  name?: string;
  realSize?: number;
  /** 1 when the map lies in front of the data. */
  major?: number;
  /** Offsets and lengths in turn, from versions 0.0 and 0.1. */
  map?: number[];
}

const xattrPrefix = "SCHILY.xattr.";

/** @throws EngineError corrupt for records that do not parse. */
export function parsePax(text: Buffer): PaxRecords {
  const records: PaxRecords = { xattrs: new Map(), sparse: {} };
  let at = 0;
  while (at < text.length) {
    const space = text.indexOf(0x20, at);
    const length = decimal(text.toString("latin1", at, space < 0 ? at : space));
    const end = at + length;
    const equals = text.indexOf(0x3d, space);
    if (space < 0 || end > text.length || equals < 0 || equals >= end || text[end - 1] !== 0x0a) {
      throw new EngineError("corrupt", "malformed extended header");
    }
    apply(records, text.toString("latin1", space + 1, equals), text, equals + 1, end - 1);
    at = end;
  }
  return records;
}

/** A record whose value lies between two offsets of the bytes. */
function apply(records: PaxRecords, key: string, bytes: Buffer, start: number, end: number): void {
  if (key.startsWith(xattrPrefix)) {
    records.xattrs.set(key.slice(xattrPrefix.length), new Uint8Array(bytes.subarray(start, end)));
    return;
  }
  const text = bytes.toString("latin1", start, end);
  // "A zero-length value deletes": what the ustar header says then holds.
  if (text === "") return;
  switch (key) {
    case "path":
      records.path = withoutNul(text);
      break;
    case "linkpath":
      records.linkPath = withoutNul(text);
      break;
    case "size":
      records.size = decimal(text);
      break;
    case "uid":
      records.uid = decimal(text);
      break;
    case "gid":
      records.gid = decimal(text);
      break;
    case "mtime":
      records.mtime = parseTime(text);
      break;
    case "GNU.sparse.name":
      records.sparse.name = withoutNul(text);
      break;
    case "GNU.sparse.size":
    case "GNU.sparse.realsize":
      records.sparse.realSize = decimal(text);
      break;
    case "GNU.sparse.major":
      records.sparse.major = decimal(text);
      break;
    case "GNU.sparse.map":
      records.sparse.map = text.split(",").map(decimal);
      break;
    case "GNU.sparse.offset":
    case "GNU.sparse.numbytes":
      records.sparse.map = [...(records.sparse.map ?? []), decimal(text)];
      break;
    default: // comment, uname, gname, hdrcharset, …: nothing that a root file system keeps
  }
}

function withoutNul(text: string): string {
  if (text.includes("\0")) throw new EngineError("corrupt", "extended header: a path with a zero byte");
  return text;
}

function decimal(text: string): number {
  const value = /^\d{1,16}$/.test(text) ? Number(text) : Number.NaN;
  if (!Number.isSafeInteger(value)) {
    throw new EngineError("corrupt", `extended header: ${JSON.stringify(text.slice(0, 40))} is no number`);
  }
  return value;
}

/** Seconds since 1970 with a decimal fraction of any length, possibly negative. */
function parseTime(text: string): TarTime {
  const match = /^(-?)(\d{1,15})(?:\.(\d*))?$/.exec(text);
  if (!match) throw new EngineError("corrupt", `extended header: ${JSON.stringify(text.slice(0, 40))} is no time`);
  const nanoseconds = Number((match[3] ?? "").slice(0, 9).padEnd(9, "0"));
  const seconds = Number(match[2]);
  if (match[1] === "") return { seconds, nanoseconds };
  return nanoseconds === 0
    ? { seconds: -seconds, nanoseconds }
    : { seconds: -seconds - 1, nanoseconds: 1_000_000_000 - nanoseconds };
}

/**
 * Offsets and lengths in turn as regions in ascending order that lie in the file.
 * @throws EngineError corrupt otherwise.
 */
export function sparseRegions(numbers: readonly number[], realSize: number): SparseRegion[] {
  const regions: SparseRegion[] = [];
  let end = 0;
  for (let index = 0; index + 1 < numbers.length; index += 2) {
    const region = { offset: numbers[index]!, size: numbers[index + 1]! };
    if (region.offset < end || region.offset + region.size > realSize) {
      throw new EngineError("corrupt", "sparse file: regions overlap or lie outside of the file");
    }
    end = region.offset + region.size;
    if (region.size > 0) regions.push(region);
  }
  return regions;
}
