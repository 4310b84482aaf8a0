import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { EPOLLIN, EPOLLOUT, SHUT_WR } from "../constants/socket.ts";
import { Epoll } from "../epoll.ts";
import type { Fd } from "../fd.ts";
import { pipe2 } from "../files.ts";
import { splice } from "../splice.ts";
import { decodeSocketAddress, encodeSocketAddress, type SocketAddress } from "./address.ts";
import { DatagramBuffer, tellDestinations } from "./datagram.ts";
import {
  accept,
  bind,
  connect,
  datagramSocket,
  listen,
  localAddress,
  receive,
  resetOnClose,
  send,
  shownSocketAddress,
  shutdown,
  streamSocket,
  takeError,
} from "./socket.ts";

const ipv4 = (text: string, port = 0): SocketAddress => ({ address: Uint8Array.from(text.split("."), Number), port });
const loopback6 = (port = 0): SocketAddress => ({ address: new Uint8Array(16).fill(1, 15), port });
const families: [string, (port?: number) => SocketAddress][] = [
  ["IPv4", (port) => ipv4("127.0.0.1", port)],
  ["IPv6", loopback6],
];

describe("socket addresses", () => {
  test("are encoded as the kernel has them, and shown as people write them", () => {
    const web = encodeSocketAddress(ipv4("192.0.2.7", 80));
    expect(web.toHex()).toBe("02000050c00002070000000000000000");
    expect(decodeSocketAddress(web)).toEqual(ipv4("192.0.2.7", 80));
    const local = { address: Uint8Array.fromHex("fe800000000000000042acfffe1c0002"), port: 8080, scope: 3 };
    expect(decodeSocketAddress(encodeSocketAddress(local))).toEqual(local);
    expect(shownSocketAddress(local)).toBe("[fe80::42:acff:fe1c:2]:8080");
    expect(shownSocketAddress(loopback6(1))).toBe("[::1]:1");
    expect(shownSocketAddress({ address: new Uint8Array(16), port: 53 })).toBe("[::]:53");
    expect(() => encodeSocketAddress({ address: new Uint8Array(5), port: 1 })).toThrow("4 or 16 bytes");
    expect(() => decodeSocketAddress(new Uint8Array(28).fill(1, 0, 1))).toThrow("address family 1");
  });
});

