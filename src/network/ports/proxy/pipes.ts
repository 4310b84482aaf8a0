import { F_SETPIPE_SZ, O_NONBLOCK } from "../../../../ffi/constants/open.ts";
import { SyscallError } from "../../../../ffi/errno.ts";
import type { Fd } from "../../../../ffi/fd.ts";
import { fcntl, pipe2 } from "../../../../ffi/files.ts";
import { isErrno } from "../../../core/errors.ts";

/** What the kernel lets everybody have (/proc/sys/fs/pipe-max-size); pages are taken as they are filled. */
const wantedBytes = 1024 * 1024;
const EMFILE = 24;
/**
 * So many pipes have that size, and all others what the kernel gives them, 64 KiB: what waits in them counts for no
 * limit of the kernel's, and whoever asks for much by thousands of connections and reads nothing would fill the host's
 * memory.
 */
const largeMax = 256;
/** Beyond these an empty pipe is closed: there was a moment when so many peers were slow. */
const idleMax = 64;

export interface Pipe {
  reader: Fd;
  writer: Fd;
}

/**
 * Pipes for splice(2). A connection has one only while bytes are in it: the many that are idle, and the many whose
 * peers keep up, share a few.
 */
export class PipePool {
  readonly #idle: Pipe[] = [];
  readonly #isLow: (fd: Fd) => boolean;
  /** Idle ones, and those that were taken. */
  #count = 0;

  /** @param isLow whether a descriptor is one of the last few, which are for others. */
  constructor(isLow: (fd: Fd) => boolean) {
    this.#isLow = isLow;
  }

  /** @throws SyscallError EMFILE, ENFILE */
  take(): Pipe {
    const pipe = this.#idle.pop() ?? this.#make();
    if (!this.#isLow(pipe.writer)) return pipe;
    this.discard(pipe);
    throw new SyscallError("pipe2", EMFILE);
  }

  /** It must be empty. */
  giveBack(pipe: Pipe): void {
    if (this.#idle.length < idleMax) this.#idle.push(pipe);
    else this.discard(pipe);
  }

  /** Closes it with what is in it. */
  discard({ reader, writer }: Pipe): void {
    this.#count--;
    reader.close();
    writer.close();
  }

  #make(): Pipe {
    const pipe = pipe2(O_NONBLOCK);
    this.#count++;
    try {
      if (this.#count <= largeMax) fcntl(pipe.writer, F_SETPIPE_SZ, wantedBytes);
    } catch (error) {
      // The size that it has will do.
      if (!isErrno(error, "EPERM", "ENOMEM", "EINVAL")) {
        this.discard(pipe);
        throw error;
      }
    }
    return pipe;
  }
}
