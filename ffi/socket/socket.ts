/**
 * Sockets of TCP and UDP: socket(2), bind(2), listen(2), accept(2), connect(2), shutdown(2).
 *
 * All are non-blocking. What would have to wait is no error but told by the result: it is what happens all the time.
 */
import {
  AF_INET,
  AF_INET6,
  IPV6_V6ONLY,
  MSG_NOSIGNAL,
  SHUT_WR,
  SO_ERROR,
  SO_LINGER,
  SOCK_CLOEXEC,
  SOCK_DGRAM,
  SOCK_NONBLOCK,
  SOCK_STREAM,
  SOL_IPV6,
  SOL_SOCKET,
} from "../constants/socket.ts";
import { SYS } from "../constants/syscalls.ts";
import { type Descriptor, descriptorNumber, Fd } from "../fd.ts";
import { call, check, syscall } from "../syscall.ts";
import { decodeSocketAddress, encodeSocketAddress, type SocketAddress, socketAddressBytesMax } from "./address.ts";

const EINTR = 4;
const EAGAIN = 11;
const EPROTO = 71;
const ECONNABORTED = 103;
const EINPROGRESS = 115;
const ENETDOWN = 100;
const EHOSTUNREACH = 113;
const ENETUNREACH = 101;

/** `[::1]:80`, `127.0.0.1:80`: for errors. */
export function shownSocketAddress({ address, port }: SocketAddress): string {
  if (address.length === 4) return `${address.join(".")}:${port}`;
  const groups: string[] = [];
  for (let at = 0; at < 16; at += 2) groups.push(((address[at]! << 8) | address[at + 1]!).toString(16));
  return `[${groups.join(":").replace(/(?:^|:)0(?::0)+(?:$|:)/, "::")}]:${port}`;
}