describe.each(families)("sockets of %s", (_, loopback) => {
  const open: Fd[] = [];
  let epoll: Epoll;
  const kept = (fd: Fd): Fd => {
    open.push(fd);
    return fd;
  };
  beforeEach(() => {
    epoll = new Epoll(4);
  });
  afterEach(() => {
    for (const fd of open.splice(0)) fd.close();
    epoll[Symbol.dispose]();
  });
  const until = (fd: Fd, events: number): number => {
    epoll.add(fd, events, 7);
    try {
      expect(epoll.wait(5_000)).toBe(1);
      expect(epoll.token(0)).toBe(7);
      return epoll.events(0);
    } finally {
      epoll.remove(fd);
    }
  };
  const listener = (): Fd => {
    const fd = kept(streamSocket(loopback()));
    bind(fd, loopback());
    listen(fd, 8);
    return fd;
  };
  const pair = (): { client: Fd; server: Fd } => {
    const listening = listener();
    const client = kept(streamSocket(loopback()));
    if (!connect(client, localAddress(listening))) until(client, EPOLLOUT);
    expect(takeError(client)).toBe(0);
    until(listening, EPOLLIN);
    const accepted = accept(listening)!;
    kept(accepted.fd);
    expect(accepted.peer).toEqual(localAddress(client));
    return { client, server: accepted.fd };
  };

  test("connect, carry bytes, end one direction, and tell what would have to wait without an error", () => {
    expect(accept(listener())).toBeUndefined();
    const { client, server } = pair();
    const buffer = new Uint8Array(100);
    expect(receive(server, buffer)).toBeUndefined();
    expect(send(client, Buffer.from("to the server"))).toBe(13);
    until(server, EPOLLIN);
    expect(Buffer.from(buffer.subarray(0, receive(server, buffer))).toString()).toBe("to the server");
    shutdown(client, SHUT_WR);
    until(server, EPOLLIN);
    expect(receive(server, buffer)).toBe(0);
    expect(send(server, Buffer.from("back"))).toBe(4);
    until(client, EPOLLIN);
    expect(receive(client, buffer)).toBe(4);
    let sent = 0;
    for (let some = 0; some !== undefined; some = send(server, new Uint8Array(65_536)) as number) sent += some;
    expect(sent).toBeGreaterThan(65_535);
  });

  test("are refused, reset, and in use, each by its name", () => {
    const listening = listener();
    expect(() => bind(kept(streamSocket(loopback())), localAddress(listening))).toThrow("EADDRINUSE");
    const gone = localAddress(listening);
    listening.close();
    const client = kept(streamSocket(loopback()));
    expect(() => {
      if (!connect(client, gone)) until(client, EPOLLOUT);
      if (takeError(client) === 111) throw new Error("ECONNREFUSED");
    }).toThrow("ECONNREFUSED");
    const { client: other, server } = pair();
    resetOnClose(server);
    server.close();
    until(other, EPOLLIN);
    expect(() => receive(other, new Uint8Array(1))).toThrow("ECONNRESET");
  });

  test("are spliced through a pipe, to the end of what comes", () => {
    const { client, server } = pair();
    const { reader, writer } = pipe2();
    kept(reader);
    kept(writer);
    expect(splice(server, writer, 65_536)).toBeUndefined();
    send(client, Buffer.from("echo"));
    until(server, EPOLLIN);
    expect(splice(server, writer, 65_536)).toBe(4);
    expect(splice(reader, server, 65_536)).toBe(4);
    until(client, EPOLLIN);
    const buffer = new Uint8Array(10);
    expect(receive(client, buffer)).toBe(4);
    expect(Buffer.from(buffer.subarray(0, 4)).toString()).toBe("echo");
    shutdown(client);
    until(server, EPOLLIN);
    expect(splice(server, writer, 65_536)).toBe(0);
  });

  test("receive datagrams with where they came from and went to, and answer from there", () => {
    const any = { address: new Uint8Array(loopback().address.length), port: 0 };
    const server = kept(datagramSocket(any));
    tellDestinations(server, any.address.length === 16);
    bind(server, any);
    const { port } = localAddress(server);
    const client = kept(datagramSocket(loopback()));
    // Of all of 127/8, which the host has, this one is not what it would choose by itself.
    const asked = any.address.length === 4 ? ipv4("127.0.0.53", port) : loopback6(port);
    connect(client, asked);
    const buffer = new DatagramBuffer();
    expect(buffer.receive(server)).toBe(false);
    expect(buffer.send(client, Buffer.from("question"), null)).toBe(true);
    until(server, EPOLLIN);
    expect(buffer.receive(server)).toBe(true);
    expect(Buffer.from(buffer.data).toString()).toBe("question");
    expect(decodeSocketAddress(buffer.source)).toEqual(localAddress(client));
    const { destination } = buffer;
    expect(destination).toEqual({ address: asked.address, interfaceIndex: 1 });
    expect(buffer.send(server, Buffer.from("answer"), buffer.source, destination)).toBe(true);
    until(client, EPOLLIN);
    expect(buffer.receive(client)).toBe(true);
    expect(Buffer.from(buffer.data).toString()).toBe("answer");
    expect(decodeSocketAddress(buffer.source)).toMatchObject(asked);
  });

  test("tell of a datagram that is longer than the buffer, and of one that nobody took", () => {
    const server = kept(datagramSocket(loopback()));
    bind(server, loopback());
    const client = kept(datagramSocket(loopback()));
    connect(client, localAddress(server));
    const short = new DatagramBuffer(8);
    short.send(client, new Uint8Array(9), null);
    until(server, EPOLLIN);
    expect(short.receive(server)).toBe(true);
    expect({ length: short.data.length, wasCut: short.wasCut }).toEqual({ length: 8, wasCut: true });
    server.close();
    short.send(client, new Uint8Array(1), null);
    until(client, EPOLLIN);
    expect(() => short.receive(client)).toThrow("ECONNREFUSED");
  });
});

test("an epoll set forgets what is removed, and waits no longer than told", () => {
  using epoll = new Epoll();
  const { reader, writer } = pipe2();
  using _reader = reader;
  using _writer = writer;
  epoll.add(reader, EPOLLIN, 0xffff_ffff);
  expect(epoll.wait(0)).toBe(0);
  expect(() => epoll.add(reader, EPOLLIN, 1)).toThrow("EEXIST");
  epoll.modify(reader, 0, 1);
  epoll.remove(reader);
  expect(() => epoll.remove(reader)).toThrow("ENOENT");
  const before = performance.now();
  expect(epoll.wait(20)).toBe(0);
  expect(performance.now() - before).toBeGreaterThanOrEqual(19);
});
