/**
 * Which bytes of a partial blob are there. The blob is divided into chunks, and each chunk is filled from its start;
 * the map is how far. It lies beside the blob's bytes in a file of fixed layout, and is changed in place.
 *
 * It has two tables. The first says what has been written: true as long as this boot lasts, whatever process is
 * killed, for the page cache outlives processes. The second says what is on the disk, and is written after fdatasync
 * of the bytes: what it says is true after a power failure as well. A torn write of it mixes old and new counts, and
 * both are true. (The whole blob is hashed at the end in any case.)
 */
import { constants } from "node:fs";
import { type FileHandle, open, readFile } from "node:fs/promises";

/** A connection fetches whole chunks. */
export const chunkBytes: number = 2 ** 20;

const magic = "tsdmap1\n";
/** magic, size of the blob (u64), of a chunk (u32), 4 unused bytes, and the boot's id as 36 characters. */
const headerBytes = 64;
const bootIdAt = 24;
const bootIdBytes = 36;

/** A part of the blob that is not there; `end` is exclusive. */
export interface Gap {
  start: number;
  end: number;
}

export class IngestMap {
  readonly size: number;
  readonly #filled: Uint32Array<ArrayBuffer>;
  readonly #durable: Uint32Array<ArrayBuffer>;
  #present = 0;
  /** No gap is before this chunk. */
  #firstGap = 0;

  /** @param size bytes of the blob. */
  constructor(size: number) {
    this.size = size;
    const chunks = Math.ceil(size / chunkBytes);
    this.#filled = new Uint32Array(chunks);
    this.#durable = new Uint32Array(chunks);
  }

