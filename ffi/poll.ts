/** poll(2): waiting for descriptors, on this thread, which stands still meanwhile. */
import { SYS } from "./constants/syscalls.ts";
import { type Descriptor, descriptorNumber } from "./fd.ts";
import { check, syscall } from "./syscall.ts";

export const POLLIN = 0x001;
/** Something urgent: how files of a cgroup tell that they have changed. */
export const POLLPRI = 0x002;
export const POLLOUT = 0x004;
export const POLLERR = 0x008;
export const POLLHUP = 0x010;
export const POLLNVAL = 0x020;

const EINTR = 4;

/** A set of descriptors to wait for, kept between waits: `struct pollfd` of 8 bytes each. */
export class PollSet {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #size: number;
  readonly #timeout = new Uint8Array(16);

  /** Room for `size` descriptors, all unused. */
  constructor(size: number) {
    this.#size = size;
    this.#bytes = new Uint8Array(size * 8);
    this.#view = new DataView(this.#bytes.buffer);
    for (let slot = 0; slot < size; slot++) this.clear(slot);
  }

  /** Waits in `slot` for `events` (POLL*) of `fd`; POLLHUP and POLLERR are always reported. */
  set(slot: number, fd: Descriptor, events: number): void {
    this.#view.setInt32(slot * 8, descriptorNumber(fd), true);
    this.#view.setInt16(slot * 8 + 4, events, true);
  }

  /** The slot is unused: the kernel passes over negative descriptors. */
  clear(slot: number): void {
    this.#view.setInt32(slot * 8, -1, true);
    this.#view.setInt32(slot * 8 + 4, 0, true);
  }

  /** What the last wait found in `slot`: POLL*, 0 for nothing. */
  ready(slot: number): number {
    return this.#view.getInt16(slot * 8 + 6, true);
  }

  /**
   * Waits until a descriptor is ready or the time is over; -1 waits for ever.
   * @returns how many are ready: 0 after the time, and also when a signal interrupted the wait.
   */
  wait(timeoutMs: number): number {
    const view = new DataView(this.#timeout.buffer);
    view.setBigInt64(0, BigInt(Math.floor(timeoutMs / 1000)), true);
    view.setBigInt64(8, BigInt(Math.floor((timeoutMs % 1000) * 1e6)), true);
    const timeout = timeoutMs < 0 ? null : this.#timeout;
    const result = syscall(SYS.ppoll, this.#bytes, this.#size, timeout, null, 8);
    if (result !== -EINTR) return check("poll", result);
    for (let slot = 0; slot < this.#size; slot++) this.#view.setInt16(slot * 8 + 6, 0, true);
    return 0;
  }
}

/** Waits for one descriptor. @returns whether it became ready in time; -1 waits for ever. */
export function waitReady(fd: Descriptor, events: number, timeoutMs: number): boolean {
  const set = new PollSet(1);
  set.set(0, fd, events);
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    if (set.wait(timeoutMs < 0 ? -1 : Math.max(0, deadline - performance.now())) > 0) return true;
    if (timeoutMs >= 0 && performance.now() >= deadline) return false;
  }
}
