/**
 * A log that is sent away, line by line: queued, sent as the other side takes it, and again after a lost connection.
 *
 * While a connection is there, a container waits for it (mode=blocking), or what finds no room in the buffer is lost
 * (mode=non-blocking). While there is none, or one that has taken nothing for a while, nobody waits: a log server that is
 * down must not stop what it only looks at. Lost lines are counted, and said in the log once it goes on.
 */
import { errorMessage } from "../core/errors.ts";
import { LineSplitter, type LogLine } from "./line-splitter.ts";
import { LogLosses } from "./log-losses.ts";
import type { LogWriter, OutputStream } from "./log-writer.ts";

/** One way to where the lines go. */
export interface LogConnection {
  /**
   * Sends of one message what can be sent now: all or nothing where messages are datagrams.
   * @returns how many bytes; fewer than there are: `room` is called when there is more room.
   * @throws what has gone wrong with the connection, or with this message if it is a DroppedMessage.
   */
  send(message: Uint8Array): number;
  /** What was sent and is still on its way is given some time. */
  close(): void;
}

/** This message can never be sent; the connection is as good as before. */
export class DroppedMessage extends Error {}

export interface ConnectionEvents {
  room(): void;
  lost(error: unknown): void;
}

export interface RemoteLogOptions {
  /** For messages to people: `syslog tcp://log:514`. */
  name: string;
  encode(line: LogLine): Uint8Array;
  connect(events: ConnectionEvents): Promise<LogConnection>;
  /** Messages are parts of a stream: several go at once. */
  isStream: boolean;
  /** Absent: the container waits. */
  bufferBytes?: number;
  /** Hears of a failure once, and once that it is over. */
  onTrouble: (message: string) => void;
  /** How long, and at most twice as long, a container waits for a server that takes nothing; for tests. */
  stallMs?: number;
  /** How long the end of the container is held up for what is still to be sent; for tests. */
  closeMs?: number;
}

/** What waits to be sent: above it the container waits, or lines are lost. */
const queueBytesMax = 2 ** 20;
const batchBytes = 64 * 1024;
const retryMs = { first: 100, longest: 5000 };

export class RemoteLog implements LogWriter {
  readonly #options: RemoteLogOptions;
  readonly #splitter = new LineSplitter();
  readonly #losses = new LogLosses();
  readonly #queue: Uint8Array[] = [];
  #queuedBytes = 0;
  /** Of the first message in the queue. */
  #sentBytes = 0;
  #connection: LogConnection | undefined;
  /** The connection has no room. */
  #waiting = false;
  /** It has taken nothing for a while: it is as good as none. */
  #stalled = false;
  /** How often something was taken. */
  #progress = 0;
  #retry: Timer | undefined;
  #retryAfterMs = retryMs.first;
  #connectedAtMs = 0;
  #closed = false;
  #changed = Promise.withResolvers<void>();

  private constructor(options: RemoteLogOptions) {
    this.#options = options;
  }

  /** @throws the reason why there is no connection: a container that asks for such a log does not start without. */
  static async open(options: RemoteLogOptions): Promise<RemoteLog> {
    const log = new RemoteLog(options);
    await log.#connect();
    return log;
  }

  get lostLines(): number {
    return this.#losses.lines;
  }

  write(stream: OutputStream, chunk: Uint8Array): void {
    for (const line of this.#splitter.split(stream, chunk)) this.#enqueue(line);
    this.#flush();
  }

  room(): Promise<void> | undefined {
    if (this.#options.bufferBytes !== undefined || !this.#isTaking) return undefined;
    return this.#queuedBytes < queueBytesMax ? undefined : this.#waitForRoom();
  }

  get #isTaking(): boolean {
    return this.#connection !== undefined && !this.#stalled;
  }

  async #waitForRoom(): Promise<void> {
    const { stallMs = 10_000 } = this.#options;
    let seen = this.#progress;
    const timer = setInterval(() => {
      if (this.#progress === seen) this.#stall(stallMs);
      seen = this.#progress;
    }, stallMs);
    await this.#until(() => this.#queuedBytes < queueBytesMax / 2 || !this.#isTaking);
    clearInterval(timer);
  }

  #stall(stallMs: number): void {
    if (!this.#isTaking) return;
    this.#stalled = true;
    const { name, onTrouble } = this.#options;
    onTrouble(
      `${name}: it has taken nothing for ${stallMs / 1000} s; until it does the container does not wait for it`,
    );
    this.#change();
  }

  seam(): undefined {
    return undefined;
  }

  async close(): Promise<void> {
    for (const line of this.#splitter.rest()) this.#enqueue(line);
    this.#sayLosses();
    this.#flush();
    const { closeMs = 2000 } = this.#options;
    let isOver = false;
    const timer = setTimeout(() => {
      isOver = true;
      this.#change();
    }, closeMs);
    await this.#until(() => this.#queue.length === 0 || isOver);
    clearTimeout(timer);
    this.#closed = true;
    clearTimeout(this.#retry);
    if (this.#queue.length > 0) {
      const lines = this.#queue.length;
      this.#losses.add(lines, "the container has ended");
      this.#options.onTrouble(`${this.#options.name}: the last ${lines} lines could not be sent`);
    }
    this.#connection?.close();
  }

  #enqueue(line: LogLine): void {
    const max = this.#options.bufferBytes ?? queueBytesMax;
    const waits = this.#options.bufferBytes === undefined && this.#isTaking;
    if (!waits && this.#queuedBytes + line.text.length > max && this.#queue.length > 0) {
      const reason =
        this.#connection === undefined ? "no connection" : this.#stalled ? "it was not taken" : "the buffer was full";
      this.#losses.add(1, `${reason} (${this.#options.name})`);
      return;
    }
    this.#sayLosses();
    this.#push(this.#options.encode(line));
  }

  /** There is room again: a line of tsd's own tells what is missing before it. */
  #sayLosses(): void {
    const { notice } = this.#losses;
    if (notice === undefined) return;
    this.#push(this.#options.encode({ stream: "stderr", text: Buffer.from(notice) }));
    this.#options.onTrouble(`${this.#options.name}: ${this.#losses.said()} were lost`);
  }

  #push(message: Uint8Array): void {
    this.#queue.push(message);
    this.#queuedBytes += message.length;
  }

