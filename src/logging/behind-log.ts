/**
 * A log in files that its container does not wait for (mode=non-blocking), as docker's ring: what is written waits in a
 * buffer, and is put into the file by a thread of the pool. What finds no room is lost, counted, and said in the log.
 */
import type { LogPosition, LogSeam } from "./log-position.ts";
import type { LogWriter, OutputStream } from "./log-writer.ts";

/** A log whose file is opened `deferred`. */
export interface DeferredLog extends LogWriter {
  settle(): Promise<void>;
  /** Writes what is held back: a line without its end. */
  end(): void;
  lose(lines: number, reason: string): void;
  seam(): LogSeam;
}

const newline = 10;

export class BehindLog implements LogWriter {
  readonly #log: DeferredLog;
  readonly #bufferBytes: number;
  #queue: { stream: OutputStream; chunk: Uint8Array }[] = [];
  #queuedBytes = 0;
  #working: Promise<void> | undefined;
  /** They asked while something was on its way into the file. */
  readonly #seams: ((position: LogPosition) => void)[] = [];

  constructor(log: DeferredLog, bufferBytes: number) {
    this.#log = log;
    this.#bufferBytes = bufferBytes;
  }

  get lostLines(): number {
    return this.#log.lostLines;
  }

  write(stream: OutputStream, chunk: Uint8Array): void {
    // A chunk that is larger than all of the buffer comes through an empty one, as docker's lines do.
    if (this.#queue.length > 0 && this.#queuedBytes + chunk.length > this.#bufferBytes) {
      this.#log.lose(countLines(chunk), `the log's buffer of ${this.#bufferBytes} bytes was full`);
      return;
    }
    // The reader's buffer is its own again when this returns.
    this.#queue.push({ stream, chunk: chunk.slice() });
    this.#queuedBytes += chunk.length;
    this.#working ??= this.#work();
  }

  async close(): Promise<void> {
    await this.#working;
    this.#log.end();
    await this.#log.settle();
    await this.#log.close();
  }

  /** What is in the buffer has not come into the log: it goes to who attaches with what is held back of lines. */
  async seam(): Promise<LogSeam> {
    const { position, held } = this.#log.seam();
    const all = (stream: OutputStream) => {
      const waiting = this.#queue.filter((entry) => entry.stream === stream).map(({ chunk }) => chunk);
      return Buffer.concat([Buffer.from(held[stream], "base64"), ...waiting]).toString("base64");
    };
    const seamHeld = { stdout: all("stdout"), stderr: all("stderr") };
    if (this.#working === undefined) return { position, held: seamHeld };
    const { promise, resolve } = Promise.withResolvers<LogPosition>();
    this.#seams.push(resolve);
    return { position: await promise, held: seamHeld };
  }

  async #work(): Promise<void> {
    for (let next = this.#queue.shift(); next !== undefined; next = this.#queue.shift()) {
      this.#log.write(next.stream, next.chunk);
      await this.#log.settle();
      // Before the next chunk is written: what is in the file now is what was on its way when they asked.
      if (this.#seams.length > 0) {
        const { position } = this.#log.seam();
        for (const tell of this.#seams.splice(0)) tell(position);
      }
      this.#queuedBytes -= next.chunk.length;
    }
    this.#working = undefined;
  }
}

function countLines(chunk: Uint8Array): number {
  let lines = 0;
  for (let at = chunk.indexOf(newline); at >= 0; at = chunk.indexOf(newline, at + 1)) lines++;
  return Math.max(1, lines);
}
