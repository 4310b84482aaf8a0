import type { Fd } from "../../ffi/fd.ts";
import { read, writeSome } from "../../ffi/files.ts";
import { POLLIN, POLLOUT, type PollSet, waitReady } from "../../ffi/poll.ts";
import { isErrno } from "../core/errors.ts";

/** At most PIPE_BUF: a pipe that is ready for writing takes that much without blocking (pipe(7)). */
const chunkBytes = 4096;
/** What a terminal's buffers may hold at the end, generously; a process that goes on writing must not keep us. */
const drainBytesMax = 1 << 20;

const stdin = 0;
const stdout = 1;

/**
 * Copies between this process' standard streams and the master of a pseudo-terminal, as poll(2) finds them ready. Each
 * direction reads only what the other side has taken: back-pressure goes through.
 *
 * The master is non-blocking. The standard streams are not made so: they may be shared with other programs, whose
 * streams they would then be, too.
 */
export class TerminalRelay {
  /** How many slots of the poll set it uses: standard input, the master, standard output. */
  static readonly slots = 3;

  readonly #master: Fd;
  readonly #firstSlot: number;
  #input = new Uint8Array(0);
  #output = new Uint8Array(0);
  #inputEnded = false;
  #masterEnded = false;
  #outputBroken = false;
  readonly #buffer = new Uint8Array(chunkBytes);

  constructor(master: Fd, firstSlot: number) {
    this.#master = master;
    this.#firstSlot = firstSlot;
  }

  /** Says what it waits for. */
  prepare(set: PollSet): void {
    const [inputSlot, masterSlot, outputSlot] = this.#slots();
    if (this.#inputEnded || this.#input.length > 0) set.clear(inputSlot);
    else set.set(inputSlot, stdin, POLLIN);
    const events = (this.#input.length > 0 ? POLLOUT : 0) | (this.#output.length === 0 ? POLLIN : 0);
    if (this.#masterEnded || events === 0) set.clear(masterSlot);
    else set.set(masterSlot, this.#master, events);
    if (this.#output.length === 0) set.clear(outputSlot);
    else set.set(outputSlot, stdout, POLLOUT);
  }

  /** Moves what can be moved now. */
  transfer(set: PollSet): void {
    const [inputSlot, masterSlot, outputSlot] = this.#slots();
    if (set.ready(inputSlot)) this.#readInput();
    const master = set.ready(masterSlot);
    if (master & POLLOUT) this.#input = this.#writeTo(this.#master, this.#input);
    // A hang-up or an error comes out of the read.
    if (master & ~POLLOUT) this.#readMaster();
    if (set.ready(outputSlot)) this.#writeOutput();
  }

  /** After the process' end: writes out what the terminal still holds, waiting for standard output where it must. */
  drain(): void {
    for (let total = 0; total < drainBytesMax; total += this.#output.length) {
      while (this.#output.length > 0) {
        waitReady(stdout, POLLOUT, -1);
        this.#writeOutput();
      }
      if (!this.#readMaster()) return;
    }
  }

  #slots(): [number, number, number] {
    return [this.#firstSlot, this.#firstSlot + 1, this.#firstSlot + 2];
  }

  #readInput(): void {
    try {
      this.#input = this.#readFrom(stdin);
      this.#inputEnded = this.#input.length === 0;
    } catch (error) {
      // EIO: the terminal is gone, or this process is in its background.
      if (isErrno(error, "EIO")) this.#inputEnded = true;
      else if (!isErrno(error, "EAGAIN")) throw error;
    }
  }

  /** @returns whether something was read. */
  #readMaster(): boolean {
    if (this.#output.length > 0) return true;
    try {
      this.#output = this.#readFrom(this.#master);
      this.#masterEnded = this.#output.length === 0;
    } catch (error) {
      // EIO: every descriptor of the other end is closed.
      if (isErrno(error, "EIO")) this.#masterEnded = true;
      else if (!isErrno(error, "EAGAIN")) throw error;
    }
    return this.#output.length > 0;
  }

  #writeOutput(): void {
    // Nobody reads any more. The process goes on, and must not block on a full terminal.
    if (this.#outputBroken) this.#output = this.#output.subarray(this.#output.length);
    try {
      this.#output = this.#writeTo(stdout, this.#output);
    } catch (error) {
      if (!isErrno(error, "EPIPE", "EIO")) throw error;
      this.#outputBroken = true;
    }
  }

  #readFrom(source: Fd | number): Uint8Array<ArrayBuffer> {
    return this.#buffer.slice(0, read(source, this.#buffer));
  }

  #writeTo(target: Fd | number, data: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
    if (data.length === 0) return data;
    try {
      return data.subarray(writeSome(target, data));
    } catch (error) {
      if (isErrno(error, "EAGAIN")) return data;
      throw error;
    }
  }
}