  #flush(): void {
    const connection = this.#connection;
    if (connection === undefined || this.#waiting) return;
    try {
      while (this.#queue.length > 0) {
        const batch = this.#batch();
        const sent = this.#send(connection, batch);
        this.#take(sent);
        if (sent < batch.length) {
          this.#waiting = true;
          break;
        }
      }
    } catch (error) {
      this.#lost(connection, error);
    }
    this.#change();
  }

  #send(connection: LogConnection, batch: Uint8Array): number {
    try {
      return connection.send(batch);
    } catch (error) {
      if (!(error instanceof DroppedMessage)) throw error;
      this.#losses.add(1, error.message);
      return batch.length;
    }
  }

  #batch(): Uint8Array {
    const first = this.#sentBytes > 0 ? this.#queue[0]!.subarray(this.#sentBytes) : this.#queue[0]!;
    if (!this.#options.isStream || this.#queue.length === 1) return first;
    const parts = [first];
    for (let bytes = first.length, next = 1; next < this.#queue.length && bytes < batchBytes; next++) {
      parts.push(this.#queue[next]!);
      bytes += this.#queue[next]!.length;
    }
    return Buffer.concat(parts);
  }

  #take(bytes: number): void {
    let rest = bytes + this.#sentBytes;
    let done = 0;
    while (done < this.#queue.length && rest >= this.#queue[done]!.length) {
      rest -= this.#queue[done]!.length;
      this.#queuedBytes -= this.#queue[done]!.length;
      done++;
    }
    this.#queue.splice(0, done);
    this.#sentBytes = rest;
    if (bytes === 0) return;
    this.#progress++;
    if (!this.#stalled) return;
    this.#stalled = false;
    this.#options.onTrouble(`${this.#options.name}: it takes lines again`);
    this.#sayLosses();
  }

  async #connect(): Promise<void> {
    let made: LogConnection | undefined;
    let failed: { error: unknown } | undefined;
    const connection = await this.#options.connect({
      room: () => {
        if (made === undefined || made !== this.#connection) return;
        this.#waiting = false;
        this.#flush();
      },
      lost: (error) => {
        failed = { error };
        if (made !== undefined) this.#lost(made, error);
      },
    });
    if (failed !== undefined) throw (failed as { error: unknown }).error;
    if (this.#closed) return connection.close();
    made = connection;
    this.#connection = connection;
    this.#waiting = false;
    this.#stalled = false;
    // A message of which a part went to the one before goes whole to this one.
    this.#sentBytes = 0;
    this.#connectedAtMs = performance.now();
  }

  #lost(connection: LogConnection, error: unknown): void {
    if (connection !== this.#connection) return;
    this.#connection = undefined;
    connection.close();
    // A server that takes connections only to end them is not asked more often than one that takes none.
    if (performance.now() - this.#connectedAtMs > retryMs.longest) this.#retryAfterMs = retryMs.first;
    this.#options.onTrouble(`${this.#options.name}: ${errorMessage(error)}; connecting again`);
    this.#retryLater();
    this.#change();
  }

  #retryLater(): void {
    if (this.#closed) return;
    this.#retry = setTimeout(() => void this.#again(), this.#retryAfterMs);
    this.#retryAfterMs = Math.min(this.#retryAfterMs * 2, retryMs.longest);
  }

  async #again(): Promise<void> {
    try {
      await this.#connect();
    } catch {
      // The first failure was told.
      this.#retryLater();
      return;
    }
    if (this.#connection === undefined) return;
    this.#options.onTrouble(`${this.#options.name}: connected again`);
    this.#sayLosses();
    this.#flush();
  }

  async #until(isSo: () => boolean): Promise<void> {
    while (!isSo()) await this.#changed.promise;
  }

  #change(): void {
    this.#changed.resolve();
    this.#changed = Promise.withResolvers<void>();
  }
}
