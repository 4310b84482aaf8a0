/**
 * Datagrams with the addresses that they came from and were sent to: recvmsg(2), sendmsg(2), IP_PKTINFO of ip(7),
 * IPV6_PKTINFO of ipv6(7). Who answers from the address that was asked has to know it, on a socket bound to all.
 */
import {
  IP_PKTINFO,
  IPV6_PKTINFO,
  IPV6_RECVPKTINFO,
  MSG_DONTWAIT,
  MSG_NOSIGNAL,
  MSG_TRUNC,
  SOL_IP,
  SOL_IPV6,
} from "../constants/socket.ts";
import { SYS } from "../constants/syscalls.ts";
import { type Descriptor, descriptorNumber } from "../fd.ts";
import { addressOf, check, syscall } from "../syscall.ts";
import { setOption } from "./socket.ts";

const EINTR = 4;
const EAGAIN = 11;

/** struct msghdr and struct cmsghdr of 64 bits. */
const headerBytes = 56;
const controlHeaderBytes = 16;
const controlBytes = 64;
const nameBytes = 28;
/** struct in_pktinfo: interface, the local address, the header's destination; struct in6_pktinfo: address, interface. */
const ipv4InfoBytes = 12;
const ipv6InfoBytes = 20;

/** The most that UDP carries, and a byte that tells what is longer. */
const payloadBytesMax = 65_536;

/** Has the kernel tell with each datagram the address that it was sent to. */
export function tellDestinations(fd: Descriptor, isIpv6: boolean): void {
  if (isIpv6) setOption(fd, SOL_IPV6, IPV6_RECVPKTINFO, 1);
  else setOption(fd, SOL_IP, IP_PKTINFO, 1);
}

/** The local end of a datagram. */
export interface LocalEnd {
  /** 4 or 16 bytes. */
  address: Uint8Array;
  /** The interface by which it came, by its index. */
  interfaceIndex: number;
}

/** Buffers for receiving and sending datagrams one after another, on any number of sockets of one thread. */
export class DatagramBuffer {
  readonly #header = new Uint8Array(new ArrayBuffer(headerBytes));
  readonly #headerView = new DataView(this.#header.buffer);
  readonly #vector = new Uint8Array(new ArrayBuffer(16));
  readonly #vectorView = new DataView(this.#vector.buffer);
  readonly #control = new Uint8Array(new ArrayBuffer(controlBytes));
  readonly #controlView = new DataView(this.#control.buffer);
  readonly #name = new Uint8Array(new ArrayBuffer(nameBytes));
  readonly #payload: Uint8Array;
  readonly #addresses: { name: bigint; control: bigint; payload: bigint };
  #length = 0;
  #nameLength = 0;
  #controlLength = 0;

