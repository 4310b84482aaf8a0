/**
 * The files of one log, the current one and those that were rotated before it, read as one.
 *
 * They are read by descriptor, so a rotation does not disturb them. Who follows opens the files that are begun as soon as
 * it hears of them, so that it has them also when they are rotated out of existence before it has come to them.
 */

import type { LogDecoder, LogFormat } from "./log-format.ts";
import { numbered } from "./log-names.ts";
import { isIn, type LogPosition } from "./log-position.ts";
import { inodeOf, isLogThere, LogSource } from "./log-source.ts";

/** What a follower that is behind keeps from the disk at most, beside what it is reading: bytes, and files. */
const heldBytesMax = 64 * 2 ** 20;
const heldFilesMax = 64;

/** How often it is looked whether a rotation is over, a millisecond apart. */
const attemptsMax = 50;

/** No record is this long: what comes before its newline is no log. */
const recordBytesMax = 16 * 2 ** 20;

/** A file of the log with a place in it. */
interface LogFile {
  source: LogSource;
  offset: number;
  /** Nothing from there on is read. */
  limit: number;
  /** Files that came before it were removed unread. */
  afterLoss: boolean;
  /** That it is damaged was said. */
  isDamageSaid?: boolean;
  /** How long it was when it was found to be rotated. */
  bytes: number;
}

export interface LogFilesOptions {
  format: LogFormat;
  /** What comes to the log after it was opened is read, too. */
  grows: boolean;
  before?: LogPosition | undefined;
  tail?: number | undefined;
  since?: bigint | undefined;
}

export class LogFiles implements Disposable {
  readonly #path: string;
  readonly #options: LogFilesOptions;
  readonly #decoder: LogDecoder;
  /** Oldest first; the first is being read. */
  #files: LogFile[] = [];
  #buffer: Uint8Array | undefined;
  /** What is next in the file lacks its beginning: it ends with the next record. */
  #skipping = false;

  constructor(path: string, decoder: LogDecoder, options: LogFilesOptions) {
    this.#path = path;
    this.#decoder = decoder;
    this.#options = options;
  }

  /** Opens the files and goes to where the wanted records begin. */
  async open(): Promise<void> {
    for (let attempt = 1; ; attempt++) {
      const opened = await this.#openAll(attempt < attemptsMax);
      if (opened) return;
      // Rotated meanwhile: once more.
      this.#closeAll();
      await Bun.sleep(1);
    }
  }

