/**
 * Reads a container's json-file log as `docker logs` shows it: the last lines, a span of time, followed as it grows.
 *
 * The file is read by descriptor, so a rotation does not disturb it. A last line without its newline is being
 * written, or was torn by a crash: it is shown when it is whole.
 */
import { type FSWatcher, watch } from "node:fs";
import { type FileHandle, open, stat } from "node:fs/promises";
import { basename, dirname } from "node:path";
import { isErrno, wrapError } from "../core/errors.ts";
import { type DecodeOptions, RecordDecoder } from "./json-decoder.ts";
import { numbered } from "./json-file.ts";
import { isIn, type LogPosition } from "./log-position.ts";

export interface ReadLogOptions extends DecodeOptions {
  /** The last so many records of both streams together; all when absent. */
  tail?: number;
  /**
   * Goes on with what is added. The end of the container must be told by `ended`, once everything is in the log:
   * the rest is read, and the output ends.
   */
  follow?: { ended: Promise<unknown> };
  /** Only what stands before it; nothing when that has been rotated away. Not with `follow` or `tail`. */
  before?: LogPosition;
  /** Ends the output at once. */
  signal?: AbortSignal;
  /** Told once its files are open: from then on it is read whole, also when it is removed. */
  onOpened?: () => void;
}

const newline = 10;
const blockBytes = 256 * 1024;
/** No record is this long: what comes before its newline is no log. */
const recordBytesMax = 16 * 2 ** 20;

/**
 * Yields pieces of output, up to about 256 KiB each, in docker's frames or bare: see DecodeOptions. Nothing is read
 * before it is asked for. A log that does not exist (yet) is empty. Unless followed it ends where it ended at the first
 * look, however fast it grows.
 */
export async function* readLog(path: string, options: ReadLogOptions): AsyncGenerator<Uint8Array> {
  const decoder = new RecordDecoder(options);
  try {
    // Watched before anything is read, so that nothing falls in between.
    using changes = options.follow === undefined ? undefined : new Changes(path, options);
    await using files = new LogFiles(path, { grows: options.follow !== undefined, before: options.before });
    await files.open(options.tail ?? Number.POSITIVE_INFINITY);
    options.onOpened?.();
    for (;;) {
      const over = changes?.over ?? true;
      for (;;) {
        if (options.signal?.aborted) return;
        const records = await files.read();
        if (records === undefined) break;
        const output = decoder.decode(records);
        if (output.length > 0) yield output;
        if (decoder.ended) return;
      }
      if (over) return;
      await changes?.next();
    }
  } catch (error) {
    throw wrapError(error, `read log ${path}`, { path });
  }
}

/**
 * As readLog, of a log that is open when this resolves. The first piece is read ahead. To be iterated, or the signal
 * aborted: that closes it.
 */
export async function openLog(
  path: string,
  options: ReadLogOptions & { signal: AbortSignal },
): Promise<AsyncIterable<Uint8Array>> {
  const opened = Promise.withResolvers<void>();
  const pieces = readLog(path, { ...options, onOpened: opened.resolve });
  const first = pieces.next();
  // A failure is told when the log is read.
  await Promise.race([opened.promise, first.catch(() => undefined)]);
  const close = () => void pieces.return(undefined);
  options.signal.addEventListener("abort", close, { once: true });
  return (async function* () {
    try {
      for (let piece = await first; !piece.done; piece = await pieces.next()) yield piece.value;
    } finally {
      options.signal.removeEventListener("abort", close);
      await pieces.return(undefined);
    }
  })();
}

const againMs = 10;

/** Waits for changes of a file, and for the reasons to stop waiting for them. */
class Changes implements Disposable {
  readonly #watcher: FSWatcher;
  readonly #stop: () => void;
  readonly #signal: AbortSignal | undefined;
  #timer: Timer | undefined;
  #again: Timer | undefined;
  #changed = false;
  #wake: (() => void) | undefined;
  /** Nothing more will come: the container has ended, or the time is up. */
  over = false;