  /** @param bytesMax what is longer is cut off. */
  constructor(bytesMax = payloadBytesMax) {
    this.#payload = new Uint8Array(new ArrayBuffer(bytesMax));
    this.#addresses = {
      name: BigInt(addressOf(this.#name)),
      control: BigInt(addressOf(this.#control)),
      payload: BigInt(addressOf(this.#payload)),
    };
    this.#headerView.setBigUint64(16, BigInt(addressOf(this.#vector)), true);
    this.#headerView.setBigUint64(24, 1n, true);
  }

  /**
   * Receives a datagram, which `data`, `source` and `destination` tell of until the next call.
   * @returns false when none waits.
   * @throws SyscallError also what became of one that was sent before: ECONNREFUSED, EHOSTUNREACH.
   */
  receive(fd: Descriptor): boolean {
    const view = this.#headerView;
    view.setBigUint64(0, this.#addresses.name, true);
    view.setUint32(8, nameBytes, true);
    view.setBigUint64(32, this.#addresses.control, true);
    view.setBigUint64(40, BigInt(controlBytes), true);
    this.#vectorView.setBigUint64(0, this.#addresses.payload, true);
    this.#vectorView.setBigUint64(8, BigInt(this.#payload.length), true);
    const result = this.#call(SYS.recvmsg, fd, MSG_DONTWAIT);
    if (result === -EAGAIN) return false;
    this.#length = check("recvmsg", result);
    this.#nameLength = view.getUint32(8, true);
    this.#controlLength = Number(view.getBigUint64(40, true));
    return true;
  }

  /** The payload: a view that the next `receive` overwrites. */
  get data(): Uint8Array {
    return this.#payload.subarray(0, this.#length);
  }

  /** More came than there was room for. */
  get wasCut(): boolean {
    return (this.#headerView.getInt32(48, true) & MSG_TRUNC) !== 0;
  }

  /** A sockaddr (`decodeSocketAddress`), as `send` takes it: a view that the next `receive` overwrites. */
  get source(): Uint8Array {
    return this.#name.subarray(0, this.#nameLength);
  }

  /** A copy; undefined without `tellDestinations`. */
  get destination(): LocalEnd | undefined {
    const view = this.#controlView;
    for (let at = 0; at + controlHeaderBytes <= this.#controlLength; ) {
      const size = Number(view.getBigUint64(at, true));
      if (size < controlHeaderBytes) return undefined;
      const [level, type] = [view.getInt32(at + 8, true), view.getInt32(at + 12, true)];
      const body = at + controlHeaderBytes;
      if (level === SOL_IP && type === IP_PKTINFO) {
        return { interfaceIndex: view.getInt32(body, true), address: this.#control.slice(body + 4, body + 8) };
      }
      if (level === SOL_IPV6 && type === IPV6_PKTINFO) {
        return { address: this.#control.slice(body, body + 16), interfaceIndex: view.getInt32(body + 16, true) };
      }
      at += (size + 7) & ~7;
    }
    return undefined;
  }

  /**
   * Sends a datagram.
   * @param to a sockaddr; null on a connected socket.
   * @param from the local address that it comes from, where the socket is bound to all.
   * @returns false when there is no room for it: it is lost, as a datagram may be.
   * @throws SyscallError ECONNREFUSED, EHOSTUNREACH, EMSGSIZE, …
   */
  send(fd: Descriptor, data: Uint8Array, to: Uint8Array | null, from?: LocalEnd): boolean {
    const view = this.#headerView;
    view.setBigUint64(0, to === null ? 0n : BigInt(addressOf(to)), true);
    view.setUint32(8, to?.length ?? 0, true);
    const control = from === undefined ? 0 : this.#writeControl(from);
    view.setBigUint64(32, control === 0 ? 0n : this.#addresses.control, true);
    view.setBigUint64(40, BigInt(control), true);
    this.#vectorView.setBigUint64(0, BigInt(addressOf(data)), true);
    this.#vectorView.setBigUint64(8, BigInt(data.length), true);
    const result = this.#call(SYS.sendmsg, fd, MSG_DONTWAIT | MSG_NOSIGNAL);
    // Still referred to: neither was collected during the call.
    if (result === -EAGAIN) return data.length + (to?.length ?? 0) < 0;
    check("sendmsg", result);
    return true;
  }

  /** @returns its length. */
  #writeControl({ address, interfaceIndex }: LocalEnd): number {
    const isIpv4 = address.length === 4;
    const body = isIpv4 ? ipv4InfoBytes : ipv6InfoBytes;
    const view = this.#controlView;
    this.#control.fill(0);
    view.setBigUint64(0, BigInt(controlHeaderBytes + body), true);
    view.setInt32(8, isIpv4 ? SOL_IP : SOL_IPV6, true);
    view.setInt32(12, isIpv4 ? IP_PKTINFO : IPV6_PKTINFO, true);
    if (isIpv4) {
      // Not the interface: the way back may be by another.
      this.#control.set(address, controlHeaderBytes + 4);
    } else {
      this.#control.set(address, controlHeaderBytes);
      // fe80::/10 means nothing without its interface.
      const isLinkLocal = address[0] === 0xfe && (address[1]! & 0xc0) === 0x80;
      if (isLinkLocal) view.setInt32(controlHeaderBytes + 16, interfaceIndex, true);
    }
    return (controlHeaderBytes + body + 7) & ~7;
  }

  #call(number: number, fd: Descriptor, flags: number): number {
    for (;;) {
      const result = syscall(number, descriptorNumber(fd), this.#header, flags);
      if (result !== -EINTR) return result;
    }
  }
}
