/**
 * Asynchronous reading and writing of raw descriptors that are pipes or terminals, by the event loop's epoll: no
 * thread waits for them, and nothing is read before somebody asks for it.
 *
 * What had to be found out about Bun 1.4.5, which documents none of it:
 * - `Bun.file(fd).stream()` polls a pipe. It polls any other kind of file only when O_NONBLOCK is set when the stream
 *   is made;
 *   without it, the master of a pseudo-terminal is read with pread(2), which fails with ESPIPE.
 * - It reads (up to 256 KiB) only while a read is asked for: back-pressure is exact.
 * - `Bun.file(fd).writer()` polls for POLLOUT and its promises tell when the kernel has taken the bytes.
 * - Both duplicate the descriptor and close only their duplicate.
 * - `new tty.ReadStream(fd)` and `fs.createReadStream` block a thread of the pool in read(2); net.Socket refuses pipes.
 */
import { F_GETFL, F_SETFL, O_NONBLOCK } from "./constants/open.ts";
import { SyscallError } from "./errno.ts";
import type { Fd } from "./fd.ts";
import { fcntl, read, resizePipe, writeSome } from "./files.ts";

function setNonblocking(fd: Fd): void {
  const flags = fcntl(fd, F_GETFL);
  if ((flags & O_NONBLOCK) === 0) fcntl(fd, F_SETFL, flags | O_NONBLOCK);
}

interface PolledStream {
  read(): Promise<{ value?: Uint8Array | undefined }>;
  cancel(): Promise<void>;
}

/** Reads a pipe or a terminal that it owns. One read at a time. */
export class DescriptorReader {
  readonly #fd: Fd;
  #stream: PolledStream | undefined;
  /** The end was that of a terminal whose other side is open nowhere: somebody may open it again. */
  hungUp = false;

  /** Takes over the descriptor and sets O_NONBLOCK on its open file description. */
  constructor(fd: Fd) {
    this.#fd = fd.move();
    setNonblocking(this.#fd);
  }

  get closed(): boolean {
    return this.#fd.closed;
  }

  /**
   * Waits for bytes. @returns undefined at the end, and after `close`.
   * @throws the kernel's error, which has a `code`.
   */
  async read(): Promise<Uint8Array | undefined> {
    if (this.#fd.closed) return undefined;
    const stream: PolledStream = this.#stream ?? Bun.file(this.#fd.number).stream().getReader();
    this.#stream = stream;
    try {
      return (await stream.read()).value;
    } catch (error) {
      this.#stream = undefined;
      if ((error as { code?: unknown }).code !== "EIO") throw error;
      this.hungUp = true;
      return undefined;
    }
  }

  /**
   * What there is to read at this moment, without waiting; call it when no `read` is under way.
   * @returns undefined when there is nothing: the other end is silent, or closed.
   */
  readAvailable(bytesMax = 65536): Uint8Array | undefined {
    if (this.#fd.closed) return undefined;
    const buffer = new Uint8Array(bytesMax);
    try {
      const length = read(this.#fd, buffer);
      return length === 0 ? undefined : buffer.subarray(0, length);
    } catch (error) {
      if (error instanceof SyscallError && (error.errno === "EAGAIN" || error.errno === "EIO")) return undefined;
      throw error;
    }
  }

  /**
   * Has the pipe hold so many bytes (fcntl(2), F_SETPIPE_SZ). @returns whether it does: it is not made smaller than what is
   * in it, nor larger than the kernel grants. Undefined after `close`.
   */
  setCapacity(bytes: number): boolean | undefined {
    return this.#fd.closed ? undefined : resizePipe(this.#fd, bytes);
  }

  /** Gives up waiting: a `read` under way gives undefined. Bytes that were not read yet stay readable. */
  async stop(): Promise<void> {
    const stream = this.#stream;
    this.#stream = undefined;
    await stream?.cancel();
  }

  async close(): Promise<void> {
    await this.stop();
    this.#fd.close();
  }
}

/** Writes to a pipe or a terminal that it owns. */
export class DescriptorWriter {
  readonly #fd: Fd;
  #sink: Bun.FileSink | undefined;
  #last: Promise<void> = Promise.resolve();

  /** Takes over the descriptor and sets O_NONBLOCK on its open file description. */
  constructor(fd: Fd) {
    this.#fd = fd.move();
    setNonblocking(this.#fd);
  }

  get closed(): boolean {
    return this.#fd.closed;
  }

  /**
   * Resolves when the kernel has taken all of `data`, which must not change meanwhile. Calls queue up in order.
   * @throws the kernel's error, which has a `code`: EPIPE when nobody can read any more.
   */
  write(data: Uint8Array): Promise<void> {
    const mine = this.#last.then(() => this.#write(data));
    this.#last = mine.catch(() => undefined);
    return mine;
  }

  /**
   * Writes what the kernel takes at this moment; call it when no `write` is under way.
   * @returns how many bytes. @throws SyscallError EPIPE when nobody can read any more.
   */
  writeAvailable(data: Uint8Array): number {
    for (let taken = 0; ; ) {
      const more = taken < data.byteLength ? this.#writeNow(data.subarray(taken)) : 0;
      if (more === 0) return taken;
      taken += more;
    }
  }

  async #write(data: Uint8Array): Promise<void> {
    if (this.#fd.closed) throw new SyscallError("write", 32);
    let rest = data;
    while (rest.byteLength > 0) {
      const taken = this.#writeNow(rest);
      rest = rest.subarray(taken);
      if (taken > 0) continue;
      // Full: the sink waits for room. It holds no more than one page of ours at a time.
      this.#sink ??= Bun.file(this.#fd.number).writer();
      const piece = rest.subarray(0, 4096);
      await this.#sink.write(piece);
      await this.#sink.flush();
      rest = rest.subarray(piece.byteLength);
    }
  }

  #writeNow(data: Uint8Array): number {
    try {
      return writeSome(this.#fd, data);
    } catch (error) {
      if (error instanceof SyscallError && error.errno === "EAGAIN") return 0;
      throw error;
    }
  }

  /** Closes the descriptor when what is being written has been taken: the reader then finds the end. */
  async end(): Promise<void> {
    await this.#last;
    this.close();
  }

  /**
   * Closes the descriptor at once; a `write` under way fails, or goes on in the sink's own duplicate with what is
   * left of one page when the reader is slow.
   */
  close(): void {
    if (this.#fd.closed) return;
    this.#fd.close();
    const sink = this.#sink;
    this.#sink = undefined;
    if (sink !== undefined) endSink(sink);
  }
}

/** Lets go of a sink. What it still holds nobody waits for, and that it could not be written nobody is told again. */
function endSink(sink: Bun.FileSink): void {
  const ended = Promise.try(() => sink.end());
  ended.catch(() => undefined);
}
