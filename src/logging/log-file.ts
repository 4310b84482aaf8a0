/**
 * The files of a log: appended to, rotated, and kept whole whatever happens to the disk.
 *
 * Writes are synchronous: they go to the page cache, there is one writer for one container, and a container that
 * writes faster than its disk should wait for it. One that must not wait (mode=non-blocking) has its writes deferred: they
 * are put down at first, and made by a thread of the pool when `settle` is called.
 *
 * A write that fails (the disk is full) does not stop the container. The file is cut back to its last whole record, the
 * lines that found no room are counted, and the first write that succeeds again puts a record before itself that says
 * how many are missing and why.
 */
import {
  closeSync,
  existsSync,
  fstatSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  renameSync,
  rmSync,
  write,
  writeSync,
} from "node:fs";
import { dirname } from "node:path";
import { errorMessage, isErrno, wrapError } from "../core/errors.ts";
import { LogCompressor } from "./log-compressor.ts";
import { LogLosses } from "./log-losses.ts";
import { numbered } from "./log-names.ts";
import { numberAfter } from "./log-sequence.ts";
import type { LogFiles } from "./log-target.ts";

export interface LogFileOptions extends LogFiles {
  /** Nothing is written before `settle`. */
  deferred?: boolean;
  /** Hears of a failure once, and once that it is over. */
  onTrouble: (message: string) => void;
}

/** What the file has to know of its records. Positions are those of bytes in the file. */
export interface LogFileFormat {
  /** Where in a file that nobody writes the last whole record ends: what follows was torn by a crash. */
  endOf(fd: number): number;
  /** How many bytes of `records`, which stand or were to stand at `position`, are whole records. */
  wholeBytes(records: Uint8Array, position: number): number;
  countLines(records: Uint8Array, position: number): number;
  /** A line of tsd's own, with its newline, as a record for that position. */
  note(text: string, position: number): Uint8Array;
}

type Deferred = "rotate" | Uint8Array;

export class LogFile {
  readonly #options: LogFileOptions;
  readonly #format: LogFileFormat;
  readonly losses: LogLosses = new LogLosses();
  #fd: number;
  #sizeBytes: number;
  #maxBytes: number;
  #failing: string | undefined;
  #isRotationFailing = false;
  #deferred: Deferred[] = [];
  readonly #compressor: LogCompressor | undefined;

