import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { createSocket, type RemoteInfo, type Socket } from "node:dgram";
import { connect as connectTcp } from "node:net";
import { EPOLLIN, SO_REUSEADDR, SOL_SOCKET } from "../../../../ffi/constants/socket.ts";
import { Epoll } from "../../../../ffi/epoll.ts";
import type { Fd } from "../../../../ffi/fd.ts";
import { DatagramBuffer } from "../../../../ffi/socket/datagram.ts";
import {
  accept,
  bind,
  connect,
  datagramSocket,
  listen,
  setOption,
  streamSocket,
} from "../../../../ffi/socket/socket.ts";
import { Testbed } from "../../testbed.ts";
import { socketAddressOf } from "./endpoint.ts";
import type { HostSocket } from "./protocol.ts";
import { TestProxy } from "./testing/proxy-process.ts";
import { sessionsMax } from "./udp.ts";

const root = process.getuid?.() === 0;

describe.skipIf(!root)("tsd proxy", () => {
  let bed: Testbed;
  let proxy: TestProxy;
  const sockets: Socket[] = [];

  beforeEach(() => {
    bed = new Testbed();
    proxy = new TestProxy();
  });
  afterEach(async () => {
    for (const socket of sockets.splice(0)) socket.close();
    await proxy[Symbol.asyncDispose]();
    bed[Symbol.dispose]();
  });

  const bound = (address: string, port = 0): Promise<Socket> =>
    new Promise((resolve) => {
      const socket = createSocket(address.includes(":") ? "udp6" : "udp4");
      sockets.push(socket);
      socket.bind(port, address, () => resolve(socket));
    });
  /** A server in the place of a container, that answers each datagram. @returns its port. */
  const serve = async (answer: (data: Buffer, from: RemoteInfo) => string, address = "127.0.0.1"): Promise<number> => {
    const socket = await bound(address);
    socket.on("message", (data, from) => socket.send(answer(data, from), from.port, from.address));
    // About clients that were forgotten before they were answered.
    socket.on("error", () => undefined);
    return socket.address().port;
  };
  const message = (socket: Socket): Promise<[string, RemoteInfo]> =>
    new Promise((resolve) => socket.once("message", (data, from) => resolve([data.toString(), from])));
  const udp = (address: string, port: number, target?: [string, number]): HostSocket => ({
    transport: "udp",
    address,
    port,
    ...(target && { target: { address: target[0], port: target[1] } }),
  });
  const until = async (condition: () => Promise<boolean>): Promise<void> => {
    for (const end = Date.now() + 10_000; !(await condition()); await Bun.sleep(5)) {
      if (Date.now() > end) throw new Error("waited in vain");
    }
  };
  const connections = async (): Promise<number> => (await proxy.ask("status", {})).connections;

  test.each([
    ["0.0.0.0", "127.0.0.7", "127.0.0.1"],
    ["::", "::1", "::1"],
    ["::1", "::1", "127.0.0.1"],
  ])("answers for %s from the address that was asked, %s, for a container at %s", async (address, asked, target) => {
    const port = await serve((data) => `echo ${data}`, target);
    expect(await proxy.hold([udp(address, 5300, [target, port])])).toEqual([]);
    const client = await bound(asked.includes(":") ? "::1" : "127.0.0.1");
    for (const word of ["one", "two"]) {
      client.send(word, 5300, asked);
      const [text, from] = await message(client);
      expect([text, from.address, from.port]).toEqual([`echo ${word}`, asked, 5300]);
    }
    expect(await connections()).toBe(1);
  });

  test("keeps clients apart, each with a port of its own towards the container", async () => {
    const port = await serve((data, from) => `${data} ${from.port}`);
    await proxy.hold([udp("127.0.0.1", 5300, ["127.0.0.1", port])]);
    const clients = await Promise.all(Array.from({ length: 20 }, () => bound("127.0.0.1")));
    const answers = clients.map(message);
    for (const [n, client] of clients.entries()) client.send(`client ${n}`, 5300, "127.0.0.1");
    const said = (await Promise.all(answers)).map(([text]) => text);
    expect(said.map((text) => text.replace(/ \d+$/, ""))).toEqual(clients.map((_, n) => `client ${n}`));
    expect(new Set(said.map((text) => text.split(" ").at(-1))).size).toBe(20);
    await proxy.ask("drop", { names: ["udp 127.0.0.1 5300"] });
    expect(await connections()).toBe(0);
  });

  test("goes on after a datagram that nobody in the container took", async () => {
    const server = await bound("127.0.0.1");
    const { port } = server.address();
    server.close();
    sockets.splice(sockets.indexOf(server), 1);
    await proxy.hold([udp("127.0.0.1", 5300, ["127.0.0.1", port])]);
    const client = await bound("127.0.0.1");
    client.send("lost", 5300, "127.0.0.1");
    while ((await connections()) === 0) await Bun.sleep(1);
    const late = await bound("127.0.0.1", port);
    late.on("message", (data, from) => late.send(`late ${data}`, from.port, from.address));
    const answer = message(client);
    client.send("found", 5300, "127.0.0.1");
    expect((await answer)[0]).toBe("late found");
  });

  test("carries the largest datagram there can be", async () => {
    const port = await serve((data) => data.toString());
    await proxy.hold([udp("127.0.0.1", 5300, ["127.0.0.1", port])]);
    const client = await bound("127.0.0.1");
    const large = "x".repeat(65_507);
    client.send(large, 5300, "127.0.0.1");
    expect((await message(client))[0]).toBe(large);
  });

  test("forgets those that were never answered before those that were, when a flood comes", async () => {
    const port = await serve((_, from) => `you are ${from.port}`);
    await proxy.hold([udp("127.0.0.1", 5300, ["127.0.0.1", port])], [udp("127.0.0.1", 5301, ["127.0.0.1", 9])]);
    const client = await bound("127.0.0.1");
    client.send("first", 5300, "127.0.0.1");
    const [first] = await message(client);
    // Each from a port of its own, to a container's port where nobody is.
    const buffer = new DatagramBuffer();
    const target = socketAddressOf({ address: "127.0.0.1", port: 5301 });
    for (let n = 0; n < sessionsMax + 500; n++) {
      using fd = datagramSocket(target);
      bind(fd, { ...target, port: 10_000 + n });
      connect(fd, target);
      buffer.send(fd, Buffer.from("flood"), null);
      if (n % 500 === 0) await connections();
    }
    for (const end = Date.now() + 10_000; (await connections()) < sessionsMax && Date.now() < end; ) await Bun.sleep(1);
    const second = message(client);
    client.send("second", 5300, "127.0.0.1");
    // Towards the container it is still who it was.
    expect((await second)[0]).toBe(first);
    expect(await connections()).toBe(sessionsMax);
  }, 20_000);

  test("a port with as many answered clients as there may be does not keep another's from being answered", async () => {
    const busy = await serve(() => "busy");
    const slow = await bound("127.0.0.1");
    const { port } = slow.address();
    await proxy.hold([udp("127.0.0.1", 5300, ["127.0.0.1", busy])], [udp("127.0.0.1", 5301, ["127.0.0.1", port])]);
    const target = socketAddressOf({ address: "127.0.0.1", port: 5300 });
    const buffer = new DatagramBuffer();
    const flood = async (from: number, count: number): Promise<void> => {
      for (let n = from; n < from + count; n++) {
        using fd = datagramSocket(target);
        bind(fd, { ...target, port: 10_000 + n });
        connect(fd, target);
        buffer.send(fd, Buffer.from("flood"), null);
        // Until it was answered.
        if (n % 100 === 0) await Bun.sleep(2);
      }
    };
    await flood(0, sessionsMax + 200);
    await until(async () => (await connections()) === sessionsMax);
    const client = await bound("127.0.0.1");
    const asked = message(slow);
    client.send("slow", 5301, "127.0.0.1");
    const [, from] = await asked;
    await flood(sessionsMax + 200, 500);
    const answer = message(client);
    slow.send("answer", from.port, from.address);
    expect((await answer)[0]).toBe("answer");
  }, 30_000);

  test("reserves ports: nobody else gets them, not even who would share, and nobody listens there", async () => {
    const group: HostSocket[] = [
      { transport: "tcp", address: "0.0.0.0", port: 8080 },
      { transport: "tcp", address: "::", port: 8080 },
      udp("0.0.0.0", 8080),
      { transport: "sctp", address: "0.0.0.0", port: 8080 },
    ];
    expect(await proxy.hold(group)).toEqual([]);
    // Once more is as once.
    expect(await proxy.hold(group)).toEqual([]);
    expect((await proxy.ask("status", {})).sockets).toBe(4);
    for (const [make, address] of [
      [streamSocket, "0.0.0.0"],
      [streamSocket, "127.0.0.1"],
      [streamSocket, "::1"],
      [datagramSocket, "127.0.0.1"],
    ] as const) {
      const wanted = socketAddressOf({ address, port: 8080 });
      using fd = make(wanted);
      setOption(fd, SOL_SOCKET, SO_REUSEADDR, 1);
      expect(() => bind(fd, wanted)).toThrow("EADDRINUSE");
    }
    await proxy.ask("replace", { groups: [group.slice(1, 2)] });
    expect((await proxy.ask("status", {})).sockets).toBe(1);
    using free = streamSocket(socketAddressOf({ address: "127.0.0.1", port: 8080 }));
    bind(free, socketAddressOf({ address: "127.0.0.1", port: 8080 }));
  });

  test.each([
    ["server", 8080, 8081],
    ["client", 8081, 8080],
  ])("reserves a port whose %s has just ended, although its connections still count", async (_, server, client) => {
    const address = socketAddressOf({ address: "127.0.0.1", port: 8080 });
    leaveTimeWait(server, client);
    using strict = streamSocket(address);
    expect(() => bind(strict, address)).toThrow("EADDRINUSE");
    expect(await proxy.hold([{ transport: "tcp", address: "0.0.0.0", port: 8080 }])).toEqual([]);
    using lax = streamSocket(address);
    setOption(lax, SOL_SOCKET, SO_REUSEADDR, 1);
    expect(() => bind(lax, address)).toThrow("EADDRINUSE");
    const code = await new Promise<string>((resolve) => {
      const client = connectTcp({ host: "127.0.0.1", port: 8080 }, () => resolve("connected"));
      client.once("error", (error: NodeJS.ErrnoException) => resolve(error.code!));
    });
    expect(code).toBe("ECONNREFUSED");
  });

  test("holds all of a group or nothing, and says of each group what was in the way", async () => {
    using taken = streamSocket(socketAddressOf({ address: "127.0.0.1", port: 8081 }));
    bind(taken, socketAddressOf({ address: "127.0.0.1", port: 8081 }));
    listen(taken, 1);
    const tcp = (address: string, port: number): HostSocket => ({ transport: "tcp", address, port });
    const refused = await proxy.hold(
      [tcp("::", 8081), tcp("0.0.0.0", 8081)],
      [tcp("0.0.0.0", 8082)],
      [tcp("198.51.100.9", 8083)],
      [{ ...tcp("127.0.0.1", 8084), transport: "sctp", target: { address: "127.0.0.1", port: 1 } }],
    );
    expect(refused.map(({ group, errno, socket: { address } }) => [group, errno, address])).toEqual([
      [0, "EADDRINUSE", "0.0.0.0"],
      [2, "EADDRNOTAVAIL", "198.51.100.9"],
      [3, "unsupported", "127.0.0.1"],
    ]);
    expect((await proxy.ask("status", {})).sockets).toBe(1);
  });
});

/** A connection between those ports, of which the one at port 8080 has been closed first. */
function leaveTimeWait(serverPort: number, clientPort: number): void {
  const at = (port: number) => socketAddressOf({ address: "127.0.0.1", port });
  const wait = (fd: Fd): void => {
    using epoll = new Epoll();
    epoll.add(fd, EPOLLIN, 1);
    expect(epoll.wait(5_000)).toBe(1);
  };
  using listener = streamSocket(at(serverPort));
  using client = streamSocket(at(clientPort));
  for (const [fd, port] of [
    [listener, serverPort],
    [client, clientPort],
  ] as const) {
    setOption(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    bind(fd, at(port));
  }
  listen(listener, 1);
  connect(client, at(serverPort));
  wait(listener);
  using server = accept(listener)!.fd;
  const [first, second] = serverPort === 8080 ? [server, client] : [client, server];
  first.close();
  wait(second);
}