  /**
   * Newest first, as many as are needed.
   * @param isWhole whether a number without a file means that a rotation is under way: files get new names one by one,
   * the oldest first, and a writer that was killed meanwhile leaves a gap. @returns false when one came in between.
   */
  async #openAll(isWhole: boolean): Promise<boolean> {
    const { tail, before } = this.#options;
    let wanted = tail ?? Number.POSITIVE_INFINITY;
    const inodes: number[] = [];
    this.#decoder.skip = 0;
    for (let number = 0; ; number++) {
      const source = LogSource.open(numbered(this.#path, number));
      if (source === undefined && isLogThere(numbered(this.#path, number + 1))) {
        if (isWhole) return false;
        continue;
      }
      if (source === undefined) break;
      const file = { source, offset: 0, limit: Number.POSITIVE_INFINITY, bytes: 0, afterLoss: false };
      this.#files.unshift(file);
      if (inodes.includes(source.inode)) return false;
      inodes.push(source.inode);
      const size = await this.#wantedBytes(source, before);
      if (size === undefined) {
        this.#files.shift();
        source[Symbol.dispose]();
        continue;
      }
      if (!this.#options.grows) file.limit = size;
      if (await this.#begin(file, size, wanted)) break;
      wanted -= this.#found;
    }
    return inodes.length === 0 || !isWhole || inodes[0] === inodeOf(this.#path);
  }

  /** Records of the last file that count for the tail. */
  #found = 0;

  /** Goes to where the wanted records of a file begin. @returns whether no older file is needed. */
  async #begin(file: LogFile, size: number, wanted: number): Promise<boolean> {
    const { format, since } = this.#options;
    if (wanted !== Number.POSITIVE_INFINITY) {
      const found = await format.seekTail(file.source, size, wanted);
      file.offset = found.offset;
      this.#decoder.skip = found.skip;
      this.#found = found.records;
      return found.records >= wanted;
    }
    if (since === undefined) return false;
    const first = await format.firstTime(file.source);
    if (first === undefined || first >= since) return false;
    file.offset = await format.seekSince(file.source, size, since);
    return true;
  }

  /** How much of a file that was opened just now is to be read; undefined when all of it is newer than what is wanted. */
  async #wantedBytes(source: LogSource, before: LogPosition | undefined): Promise<number | undefined> {
    // Where a newer one is wanted, so is all of this.
    if (before === undefined || this.#files.length > 1) return source.sizeBytes();
    return (await isIn(source, before)) ? before.bytes : undefined;
  }

  /**
   * @returns what the next records become, which may be nothing; undefined when there are no more at the moment.
   * @throws EngineError, or the kernel's error.
   */
  async read(): Promise<Uint8Array | undefined> {
    for (;;) {
      if (this.#options.grows) this.keepUp();
      const file = this.#files[0];
      if (file === undefined) return this.#idle();
      if (file.afterLoss) {
        file.afterLoss = false;
        return this.#decoder.note(lossNote, BigInt(Date.now()) * 1_000_000n);
      }
      const output = await this.#readFrom(file);
      const damage = this.#damageOf(file);
      if (damage !== undefined) return Buffer.concat([output ?? new Uint8Array(0), damage]);
      if (output !== undefined) return output;
      if (this.#files.length === 1) {
        if (!this.#options.grows) return this.#idle();
        if (await this.#wasTruncated(file)) continue;
        this.keepUp();
        if (this.#files.length === 1) return this.#idle();
      }
      // The writer left the file before the next one appeared; what it wrote last is there by now.
      const rest = await this.#readFrom(file);
      if (rest !== undefined) return rest;
      // What is left is no whole record: it was torn, and the file is no longer written.
      this.#skipping = false;
      this.#files.shift();
      file.source[Symbol.dispose]();
    }
  }

  /** A line about it, once. Whatever can be read of the log is: it is looked at most when something has gone wrong. */
  #damageOf(file: LogFile): Uint8Array | undefined {
    const { damage } = file.source;
    if (damage === undefined || file.isDamageSaid) return undefined;
    file.isDamageSaid = true;
    return this.#decoder.note(`tsd: lines are missing here: ${damage}\n`, BigInt(Date.now()) * 1_000_000n);
  }

  /** A follower that waits needs no memory. */
  #idle(): undefined {
    this.#buffer = undefined;
    return undefined;
  }

  async #readFrom(file: LogFile): Promise<Uint8Array | undefined> {
    for (;;) {
      this.#buffer ??= new Uint8Array(this.#options.format.readBytes);
      const room = Math.min(this.#buffer.length, file.limit - file.offset);
      const length = room > 0 ? await file.source.read(this.#buffer.subarray(0, room), file.offset) : 0;
      if (length === 0) return undefined;
      const bytes = this.#buffer.subarray(0, length);
      if (this.#skipping) {
        const end = bytes.indexOf(newline) + 1;
        this.#skipping = end === 0;
        file.offset += end || length;
        continue;
      }
      const output = this.#decoder.decode(bytes, file.offset);
      file.offset += this.#decoder.consumed;
      if (this.#decoder.consumed > 0) return output;
      if (length < this.#buffer.length) return undefined;
      if (length < recordBytesMax) this.#buffer = new Uint8Array(length * 2);
      else this.#skipping = true;
    }
  }

  /** A log of a single file may be emptied: it is read from its beginning again. */
  async #wasTruncated(file: LogFile): Promise<boolean> {
    const size = await file.source.sizeBytes();
    if (size >= file.offset) return false;
    file.offset = 0;
    return size > 0;
  }

  /**
   * Opens the files that were begun since the last look. To be called at every change, also while `read` runs.
   * @throws the kernel's error.
   */
  keepUp(): void {
    for (let failures = 0; failures < 10 && this.#hasRoom(); ) {
      const newest = this.#files.at(-1);
      const current = inodeOf(this.#path);
      if (current === undefined || current === newest?.source.inode) return;
      if (newest !== undefined) newest.bytes = newest.source.sizeNow;
      const next = newest === undefined ? this.#openAs(this.#path) : this.#openAfter(newest);
      if (next === undefined) failures++;
      else this.#files.push(next);
    }
  }

  /** Whether it may hold one more: what it is reading does not count. */
  #hasRoom(): boolean {
    const held = this.#files.slice(1);
    return held.length < heldFilesMax && held.reduce((sum, { bytes }) => sum + bytes, 0) < heldBytesMax;
  }

  #openAs(path: string): LogFile | undefined {
    const source = LogSource.open(path);
    return source && { source, offset: 0, limit: Number.POSITIVE_INFINITY, bytes: 0, afterLoss: false };
  }

  /** @returns undefined when a rotation came in between. */
  #openAfter({ source }: LogFile): LogFile | undefined {
    const { number, found } = this.#numberOf(source);
    let place = number - 1;
    let next: LogFile | undefined;
    // Where files are getting new names just now, there is a gap.
    for (; place >= 0 && next === undefined; place--) next = this.#openAs(numbered(this.#path, place));
    if (next === undefined) return undefined;
    // Rotated out of existence: what is oldest now comes next.
    next.afterLoss = !found && next.source.sequence > source.sequence + 1;
    const after = this.#numberOf(source);
    let isNext = after.number === number && after.found === found;
    for (let between = place + 2; between < number; between++) isNext &&= !isLogThere(numbered(this.#path, between));
    if (isNext) return next;
    next.source[Symbol.dispose]();
    return undefined;
  }

  /** Which number a file has by now; one more than the oldest has when it is gone. */
  #numberOf(source: LogSource): { number: number; found: boolean } {
    for (let number = 1; ; number++) {
      const place = numbered(this.#path, number);
      if (source.isAt(place)) return { number, found: true };
      if (!isLogThere(place) && !isLogThere(numbered(this.#path, number + 1))) return { number, found: false };
    }
  }

  #closeAll(): void {
    const files = this.#files;
    this.#files = [];
    for (const { source } of files) source[Symbol.dispose]();
  }

  [Symbol.dispose](): void {
    this.#closeAll();
  }
}

const newline = 10;
const lossNote =
  "tsd: lines are missing here: the log was rotated faster than it was read, and has no room for more files (max-size, max-file)\n";
