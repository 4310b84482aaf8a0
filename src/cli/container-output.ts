import { O_NOCTTY, O_NONBLOCK, O_WRONLY } from "../../ffi/constants/open.ts";
import { S_IFIFO, S_IFMT } from "../../ffi/constants/stat.ts";
import type { Fd } from "../../ffi/fd.ts";
import { open } from "../../ffi/files.ts";
import { isTerminal } from "../../ffi/pty.ts";
import { statx } from "../../ffi/stat.ts";
import { DescriptorWriter } from "../../ffi/stream.ts";
import { isErrno } from "../core/errors.ts";
import { OutputClosed, writeAll } from "./output.ts";

/** Where output comes from: told to wait, it sends no more after what is on its way. */
export interface OutputSource {
  pause(): void;
  resume(): void;
}

/**
 * What a container writes, on its way to this process's standard output and standard error. A reader that is slow holds
 * up the source, and with it in the end the container, but not this process: signals, input and sizes go on.
 */
export class ContainerOutput {
  readonly #source: OutputSource;
  readonly #sinks: Partial<Record<1 | 2, Sink>> = {};
  #waiting = 0;
  #drained = Promise.withResolvers<void>();
  readonly #failed = Promise.withResolvers<never>();
  readonly #heedsSigpipe: boolean;

  /**
   * @param options.heedsSigpipe a reader that is gone does not end this process as it ends other programs: as docker,
   * which catches this signal with all that it passes on, it says so and fails.
   */
  constructor(source: OutputSource, { heedsSigpipe = false }: { heedsSigpipe?: boolean } = {}) {
    this.#heedsSigpipe = heedsSigpipe;
    this.#source = source;
    this.#drained.resolve();
    // Whoever waits for it has it; where nobody does any more it has come too late.
    this.#failed.promise.catch(() => undefined);
  }

  /** @param bytes are the caller's again when this returns. @throws OutputClosed when the reader is gone. */
  write(descriptor: 1 | 2, bytes: Uint8Array): void {
    this.#sinks[descriptor] ??= openSink(descriptor);
    const later = this.#taken(descriptor, () => this.#sinks[descriptor]!(bytes));
    if (later === undefined) return;
    if (this.#waiting++ === 0) {
      this.#drained = Promise.withResolvers();
      this.#source.pause();
    }
    later.then(
      () => {
        if (--this.#waiting > 0) return;
        this.#source.resume();
        this.#drained.resolve();
      },
      (error: unknown) => this.#failed.reject(this.#explained(descriptor, closedOr(error))),
    );
  }

  #taken<T>(descriptor: 1 | 2, write: () => T): T {
    try {
      return write();
    } catch (error) {
      throw this.#explained(descriptor, error);
    }
  }

  #explained(descriptor: 1 | 2, error: unknown): unknown {
    if (!this.#heedsSigpipe || !(error instanceof OutputClosed)) return error;
    return new OutputClosed(`write /dev/std${descriptor === 1 ? "out" : "err"}: broken pipe`, 1);
  }

  /** Waits for something that goes on meanwhile, and then until all was written. @throws what `write` throws. */
  async during<T>(work: Promise<T>): Promise<T> {
    const result = await Promise.race([work, this.#failed.promise]);
    await Promise.race([this.#drained.promise, this.#failed.promise]);
    return result;
  }
}

/** Takes bytes at once, or gives a promise of when they are taken. */
type Sink = (bytes: Uint8Array) => Promise<void> | undefined;

/**
 * A pipe or a terminal is opened anew, so that not to wait for it is a matter of this process alone: O_NONBLOCK on the
 * description that was inherited would be everybody's who has it. Where that cannot be, and for files, which have a
 * place that goes with their description, and sockets, it is written as it is.
 */
function openSink(descriptor: 1 | 2): Sink {
  const own = reopen(descriptor);
  if (own === undefined) {
    return (bytes) => {
      writeAll(descriptor, bytes);
      return undefined;
    };
  }
  const writer = new DescriptorWriter(own);
  let queued = 0;
  return (bytes) => {
    const taken = queued > 0 ? 0 : takenNow(writer, bytes);
    if (taken === bytes.length) return undefined;
    queued++;
    return writer.write(Uint8Array.from(bytes.subarray(taken))).finally(() => {
      queued--;
    });
  };
}

function reopen(descriptor: 1 | 2): Fd | undefined {
  try {
    const isPipe = (statx(descriptor).mode & S_IFMT) === S_IFIFO;
    if (!isPipe && !isTerminal(descriptor)) return undefined;
    const own = open(`/proc/self/fd/${descriptor}`, O_WRONLY | O_NONBLOCK | O_NOCTTY);
    if (own.number > 2) return own;
    own.close();
    return undefined;
  } catch {
    return undefined; // Another user's pipe, a terminal of another mount namespace, no /proc.
  }
}

function takenNow(writer: DescriptorWriter, bytes: Uint8Array): number {
  try {
    return writer.writeAvailable(bytes);
  } catch (error) {
    throw closedOr(error);
  }
}

function closedOr(error: unknown): unknown {
  return isErrno(error, "EPIPE") ? new OutputClosed("standard output is closed") : error;
}