  constructor(path: string, options: ReadLogOptions) {
    const name = basename(path);
    // The directory and not the file: a rotation puts another file in its place.
    this.#watcher = watch(dirname(path), { persistent: false }, (_, changed) => {
      if (changed !== null && changed !== name) return;
      this.#change();
      // Bun drops what happens to the same file within a millisecond of an event: it is looked at once more.
      clearTimeout(this.#again);
      this.#again = setTimeout(() => this.#change(), againMs).unref();
    });
    this.#stop = () => {
      this.over = true;
      this.#change();
    };
    this.#watcher.on("error", this.#stop);
    options.follow?.ended.then(this.#stop, this.#stop);
    this.#signal = options.signal;
    this.#signal?.addEventListener("abort", this.#stop);
    if (options.until !== undefined) {
      const leftMs = Number(options.until / 1_000_000n) - Date.now() + 1;
      // setTimeout takes 32 bits; a follower of 24 days finds the end by a record's time.
      if (leftMs < 2 ** 31) this.#timer = setTimeout(this.#stop, Math.max(0, leftMs));
    }
  }

  /** Resolves at the next change, at once when there was one since the last call. */
  async next(): Promise<void> {
    if (!this.#changed) {
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#wake = resolve;
      await promise;
    }
    this.#changed = false;
  }

  #change(): void {
    this.#changed = true;
    this.#wake?.();
    this.#wake = undefined;
  }

  [Symbol.dispose](): void {
    this.#watcher.close();
    clearTimeout(this.#timer);
    clearTimeout(this.#again);
    this.#signal?.removeEventListener("abort", this.#stop);
  }
}

/** A file of the log with its place in it. */
interface LogFile {
  handle: FileHandle;
  inode: number;
  offset: number;
  /** Nothing from there on is read. */
  limit: number;
}

/** The current file and the rotated ones before it, read as one. */
class LogFiles implements AsyncDisposable {
  readonly #path: string;
  /** What comes to the log after it was opened is read, too. */
  readonly #grows: boolean;
  readonly #before: LogPosition | undefined;
  /** Oldest first; the first is being read. */
  #files: LogFile[] = [];
  /** Bytes read and not given out: the beginning of a record. */
  #buffer = new Uint8Array(blockBytes);
  #held = 0;
  /** Of those, what the last `read` gave out: it is dropped at the next. */
  #given = 0;
  /** What is held lacks its beginning: it ends at the next newline. */
  #skipping = false;

  constructor(path: string, { grows, before }: { grows: boolean; before: LogPosition | undefined }) {
    this.#path = path;
    this.#grows = grows;
    this.#before = before;
  }

  /** Opens the files and goes to where the last `tail` records begin. */
  async open(tail: number): Promise<void> {
    for (;;) {
      const opened = await this.#openAll(tail);
      if (opened) return;
      // Rotated meanwhile: once more.
      await this.#closeAll();
    }
  }

  /** Newest first, as many as the records need. @returns false when a rotation came in between. */
  async #openAll(tail: number): Promise<boolean> {
    let wanted = tail;
    const inodes: number[] = [];
    for (let number = 0; ; number++) {
      const file = await openFile(numbered(this.#path, number));
      // Between a file's new name and its successor there is a moment without a current file.
      if (file === undefined && number === 0 && (await inodeOf(numbered(this.#path, 1))) !== undefined) return false;
      if (file === undefined) break;
      this.#files.unshift(file);
      if (inodes.includes(file.inode)) return false;
      inodes.push(file.inode);
      const size = await this.#wantedBytes(file);
      if (size === undefined) {
        this.#files.shift();
        await file.handle.close();
        continue;
      }
      if (!this.#grows) file.limit = size;
      if (wanted === Number.POSITIVE_INFINITY) continue;
      const found = await seekRecordsFromEnd(file.handle, size, wanted);
      file.offset = found.offset;
      wanted -= found.records;
      if (wanted <= 0) break;
    }
    return inodes.length === 0 || inodes[0] === (await inodeOf(this.#path));
  }

  /** How much of a file that was opened just now is to be read; undefined when all of it is newer than what is wanted. */
  async #wantedBytes(file: LogFile): Promise<number | undefined> {
    // Where a newer one is wanted, so is all of this.
    if (this.#before === undefined || this.#files.length > 1) return (await file.handle.stat()).size;
    return (await isIn(file.handle, this.#before)) ? this.#before.bytes : undefined;
  }

  /** @returns whole records; undefined when there are none at the moment. The array is valid until the next call. */
  async read(): Promise<Uint8Array | undefined> {
    for (;;) {
      const file = this.#files[0];
      if (file === undefined) {
        if (!this.#grows || !(await this.#openNext(undefined))) return undefined;
        continue;
      }
      const records = await this.#readFrom(file);
      if (records !== undefined) return records;
      if (this.#files.length === 1) {
        if (!this.#grows) return undefined;
        if (await this.#wasTruncated(file)) continue;
        if (!(await this.#openNext(file))) return undefined;
        // The writer left the file before the next one appeared; what it wrote last is there by now.
        const rest = await this.#readFrom(file);
        if (rest !== undefined) return rest;
      }
      // A rest without a newline at the end of a file that is no longer written was torn.
      this.#held = 0;
      this.#files.shift();
      await file.handle.close();
    }
  }

  /** @returns the whole records of one read, after what was held. */
  async #readFrom(file: LogFile): Promise<Uint8Array | undefined> {
    for (;;) {
      this.#makeRoom();
      const room = this.#buffer.subarray(this.#held);
      const wanted = Math.min(room.length, file.limit - file.offset);
      const { bytesRead } = wanted > 0 ? await file.handle.read(room, 0, wanted, file.offset) : { bytesRead: 0 };
      if (bytesRead === 0) return undefined;
      file.offset += bytesRead;
      const filled = this.#held + bytesRead;
      const end = this.#buffer.subarray(0, filled).lastIndexOf(newline) + 1;
      this.#held = filled;
      if (end === 0) continue;
      // The decoder copies; the rest moves to the front at the next call.
      const begin = this.#skipping ? this.#buffer.indexOf(newline) + 1 : 0;
      this.#skipping = false;
      this.#given = end;
      if (begin < end) return this.#buffer.subarray(begin, end);
    }
  }

  #makeRoom(): void {
    if (this.#given > 0) {
      this.#buffer.copyWithin(0, this.#given, this.#held);
      this.#held -= this.#given;
      this.#given = 0;
    }
    if (this.#held < this.#buffer.length) return;
    if (this.#buffer.length >= recordBytesMax) {
      this.#held = 0;
      this.#skipping = true;
      return;
    }
    const grown = new Uint8Array(this.#buffer.length * 2);
    grown.set(this.#buffer);
    this.#buffer = grown;
  }

  /** A log of a single file is emptied when it is full: it is read from its beginning again. */
  async #wasTruncated(file: LogFile): Promise<boolean> {
    const { size } = await file.handle.stat();
    if (size >= file.offset) return false;
    file.offset = 0;
    this.#held = 0;
    return size > 0;
  }

  /** Opens the file that was begun after `file`, if there is one. */
  async #openNext(file: LogFile | undefined): Promise<boolean> {
    for (;;) {
      const current = await openFile(this.#path);
      if (current === undefined) return false;
      if (current.inode === file?.inode) {
        await current.handle.close();
        return false;
      }
      if (file === undefined) {
        this.#files.push(current);
        return true;
      }
      await current.handle.close();
      const number = await this.#numberOf(file.inode);
      // Rotated out of existence: what is oldest now comes next.
      const next = await openFile(numbered(this.#path, number - 1));
      if (next === undefined) continue;
      if ((await this.#numberOf(file.inode)) !== number) {
        await next.handle.close();
        continue;
      }
      this.#files.push(next);
      return true;
    }
  }

  /** Which number a file has by now; one more than the oldest has when it is gone. */
  async #numberOf(inode: number): Promise<number> {
    for (let number = 1; ; number++) {
      const other = await inodeOf(numbered(this.#path, number));
      if (other === undefined || other === inode) return number;
    }
  }

  async #closeAll(): Promise<void> {
    const files = this.#files;
    this.#files = [];
    for (const file of files) await file.handle.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#closeAll();
  }
}

async function openFile(path: string): Promise<LogFile | undefined> {
  try {
    const handle = await open(path, "r");
    return { handle, inode: (await handle.stat()).ino, offset: 0, limit: Number.POSITIVE_INFINITY };
  } catch (error) {
    if (isErrno(error, "ENOENT")) return undefined;
    throw error;
  }
}

async function inodeOf(path: string): Promise<number | undefined> {
  try {
    return (await stat(path)).ino;
  } catch (error) {
    if (isErrno(error, "ENOENT")) return undefined;
    throw error;
  }
}

/** Where the last `wanted` whole records of a file begin, and how many there are of them. */
async function seekRecordsFromEnd(
  handle: FileHandle,
  size: number,
  wanted: number,
): Promise<{ offset: number; records: number }> {
  const block = new Uint8Array(Math.min(blockBytes, size));
  let end = size;
  // The newline that ends the last record does not begin one.
  let newlines = -1;
  while (end > 0) {
    const from = Math.max(0, end - block.length);
    const { bytesRead } = await handle.read(block, 0, end - from, from);
    const bytes = block.subarray(0, bytesRead);
    for (let at = bytes.lastIndexOf(newline); at >= 0; at = at === 0 ? -1 : bytes.lastIndexOf(newline, at - 1)) {
      newlines++;
      if (newlines === wanted) return { offset: from + at + 1, records: wanted };
    }
    end = from;
  }
  return { offset: 0, records: newlines + 1 };
}
