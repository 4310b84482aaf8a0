/** epoll(7): waiting for many descriptors, at a cost that does not grow with those that are silent. */
import { SYS } from "./constants/syscalls.ts";
import { type Descriptor, descriptorNumber, Fd } from "./fd.ts";
import { call, check, syscall } from "./syscall.ts";

const EPOLL_CLOEXEC = 0o2000000;
const EPOLL_CTL_ADD = 1;
const EPOLL_CTL_DEL = 2;
const EPOLL_CTL_MOD = 3;
const EINTR = 4;

/** struct epoll_event is packed on x86-64: events, and 64 bits of the caller's. */
const eventBytes = 12;

/**
 * A set of descriptors with what to wait for (EPOLL*), each with a token of the caller's: a whole number below 2^32. A
 * token is better not a descriptor's number: of what one wait has found, a descriptor may be closed, and its number
 * given to another, before its turn comes.
 */
export class Epoll implements Disposable {
  readonly #fd: Fd;
  readonly #size: number;
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #event: Uint8Array;
  readonly #eventView: DataView;

  /** @param size how many events one wait gives at most. @throws SyscallError */
  constructor(size = 256) {
    this.#size = size;
    // By the buffer: the view of an array that came first would move its bytes.
    this.#bytes = new Uint8Array(new ArrayBuffer(size * eventBytes));
    this.#view = new DataView(this.#bytes.buffer);
    this.#event = new Uint8Array(new ArrayBuffer(eventBytes));
    this.#eventView = new DataView(this.#event.buffer);
    this.#fd = new Fd(call("epoll_create1", undefined, EPOLL_CLOEXEC));
  }

  /** @throws SyscallError EEXIST, ENOSPC (/proc/sys/fs/epoll/max_user_watches) */
  add(fd: Descriptor, events: number, token: number): void {
    this.#control(EPOLL_CTL_ADD, fd, events, token);
  }

  modify(fd: Descriptor, events: number, token: number): void {
    this.#control(EPOLL_CTL_MOD, fd, events, token);
  }

  /** To be called before the descriptor is closed, when it is open elsewhere too: only then does it stay in the set. */
  remove(fd: Descriptor): void {
    this.#control(EPOLL_CTL_DEL, fd, 0, 0);
  }

  /**
   * Waits until something is ready or the time is over; -1 waits for ever. The thread stands still.
   * @returns how many events there are: 0 after the time, and also when a signal interrupted the wait.
   */
  wait(timeoutMs: number): number {
    const result = syscall(SYS.epoll_pwait, this.#fd.number, this.#bytes, this.#size, Math.ceil(timeoutMs), null, 8);
    return result === -EINTR ? 0 : check("epoll_pwait", result);
  }

  /** EPOLL* of the last wait's nth event. */
  events(n: number): number {
    return this.#view.getUint32(n * eventBytes, true);
  }

  token(n: number): number {
    return this.#view.getUint32(n * eventBytes + 4, true);
  }

  [Symbol.dispose](): void {
    this.#fd.close();
  }

  #control(operation: number, fd: Descriptor, events: number, token: number): void {
    this.#eventView.setUint32(0, events >>> 0, true);
    this.#eventView.setUint32(4, token, true);
    call("epoll_ctl", undefined, this.#fd.number, operation, descriptorNumber(fd), this.#event);
  }
}
