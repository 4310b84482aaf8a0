/** The client against the routes over a fake engine, on a real Unix socket. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { encodeFrame, FrameReader, frameType, type RunRequest } from "../api/schema/run-protocol.ts";
import { eventually, type Served, serve } from "../api/testing/serve.ts";
import { isEngineError } from "../core/errors.ts";
import { Client } from "./client.ts";
import { type HijackedConnection, hijack } from "./hijack.ts";
import type { DaemonAddress } from "./host.ts";
import { request } from "./http.ts";

let served: Served;
let client: Client;
beforeAll(async () => {
  served = await serve();
  client = new Client({ socket: served.socket });
});
afterAll(() => served[Symbol.asyncDispose]());

/** Reads to the end. @returns the payloads by type of frame. */
async function frames(connection: HijackedConnection): Promise<[number, string][]> {
  const found: [number, string][] = [];
  const reader = new FrameReader((type, payload) => found.push([type, Buffer.from(payload).toString()]));
  await connection.read((chunk) => reader.push(chunk));
  return found;
}

function runRequest(Cmd: string[], rest: Partial<RunRequest> = {}): RunRequest {
  return {
    create: { Image: "busybox", Cmd },
    pull: "missing",
    attach: { stdin: true, stdout: true, stderr: true },
    ...rest,
  };
}

describe("requests", () => {
  test("create, list, inspect, start, wait for, log and remove a container", async () => {
    const { Id } = await client.createContainer({ Image: "busybox", Cmd: ["both"] }, { name: "life" });
    const { exited } = await client.beginWait("life", "next-exit");
    await client.startContainer("life");
    expect(await exited).toEqual({ StatusCode: 3 });
    expect((await client.listContainers({ all: true, size: false, filters: {} })).map((row) => row.Id)).toContain(Id);
    expect((await client.inspectContainer("life")).State.ExitCode).toBe(3);
    const logs = await client.logs("life", { stdout: true, stderr: false, follow: true, timestamps: false });
    expect(
      Buffer.from(await new Response(logs).arrayBuffer())
        .subarray(8)
        .toString(),
    ).toBe("to stdout\n");
    await client.removeContainer("life", { force: false, volumes: false });
    expect(await client.listContainers({ all: true, size: false, filters: {} })).toEqual([]);
  });

  test("bring the daemon's refusals back as they were: code, details, words", async () => {
    await expect(client.inspectContainer("no/body")).rejects.toMatchObject({
      code: "not_found",
      message: "Error response from daemon: No such container: no/body",
    });
    await expect(client.createContainer({ Tty: 1 } as object, {})).rejects.toMatchObject({
      code: "invalid_argument",
      stage: "request",
      message: "Error response from daemon: invalid JSON: Tty: number where bool is wanted",
    });
    await client.createContainer({ Image: "busybox", Cmd: ["sleep"] }, { name: "twice" });
    await client.startContainer("twice");
    await expect(client.startContainer("twice")).rejects.toMatchObject({ code: "not_modified" });
    await client.killContainer("twice", "KILL");
  });

  test("iterate the progress of a pull, and its failure", async () => {
    const statuses: (string | undefined)[] = [];
    for await (const message of client.pullImage({ image: "alpine", tag: "3" })) statuses.push(message.status);
    expect(statuses).toHaveLength(3);
    const failed = client.pullImage({ image: "missing" });
    await expect(failed.next()).rejects.toMatchObject({ code: "not_found" });
    const last = [];
    for await (const message of client.pullImage({ image: "broken" })) last.push(message.errorDetail);
    expect(last.at(-1)).toEqual({ message: "layer abc: wrong digest" });
  });

  test("iterate events, and leave when the reader does", async () => {
    const events = client.events({ filters: { type: ["volume"] } });
    const first = events.next();
    await eventually(() => served.engine.listening === 1, "the subscription");
    served.engine.emit("volume", "create", "v", { driver: "local" });
    expect((await first).value).toMatchObject({ Action: "create", Actor: { ID: "v" } });
    await events.return(undefined);
    await eventually(() => served.engine.listening === 0, "the end of the subscription");
  });
});

