/** Memory and files that live in memory. */
import { type Pointer, toArrayBuffer } from "bun:ffi";
import {
  MAP_SHARED,
  MFD_ALLOW_SEALING,
  MFD_CLOEXEC,
  MFD_NOEXEC_SEAL,
  PROT_READ,
  PROT_WRITE,
} from "./constants/memory.ts";
import { F_ADD_SEALS } from "./constants/open.ts";
import { SyscallError } from "./errno.ts";
import { type Descriptor, descriptorNumber, Fd } from "./fd.ts";
import { call, cString } from "./syscall.ts";

/** memfd_create(2): a nameless file; `name` shows in /proc/<pid>/fd alone. `flags` are MFD_*. */
export function memfd_create(name: string, flags: number): Fd {
  return new Fd(call("memfd_create", name, cString(name), flags));
}

/** A nameless file for data, closed on execve. It can never be executed, which vm.memfd_noexec=2 asks of all memfds. */
export function dataMemfd(name: string): Fd {
  try {
    return memfd_create(name, MFD_CLOEXEC | MFD_NOEXEC_SEAL);
  } catch (error) {
    if (!(error instanceof SyscallError && error.errno === "EINVAL")) throw error;
    // Before Linux 6.3 there is no such flag.
    return memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
  }
}

/** Forbids further changes of a memfd: F_SEAL_*. */
export function addSeals(fd: Descriptor, seals: number): void {
  call("fcntl", undefined, descriptorNumber(fd), F_ADD_SEALS, seals);
}

/** A file's first `size` bytes, mapped shared and writable, until it is disposed of. */
export class SharedMapping implements Disposable {
  readonly address: number;
  readonly size: number;
  #bytes: Uint8Array | undefined;

  constructor(fd: Descriptor, size: number) {
    this.size = size;
    this.address = call("mmap", undefined, 0, size, PROT_READ | PROT_WRITE, MAP_SHARED, descriptorNumber(fd), 0);
    this.#bytes = new Uint8Array(toArrayBuffer(this.address as Pointer, 0, size));
  }

  /** The memory. It must not be kept beyond the mapping's life: reading it then is a crash, not an error. */
  get bytes(): Uint8Array {
    if (this.#bytes === undefined) throw new Error("the mapping is gone");
    return this.#bytes;
  }

  [Symbol.dispose](): void {
    if (this.#bytes === undefined) return;
    this.#bytes = undefined;
    call("munmap", undefined, this.address, this.size);
  }
}
