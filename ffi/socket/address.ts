/** struct sockaddr_in and sockaddr_in6: ip(7), ipv6(7). */
import { AF_INET, AF_INET6 } from "../constants/socket.ts";

export interface SocketAddress {
  /** 4 or 16 bytes in network order. */
  address: Uint8Array;
  port: number;
  /** The interface that a link-local IPv6 address belongs to, by its index; else 0. */
  scope?: number;
}

const ipv4Bytes = 16;
const ipv6Bytes = 28;
/** Room for either. */
export const socketAddressBytesMax: number = ipv6Bytes;

export function encodeSocketAddress({ address, port, scope = 0 }: SocketAddress): Uint8Array {
  const isIpv4 = address.length === 4;
  if (!isIpv4 && address.length !== 16) throw new RangeError(`an IP address has 4 or 16 bytes, not ${address.length}`);
  const bytes = new Uint8Array(new ArrayBuffer(isIpv4 ? ipv4Bytes : ipv6Bytes));
  const view = new DataView(bytes.buffer);
  view.setUint16(0, isIpv4 ? AF_INET : AF_INET6, true);
  view.setUint16(2, port, false);
  bytes.set(address, isIpv4 ? 4 : 8);
  if (!isIpv4) view.setUint32(24, scope, true);
  return bytes;
}

/** @throws RangeError for an address of another family. */
export function decodeSocketAddress(bytes: Uint8Array): SocketAddress {
  const family = bytes[0]! | (bytes[1]! << 8);
  const port = (bytes[2]! << 8) | bytes[3]!;
  if (family === AF_INET) return { address: bytes.slice(4, 8), port };
  if (family !== AF_INET6) throw new RangeError(`address family ${family} is not an IP address's`);
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  return { address: bytes.slice(8, 24), port, scope: view.getUint32(24, true) };
}
