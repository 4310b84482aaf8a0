/** Unix sockets that carry descriptors: unix(7), SCM_RIGHTS. */

import { O_DIRECTORY, O_PATH } from "./constants/open.ts";
import { type Descriptor, descriptorNumber, Fd } from "./fd.ts";
import { open } from "./files.ts";
import { basename, dirname } from "./path.ts";
import { addressOf, call } from "./syscall.ts";

const AF_UNIX = 1;
const SOCK_STREAM = 1;
const SOCK_DGRAM = 2;
const SOCK_SEQPACKET = 5;
const SOCK_CLOEXEC = 0o2000000;
const SOCK_NONBLOCK = 0o4000;
const SOL_SOCKET = 1;
const SCM_RIGHTS = 1;
const MSG_CTRUNC = 0x08;
const MSG_NOSIGNAL = 0x4000;
const MSG_CMSG_CLOEXEC = 0x40000000;

/** sizeof(sun_path), with its NUL. */
const socketPathBytesMax = 108;
const messageHeaderBytes = 56;
const controlHeaderBytes = 16;
/** SCM_MAX_FD. */
const descriptorsMax = 253;

/** Connects to a Unix stream socket. Paths that do not fit into sun_path are reached through their directory. */
export function connectUnix(path: string): Fd {
  using socket = new Fd(call("socket", "AF_UNIX", AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  withSocketAddress(path, (address) => call("connect", path, socket.number, address, address.length));
  return socket.move();
}

/** Connects to a socket that has no file but a name of Linux's own: unix(7), "Abstract sockets". */
export function connectAbstractUnix(name: string): Fd {
  const bytes = Buffer.from(name);
  if (bytes.length >= socketPathBytesMax) throw new TypeError(`socket name ${name}: too long`);
  // Every byte of it counts: there is no NUL at the end, as there is after a path.
  const address = socketAddress(Buffer.concat([Uint8Array.of(0), bytes])).subarray(0, 3 + bytes.length);
  using socket = new Fd(call("socket", "AF_UNIX", AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  call("connect", `@${name}`, socket.number, address, address.length);
  return socket.move();
}

/** Makes a Unix stream socket that listens at `path`, which must not exist. */
export function listenUnix(path: string, backlog = 16): Fd {
  using socket = new Fd(call("socket", "AF_UNIX", AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  withSocketAddress(path, (address) => call("bind", path, socket.number, address, address.length));
  call("listen", path, socket.number, backlog);
  return socket.move();
}

/** Makes a Unix datagram socket at `path`, which must not exist. */
export function bindDatagram(path: string): Fd {
  using socket = new Fd(call("socket", "AF_UNIX", AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  withSocketAddress(path, (address) => call("bind", path, socket.number, address, address.length));
  return socket.move();
}

/** Connects a Unix datagram socket, non-blocking, to the one at `path`. */
export function connectDatagram(path: string): Fd {
  using socket = new Fd(call("socket", "AF_UNIX", AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  withSocketAddress(path, (address) => call("connect", path, socket.number, address, address.length));
  return socket.move();
}

/** Waits for a connection. The thread stands still. */
export function acceptUnix(listener: Descriptor): Fd {
  return new Fd(call("accept4", undefined, descriptorNumber(listener), null, null, SOCK_CLOEXEC));
}

/** Two connected Unix stream sockets. */
export function socketPair(): [Fd, Fd] {
  return connectedPair(SOCK_STREAM);
}

/** Two connected Unix sockets that keep messages apart, and tell when the other side has closed. */
export function packetSocketPair(): [Fd, Fd] {
  return connectedPair(SOCK_SEQPACKET);
}

function connectedPair(type: number): [Fd, Fd] {
  const pair = new Int32Array(2);
  call("socketpair", "AF_UNIX", AF_UNIX, type | SOCK_CLOEXEC, 0, new Uint8Array(pair.buffer));
  return [new Fd(pair[0]!), new Fd(pair[1]!)];
}

function withSocketAddress(path: string, use: (address: Uint8Array) => number): number {
  const bytes = Buffer.from(path);
  if (bytes.includes(0)) throw new TypeError(`socket path ${JSON.stringify(path)} contains a NUL`);
  if (bytes.length < socketPathBytesMax) return use(socketAddress(bytes));
  using directory = open(dirname(path), O_PATH | O_DIRECTORY);
  const short = Buffer.from(`/proc/self/fd/${directory.number}/${basename(path)}`);
  if (short.length >= socketPathBytesMax) throw new TypeError(`socket path ${path}: the file's name is too long`);
  return use(socketAddress(short));
}

function socketAddress(path: Uint8Array): Uint8Array {
  const address = new Uint8Array(2 + path.length + 1);
  address[0] = AF_UNIX;
  address.set(path, 2);
  return address;
}

/**
 * Sends descriptors with `data`, which must not be empty: a stream socket drops ancillary data that comes alone.
 * They stay open here.
 */
export function sendDescriptors(socket: Descriptor, data: Uint8Array | string, descriptors: Descriptor[]): void {
  const payload = Buffer.from(data);
  if (payload.length === 0) throw new TypeError("descriptors need at least one byte to travel with");
  sendMessage(socket, payload, descriptors);
}

/** Sends a descriptor in an empty datagram. It stays open here. @throws SyscallError EAGAIN when there is no room. */
export function sendDescriptorAlone(socket: Descriptor, descriptor: Descriptor): void {
  sendMessage(socket, new Uint8Array(0), [descriptor]);
}

function sendMessage(socket: Descriptor, payload: Uint8Array, descriptors: Descriptor[]): void {
  const control = new Uint8Array(align(controlHeaderBytes + 4 * descriptors.length));
  const view = new DataView(control.buffer);
  view.setBigUint64(0, BigInt(controlHeaderBytes + 4 * descriptors.length), true);
  view.setInt32(8, SOL_SOCKET, true);
  view.setInt32(12, SCM_RIGHTS, true);
  descriptors.forEach((descriptor, index) => {
    view.setInt32(controlHeaderBytes + 4 * index, descriptorNumber(descriptor), true);
  });
  const message = messageHeader(payload, control);
  const sent = call("sendmsg", undefined, descriptorNumber(socket), message.header, MSG_NOSIGNAL);
  if (sent !== payload.length) throw new Error(`sendmsg took ${sent} of ${payload.length} bytes`);
  message.keep();
}

export interface ReceivedDescriptors {
  /** Empty when the other side has closed. */
  data: Uint8Array;
  descriptors: Fd[];
}

/** Receives up to `bytesMax` bytes and the descriptors that came with them. The thread stands still until some arrive. */
export function receiveDescriptors(socket: Descriptor, bytesMax = 4096): ReceivedDescriptors {
  const payload = new Uint8Array(bytesMax);
  const control = new Uint8Array(align(controlHeaderBytes + 4 * descriptorsMax));
  const message = messageHeader(payload, control);
  const length = call("recvmsg", undefined, descriptorNumber(socket), message.header, MSG_CMSG_CLOEXEC);
  const received = { data: payload.subarray(0, length), descriptors: readControl(control, message.controlLength()) };
  if (message.flags() & MSG_CTRUNC) {
    for (const descriptor of received.descriptors) descriptor.close();
    throw new Error("recvmsg: the kernel dropped descriptors: too many, or this process has too many open");
  }
  message.keep();
  return received;
}

function readControl(control: Uint8Array, length: number): Fd[] {
  const view = new DataView(control.buffer, 0, length);
  const descriptors: Fd[] = [];
  for (let at = 0; at + controlHeaderBytes <= length; ) {
    const size = Number(view.getBigUint64(at, true));
    if (size < controlHeaderBytes) break;
    if (view.getInt32(at + 8, true) === SOL_SOCKET && view.getInt32(at + 12, true) === SCM_RIGHTS) {
      for (let entry = at + controlHeaderBytes; entry + 4 <= at + size; entry += 4) {
        descriptors.push(new Fd(view.getInt32(entry, true)));
      }
    }
    at += align(size);
  }
  return descriptors;
}

/** CMSG_ALIGN: to the size of a long. */
function align(size: number): number {
  return (size + 7) & ~7;
}

/** struct msghdr over one buffer. `keep` is called after the call, so that nothing it points to is collected before. */
function messageHeader(payload: Uint8Array, control: Uint8Array) {
  const header = new Uint8Array(messageHeaderBytes);
  const vector = new Uint8Array(16);
  const view = new DataView(header.buffer);
  const vectorView = new DataView(vector.buffer);
  vectorView.setBigUint64(0, BigInt(addressOf(payload)), true);
  vectorView.setBigUint64(8, BigInt(payload.length), true);
  view.setBigUint64(16, BigInt(addressOf(vector)), true);
  view.setBigUint64(24, 1n, true);
  view.setBigUint64(32, BigInt(addressOf(control)), true);
  view.setBigUint64(40, BigInt(control.length), true);
  return {
    header,
    controlLength: () => Number(view.getBigUint64(40, true)),
    flags: () => view.getInt32(48, true),
    keep: () => payload.length + vector.length + control.length,
  };
}
