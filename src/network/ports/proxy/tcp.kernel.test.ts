import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { connect, createServer, type Server, type Socket } from "node:net";
import { run, Testbed } from "../../testbed.ts";
import { TestProxy } from "./testing/proxy-process.ts";

const root = process.getuid?.() === 0;

describe.skipIf(!root)("tsd proxy, TCP", () => {
  let bed: Testbed;
  let proxy: TestProxy;
  const servers: Server[] = [];

  beforeEach(() => {
    bed = new Testbed();
    proxy = new TestProxy();
  });
  afterEach(async () => {
    for (const server of servers.splice(0)) server.close();
    await proxy[Symbol.asyncDispose]();
    bed[Symbol.dispose]();
  });

  /** A server in the place of a container. @returns its port. */
  const serve = async (handle: (socket: Socket) => void, host = "127.0.0.1"): Promise<number> => {
    const server = createServer({ allowHalfOpen: true }, (socket) => {
      socket.on("error", () => undefined);
      handle(socket);
    });
    servers.push(server);
    await new Promise<void>((resolve) => server.listen({ port: 0, host, backlog: 4096 }, resolve));
    return (server.address() as { port: number }).port;
  };
  const publish = (port: number, targetPort: number, address = "127.0.0.1", targetAddress = "127.0.0.1") =>
    proxy.hold([{ transport: "tcp", address, port, target: { address: targetAddress, port: targetPort } }]);
  const open = (port: number, host = "127.0.0.1"): Promise<Socket> =>
    new Promise((resolve, reject) => {
      const socket = connect({ port, host, allowHalfOpen: true }, () => resolve(socket));
      socket.once("error", reject);
    });
  const readAll = async (socket: Socket): Promise<Buffer> => {
    const chunks: Uint8Array[] = [];
    for await (const chunk of socket) chunks.push(chunk as Uint8Array);
    return Buffer.concat(chunks);
  };
  const until = async (what: string, condition: () => boolean | Promise<boolean>): Promise<void> => {
    for (const end = Date.now() + 10_000; !(await condition()); await Bun.sleep(5)) {
      if (Date.now() > end) throw new Error(`waited in vain: ${what}`);
    }
  };
  /** A loop that turns in vain would never. */
  const proxyRests = (): Promise<void> => until("the proxy rests", async () => (await proxy.idleMs()) <= 10);
  const noConnectionsLeft = (): Promise<void> =>
    until("no connection is left", async () => (await proxy.ask("status", {})).connections === 0);

  test("carries bytes both ways at once, and each end by itself", async () => {
    const port = await serve((socket) => socket.pipe(socket));
    expect(await publish(8080, port)).toEqual([]);
    const data = randomBytes(20_000_000);
    const socket = await open(8080);
    const answer = readAll(socket);
    socket.end(data);
    const hash = (bytes: Buffer): string => createHash("sha256").update(bytes).digest("hex");
    expect(hash(await answer)).toBe(hash(data));
    await noConnectionsLeft();
  });

  test("passes on the end of a client that then only listens", async () => {
    const port = await serve((socket) => {
      let asked = "";
      socket.on("data", (chunk) => (asked += chunk));
      // It answers only when it has seen the end.
      socket.on("end", () => socket.end(`got ${asked}`));
    });
    await publish(8080, port);
    const socket = await open(8080);
    socket.end("a question");
    expect((await readAll(socket)).toString()).toBe("got a question");
    await noConnectionsLeft();
  });

  test.each([
    ["::1", "127.0.0.1"],
    ["127.0.0.1", "::1"],
    ["::", "::1"],
  ])("listens at %s for a container at %s", async (address, targetAddress) => {
    const port = await serve((socket) => socket.end(`${socket.remoteAddress}`), targetAddress);
    expect(await publish(8080, port, address, targetAddress)).toEqual([]);
    const socket = await open(8080, address === "::" ? "::1" : address);
    expect((await readAll(socket)).toString()).toBe(targetAddress);
    socket.end();
    // Beside it, the other family is still free.
    expect(await publish(8080, port, address.includes(":") ? "0.0.0.0" : "::", targetAddress)).toEqual([]);
  });

  test("makes the sender wait for a receiver that does not read, and holds no more than pipes and sockets do", async () => {
    let sent = 0;
    let held: Socket | undefined;
    const port = await serve((socket) => {
      held = socket;
      const write = (): void => {
        while (socket.write(Buffer.alloc(65_536), () => (sent += 65_536)));
      };
      socket.on("drain", write);
      write();
    });
    await publish(8080, port);
    const socket = await open(8080);
    socket.pause();
    let before = -1;
    await until("the sender stands still", async () => {
      const still = sent > 0 && sent === before;
      before = sent;
      await Bun.sleep(100);
      return still;
    });
    expect(sent).toBeLessThan(64 * 2 ** 20);
    expect(proxy.memory("VmRSS")).toBeLessThan(200 * 2 ** 20);
    // While one waits, others pass.
    const quick = await serve((each) => each.end("quick"));
    await publish(8081, quick);
    expect((await readAll(await open(8081))).toString()).toBe("quick");
    // It goes on where it was.
    let received = 0;
    socket.on("data", (chunk) => (received += chunk.length));
    socket.resume();
    await until("more has come than there was", () => received > 2 * before);
    held!.removeAllListeners("drain");
    socket.destroy();
    await noConnectionsLeft();
  });

  test("lets a client know that nobody listens in the container, or that it has broken off", async () => {
    await publish(8080, 1);
    // It may come before this process is told that it is connected.
    const code = await new Promise<string>((resolve) => {
      connect({ port: 8080, host: "127.0.0.1" }).once("error", (error: NodeJS.ErrnoException) => resolve(error.code!));
    });
    expect(code).toBe("ECONNRESET");
    const port = await serve((socket) => socket.once("data", () => socket.resetAndDestroy()));
    await publish(8081, port);
    const broken = await open(8081);
    broken.write("x");
    const second = await new Promise<NodeJS.ErrnoException>((resolve) => broken.once("error", resolve));
    expect(second.code).toBe("ECONNRESET");
    await noConnectionsLeft();
  });

  test("lets the container know that a client has broken off", async () => {
    const { promise, resolve } = Promise.withResolvers<string>();
    const port = await serve((socket) => {
      socket.on("error", (error) => resolve((error as NodeJS.ErrnoException).code!));
      socket.write("hello");
    });
    await publish(8080, port);
    const socket = await open(8080);
    await new Promise((read) => socket.once("data", read));
    socket.resetAndDestroy();
    expect(await promise).toBe("ECONNRESET");
    await noConnectionsLeft();
  });

  test("brings everything to a container that reads late, although both sides have ended meanwhile, and rests till then", async () => {
    const servers: Socket[] = [];
    const port = await serve((socket) => {
      servers.push(socket);
      socket.pause();
      socket.end("all I say");
    });
    await publish(8080, port);
    // Of some of these all but what the pipe holds has come when the container stops to read, with the end: such a
    // client hangs up, and says so for as long as its bytes wait.
    const sizes = Array.from({ length: 60 }, (_, n) => (n + 1) * 100_000);
    await Promise.all(
      sizes.map(async (size) => {
        const client = await open(8080);
        // Not by iteration, which would end the client's own direction with it.
        const ended = new Promise((resolve) => client.resume().once("end", resolve));
        client.end(Buffer.alloc(size, size % 251));
        await ended;
      }),
    );
    await proxyRests();
    expect((await proxy.ask("status", {})).connections).toBeGreaterThan(1);
    const received = await Promise.all(servers.map(readAll));
    expect(received.map(({ length }) => length).sort((a, b) => a - b)).toEqual(sizes);
    for (const bytes of received) expect(bytes.equals(Buffer.alloc(bytes.length, bytes.length % 251))).toBe(true);
    await noConnectionsLeft();
  });

  test("rests while a connection is half closed, and lets go of it when that side breaks off", async () => {
    const port = await serve(() => undefined);
    await publish(8080, port);
    const client = await open(8080);
    client.end("question");
    await Bun.sleep(50);
    await proxyRests();
    expect((await proxy.ask("status", {})).connections).toBe(1);
    client.resetAndDestroy();
    await noConnectionsLeft();
  });

  test("lets those wait for whom it has no descriptors, without a stir, and goes on when there are some", async () => {
    const port = await serve((socket) => socket.pipe(socket));
    await publish(8080, port);
    await (await open(8080)).destroy();
    await noConnectionsLeft();
    const used = [...new Bun.Glob("*").scanSync({ cwd: `/proc/${proxy.pid}/fd`, onlyFiles: false })].map(Number);
    const limit = (files: number): string => run("prlimit", `--pid=${proxy.pid}`, `--nofile=${files}:`);
    limit(Math.max(...used) + 12);
    const sockets = Array.from({ length: 20 }, () => connect({ port: 8080, host: "127.0.0.1" }));
    let answered = 0;
    for (const socket of sockets) {
      socket.on("error", () => undefined);
      socket.once("data", () => answered++);
      socket.write("echo");
    }
    await until("it says so", () => proxy.log.includes("cannot take a connection now"));
    expect(answered).toBeLessThan(20);
    await proxyRests();
    limit(10_000);
    // Those that were taken and had no descriptor for their way on were reset; nobody else.
    await until("the others are answered", () => answered + sockets.filter(({ destroyed }) => destroyed).length === 20);
    expect(answered).toBeGreaterThan(10);
    for (const socket of sockets) socket.destroy();
    await noConnectionsLeft();
  });

  test("a port that is flooded leaves room for another's clients, for new ports, and for the daemon", async () => {
    await proxy[Symbol.asyncDispose]();
    proxy = new TestProxy(["prlimit", "--nofile=200"]);
    const [flooded, quiet] = [await serve(() => undefined), await serve((socket) => socket.pipe(socket))];
    await publish(8080, flooded);
    await publish(8081, quiet);
    const flood = Array.from({ length: 300 }, () => connect({ port: 8080, host: "127.0.0.1" }));
    for (const socket of flood) socket.on("error", () => undefined);
    await until("it is full", () => proxy.log.includes("cannot take a connection now"));
    // All that may be: a quarter of the descriptors is for others.
    expect((await proxy.ask("status", {})).connections).toBeLessThan(75);
    const clients = await Promise.all(Array.from({ length: 5 }, () => open(8081)));
    for (const client of clients) {
      client.write("echo");
      const [data] = await once(client, "data");
      expect(String(data)).toBe("echo");
    }
    expect(await publish(8082, quiet)).toEqual([]);
    for (const socket of [...flood, ...clients]) socket.resetAndDestroy();
    await noConnectionsLeft();
  });

  test("carries a thousand connections at once, and leaves nothing of them", async () => {
    const port = await serve((socket) => socket.pipe(socket));
    await publish(8080, port);
    await (await open(8080)).destroy();
    await noConnectionsLeft();
    const descriptors = (): number =>
      [...new Bun.Glob("*").scanSync({ cwd: `/proc/${proxy.pid}/fd`, onlyFiles: false })].length;
    const before = descriptors();
    const sockets = await Promise.all(Array.from({ length: 1_000 }, () => open(8080)));
    const answers = sockets.map(
      (socket, n) =>
        new Promise<boolean>((resolve) => {
          socket.once("data", (data) => resolve(data.toString() === `connection ${n}`));
          socket.write(`connection ${n}`);
        }),
    );
    expect((await Promise.all(answers)).every(Boolean)).toBe(true);
    expect((await proxy.ask("status", {})).connections).toBe(1_000);
    // Idle, they have two sockets each and no pipe.
    expect(descriptors()).toBeLessThan(before + 2_000 + 10);
    for (const socket of sockets) socket.end();
    await noConnectionsLeft();
    expect(descriptors()).toBeLessThanOrEqual(before + 10);
  });

  test("ends a port's connections with it, and no other's", async () => {
    const port = await serve((socket) => socket.pipe(socket));
    await publish(8080, port);
    await publish(8081, port);
    const [gone, stays] = [await open(8080), await open(8081)];
    const ended = new Promise<NodeJS.ErrnoException>((resolve) => gone.once("error", resolve));
    await proxy.ask("drop", { names: ["tcp 127.0.0.1 8080", "tcp 127.0.0.1 9999"] });
    expect((await ended).code).toBe("ECONNRESET");
    expect(await open(8080).catch((error: NodeJS.ErrnoException) => error.code)).toBe("ECONNREFUSED");
    stays.write("still here");
    expect(String(await new Promise((resolve) => stays.once("data", resolve)))).toBe("still here");
    stays.destroy();
  });

  test("holds what it is told after it was killed, and the port is free in between for a moment only", async () => {
    const port = await serve((socket) => socket.end("answer"));
    const group = [
      { transport: "tcp" as const, address: "127.0.0.1", port: 8080, target: { address: "127.0.0.1", port } },
    ];
    await proxy.hold(group);
    proxy.truth = [group];
    const first = proxy.pid;
    process.kill(first, "SIGKILL");
    await until("another is there", () => proxy.pid !== first);
    await until("it answers", () =>
      open(8080).then(
        (socket) => socket.destroy().destroyed,
        () => false,
      ),
    );
    expect((await readAll(await open(8080))).toString()).toBe("answer");
  });
});