function socket(family: number, type: number): Fd {
  const name = family === AF_INET ? "AF_INET" : "AF_INET6";
  return new Fd(call("socket", name, family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
}

function familyOf({ address }: SocketAddress): number {
  return address.length === 4 ? AF_INET : AF_INET6;
}

/** A TCP socket of the address's family. An IPv6 one is for IPv6 alone (IPV6_V6ONLY). */
export function streamSocket(address: SocketAddress): Fd {
  return ipv6Only(socket(familyOf(address), SOCK_STREAM), address);
}

/** A UDP socket, as `streamSocket`. */
export function datagramSocket(address: SocketAddress): Fd {
  return ipv6Only(socket(familyOf(address), SOCK_DGRAM), address);
}

function ipv6Only(fd: Fd, address: SocketAddress): Fd {
  if (familyOf(address) === AF_INET) return fd;
  try {
    setOption(fd, SOL_IPV6, IPV6_V6ONLY, 1);
    return fd;
  } catch (error) {
    fd.close();
    throw error;
  }
}

/** @throws SyscallError EADDRINUSE, EADDRNOTAVAIL, EACCES */
export function bind(fd: Descriptor, address: SocketAddress): void {
  const bytes = encodeSocketAddress(address);
  const result = syscall(SYS.bind, descriptorNumber(fd), bytes, bytes.length);
  if (result < 0) check("bind", result, shownSocketAddress(address));
}

/** @param backlog the kernel takes net.core.somaxconn where that is less. */
export function listen(fd: Descriptor, backlog: number): void {
  call("listen", undefined, descriptorNumber(fd), backlog);
}

export interface Accepted {
  fd: Fd;
  peer: SocketAddress;
}

/**
 * The next connection. Errors of the connection itself are passed over, as accept(2) advises.
 * @returns undefined when nobody waits.
 * @throws SyscallError EMFILE, ENFILE, ENOBUFS, ENOMEM: the connection stays in the queue.
 */
export function accept(listener: Descriptor): Accepted | undefined {
  const address = new Uint8Array(new ArrayBuffer(socketAddressBytesMax));
  const length = new Uint8Array(new Uint32Array([socketAddressBytesMax]).buffer);
  for (;;) {
    const number = acceptNumber(listener, address, length);
    if (number === -EAGAIN) return undefined;
    if (number >= 0) return { fd: new Fd(number), peer: decodeSocketAddress(address) };
    check("accept4", number);
  }
}

/** As `accept`, for a socket whose peers have no address: unix(7). */
export function acceptNameless(listener: Descriptor): Fd | undefined {
  const number = acceptNumber(listener, null, null);
  return number === -EAGAIN ? undefined : new Fd(check("accept4", number));
}

function acceptNumber(listener: Descriptor, address: Uint8Array | null, length: Uint8Array | null): number {
  for (;;) {
    const number = descriptorNumber(listener);
    const result = syscall(SYS.accept4, number, address, length, SOCK_NONBLOCK | SOCK_CLOEXEC);
    switch (-result) {
      case EINTR:
      case ECONNABORTED:
      case EPROTO:
      case ENETDOWN:
      case EHOSTUNREACH:
      case ENETUNREACH:
        continue;
      default:
        return result;
    }
  }
}

/**
 * Begins to connect. @returns whether that is done; otherwise the socket becomes writable when it is, and
 * `takeError` tells how it went.
 * @throws SyscallError ECONNREFUSED, ENETUNREACH, …, what is known at once.
 */
export function connect(fd: Descriptor, address: SocketAddress): boolean {
  const bytes = encodeSocketAddress(address);
  const result = syscall(SYS.connect, descriptorNumber(fd), bytes, bytes.length);
  // Interrupted, it goes on in the background like one in progress: connect(2).
  if (result === -EINPROGRESS || result === -EINTR) return false;
  if (result < 0) check("connect", result, shownSocketAddress(address));
  return true;
}

/** Ends one direction or both (SHUT_*). That the peer has gone already is no error. */
export function shutdown(fd: Descriptor, how: number = SHUT_WR): void {
  const ENOTCONN = 107;
  const result = syscall(SYS.shutdown, descriptorNumber(fd), how);
  if (result !== -ENOTCONN) check("shutdown", result);
}

/** Makes `close` abort a TCP connection: the peer gets a reset, and what was not sent yet is dropped (SO_LINGER of 0). */
export function resetOnClose(fd: Descriptor): void {
  const linger = new Uint8Array(new Int32Array([1, 0]).buffer);
  call("setsockopt", "SO_LINGER", descriptorNumber(fd), SOL_SOCKET, SO_LINGER, linger, linger.length);
}

/** Sets an option whose value is an int. */
export function setOption(fd: Descriptor, level: number, option: number, value: number): void {
  const bytes = new Uint8Array(new Int32Array([value]).buffer);
  call("setsockopt", `option ${level}.${option}`, descriptorNumber(fd), level, option, bytes, bytes.length);
}

/** An option whose value is an int. */
export function getOption(fd: Descriptor, level: number, option: number): number {
  const value = new Int32Array(new ArrayBuffer(4));
  const length = new Uint8Array(new Uint32Array([4]).buffer);
  const bytes = new Uint8Array(value.buffer);
  call("getsockopt", `option ${level}.${option}`, descriptorNumber(fd), level, option, bytes, length);
  return value[0]!;
}

/** Takes the error that waits on a socket, as a positive errno; 0 when there is none. */
export function takeError(fd: Descriptor): number {
  return getOption(fd, SOL_SOCKET, SO_ERROR);
}

/** What the socket is bound to. */
export function localAddress(fd: Descriptor): SocketAddress {
  const address = new Uint8Array(new ArrayBuffer(socketAddressBytesMax));
  const length = new Uint8Array(new Uint32Array([socketAddressBytesMax]).buffer);
  call("getsockname", undefined, descriptorNumber(fd), address, length);
  return decodeSocketAddress(address);
}

/**
 * recv(2) on a stream into `buffer`.
 * @returns how many bytes came; 0 at the end, undefined when there is nothing yet. @throws SyscallError ECONNRESET, …
 */
export function receive(fd: Descriptor, buffer: Uint8Array): number | undefined {
  return unlessBusy("recvfrom", fd, buffer, 0);
}

/** send(2) on a stream. @returns how many bytes were taken; undefined when there is no room. @throws SyscallError EPIPE, … */
export function send(fd: Descriptor, data: Uint8Array): number | undefined {
  return unlessBusy("sendto", fd, data, MSG_NOSIGNAL);
}

function unlessBusy(name: "recvfrom" | "sendto", fd: Descriptor, bytes: Uint8Array, flags: number): number | undefined {
  for (;;) {
    const result = syscall(SYS[name], descriptorNumber(fd), bytes, bytes.length, flags, null, null);
    if (result === -EAGAIN) return undefined;
    if (result !== -EINTR) return check(name, result);
  }
}
