/** A connection to a port of a container's own, made from inside its network and without a process in it. */
import { O_RDONLY } from "../../../ffi/constants/open.ts";
import { errnoNumber, SyscallError } from "../../../ffi/errno.ts";
import type { Fd } from "../../../ffi/fd.ts";
import { open } from "../../../ffi/files.ts";
import { inNetworkNamespace } from "../../../ffi/namespace.ts";
import { POLLOUT, waitReady } from "../../../ffi/poll.ts";
import type { SocketAddress } from "../../../ffi/socket/address.ts";
import { connect, localAddress, shownSocketAddress, streamSocket, takeError } from "../../../ffi/socket/socket.ts";
import { EngineError, isErrno } from "../../core/errors.ts";
import type { Container } from "../container/container.ts";
import { startTicks } from "../container/start.ts";
import type { TcpTarget } from "./target.ts";

/** Within a host a connection is there at once, or refused. Who has a longer way is looked at more and more seldom. */
const firstLookMs = 1;
const looksMsMax = 50;

export interface ConnectedSocket {
  fd: Fd;
  address: SocketAddress;
}

/** @throws SyscallError as connect(2); EngineError conflict when the container does not run; the signal's reason. */
export async function connectInside(
  container: Container,
  { addresses, port }: TcpTarget,
  signal: AbortSignal,
): Promise<ConnectedSocket> {
  let refusal: unknown;
  for (const bytes of addresses) {
    const address = { address: bytes, port };
    try {
      return { fd: await connectTo(container, address, signal), address };
    } catch (error) {
      // It listens on the other loopback, or there is no such one.
      if (!isErrno(error, "ECONNREFUSED", "EADDRNOTAVAIL", "ENETUNREACH", "EAFNOSUPPORT")) throw error;
      refusal ??= error;
    }
  }
  throw refusal;
}

async function connectTo(container: Container, address: SocketAddress, signal: AbortSignal): Promise<Fd> {
  using fd = socketInside(container, address);
  if (!connect(fd, address)) await connected(fd, address, signal);
  // Of a port that nobody listens at the kernel may have made both ends of the connection.
  if (localAddress(fd).port === address.port && isSame(localAddress(fd).address, address.address)) {
    throw new SyscallError("connect", errnoNumber("ECONNREFUSED"), shownSocketAddress(address));
  }
  return fd.move();
}

function isSame(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, index) => byte === b[index]);
}

function socketInside({ state, id }: Container, address: SocketAddress): Fd {
  const gone = () => new EngineError("conflict", `container ${id} is not running`);
  if (state.status !== "running") throw gone();
  let namespace: Fd;
  try {
    namespace = open(`/proc/${state.pid}/ns/net`, O_RDONLY);
  } catch (error) {
    if (isErrno(error, "ENOENT", "ESRCH")) throw gone();
    throw error;
  }
  using inside = namespace;
  // What was opened is its own if the number is still its own now.
  if (startTicks(state.pid) !== state.pidStartTicks) throw gone();
  return inNetworkNamespace(inside, () => streamSocket(address));
}

async function connected(fd: Fd, address: SocketAddress, signal: AbortSignal): Promise<void> {
  for (let waitMs = firstLookMs; !waitReady(fd, POLLOUT, 0); waitMs = Math.min(2 * waitMs, looksMsMax)) {
    await Bun.sleep(waitMs);
    signal.throwIfAborted();
  }
  const errno = takeError(fd);
  if (errno !== 0) throw new SyscallError("connect", errno, shownSocketAddress(address));
}
