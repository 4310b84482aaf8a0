/**
 * A streaming tar reader: ustar, pax, GNU and star headers in, entries and data out, synchronously.
 *
 * tar-stream would not do for layers: it decodes pax values as UTF-8, which destroys security.capability and
 * names in other encodings; drops pax uid and gid; keeps one of several records of the same key, and cannot skip
 * the extra headers of GNU sparse files. It also takes a promise or two per entry, and the files of a layer are
 * many and small.
 */
import { EngineError } from "../core/errors.ts";
import { type PaxRecords, parsePax, sparseRegions } from "./pax.ts";
import type { SparseRegion, TarEntry, TarSink } from "./tar-entry.ts";
import { blockSize, isSparseExtended, isZeroBlock, parseHeader, type RawHeader, sparseNumbers } from "./tar-header.ts";

/** Long names and extended headers are held in memory whole: Go's archive/tar has the same bound. */
const extensionBytesMax = 2 ** 20;
const sparseRegionsMax = 65_536;

type Extension = "pax" | "pax-global" | "long-name" | "long-link";

type State =
  | { step: "header" }
  | { step: "extension"; kind: Extension; size: number }
  | { step: "gnu-sparse"; header: RawHeader; numbers: number[] }
  | { step: "pax-sparse"; header: RawHeader; text: string; remaining: number }
  | { step: "data"; remaining: number; padding: number }
  | { step: "skip"; remaining: number }
  | { step: "end" };

const betweenEntries: State = { step: "header" };
const none: Partial<PaxRecords> = {};
const noXattrs: TarEntry["xattrs"] = new Map();

export class TarReader {
  readonly #sink: TarSink;
  #state: State = betweenEntries;
  /** What is still incomplete of a header or an extension. */
  readonly #pending: Buffer = Buffer.allocUnsafe(extensionBytesMax + blockSize);
  #pendingBytes = 0;
  /** A whole block has come. */
  #isBegun = false;
  #sawZeroBlock = false;
  #global: PaxRecords | undefined;
  #local: PaxRecords | undefined;
  #longName: string | undefined;
  #longLink: string | undefined;
  /** Of the entry whose data is being read. */
  #regions: SparseRegion[] = [];
  #region = 0;
  #regionDone = 0;
  #name = "";

  constructor(sink: TarSink) {
    this.#sink = sink;
  }

