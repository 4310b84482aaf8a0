import { afterAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { bindDatagram, receiveDescriptors } from "../../ffi/scm.ts";
import type { SyslogFormat, SyslogTarget } from "./log-target.ts";
import { openSyslog } from "./syslog.ts";
import { SyslogEncoder } from "./syslog-format.ts";

const directory = mkdtempSync("/var/tmp/tsd-syslog-");
afterAll(() => rmSync(directory, { recursive: true, force: true }));

const base = { driver: "syslog", facility: 3, format: "unix", hostname: "host", tag: "web" } as const;

async function until(isSo: () => boolean): Promise<void> {
  for (let left = 1000; !isSo(); left--) {
    if (left === 0) throw new Error("it did not come to that");
    await Bun.sleep(5);
  }
}

/** A server that keeps what it is sent. */
class StreamServer {
  #server: Bun.TCPSocketListener<undefined> | Bun.UnixSocketListener<undefined> | undefined;
  readonly #sockets = new Set<Bun.Socket<undefined>>();
  text = "";
  connections = 0;

  /** @param place a port, 0 for any, or a path. @param reads false: it takes nothing. */
  constructor(place: number | string = 0, reads = true) {
    const socket: Bun.SocketHandler<undefined> = {
      open: (client) => {
        this.connections++;
        this.#sockets.add(client);
        if (!reads) client.pause();
      },
      data: (_client, bytes) => {
        this.text += bytes.toString();
      },
    };
    this.#server =
      typeof place === "string"
        ? Bun.listen({ unix: place, socket })
        : Bun.listen({ hostname: "127.0.0.1", port: place, socket });
  }

  get port(): number {
    return (this.#server as Bun.TCPSocketListener<undefined>).port;
  }

  resume(): void {
    for (const socket of this.#sockets) socket.resume();
  }

  [Symbol.dispose](): void {
    this.#server?.stop(true);
    for (const socket of this.#sockets) socket.terminate();
  }
}

describe("the message of each format is docker's", () => {
  const time = () => ({ milliseconds: new Date(2026, 0, 2, 3, 4, 5, 60).getTime(), nanoseconds: 7000 });
  const encode = (target: Partial<SyslogTarget> & { format: SyslogFormat }, stream: "stdout" | "stderr" = "stdout") =>
    Buffer.from(
      new SyslogEncoder({ ...base, ...target }, 42, time).encode({ stream, text: Buffer.from("text") }),
    ).toString();

  test("of RFC 3164 and syslog(3)", () => {
    expect(encode({ format: "unix" })).toBe("<30>Jan  2 03:04:05 web[42]: text\n");
    expect(encode({ format: "unix", facility: 16 }, "stderr")).toBe("<131>Jan  2 03:04:05 web[42]: text\n");
    expect(encode({ format: "rfc3164" })).toBe("<30>Jan  2 03:04:05 host web[42]: text\n");
  });

  test("of RFC 5424, and counted over TLS", () => {
    const zone = "(Z|[+-]\\d\\d:\\d\\d)";
    expect(encode({ format: "rfc5424" })).toMatch(
      new RegExp(`^<30>1 2026-01-02T03:04:05${zone} host web 42 web - text\n$`),
    );
    expect(encode({ format: "rfc5424micro" })).toMatch(
      new RegExp(`^<30>1 2026-01-02T03:04:05\\.060007${zone} host web 42 web - text\n$`),
    );
    const counted = encode({ format: "rfc5424", address: { kind: "tcp+tls", host: "h", port: 1 } });
    const [, length, message] = /^(\d+) (.*)$/s.exec(counted)!;
    expect(Number(length)).toBe(message!.length);
  });
});

describe("lines go to a server", () => {
  test("over TCP and a Unix socket, in their order", async () => {
    using tcp = new StreamServer();
    using unix = new StreamServer(join(directory, "stream"));
    for (const [server, address] of [
      [tcp, { kind: "tcp", host: "127.0.0.1", port: tcp.port }],
      [unix, { kind: "unix", path: join(directory, "stream") }],
    ] as const) {
      const log = await openSyslog({ ...base, address }, () => undefined);
      const lines = Array.from({ length: 5000 }, (_, index) => `line ${index}`);
      log.write("stdout", Buffer.from(`${lines.join("\n")}\n`));
      log.write("stderr", Buffer.from("the end"));
      await log.close();
      await until(() => server.text.endsWith("the end\n"));
      const texts = server.text.split("\n").slice(0, -1);
      expect(texts.map((text) => text.replace(/^.*\]: /, ""))).toEqual([...lines, "the end"]);
      expect(texts.at(-1)).toStartWith("<27>");
    }
  });

  test("over UDP and a datagram socket", async () => {
    const received: string[] = [];
    const udp = await Bun.udpSocket({
      hostname: "127.0.0.1",
      socket: { data: (_, bytes) => void received.push(bytes.toString()) },
    });
    const overUdp = await openSyslog(
      { ...base, address: { kind: "udp", host: "127.0.0.1", port: udp.port } },
      () => undefined,
    );
    overUdp.write("stdout", Buffer.from("one\ntwo\n"));
    await until(() => received.length === 2);
    await overUdp.close();
    udp.close();
    expect(received.map((text) => text.replace(/^.*\]: /, ""))).toEqual(["one\n", "two\n"]);

    const path = join(directory, "datagrams");
    using server = bindDatagram(path);
    const overUnix = await openSyslog({ ...base, address: { kind: "unixgram", path } }, () => undefined);
    overUnix.write("stdout", Buffer.from("three\n"));
    expect(Buffer.from(receiveDescriptors(server).data).toString()).toEndWith("]: three\n");
    await overUnix.close();
  });

  test("that comes back, with all that fits into the buffer meanwhile and a word about the rest", async () => {
    const trouble: string[] = [];
    let server = new StreamServer();
    const { port } = server;
    const address = { kind: "tcp", host: "127.0.0.1", port } as const;
    const log = await openSyslog({ ...base, address }, (message) => trouble.push(message));
    log.write("stdout", Buffer.from("before\n"));
    await until(() => server.text.endsWith("before\n"));
    server[Symbol.dispose]();
    await until(() => trouble.length > 0);
    const line = `${"m".repeat(99)}\n`;
    for (let count = 0; count < 20_000; count++) log.write("stdout", Buffer.from(line));
    // Nobody waits for a server that is not there.
    expect(log.room()).toBeUndefined();
    expect(log.lostLines).toBeGreaterThan(5000);
    const lost = log.lostLines;
    server = new StreamServer(port);
    await until(() => server.text.includes("were lost"));
    await log.close();
    await until(() => server.text.split("\n").length - 1 === 20_000 - lost + 1);
    expect(server.text).toContain(`]: tsd: ${lost} lines of this log were lost: no connection`);
    expect(trouble.join("\n")).toContain("connected again");
    server[Symbol.dispose]();
  });

  test("that reads nothing: the container waits, and goes on when it reads", async () => {
    using server = new StreamServer(0, false);
    const address = { kind: "tcp", host: "127.0.0.1", port: server.port } as const;
    const log = await openSyslog({ ...base, address }, () => undefined);
    const chunk = Buffer.from(`${"w".repeat(999)}\n`.repeat(60));
    let written = 0;
    let room: Promise<void> | undefined;
    for (; room === undefined && written < 60_000; written += 60) {
      log.write("stdout", chunk);
      room = log.room();
      await Bun.sleep(0);
    }
    expect(room).toBeDefined();
    server.resume();
    await room;
    await log.close();
    await until(() => server.text.split("\n").length - 1 === written);
    expect(log.lostLines).toBe(0);
  });
});

test("a server that takes nothing any more holds a container up for a while; what is lost then is said", async () => {
  using server = new StreamServer(0, false);
  const address = { kind: "tcp", host: "127.0.0.1", port: server.port } as const;
  const trouble: string[] = [];
  const log = await openSyslog({ ...base, address }, (message) => trouble.push(message), { stallMs: 50 });
  const chunk = Buffer.from(`${"w".repeat(999)}\n`.repeat(60));
  let written = 0;
  for (; trouble.length === 0 && written < 60_000; written += 60) {
    log.write("stdout", chunk);
    await log.room();
    await Bun.sleep(0);
  }
  expect(trouble).toEqual([expect.stringMatching(/^syslog tcp:.*: it has taken nothing for 0.05 s; until it does /)]);
  for (let more = 0; more < 100; more++, written += 60) log.write("stdout", chunk);
  expect(log.room()).toBeUndefined();
  expect(log.lostLines).toBeGreaterThan(5000);
  server.resume();
  await until(() => server.text.includes(`tsd: ${log.lostLines} lines of this log were lost: it was not taken`));
  expect(trouble.join("\n")).toContain("it takes lines again");
  log.write("stdout", Buffer.from("after\n"));
  await log.close();
  await until(() => server.text.endsWith("]: after\n"));
  expect(server.text.split("\n").length - 1).toBe(written - log.lostLines + 2);
});

test("a server that ends every connection is asked less and less often", async () => {
  let connections = 0;
  const server = Bun.listen({
    hostname: "127.0.0.1",
    port: 0,
    socket: {
      open: (socket) => {
        connections++;
        setTimeout(() => socket.terminate(), 10);
      },
      data: () => undefined,
    },
  });
  const address = { kind: "tcp", host: "127.0.0.1", port: server.port } as const;
  const log = await openSyslog({ ...base, address }, () => undefined);
  // After 100 ms, 200 ms, 400 ms.
  await Bun.sleep(600);
  expect(connections).toBeGreaterThan(1);
  expect(connections).toBeLessThanOrEqual(3);
  await log.close();
  server.stop(true);
});

test("a server that is not there is said by its address", async () => {
  const address = { kind: "tcp", host: "127.0.0.1", port: 9 } as const;
  expect(openSyslog({ ...base, address }, () => undefined)).rejects.toThrow(
    "failed to initialize logging driver: dial tcp 127.0.0.1:9: ",
  );
  const path = join(directory, "nothing");
  expect(openSyslog({ ...base, address: { kind: "unixgram", path } }, () => undefined)).rejects.toThrow(
    `failed to initialize logging driver: dial unixgram ${path}: `,
  );
});
