/**
 * The standard streams of one process: pipes, or the master of its terminal. Output goes to the log first and
 * then to every attached client; input comes from the clients.
 */
import { F_DUPFD_CLOEXEC, O_RDONLY } from "../../ffi/constants/open.ts";
import { Fd } from "../../ffi/fd.ts";
import { fcntl, open, pipe2 } from "../../ffi/files.ts";
import { setWindowSize } from "../../ffi/pty.ts";
import { DescriptorReader, DescriptorWriter } from "../../ffi/stream.ts";
import { EngineError, errorMessage, isErrno } from "../core/errors.ts";
import { log } from "../core/log.ts";
import type { LogWriter, OutputStream } from "../logging/log-writer.ts";
import type { ContainerStdio } from "../runtime/options.ts";
import { type Attachment, frame } from "./attachment.ts";
import { noteOutput } from "./memory.ts";
import { PipeWidth } from "./pipe-width.ts";
import type { ConsoleSize } from "./protocol.ts";

/** Input that waits for the process above which a client is no longer read from. */
const inputBytesMax = 128 * 1024;

/** How often a terminal that nobody has open is looked at again, while its process lives. */
const hungUpPollMs = 200;

/** A daemon that ends closes its connections one after another: this much later all of them are closed. */
const daemonGoneMs = 1000;

export interface StreamOptions {
  terminal: boolean;
  consoleSize?: ConsoleSize;
  /** Standard input is a pipe; else /dev/null. A terminal always has input. */
  stdin: boolean;
  /** Closed when the first client that gives input ends its own. A terminal's is never. */
  stdinOnce: boolean;
  /** Whether the daemon that is connected now still is after that time. */
  daemonStays: (durationMs: number) => Promise<boolean>;
  log?: LogWriter;
}

export class ProcessStreams {
  readonly #options: StreamOptions;
  readonly #attachments = new Set<Attachment>();
  readonly #readers: { reader: DescriptorReader; stream: OutputStream }[] = [];
  #input: DescriptorWriter | undefined;
  #inputBytes = 0;
  /** Nothing more is written to the process: it has no input, or has closed it, or was told its end. */
  #inputClosed = false;
  #master: Fd | undefined;
  #pumps: Promise<void>[] = [];
  #wakePumps: (() => void)[] = [];
  /** The process has ended; what it wrote is still being read. */
  #ended = false;
  /** Nothing more is read. */
  #stopped = false;
  /** No client can attach any more. */
  #finished = false;

  constructor(options: StreamOptions) {
    this.#options = options;
  }

  get attached(): number {
    return this.#attachments.size;
  }

  get terminal(): boolean {
    return this.#options.terminal;
  }