  /**
   * Reads a map back.
   * @param available bytes of the file that it is about: nothing beyond is there, whatever the map says.
   * @returns undefined for anything but a map of a blob of that size.
   */
  static parse(bytes: Uint8Array, size: number, bootId: string, available: number): IngestMap | undefined {
    const map = new IngestMap(size);
    const file = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const tableBytes = map.#filled.byteLength;
    if (file.length !== headerBytes + 2 * tableBytes || file.toString("latin1", 0, 8) !== magic) return undefined;
    if (file.readBigUInt64LE(8) !== BigInt(size) || file.readUInt32LE(16) !== chunkBytes) return undefined;
    const isSameBoot = file.toString("latin1", bootIdAt, bootIdAt + bootIdBytes) === bootId;
    for (let chunk = 0; chunk < map.#filled.length; chunk++) {
      const start = chunk * chunkBytes;
      const room = Math.max(0, Math.min(map.#length(chunk), available - start));
      const durable = file.readUInt32LE(headerBytes + tableBytes + 4 * chunk);
      map.#durable[chunk] = Math.min(room, durable);
      map.#filled[chunk] = isSameBoot
        ? Math.min(room, file.readUInt32LE(headerBytes + 4 * chunk))
        : map.#durable[chunk]!;
      map.#present += map.#filled[chunk]!;
    }
    return map;
  }

  /** The whole file. */
  format(bootId: string): Uint8Array {
    const header = Buffer.alloc(headerBytes);
    header.write(magic, 0, "latin1");
    header.writeBigUInt64LE(BigInt(this.size), 8);
    header.writeUInt32LE(chunkBytes, 16);
    header.write(bootId, bootIdAt, bootIdBytes, "latin1");
    return Buffer.concat([header, new Uint8Array(this.#filled.buffer), new Uint8Array(this.#durable.buffer)]);
  }

  /** How many bytes are there. */
  get present(): number {
    return this.#present;
  }

  get isWhole(): boolean {
    return this.#present === this.size;
  }

  /** How far the bytes are there without a gap, counted from the start of the blob. */
  get front(): number {
    while (this.#firstGap < this.#filled.length && this.#isFull(this.#firstGap)) this.#firstGap++;
    const chunk = this.#firstGap;
    return chunk === this.#filled.length ? this.size : chunk * chunkBytes + this.#filled[chunk]!;
  }

  /**
   * The first gap that nobody works at, cut off at the next bytes that are there or at somebody else's work.
   * @param busy chunks that somebody fills. @param lengthMax about so many bytes; it ends with a chunk.
   */
  gap(busy: ReadonlySet<number>, lengthMax: number): Gap | undefined {
    for (let chunk = Math.floor(this.front / chunkBytes); chunk < this.#filled.length; chunk++) {
      if (busy.has(chunk) || this.#isFull(chunk)) continue;
      const start = chunk * chunkBytes + this.#filled[chunk]!;
      let last = chunk;
      while (last + 1 < this.#filled.length && !busy.has(last + 1) && this.#filled[last + 1] === 0) {
        if ((last + 2) * chunkBytes - start > lengthMax) break;
        last++;
      }
      return { start, end: Math.min(this.size, (last + 1) * chunkBytes) };
    }
    return undefined;
  }

  /** How far the chunk in which this byte lies is filled. */
  filledEnd(at: number): number {
    const chunk = Math.floor(at / chunkBytes);
    return chunk * chunkBytes + this.#filled[chunk]!;
  }

  /** Says that these bytes are there now; they are in one chunk, and go on where it was filled to. */
  fill(start: number, length: number): void {
    const chunk = Math.floor(start / chunkBytes);
    if (start !== this.filledEnd(start) || this.#filled[chunk]! + length > this.#length(chunk)) {
      throw new RangeError(`${length} bytes at ${start} do not fill chunk ${chunk}`);
    }
    this.#filled[chunk]! += length;
    this.#present += length;
  }

  /** Nothing is there any more. */
  clear(): void {
    this.#filled.fill(0);
    this.#durable.fill(0);
    this.#present = 0;
    this.#firstGap = 0;
  }

  /** What is there at this moment, to be told to `markDurable` when it is on the disk. */
  snapshot(): Uint32Array {
    return this.#filled.slice();
  }

  markDurable(snapshot: Uint32Array): void {
    this.#durable.set(snapshot);
  }

  /** The part of the file about the chunk in which this byte lies, and where it belongs. */
  entry(at: number): { bytes: Uint8Array; position: number } {
    const chunk = Math.floor(at / chunkBytes);
    const bytes = Buffer.alloc(4);
    bytes.writeUInt32LE(this.#filled[chunk]!);
    return { bytes, position: headerBytes + 4 * chunk };
  }

  /** The second table, and where it belongs. */
  durableTable(): { bytes: Uint8Array; position: number } {
    const bytes = new Uint8Array(this.#durable.buffer.slice(0));
    return { bytes, position: headerBytes + this.#filled.byteLength };
  }

  #isFull(chunk: number): boolean {
    return this.#filled[chunk] === this.#length(chunk);
  }

  #length(chunk: number): number {
    return Math.min(chunkBytes, this.size - chunk * chunkBytes);
  }
}

/** An id that is another one after each boot of the machine (random(4)). */
export async function bootId(): Promise<string> {
  return (await readFile("/proc/sys/kernel/random/boot_id", "latin1")).trim();
}

/** A file to be read and written at any place, made where it is missing, for its owner alone. */
export async function openForUpdate(path: string): Promise<FileHandle> {
  return open(path, constants.O_RDWR | constants.O_CREAT, 0o600);
}

/** The map in that file, or an empty one where it is of no use; the file is then as the map says. */
export async function openMap(
  path: string,
  size: number,
  available: number,
): Promise<{ map: IngestMap; file: FileHandle }> {
  const boot = await bootId();
  const file = await openForUpdate(path);
  try {
    const map = IngestMap.parse(await file.readFile(), size, boot, available) ?? new IngestMap(size);
    const bytes = map.format(boot);
    await file.truncate(bytes.length);
    await file.write(bytes, 0, bytes.length, 0);
    return { map, file };
  } catch (error) {
    await file.close();
    throw error;
  }
}
