/**
 * A port that is taken so that no other program takes it: the kernel translates what comes for it before any socket is
 * looked for.
 */
import { SHUT_RD, SO_RCVBUF, SO_REUSEADDR, SOL_SOCKET } from "../../../../ffi/constants/socket.ts";
import type { Fd } from "../../../../ffi/fd.ts";
import { bind, datagramSocket, listen, setOption, shutdown, streamSocket } from "../../../../ffi/socket/socket.ts";
import { isErrno } from "../../../core/errors.ts";
import { socketAddressOf } from "./endpoint.ts";
import type { Endpoint } from "./protocol.ts";

/** @throws SyscallError EADDRINUSE, EADDRNOTAVAIL, … */
export function reserveTcp(endpoint: Endpoint): Fd {
  const address = socketAddressOf(endpoint);
  using fd = streamSocket(address);
  try {
    bind(fd, address);
    return fd.move();
  } catch (error) {
    if (!isErrno(error, "EADDRINUSE")) throw error;
  }
  // Connections of a server that was there before count as users of the port for a minute after their end (TIME_WAIT),
  // unless this socket says that it does not mind. But then it would not mind another that says so either. Only a
  // listener excludes all others, and a socket that was one goes on doing so: the kernel marks the port.
  setOption(fd, SOL_SOCKET, SO_REUSEADDR, 1);
  bind(fd, address);
  listen(fd, 1);
  shutdown(fd, SHUT_RD);
  setOption(fd, SOL_SOCKET, SO_REUSEADDR, 0);
  return fd.move();
}

/** @throws SyscallError EADDRINUSE, EADDRNOTAVAIL, … */
export function reserveUdp(endpoint: Endpoint): Fd {
  const address = socketAddressOf(endpoint);
  using fd = datagramSocket(address);
  // Nobody reads what is not translated: it should take no memory. The kernel makes the least of it.
  setOption(fd, SOL_SOCKET, SO_RCVBUF, 0);
  bind(fd, address);
  return fd.move();
}