describe("hijacked connections", () => {
  test("attach before the start, carry input, and half-close", async () => {
    const { Id } = await client.createContainer({ Image: "busybox", Cmd: ["count"] }, {});
    const connection = await client.attach(Id, { stdin: true, stdout: true, stderr: true });
    expect(connection.headers.get("content-type")).toBe("application/vnd.docker.multiplexed-stream");
    const all = frames(connection);
    await client.startContainer(Id);
    const piece = new Uint8Array(1 << 20);
    for (let count = 0; count < 16; count++) await connection.write(piece);
    connection.end();
    expect(await all).toEqual([[frameType.stdout, `${16 << 20}\n`]]);
  });

  test("execute", async () => {
    const { Id } = await client.createContainer({ Image: "busybox", Cmd: ["sleep"] }, {});
    await client.startContainer(Id);
    const exec = { Cmd: ["both"], AttachStdout: true, AttachStderr: true };
    expect((await frames(await client.exec({ container: Id, exec }))).slice(2)).toEqual([
      [frameType.stdout, "to stdout\n"],
      [frameType.stderr, "to stderr\n"],
      [frameType.exit, '{"StatusCode":3}'],
    ]);
    await expect(client.exec({ container: Id, exec: {} })).rejects.toMatchObject({
      code: "invalid_argument",
      message: "Error response from daemon: no exec command specified",
    });
  });

  test("run in one connection", async () => {
    const connection = await client.run(runRequest(["cat"]));
    const all = frames(connection);
    await connection.write(encodeFrame(frameType.stdin, "hello"));
    await connection.write(encodeFrame(frameType.endOfStdin));
    expect((await all).slice(1)).toEqual([
      [frameType.started, ""],
      [frameType.stdout, "hello"],
      [frameType.exit, '{"StatusCode":0}'],
    ]);
  });

  test("give up writing when the daemon is gone, however many writers wait", async () => {
    const connection = await client.run(runRequest(["sleep"], { name: "stuck" }));
    const done = frames(connection);
    const piece = encodeFrame(frameType.stdin, new Uint8Array(4 << 20));
    const writers = [connection.write(piece), connection.write(piece), connection.write(piece)];
    await eventually(() => served.engine.created.size > 0, "the container");
    await client.killContainer("stuck", "KILL");
    await done;
    await Promise.all(writers);
    connection.close();
  });
});

describe("a daemon that is none", () => {
  test("is said to be absent, with how to start it", async () => {
    const absent = new Client({ socket: "/nowhere/tsd.sock" });
    const expected = {
      code: "unavailable",
      message: "cannot connect to the tsd daemon at unix:///nowhere/tsd.sock. Is the tsd daemon running?",
      hint: expect.stringContaining("tsd daemon"),
    };
    await expect(absent.info()).rejects.toMatchObject(expected);
    await expect(absent.attach("x", { stdin: false, stdout: true, stderr: true })).rejects.toMatchObject(expected);
  });

  test("that hangs up, or speaks no HTTP, is told apart", async () => {
    for (const [answer, words] of [
      ["", "closed the connection without an answer"],
      ["SSH-2.0-OpenSSH\r\n\r\n", "is no HTTP"],
    ] as const) {
      const path = `${served.socket}.odd`;
      const server = createServer((socket) => socket.once("data", () => socket.end(answer))).listen(path);
      await Bun.sleep(10);
      await expect(new Client({ socket: path }).exec({ container: "x", exec: {} })).rejects.toThrow(words);
      await new Promise((resolve) => server.close(resolve));
    }
  });
});

/** Says one thing to each request, and keeps the connection unless it is to end. */
async function answering(say: (socket: Socket) => void, use: (address: DaemonAddress) => Promise<void>): Promise<void> {
  const server = createServer((socket) => {
    // Of a client that has heard enough.
    socket.on("error", () => socket.destroy());
    socket.once("data", () => say(socket));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  try {
    await use({ hostname: "127.0.0.1", port: (server.address() as AddressInfo).port });
  } finally {
    server.close();
  }
}

describe("a hostile daemon", () => {
  const both = (say: (socket: Socket) => void) => {
    const messages: string[] = [];
    const message = (error: unknown) => {
      if (!isEngineError(error)) throw error;
      messages.push(error.message);
    };
    return answering(say, async (address) => {
      await request(address, "POST", "/x").catch(message);
      await hijack(address, "/x", {}).catch(message);
    }).then(() => messages);
  };
  const chunked = "HTTP/1.1 409 No\r\nTransfer-Encoding: chunked\r\n\r\n";

  test("refuses in chunks, and does not hang up", async () => {
    const body = '10\r\n{"message":"no"}\r\n0\r\n\r\n';
    expect(await both((socket) => socket.write(chunked + body))).toEqual([
      "Error response from daemon: no",
      "Error response from daemon: no",
    ]);
    expect((await both((socket) => socket.write(`${chunked}0\r\n\r\n`)))[1]).toStartWith(
      "Error response from daemon: HTTP status 409",
    );
  });

  test("refuses without an end", async () => {
    const endless = (socket: Socket) => {
      const more = () => {
        if (!socket.destroyed) socket.write("a".repeat(1 << 16), () => setImmediate(more));
      };
      socket.write("HTTP/1.1 500 No\r\n\r\n", more);
    };
    const messages = await both(endless);
    expect(messages.map((text) => text.replace(/a+$/, (all) => `${all.length}`))).toEqual(
      Array(2).fill(`Error response from daemon: ${1 << 20}`),
    );
  });

  test("is cut off in the middle of its refusal", async () => {
    const half = (socket: Socket) => socket.end('HTTP/1.1 500 No\r\nContent-Length: 99\r\n\r\n{"mes');
    const [first] = await both(half);
    expect(first).toEndWith("went away in the middle of its answer");
  });

  test("sends on to somebody else, who is not asked", async () => {
    let asked = 0;
    await answering(
      () => asked++,
      async (elsewhere) => {
        const location = `http://127.0.0.1:${"port" in elsewhere ? elsewhere.port : 0}/`;
        const [message] = await both((socket) =>
          socket.write(`HTTP/1.1 307 On\r\nLocation: ${location}\r\nContent-Length: 0\r\n\r\n`),
        );
        expect(message).toStartWith("Error response from daemon: HTTP status 307");
      },
    );
    expect(asked).toBe(0);
  });
});
