import { EFD_CLOEXEC, EFD_NONBLOCK } from "./constants/eventfd.ts";
import { SyscallError } from "./errno.ts";
import { Fd } from "./fd.ts";
import { read } from "./files.ts";
import { call } from "./syscall.ts";

/** eventfd(2): a counter that the kernel raises and poll(2) waits for. Starts at zero. */
export function eventfd(): Fd {
  return new Fd(call("eventfd2", undefined, 0, EFD_CLOEXEC | EFD_NONBLOCK));
}

/** Takes the counter, and leaves zero. @returns how often it was raised since the last time. */
export function takeEvents(counter: Fd): number {
  const bytes = new Uint8Array(8);
  try {
    read(counter, bytes);
  } catch (error) {
    if (error instanceof SyscallError && error.errno === "EAGAIN") return 0;
    throw error;
  }
  return Number(new DataView(bytes.buffer).getBigUint64(0, true));
}