  /** Opens the file to add to it; a torn record at its end, left by a crash, is cut off. @throws EngineError. */
  constructor(options: LogFileOptions, format: LogFileFormat) {
    this.#options = options;
    this.#format = format;
    const { path } = options;
    this.#maxBytes = this.#limitBytes;
    try {
      mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
      this.#fd = openSync(path, "a+", 0o600);
      const end = format.endOf(this.#fd);
      if (end < fstatSync(this.#fd).size) ftruncateSync(this.#fd, end);
      this.#sizeBytes = end;
    } catch (error) {
      throw wrapError(error, `open log ${path}`, { path });
    }
    const { compress, maxFiles = 1, onTrouble } = options;
    if (!compress || maxFiles < 2) return;
    this.#compressor = new LogCompressor({ path, maxFiles, onTrouble });
    // What an earlier writer has left.
    if (existsSync(numbered(path, 1)) || existsSync(numbered(path, 2))) this.#compressor.wake();
  }

  get fd(): number {
    return this.#fd;
  }

  /** Where what is appended next will stand. */
  get sizeBytes(): number {
    return this.#sizeBytes;
  }

  /** How long the file may become: more than was asked for where it could not be rotated. */
  get maxBytes(): number {
    return this.#maxBytes;
  }

  get #limitBytes(): number {
    return this.#options.maxSizeBytes ?? Number.POSITIVE_INFINITY;
  }

  /** To be called before records are encoded for the position that `sizeBytes` says. */
  begin(): void {
    this.#look();
    const { notice } = this.losses;
    if (notice === undefined) return;
    const record = this.#format.note(`${notice}\n`, this.#sizeBytes);
    if (this.#write(record) < record.length) return;
    this.#sizeBytes += record.length;
    const shown = this.losses.said();
    if (this.#failing !== undefined)
      this.#options.onTrouble(`${this.#options.path} can be written again; ${shown} were lost`);
    this.#failing = undefined;
  }

  /** Adds whole records. @returns whether all of them are written, or will be when that is deferred. */
  append(records: Uint8Array): boolean {
    if (this.#options.deferred) {
      this.#deferred.push(records.slice());
      this.#sizeBytes += records.length;
      return true;
    }
    // Until it can be said that lines are missing, nothing may come behind them.
    const written = this.losses.notice === undefined ? this.#write(records) : 0;
    return this.#account(records, written);
  }

  /** After it there is room for more: in a new file, or where there can be none (that is reported) in the old one. */
  rotate(): void {
    if (!this.#options.deferred) {
      if (this.#rotate()) this.#sizeBytes = 0;
      return;
    }
    this.#deferred.push("rotate");
    this.#sizeBytes = 0;
    this.#maxBytes = this.#limitBytes;
  }

  /** Does what was deferred. */
  async settle(): Promise<void> {
    const operations = this.#deferred;
    this.#deferred = [];
    let isWhole = true;
    // What follows something that failed was encoded for places that there are not.
    for (const operation of operations) {
      if (operation === "rotate") isWhole &&= this.#rotate();
      else if (!isWhole) this.#lose(operation, 0);
      else isWhole = (await this.#writeBehind(operation)) === operation.length;
    }
    if (!isWhole) this.#sizeBytes = fstatSync(this.#fd).size;
  }

  /** Lines that never came to the file. */
  lose(lines: number, reason: string): void {
    this.losses.add(lines, reason);
  }

  /** Resolves when no rotated file is left to be compressed. */
  async compressed(): Promise<void> {
    await this.#compressor?.settled();
  }

  close(): void {
    this.#compressor?.stop();
    closeSync(this.#fd);
  }

  #account(records: Uint8Array, written: number): boolean {
    const position = this.#sizeBytes;
    this.#sizeBytes += written;
    if (written === records.length) return true;
    this.#lose(records.subarray(written), position + written);
    return false;
  }

  #lose(records: Uint8Array, position: number): void {
    this.losses.add(this.#format.countLines(records, position), this.#failing ?? "it could not be written");
  }

  /** Somebody may have removed the file, to make room, or emptied it: it goes on where it is looked for. */
  #look(): void {
    if (this.#options.deferred && this.#deferred.length > 0) return;
    const { size, nlink } = fstatSync(this.#fd);
    if (nlink === 0) {
      try {
        const fresh = openSync(this.#options.path, "a+", 0o600);
        closeSync(this.#fd);
        this.#fd = fresh;
        this.#sizeBytes = fstatSync(fresh).size;
      } catch (error) {
        this.#failed(`open ${this.#options.path}: ${reasonOf(error)}`);
      }
    } else this.#sizeBytes = size;
  }

  /** @returns how many bytes were written, a torn record not counted: it is cut off. */
  #write(records: Uint8Array): number {
    let written = 0;
    try {
      while (written < records.length) written += writeSync(this.#fd, records, written, records.length - written);
    } catch (error) {
      return this.#torn(records, written, error);
    }
    return written;
  }

  async #writeBehind(records: Uint8Array): Promise<number> {
    let written = 0;
    try {
      while (written < records.length) written += await writeSome(this.#fd, records, written);
    } catch (error) {
      const position = fstatSync(this.#fd).size - written;
      const kept = this.#torn(records, written, error, position);
      this.#lose(records.subarray(kept), position + kept);
      return kept;
    }
    return written;
  }

  #torn(records: Uint8Array, written: number, error: unknown, position: number = this.#sizeBytes): number {
    this.#failed(`write ${this.#options.path}: ${reasonOf(error)}`);
    const whole = this.#format.wholeBytes(records.subarray(0, written), position);
    if (whole < written) this.#cutBack(position + whole);
    return whole;
  }

  #cutBack(sizeBytes: number): void {
    try {
      ftruncateSync(this.#fd, sizeBytes);
    } catch (error) {
      this.#options.onTrouble(`cut back ${this.#options.path}: ${errorMessage(error)}`);
    }
  }

  #failed(reason: string): void {
    if (this.#failing === undefined) this.#options.onTrouble(`${reason}; lines are lost until it can be written again`);
    this.#failing = reason;
  }

  /** Begins a new file. When that fails the old one is gone on with, rather too long than lost, and it is tried again later. */
  #rotate(): boolean {
    const { path, maxFiles = 1, onTrouble } = this.#options;
    try {
      this.#fd = replaceFile(this.#fd, path, maxFiles);
    } catch (error) {
      if (!this.#isRotationFailing)
        onTrouble(`rotate ${path}: ${errorMessage(error)}; it grows on until it can be rotated`);
      this.#isRotationFailing = true;
      this.#maxBytes = Math.max(this.#maxBytes, fstatSync(this.#fd).size) + rotationRetryBytes;
      return false;
    }
    if (this.#isRotationFailing) onTrouble(`${path} can be rotated again`);
    this.#isRotationFailing = false;
    this.#maxBytes = this.#limitBytes;
    this.#compressor?.wake();
    return true;
  }
}

/** After so much more a rotation that failed is tried again. */
const rotationRetryBytes = 64 * 1024;

/**
 * Puts a new file where the one of `fd` is, or was, which gets the next number or is given up. It is not emptied: who
 * follows it reads it to its end. Nothing has got another name when there can be no new file.
 * @returns the new one; the old one is closed.
 */
function replaceFile(fd: number, path: string, maxFiles: number): number {
  const place = `${path}.new`;
  const fresh = openSync(place, "a+", 0o600);
  try {
    numberAfter(fd, fresh);
    if (maxFiles > 1) makeRoom(path, maxFiles);
    renameSync(place, path);
  } catch (error) {
    closeSync(fresh);
    throw error;
  }
  closeSync(fd);
  return fresh;
}

/** Gives every file the next number, and drops the one that would have one too many. */
function makeRoom(path: string, maxFiles: number): void {
  let free = 1;
  while (free < maxFiles && (existsSync(numbered(path, free)) || existsSync(`${numbered(path, free)}.gz`))) free++;
  if (free === maxFiles) {
    free--;
    // Both: one that was left uncompressed would stand before the compressed one that comes in its place.
    rmSync(numbered(path, free), { force: true });
    rmSync(`${numbered(path, free)}.gz`, { force: true });
  }
  for (let number = free; number > 0; number--) {
    renameIfPresent(numbered(path, number - 1), numbered(path, number));
    if (number > 1) renameIfPresent(`${numbered(path, number - 1)}.gz`, `${numbered(path, number)}.gz`);
  }
}

function writeSome(fd: number, bytes: Uint8Array, from: number): Promise<number> {
  return new Promise((resolve, reject) => {
    write(fd, bytes, from, bytes.length - from, null, (error, written) => {
      if (error) reject(error);
      else resolve(written);
    });
  });
}

function reasonOf(error: unknown): string {
  return isErrno(error, "ENOSPC", "EDQUOT") ? "no space left on device" : errorMessage(error);
}

function renameIfPresent(from: string, to: string): void {
  try {
    renameSync(from, to);
  } catch (error) {
    if (!isErrno(error, "ENOENT")) throw error;
  }
}