  /**
   * Makes the streams, calls `start` with the process's side of them, and begins to read. When it throws, all is
   * closed.
   */
  async open<T>(start: (stdio: ContainerStdio) => Promise<T> | T): Promise<T> {
    const theirs: Fd[] = [];
    try {
      const stdio = this.#options.terminal ? this.#makeTerminal() : this.#makePipes(theirs);
      const started = await start(stdio);
      if (this.#options.terminal && this.#master === undefined) {
        throw new EngineError("internal", "the runtime gave no terminal, although the process has one");
      }
      this.#pumps = this.#readers.map(({ reader, stream }) => this.#pump(reader, stream));
      // The client whose input it was to be may have gone before.
      if (this.#inputClosed && !this.#options.terminal) await this.#input?.end();
      this.#takeInput();
      return started;
    } catch (error) {
      await this.#close();
      throw error;
    } finally {
      // The process has them now; an end of output is seen only when nobody else has.
      for (const fd of theirs) fd.close();
    }
  }

  attach(attachment: Attachment): void {
    if (this.#finished) throw new EngineError("conflict", "the process has ended");
    this.#attachments.add(attachment);
    const { peer } = attachment;
    peer.listener = {
      input: (bytes) => this.#onInput(attachment, bytes),
      inputEnd: () => this.#onInputEnd(attachment),
      drained: () => this.#wake(),
      gone: () => this.#detach(attachment),
    };
    if (attachment.takesInput && this.#input === undefined && !this.#inputClosed) peer.pauseInput();
  }

  resize(size: ConsoleSize): void {
    if (this.#master === undefined || this.#master.closed)
      throw new EngineError("conflict", "the process has no terminal");
    setWindowSize(this.#master, size);
  }

  /** The process reads the end of its input after what is on its way. */
  async closeInput(): Promise<void> {
    if (this.#options.terminal) return;
    this.#inputClosed = true;
    await this.#input?.end();
  }

  /**
   * After the end of the process: reads what it wrote. All of it is in the pipe by now; the end of the pipe comes at
   * once, too, unless another process has inherited it. For that one there is `graceMs`, as in docker, then the rest
   * of what is in the pipe is taken and the pipe is closed.
   */
  async drain(graceMs: number): Promise<void> {
    this.#ended = true;
    this.#wake();
    const over = Promise.withResolvers<"over">();
    const timer = setTimeout(() => over.resolve("over"), graceMs);
    const result = await Promise.race([Promise.all(this.#pumps), over.promise]);
    clearTimeout(timer);
    if (result === "over") await this.#takeRest();
    await this.#close();
  }

  /** Tells the attached clients that there is no more. */
  finish(): void {
    this.#finished = true;
    for (const { peer } of this.#attachments) {
      peer.listener = undefined;
      peer.finish();
    }
    this.#attachments.clear();
  }

  async #takeRest(): Promise<void> {
    this.#stopped = true;
    for (const { reader } of this.#readers) await reader.stop();
    // Pumps that waited for bytes have ended by now; those that wait for a client end now.
    this.#wake();
    for (const { reader, stream } of this.#readers) {
      for (let left = 64; left > 0; left--) {
        const chunk = reader.readAvailable();
        if (chunk === undefined) break;
        this.#deliver(stream, chunk);
      }
    }
  }

  async #close(): Promise<void> {
    for (const { reader } of this.#readers) await reader.close();
    this.#readers.length = 0;
    this.#inputClosed = true;
    this.#input?.close();
    this.#master?.close();
  }

  #makePipes(theirs: Fd[]): ContainerStdio {
    const outputs = (["stdout", "stderr"] as const).map((stream) => {
      const { reader, writer } = pipe2();
      theirs.push(writer);
      this.#readers.push({ reader: new DescriptorReader(reader), stream });
      return writer.number;
    });
    const [stdout, stderr] = outputs as [number, number];
    if (this.#options.stdin) {
      const { reader, writer } = pipe2();
      theirs.push(reader);
      this.#input = new DescriptorWriter(writer);
      return { stdin: reader.number, stdout, stderr };
    }
    this.#inputClosed = true;
    const empty = open("/dev/null", O_RDONLY);
    theirs.push(empty);
    return { stdin: empty.number, stdout, stderr };
  }

  #makeTerminal(): ContainerStdio {
    return {
      onConsole: (master) => {
        this.#master = master;
        const { consoleSize } = this.#options;
        if (consoleSize !== undefined) setWindowSize(master, consoleSize);
        this.#readers.push({ reader: new DescriptorReader(duplicate(master)), stream: "stdout" });
        this.#input = new DescriptorWriter(duplicate(master));
      },
    };
  }

  async #pump(reader: DescriptorReader, stream: OutputStream): Promise<void> {
    const width = this.#options.terminal ? undefined : new PipeWidth(reader);
    try {
      while (!this.#stopped) {
        const chunk = await reader.read();
        if (chunk !== undefined) {
          width?.note(chunk.length);
          this.#deliver(stream, chunk);
        } else if (!reader.hungUp || this.#ended) return;
        else await this.#hungUp(reader);
        const room = this.#options.log?.room?.();
        if (room !== undefined) await room;
        // The log has it; the clients decide how fast it goes on.
        while (this.#saturated(stream) && !this.#stopped) await this.#change();
      }
    } catch (error) {
      // What the kernel refuses here (nothing is known that it does) ends this stream alone.
      log("error", `read ${stream} of the process: ${errorMessage(error)}`);
    }
  }

  /** Nobody has the terminal open. Mostly the process is ending; but an init that closes its console may open it again. */
  async #hungUp(reader: DescriptorReader): Promise<void> {
    const change = this.#change();
    const timer = setTimeout(() => this.#wake(), hungUpPollMs);
    await change;
    clearTimeout(timer);
    reader.hungUp = false;
  }

  #deliver(stream: OutputStream, chunk: Uint8Array): void {
    noteOutput(chunk.length);
    this.#options.log?.write(stream, chunk);
    if (this.#attachments.size === 0) return;
    const bytes = this.#options.terminal ? chunk : frame(stream, chunk);
    for (const attachment of this.#attachments) if (attachment.wants(stream)) attachment.peer.send(bytes);
  }

  /** Whether one of those who want the stream should be waited for. The other stream is read all the same. */
  #saturated(stream: OutputStream): boolean {
    for (const attachment of this.#attachments) {
      if (attachment.wants(stream) && attachment.saturated(this.#ended)) return true;
    }
    return false;
  }

  /** Resolves when a client has taken something or gone, or the process has ended. */
  #change(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#wakePumps.push(resolve);
    return promise;
  }

  #wake(): void {
    const waiting = this.#wakePumps;
    this.#wakePumps = [];
    for (const wake of waiting) wake();
  }

  /** Clients that attached before the start were held back until there was something to write to. */
  #takeInput(): void {
    for (const { peer } of this.#attachments) peer.resumeInput();
  }

  #onInput(attachment: Attachment, bytes: Uint8Array): void {
    if (!attachment.takesInput || this.#inputClosed || this.#input === undefined) return;
    this.#inputBytes += bytes.length;
    if (this.#inputBytes > inputBytesMax) for (const { peer } of this.#attachments) peer.pauseInput();
    this.#input
      .write(bytes)
      .catch((error) => this.#onInputError(error))
      .finally(() => {
        this.#inputBytes -= bytes.length;
        if (this.#inputBytes <= inputBytesMax / 2) for (const { peer } of this.#attachments) peer.resumeInput();
      });
  }

  /** A process that has closed its input reads no more of it: what still comes is passed over, as docker does. */
  #onInputError(error: unknown): void {
    this.#inputClosed = true;
    this.#input?.close();
    if (!isErrno(error, "EPIPE", "EIO")) log("warn", `write stdin of the process: ${errorMessage(error)}`);
  }

  #onInputEnd(attachment: Attachment): void {
    if (!attachment.takesInput || !this.#options.stdinOnce) return;
    void this.closeInput();
  }

  #detach(attachment: Attachment): void {
    if (!this.#attachments.delete(attachment)) return;
    attachment.peer.listener = undefined;
    if (attachment.takesInput && this.#options.stdinOnce) void this.#inputLost();
    this.#wake();
  }

  /**
   * A client that vanished is taken for one that has ended its input, as with Docker, when the daemon says no more than
   * that. When the daemon goes too, it has crashed or is restarted: a program that reads what is piped to it must not
   * take the first half for the whole, and the next daemon's clients can go on.
   */
  async #inputLost(): Promise<void> {
    if (await this.#options.daemonStays(daemonGoneMs)) await this.closeInput();
  }
}

function duplicate(fd: Fd): Fd {
  return new Fd(fcntl(fd, F_DUPFD_CLOEXEC, 3));
}