  /** @throws EngineError corrupt or unsupported for what is no tar; whatever the sink throws. */
  write(chunk: Uint8Array): void {
    const bytes = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
    let at = 0;
    while (at < bytes.length) {
      const state = this.#state;
      switch (state.step) {
        case "data":
          at += this.#readData(state, bytes, at);
          break;
        case "skip": {
          const taken = Math.min(state.remaining, bytes.length - at);
          state.remaining -= taken;
          at += taken;
          if (state.remaining === 0) this.#state = betweenEntries;
          break;
        }
        case "end":
          return; // what follows the end of the archive is padding
        default: {
          const size = state.step === "extension" ? padded(state.size) : blockSize;
          // The usual case: a header that lies in the chunk in one piece.
          if (state.step === "header" && this.#pendingBytes === 0 && bytes.length - at >= blockSize) {
            this.#isBegun = true;
            this.#readHeader(bytes, at);
            at += blockSize;
            break;
          }
          const taken = Math.min(size - this.#pendingBytes, bytes.length - at);
          const block = this.#gather(size, bytes, at, taken);
          at += taken;
          if (block) this.#block(state, block);
        }
      }
    }
  }

  /** @throws EngineError corrupt when the archive stops in the middle of an entry. */
  end(): void {
    const atBoundary = this.#state.step === "end" || (this.#state.step === "header" && this.#pendingBytes === 0);
    const dangling = this.#local ?? this.#longName ?? this.#longLink;
    if (atBoundary && dangling === undefined) return;
    const short = `not a tar archive, or a truncated one: it has ${this.#pendingBytes} bytes`;
    throw new EngineError("corrupt", this.#isBegun ? "tar archive is truncated" : short);
  }

  /** The whole block when its last byte has come: a view of the chunk where it lies there in one piece. */
  #gather(size: number, chunk: Buffer, at: number, taken: number): Buffer | undefined {
    if (this.#pendingBytes + taken === size) this.#isBegun = true;
    if (this.#pendingBytes === 0 && taken === size) return chunk.subarray(at, at + size);
    this.#pending.set(chunk.subarray(at, at + taken), this.#pendingBytes);
    this.#pendingBytes += taken;
    if (this.#pendingBytes < size) return undefined;
    this.#pendingBytes = 0;
    return this.#pending.subarray(0, size);
  }

  #block(state: Exclude<State, { step: "data" | "skip" | "end" }>, block: Buffer): void {
    switch (state.step) {
      case "header":
        this.#readHeader(block, 0);
        break;
      case "extension":
        this.#readExtension(state, block.subarray(0, state.size));
        this.#state = betweenEntries;
        break;
      case "gnu-sparse":
        state.numbers.push(...sparseNumbers(block, 0, 21));
        if (state.numbers.length > 2 * sparseRegionsMax) throw new EngineError("corrupt", "too many sparse regions");
        if (!isSparseExtended(block, 504)) this.#begin(state.header, state.header.size, state.numbers);
        break;
      case "pax-sparse":
        this.#readPaxSparseMap(state, block);
    }
  }

  #readHeader(bytes: Buffer, at: number): void {
    if (bytes[at] === 0 && isZeroBlock(bytes, at)) {
      if (this.#sawZeroBlock) this.#state = { step: "end" };
      this.#sawZeroBlock = true;
      return;
    }
    // GNU tar reads on after a single zero block, and so do we: what matters is that the diff id matches.
    this.#sawZeroBlock = false;
    const header = parseHeader(bytes, at);
    const extension = extensionOf(header.typeflag);
    if (extension) {
      if (header.size > extensionBytesMax) {
        throw new EngineError("corrupt", `extended header of ${header.size} bytes is too large`);
      }
      if (header.size > 0) this.#state = { step: "extension", kind: extension, size: header.size };
      return;
    }
    if (header.typeflag === "V") {
      this.#state = header.size > 0 ? { step: "skip", remaining: padded(header.size) } : this.#state;
      return; // GNU volume label
    }
    this.#readEntry(header, bytes, at);
  }

  #readExtension(state: { kind: Extension }, body: Buffer): void {
    switch (state.kind) {
      case "pax":
        this.#local = parsePax(body);
        break;
      case "pax-global":
        this.#global = parsePax(body);
        break;
      case "long-name":
        this.#longName = cString(body);
        break;
      case "long-link":
        this.#longLink = cString(body);
    }
  }

  #readEntry(header: RawHeader, bytes: Buffer, at: number): void {
    const pax = this.#local;
    // Sizes in front of which the ustar field gives up (8 GiB) come as records.
    const size = pax?.size ?? header.size;
    if (header.typeflag === "S") {
      const numbers = sparseNumbers(bytes, at + 386, 4);
      const whole = { ...header, size, realSize: header.realSize };
      if (isSparseExtended(bytes, at + 482)) this.#state = { step: "gnu-sparse", header: whole, numbers };
      else this.#begin(whole, size, numbers);
      return;
    }
    if (pax?.sparse.major === 1) {
      this.#state = { step: "pax-sparse", header: { ...header, size }, text: "", remaining: size };
      return;
    }
    this.#begin(header, size, pax?.sparse.map);
  }

  /** Version 1.0: a count, then offset and length of each region, as decimal lines in whole blocks before the data. */
  #readPaxSparseMap(state: Extract<State, { step: "pax-sparse" }>, block: Buffer): void {
    state.text += block.toString("latin1");
    state.remaining -= blockSize;
    const lines = state.text.split("\n");
    const count = Number(lines[0]);
    if (lines.length > 1 && (!/^\d{1,6}$/.test(lines[0]!) || count > sparseRegionsMax)) {
      throw new EngineError("corrupt", "sparse file: malformed map");
    }
    if (lines.length - 1 < 2 * count + 1 || lines.length < 2) {
      if (state.remaining < blockSize) throw new EngineError("corrupt", "sparse file: its map does not end");
      return;
    }
    const numbers = lines.slice(1, 2 * count + 1).map((line) => (/^\d{1,16}$/.test(line) ? Number(line) : Number.NaN));
    if (numbers.some(Number.isNaN)) throw new EngineError("corrupt", "sparse file: malformed map");
    this.#begin(state.header, state.remaining, numbers);
  }

