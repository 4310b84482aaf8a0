/** sd_notify(3): tells the service manager how this process is doing, in a datagram to the socket that it named. */
import { O_CLOEXEC } from "./constants/open.ts";
import { type Descriptor, Fd } from "./fd.ts";
import { pipe2, write } from "./files.ts";
import { POLLIN, waitReady } from "./poll.ts";
import { sendDescriptors } from "./scm.ts";
import { call } from "./syscall.ts";

const AF_UNIX = 1;
const SOCK_DGRAM = 2;
const SOCK_CLOEXEC = 0o2000000;
const socketPathBytesMax = 108;

/**
 * @param address of NOTIFY_SOCKET: a path, or `@name` in the abstract namespace (unix(7)).
 * @param message `READY=1`, `STOPPING=1`, `STATUS=…`; several are separated by newlines.
 * @throws SyscallError when nobody listens there, RangeError for an address that no Unix socket can have.
 */
export function serviceNotify(address: string, message: string): void {
  using socket = connectNotify(address);
  write(socket, message);
}

/** A socket from which datagrams go to NOTIFY_SOCKET. Errors as of serviceNotify. */
export function connectNotify(address: string): Fd {
  const name = Buffer.from(address);
  if (!/^[/@]/.test(address) || name.length >= socketPathBytesMax) {
    throw new RangeError(`${JSON.stringify(address)} is no address of a Unix socket`);
  }
  if (name[0] === 0x40) name[0] = 0;
  using socket = new Fd(call("socket", "AF_UNIX", AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  // A path ends with a NUL; an abstract name is as long as the address says.
  const destination = new Uint8Array(2 + name.length + (name[0] === 0 ? 0 : 1));
  destination[0] = AF_UNIX;
  destination.set(name, 2);
  call("connect", address, socket.number, destination, destination.length);
  return socket.move();
}

/**
 * Waits until the service manager has taken in what was sent before: it closes the descriptor that comes with
 * `BARRIER=1` (sd_notify(3)).
 * @returns whether it did in time.
 */
export function notifyBarrier(socket: Descriptor, timeoutMs: number): boolean {
  const { reader, writer } = pipe2(O_CLOEXEC);
  using _reader = reader;
  {
    using sent = writer;
    sendDescriptors(socket, "BARRIER=1", [sent]);
  }
  return waitReady(reader, POLLIN, timeoutMs);
}
