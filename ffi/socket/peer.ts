/** Who is at the other end of a Unix socket: unix(7), socket(7). */
import { AF_UNIX, SO_COOKIE, SO_PEERCRED, SOL_SOCKET } from "../constants/socket.ts";
import { SYS } from "../constants/syscalls.ts";
import { type Descriptor, descriptorNumber } from "../fd.ts";
import { call, check, syscall } from "../syscall.ts";
import { decodeText } from "../text.ts";

const EBADF = 9;
const ENOTSOCK = 88;
/** struct sockaddr_un: the family and 108 bytes of a path. */
const unixAddressBytes = 110;

export interface PeerCredentials {
  /** 0 when it is in no pid namespace that this process sees. */
  pid: number;
  uid: number;
  gid: number;
}

/** Of who connected, at that time; of a listening socket: its owner's. @throws SyscallError when it is no socket. */
export function peerCredentials(fd: Descriptor): PeerCredentials {
  const value = new Int32Array(new ArrayBuffer(12));
  const length = new Uint8Array(new Uint32Array([value.byteLength]).buffer);
  const bytes = new Uint8Array(value.buffer);
  call("getsockopt", "SO_PEERCRED", descriptorNumber(fd), SOL_SOCKET, SO_PEERCRED, bytes, length);
  return { pid: value[0]!, uid: value[1]! >>> 0, gid: value[2]! >>> 0 };
}

/** A number that no other socket of this network namespace ever has. @returns undefined for what is no open socket. */
export function socketCookie(fd: number): bigint | undefined {
  const value = new BigUint64Array(new ArrayBuffer(8));
  const length = new Uint8Array(new Uint32Array([value.byteLength]).buffer);
  const bytes = new Uint8Array(value.buffer);
  const result = syscall(SYS.getsockopt, fd, SOL_SOCKET, SO_COOKIE, bytes, length);
  if (result === -EBADF || result === -ENOTSOCK) return undefined;
  check("getsockopt", result, "SO_COOKIE");
  return value[0]!;
}

/** The path that a Unix socket, or the one that accepted it, is bound to. @returns undefined for any other socket. */
export function unixSocketPath(fd: Descriptor): string | undefined {
  const address = new Uint8Array(new ArrayBuffer(unixAddressBytes));
  const length = new Uint8Array(new Uint32Array([address.byteLength]).buffer);
  call("getsockname", undefined, descriptorNumber(fd), address, length);
  if ((address[0]! | (address[1]! << 8)) !== AF_UNIX || address[2] === 0) return undefined;
  const end = address.indexOf(0, 2);
  return decodeText(address.subarray(2, end < 0 ? address.length : end));
}