  /** Puts header and extensions together, tells the sink, and gets ready for `stored` bytes of data. */
  #begin(header: RawHeader, stored: number, sparse: number[] | undefined): void {
    const pax: Partial<PaxRecords> = this.#global ? { ...this.#global, ...this.#local } : (this.#local ?? none);
    const isSparse = sparse !== undefined;
    const size = isSparse ? (pax.sparse?.realSize ?? header.realSize) : stored;
    const hasData = header.type === "file";
    this.#regions = isSparse ? sparseRegions(sparse, size) : [{ offset: 0, size: stored }];
    if (isSparse && this.#regions.reduce((sum, region) => sum + region.size, 0) !== stored) {
      throw new EngineError("corrupt", "sparse file: its map and its size disagree");
    }
    const path = (isSparse ? pax.sparse?.name : undefined) ?? pax.path ?? this.#longName ?? header.path;
    const entry: TarEntry = {
      // Before POSIX a directory was a file whose name ends in a slash.
      type: header.type === "file" && header.typeflag !== "S" && path.endsWith("/") ? "directory" : header.type,
      path,
      linkPath: pax.linkPath ?? this.#longLink ?? header.linkPath,
      mode: header.mode & 0o7777,
      uid: pax.uid ?? header.uid,
      gid: pax.gid ?? header.gid,
      size: hasData ? size : 0,
      mtime: pax.mtime ?? { seconds: header.mtimeSeconds, nanoseconds: 0 },
      deviceMajor: header.deviceMajor,
      deviceMinor: header.deviceMinor,
      xattrs: pax.xattrs ?? noXattrs,
      sparse: isSparse ? this.#regions : undefined,
    };
    this.#local = undefined;
    this.#longName = undefined;
    this.#longLink = undefined;
    this.#region = 0;
    this.#regionDone = 0;
    this.#name = path;
    this.#sink.entry(entry);
    if (!hasData || stored === 0) {
      this.#sink.entryEnd();
      this.#state = betweenEntries;
      return;
    }
    this.#state = { step: "data", remaining: stored, padding: padded(stored) - stored };
  }

  #readData(state: Extract<State, { step: "data" }>, chunk: Uint8Array, start: number): number {
    const end = Math.min(chunk.length, start + state.remaining);
    let at = start;
    while (at < end) {
      const region = this.#regions[this.#region];
      if (!region) throw new EngineError("internal", `tar entry ${this.#name}: data past its last region`);
      const taken = Math.min(region.size - this.#regionDone, end - at);
      this.#sink.data(chunk.subarray(at, at + taken), region.offset + this.#regionDone);
      at += taken;
      this.#regionDone += taken;
      if (this.#regionDone === region.size) {
        this.#region++;
        this.#regionDone = 0;
      }
    }
    state.remaining -= end - start;
    if (state.remaining === 0) {
      this.#sink.entryEnd();
      this.#state = state.padding > 0 ? { step: "skip", remaining: state.padding } : betweenEntries;
    }
    return end - start;
  }
}

function extensionOf(typeflag: string): Extension | undefined {
  switch (typeflag) {
    case "x":
    case "X":
      return "pax";
    case "g":
      return "pax-global";
    case "L":
      return "long-name";
    case "K":
      return "long-link";
    default:
      return undefined;
  }
}

function padded(size: number): number {
  return Math.ceil(size / blockSize) * blockSize;
}

function cString(bytes: Buffer): string {
  const end = bytes.indexOf(0);
  return bytes.toString("latin1", 0, end < 0 ? bytes.length : end);
}
