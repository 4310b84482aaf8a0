import { SYS } from "./constants/syscalls.ts";
import { check, syscall } from "./syscall.ts";

/**
 * An open file descriptor that has one owner. `using fd = …` closes it at the end of the block; `move()` hands it to
 * another owner. Using a closed or moved one is an error, never somebody else's file.
 */
export class Fd implements Disposable {
  #number: number;

  constructor(number: number) {
    if (!Number.isInteger(number) || number < 0) throw new RangeError(`${number} is not a file descriptor`);
    this.#number = number;
  }

  get number(): number {
    if (this.#number === -1) throw new Error("the file descriptor is closed");
    return this.#number;
  }

  get closed(): boolean {
    return this.#number === -1;
  }

  /** Closes it; nothing happens the second time. @throws SyscallError when the file system reports a late error. */
  close(): void {
    const number = this.release();
    if (number === -1) return;
    const EINTR = 4;
    const result = syscall(SYS.close, number);
    // Linux closes the descriptor even then (close(2), "Dealing with error returns").
    if (result !== -EINTR) check("close", result, `descriptor ${number}`);
  }

  [Symbol.dispose](): void {
    this.close();
  }

  /** Gives up ownership to the Fd that is returned. */
  move(): Fd {
    return new Fd(this.release());
  }

  /** Gives up ownership to the caller, who gets the bare number; -1 when it was closed already. */
  release(): number {
    const number = this.#number;
    this.#number = -1;
    return number;
  }
}

/** What a wrapper takes where the kernel takes a descriptor: AT_FDCWD and inherited descriptors are plain numbers. */
export type Descriptor = Fd | number;

export function descriptorNumber(descriptor: Descriptor): number {
  return typeof descriptor === "number" ? descriptor : descriptor.number;
}
