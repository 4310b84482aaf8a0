import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { once } from "node:events";
import { encodeFrame, FrameReader, type FrameType, frameType } from "./schema/run-protocol.ts";
import { eventually, RawConnection, type Served, serve } from "./testing/serve.ts";

let served: Served;
beforeAll(async () => {
  served = await serve();
});
afterAll(() => served[Symbol.asyncDispose]());

async function created(json: object): Promise<string> {
  return (
    (await (await served.fetch("/containers/create", { json: { Image: "busybox", ...json } })).json()) as { Id: string }
  ).Id;
}

async function start(id: string): Promise<void> {
  expect((await served.fetch(`/containers/${id}/start`, { method: "POST" })).status).toBe(204);
}

async function createdExec(container: string, json: object): Promise<string> {
  return ((await (await served.fetch(`/containers/${container}/exec`, { json })).json()) as { Id: string }).Id;
}

const everything = "stream=1&stdin=1&stdout=1&stderr=1";
const isUpgraded = (received: Buffer) => received.includes("\r\n\r\n");

/** The payloads of one stream's frames. */
function demultiplexed(bytes: Buffer, type: FrameType): string {
  let text = "";
  new FrameReader((found, payload) => {
    if (found === type) text += Buffer.from(payload).toString();
  }).push(bytes);
  return text;
}

describe("attach", () => {
  test("upgrades before the start, loses no byte, and goes on after the client's half-close", async () => {
    const id = await created({ Cmd: ["count"], OpenStdin: true });
    const connection = new RawConnection(served.socket);
    connection.upgrade(`/v1.55/containers/${id}/attach?${everything}`, "", "first ");
    await connection.until(isUpgraded);
    expect(connection.head()).toBe(
      "HTTP/1.1 101 UPGRADED\r\nContent-Type: application/vnd.docker.multiplexed-stream\r\n" +
        "Connection: Upgrade\r\nUpgrade: tcp",
    );
    await start(id);
    connection.socket.write("second");
    connection.socket.end();
    expect(demultiplexed(await connection.rest(), frameType.stdout)).toBe("12\n");
  });

  test("tells raw streams from multiplexed ones by version and terminal", async () => {
    for (const [version, Tty, type] of [
      ["1.41", false, "raw"],
      ["1.42", false, "multiplexed"],
      ["1.42", true, "raw"],
    ] as const) {
      const id = await created({ Cmd: ["both"], Tty });
      const connection = new RawConnection(served.socket);
      connection.upgrade(`/v${version}/containers/${id}/attach?${everything}`);
      await connection.until(isUpgraded);
      expect(connection.head()).toContain(`application/vnd.docker.${type}-stream`);
      await start(id);
      const rest = await connection.rest();
      if (Tty) expect(rest.toString()).toBe("to stdout\nto stderr\n");
      else expect(demultiplexed(rest, frameType.stderr)).toBe("to stderr\n");
      connection.socket.destroy();
    }
  });

  test("without an upgrade answers 200 and the same bytes, and takes the request's body for stdin", async () => {
    const id = await created({ Cmd: ["cat"], OpenStdin: true });
    const answer = await served.fetch(`/v1.50/containers/${id}/attach?${everything}`, {
      method: "POST",
      body: "through the body",
    });
    expect(answer.status).toBe(200);
    expect(answer.headers.get("content-type")).toBe("application/vnd.docker.multiplexed-stream");
    await start(id);
    const bytes = Buffer.from(await answer.arrayBuffer());
    expect(demultiplexed(bytes, frameType.stdout)).toBe("through the body");
  });

  test("without an upgrade ends the connection with the stream, though the client's side goes on", async () => {
    const id = await created({ Cmd: ["both"] });
    const connection = new RawConnection(served.socket);
    connection.socket.write(
      `POST /containers/${id}/attach?${everything} HTTP/1.1\r\nHost: d\r\nContent-Length: 0\r\n\r\n`,
    );
    await connection.until(() => connection.head().startsWith("HTTP/1.1 200"));
    await start(id);
    expect((await connection.rest()).toString()).toContain("to stdout");
    connection.socket.destroy();
  });

  test("to what is not there is an ordinary 404, with an upgrade or without", async () => {
    const connection = new RawConnection(served.socket);
    connection.upgrade(`/containers/absent/attach?${everything}`);
    expect(JSON.parse((await connection.rest()).toString())).toMatchObject({ message: "No such container: absent" });
    expect(connection.head()).toStartWith("HTTP/1.1 404 Not Found\r\nConnection: close\r\n");
    expect((await served.fetch("/containers/absent/attach", { method: "POST" })).status).toBe(404);
  });

  test("ends at the detach keys and lets the container run", async () => {
    const id = await created({ Cmd: ["cat"], Tty: true, OpenStdin: true });
    const connection = new RawConnection(served.socket);
    connection.upgrade(`/containers/${id}/attach?${everything}&detachKeys=ctrl-a,x`);
    await connection.until(isUpgraded);
    await start(id);
    connection.socket.write("a\x01b\x01");
    await connection.until((received) => received.toString().endsWith("a\x01b"));
    connection.socket.write("\x01x after");
    expect((await connection.rest()).toString()).toStartWith("a\x01b");
    expect(connection.received.toString()).not.toContain("after");
    expect(served.engine.attached.at(-1)?.reason).toMatchObject({ stage: "detach" });
    expect(served.engine.created.get(id)?.running).toBe(true);
    served.engine.created.get(id)?.process.kill(9);
  });

  test("of a client that is killed is told to the engine, and the container goes on", async () => {
    const id = await created({ Cmd: ["cat"], OpenStdin: true });
    const connection = new RawConnection(served.socket);
    connection.upgrade(`/containers/${id}/attach?stream=1&stdout=1`);
    await connection.until(isUpgraded);
    await start(id);
    const signal = served.engine.attached.at(-1)!;
    connection.socket.destroy();
    await eventually(() => signal.aborted, "the attachment's end");
    expect(served.engine.created.get(id)?.running).toBe(true);
    served.engine.created.get(id)?.process.kill(9);
  });

  test("carries 32 MiB to a slow reader without holding them in memory", async () => {
    const size = 32 << 20;
    const id = await created({ Cmd: ["flood", String(size)] });
    const connection = new RawConnection(served.socket);
    connection.socket.removeAllListeners("data");
    let bytes = 0;
    connection.socket.on("data", (chunk: Buffer) => {
      bytes += chunk.byteLength;
    });
    connection.upgrade(`/containers/${id}/attach?stream=1&stdout=1`);
    await eventually(() => bytes > 0, "the upgrade");
    const head = bytes;
    connection.socket.pause();
    await start(id);
    await Bun.sleep(100);
    // The writer is held up: no more than the socket's buffers and a few chunks were taken from it.
    expect(served.engine.created.get(id)?.running).toBe(true);
    connection.socket.resume();
    await once(connection.socket, "end");
    expect(bytes - head).toBe(size + (size / (1 << 16)) * 8);
  });
});

describe("exec", () => {
  test("runs over an upgraded connection whose request has a body, and its status is inspected", async () => {
    const id = await created({ Cmd: ["sleep"] });
    await start(id);
    const exec = await createdExec(id, { Cmd: ["both"], AttachStdout: true, AttachStderr: true });
    const connection = new RawConnection(served.socket);
    connection.upgrade(`/v1.50/exec/${exec}/start`, '{"Detach":false}');
    const bytes = await connection.rest();
    expect(connection.head()).toStartWith("HTTP/1.1 101 UPGRADED\r\n");
    expect(demultiplexed(bytes, frameType.stdout)).toBe("to stdout\n");
    expect(demultiplexed(bytes, frameType.stderr)).toBe("to stderr\n");
    expect(await (await served.fetch(`/exec/${exec}/json`)).json()).toMatchObject({ ExitCode: 3, Running: false });
  });

  test("takes a body and raw bytes however the packets were cut", async () => {
    const id = await created({ Cmd: ["sleep"] });
    await start(id);
    for (const fromEnd of [150, 30, 27, 26, 20, 9, 3]) {
      const exec = await createdExec(id, { Cmd: ["count"], AttachStdin: true, AttachStdout: true });
      const connection = new RawConnection(served.socket);
      const request =
        `POST /exec/${exec}/start HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n` +
        'Content-Type: application/json\r\nContent-Length: 17\r\n\r\n{"Detach": false}raw bytes';
      connection.socket.write(request.slice(0, -fromEnd));
      await Bun.sleep(10);
      connection.socket.end(request.slice(-fromEnd));
      expect(demultiplexed(await connection.rest(), frameType.stdout)).toBe("9\n");
    }
  });

  test("answers before the process is started, for clients that lose what comes with the answer's head", async () => {
    const id = await created({ Cmd: ["sleep"] });
    await start(id);
    const exec = await createdExec(id, { Cmd: ["both"], AttachStdout: true });
    const { exec: backend } = served.engine;
    const answered = Promise.withResolvers<void>();
    const startExec = backend.start;
    backend.start = (...args) => answered.promise.then(() => startExec(...args));
    const connection = new RawConnection(served.socket);
    connection.upgrade(`/exec/${exec}/start`, "{}");
    await connection.until(isUpgraded);
    answered.resolve();
    expect(demultiplexed(await connection.rest(), frameType.stdout)).toBe("to stdout\n");
    backend.start = startExec;
    // What can be refused before that is.
    expect((await served.fetch(`/exec/${exec}/start`, { json: {} })).status).toBe(409);
  });

  test("without an upgrade, whose request's body was its JSON, has its output, and input that does not end", async () => {
    const id = await created({ Cmd: ["sleep"] });
    await start(id);
    for (const Tty of [false, true]) {
      const exec = await createdExec(id, { Cmd: ["both"], AttachStdin: true, AttachStdout: true, Tty });
      const answer = await served.fetch(`/exec/${exec}/start`, { json: { Tty } });
      expect(answer.status).toBe(200);
      expect(await answer.text()).toContain("to stdout\n");
    }
    const never = await createdExec(id, { Cmd: ["count"], AttachStdin: true, AttachStdout: true });
    const gone = new AbortController();
    const waiting = await served.fetch(`/exec/${never}/start`, { json: {}, signal: gone.signal });
    const counted = waiting.text().catch(() => "cut");
    expect(await Promise.race([counted, Bun.sleep(20)])).toBeUndefined();
    gone.abort();
    expect(await counted).toBe("cut");
  });

  test("of a command that is not there says so on the stream, and inspect has 127", async () => {
    const id = await created({ Cmd: ["sleep"] });
    await start(id);
    const exec = await createdExec(id, { Cmd: ["nope"], AttachStdout: true });
    const connection = new RawConnection(served.socket);
    connection.upgrade(`/exec/${exec}/start`, "{}");
    expect(demultiplexed(await connection.rest(), frameType.stdout)).toBe(
      'exec: "nope": executable file not found in $PATH\r\n',
    );
    expect(await (await served.fetch(`/exec/${exec}/json`)).json()).toMatchObject({ ExitCode: 127 });
  });

  test("detached answers at once; without a command, or in a stopped container, it is refused", async () => {
    const id = await created({ Cmd: ["sleep"] });
    expect((await served.fetch(`/containers/${id}/exec`, { json: { Cmd: ["cat"] } })).status).toBe(409);
    await start(id);
    expect((await served.fetch(`/containers/${id}/exec`, { json: {} })).status).toBe(400);
    const exec = await createdExec(id, { Cmd: ["sleep"] });
    expect((await served.fetch(`/exec/${exec}/start`, { json: { Detach: true } })).status).toBe(200);
    expect((await served.fetch("/exec/absent/json")).status).toBe(404);
    for (const Tty of [true, false]) {
      const another = await createdExec(id, { Cmd: ["sleep"], Tty });
      const sized = { Detach: true, Tty, ConsoleSize: [1, 2] };
      expect((await served.fetch(`/exec/${another}/start`, { json: sized })).status).toBe(200);
    }
  });
});

describe("wait and events", () => {
  test("send their headers at once", async () => {
    const id = await created({ Cmd: ["sleep"] });
    const wait = await served.fetch(`/containers/${id}/wait?condition=next-exit`, { method: "POST" });
    expect(wait.status).toBe(200);
    await start(id);
    await served.fetch(`/containers/${id}/kill`, { method: "POST" });
    expect(await wait.json()).toEqual({ StatusCode: 137 });
    const controller = new AbortController();
    expect((await served.fetch("/events", { signal: controller.signal })).status).toBe(200);
    controller.abort();
  });

  test("stream what passes the filters, with nanoseconds to the last digit, until the client leaves", async () => {
    const controller = new AbortController();
    const filters = encodeURIComponent(JSON.stringify({ type: ["image"], event: ["pull"] }));
    const response = await served.fetch(`/v1.55/events?filters=${filters}`, { signal: controller.signal });
    await eventually(() => served.engine.listening === 1, "the subscription");
    served.engine.emit("container", "pull", "x", {});
    served.engine.emit("image", "tag", "x", {});
    served.engine.emit("image", "pull", "busybox:latest", { name: "busybox" });
    const reader = response.body!.getReader();
    expect(Buffer.from((await reader.read()).value!).toString()).toBe(
      '{"Type":"image","Action":"pull","Actor":{"ID":"busybox:latest","Attributes":{"name":"busybox"}},' +
        '"scope":"local","time":1629574695,"timeNano":1629574695515050031}\n',
    );
    controller.abort();
    await eventually(() => served.engine.listening === 0, "the end of the subscription");
  });

  test("have the old fields for old clients, and the forms that new ones ask for", async () => {
    served.engine.emit("container", "start", "old-fields", { image: "busybox" });
    const filters = encodeURIComponent('{"container":["old-fields"]}');
    const read = async (version: string, accept: string) => {
      const response = await served.fetch(`/v${version}/events?since=1&until=2&filters=${filters}`, {
        headers: { accept },
      });
      return [response.headers.get("content-type"), await response.text()];
    };
    expect((await read("1.51", "application/x-ndjson"))[0]).toBe("application/json");
    expect((await read("1.51", "*/*"))[1]).toStartWith('{"status":"start","id":"old-fields","from":"busybox","Type":');
    expect(await read("1.52", "application/json-seq")).toEqual([
      "application/json-seq",
      expect.stringContaining('\x1e{"Type":"container"'),
    ]);
    expect((await read("1.52", "application/jsonl"))[0]).toBe("application/json");
    expect((await read("1.53", "application/jsonl"))[0]).toBe("application/jsonl");
  });
});

describe("the server", () => {
  test("serves any host, upgrades to nothing that a route does not know, and refuses what is no HTTP", async () => {
    const odd = new RawConnection(served.socket);
    odd.socket.write("GET /_ping HTTP/1.1\r\nHost: %2Fvar%2Frun%2Fdocker.sock\r\nConnection: close\r\n\r\n");
    expect((await odd.rest()).toString()).toBe("OK");
    const h2c = new RawConnection(served.socket);
    h2c.socket.write("GET /_ping HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\r\n");
    expect((await h2c.rest()).toString()).toBe("OK");
    const rubbish = new RawConnection(served.socket);
    rubbish.socket.write("\x16\x03\x01 rubbish\r\n\r\n");
    await rubbish.rest();
    expect(rubbish.received.toString()).toStartWith("HTTP/1.1 400 Bad Request");
  });

  test("takes a header of 200 KB", async () => {
    const headers = { "x-registry-config": "a".repeat(200_000) };
    expect((await served.fetch("/_ping", { headers })).status).toBe(200);
  });

  test("that is closed cuts hijacked connections", async () => {
    const other = await serve();
    const id = (
      (await (await other.fetch("/containers/create", { json: { Image: "busybox", Cmd: ["sleep"] } })).json()) as {
        Id: string;
      }
    ).Id;
    const connection = new RawConnection(other.socket);
    connection.upgrade(`/containers/${id}/attach?${everything}`);
    await connection.until(isUpgraded);
    await other[Symbol.asyncDispose]();
    await connection.rest();
  });
});

describe("the fast path", () => {
  interface RunResult {
    frames: [FrameType, string][];
    connection: RawConnection;
  }

  function run(request: object, send?: (connection: RawConnection) => void): Promise<RunResult> {
    const attach = { stdin: false, stdout: true, stderr: true };
    return follow("/v1.55/tsd/run", { pull: "missing", attach, ...request }, send);
  }

  async function follow(path: string, body: object, send?: (connection: RawConnection) => void): Promise<RunResult> {
    const connection = new RawConnection(served.socket);
    connection.upgrade(path, JSON.stringify(body), "", "tsd-run");
    await connection.until(isUpgraded);
    send?.(connection);
    const frames: [FrameType, string][] = [];
    const reader = new FrameReader((type, payload) =>
      frames.push([type as FrameType, Buffer.from(payload).toString()]),
    );
    reader.push(await connection.rest());
    expect(reader.idle).toBe(true);
    connection.socket.destroy();
    return { frames, connection };
  }

  const json = (text: string | undefined) => JSON.parse(text ?? "");

  test("creates, starts, streams and answers the end in one connection", async () => {
    const { frames, connection } = await run({ create: { Image: "busybox", Cmd: ["both"] } });
    expect(connection.head()).toContain("Upgrade: tsd-run");
    expect(frames.map(([type]) => type)).toEqual([
      frameType.created,
      frameType.started,
      frameType.stdout,
      frameType.stderr,
      frameType.exit,
    ]);
    expect(json(frames[0]?.[1])).toEqual({ Id: expect.stringMatching(/^[0-9a-f]{64}$/), Warnings: [] });
    expect(json(frames[4]?.[1])).toEqual({ StatusCode: 3 });
  });

  test("passes stdin and its end, signals and resizes, in frames", async () => {
    const attach = { stdin: true, stdout: true, stderr: true };
    const piped = await run({ create: { Image: "busybox", Cmd: ["cat"] }, attach }, ({ socket }) => {
      socket.write(encodeFrame(frameType.stdin, "hello "));
      socket.write(Buffer.concat([encodeFrame(frameType.stdin, "there"), encodeFrame(frameType.endOfStdin)]));
    });
    const text = piped.frames.filter(([type]) => type === frameType.stdout).map(([, payload]) => payload);
    expect(text.join("")).toBe("hello there");
    served.engine.calls.length = 0;
    const create = { Image: "busybox", Cmd: ["sleep"], Tty: true };
    const killed = await run({ create, name: "fast", attach }, ({ socket }) => {
      socket.write(encodeFrame(frameType.resize, '{"h":5,"w":6}'));
      socket.write(encodeFrame(frameType.signal, "TERM"));
    });
    expect(json(killed.frames.at(-1)?.[1])).toEqual({ StatusCode: 143 });
    expect(served.engine.calls).toContain("resize fast 5x6");
  });

  test("sends a terminal's output in frames of its own", async () => {
    const { frames } = await run({ create: { Image: "busybox", Cmd: ["echo", "tty"], Tty: true } });
    expect(frames).toContainEqual([frameType.raw, "tty\n"]);
  });

  test("pulls what is missing or always, shows the progress, and never when told so", async () => {
    const { frames } = await run({ create: { Image: "fresh", Cmd: ["echo"] } });
    expect(json(frames[0]?.[1])).toMatchObject({ status: "Pulling from library/fresh" });
    expect(json(frames.at(-1)?.[1])).toEqual({ StatusCode: 0 });
    const again = await run({ create: { Image: "fresh", Cmd: ["echo"] } });
    expect(again.frames[0]?.[0]).toBe(frameType.created);
    const always = await run({ create: { Image: "fresh", Cmd: ["echo"] }, pull: "always" });
    expect(always.frames[0]?.[0]).toBe(frameType.progress);
    const never = await run({ create: { Image: "absent", Cmd: ["echo"] }, pull: "never" });
    expect(json(never.frames[0]?.[1])).toEqual({ message: "No such image: absent", code: "not_found" });
  });

  test("answers errors after the upgrade as a last frame, and before it by a status", async () => {
    const { frames } = await run({ create: { Image: "busybox", Cmd: ["nope"] } });
    expect(frames.map(([type]) => type)).toEqual([frameType.created, frameType.error]);
    expect(json(frames[1]?.[1])).toMatchObject({ code: "command_not_found" });
    const connection = new RawConnection(served.socket);
    connection.upgrade("/tsd/run", '{"create":{"Tty":1}}');
    expect((await connection.rest()).toString()).toContain("create.Tty: number where bool is wanted");
    expect(connection.head()).toStartWith("HTTP/1.1 400 Bad Request");
  });

  test("makes, starts and follows an exec in one connection, with its input and its terminal's size", async () => {
    await run({ create: { Image: "busybox", Cmd: ["sleep"] }, name: "host", detach: true });
    const streams = { AttachStdin: true, AttachStdout: true, AttachStderr: true };
    const both = await follow("/tsd/exec", { container: "host", exec: { Cmd: ["both"], ...streams } });
    const { created, started, stdout, stderr, exit } = frameType;
    expect(both.frames.map(([type]) => type)).toEqual([created, started, stdout, stderr, exit]);
    const { Id } = json(both.frames[0]?.[1]);
    expect(served.engine.executed.has(Id)).toBe(true);
    expect(json(both.frames[4]?.[1])).toEqual({ StatusCode: 3 });
    served.engine.calls.length = 0;
    const piped = await follow("/tsd/exec", { container: "host", exec: { Cmd: ["cat"], ...streams } }, ({ socket }) => {
      socket.write(encodeFrame(frameType.resize, '{"h":5,"w":6}'));
      socket.write(Buffer.concat([encodeFrame(frameType.stdin, "hello"), encodeFrame(frameType.endOfStdin)]));
    });
    expect(piped.frames).toContainEqual([stdout, "hello"]);
    expect(served.engine.calls).toEqual([`exec resize ${json(piped.frames[0]?.[1]).Id} 5x6`]);
  });

  test("refuses an exec by a status, or in the last frame when the container is the reason", async () => {
    const { frames } = await follow("/tsd/exec", { container: "nowhere", exec: { Cmd: ["true"] } });
    expect(frames.map(([type]) => type)).toEqual([frameType.error]);
    expect(json(frames[0]?.[1])).toMatchObject({ message: "No such container: nowhere", code: "not_found" });
    await run({ create: { Image: "busybox", Cmd: ["sleep"] }, name: "there", detach: true });
    const missing = await follow("/tsd/exec", { container: "there", exec: { Cmd: ["nope"] } });
    expect(json(missing.frames.at(-1)?.[1])).toMatchObject({ code: "command_not_found" });
    for (const [body, says] of [
      ['{"container":"x","exec":{}}', "no exec command specified"],
      ['{"container":"x","exec":{"Cmd":["a"],"DetachKeys":"nothing"}}', "Invalid detach keys (nothing) provided"],
      ['{"exec":{"Cmd":["a"]}}', "container"],
    ] as const) {
      const connection = new RawConnection(served.socket);
      connection.upgrade("/tsd/exec", body, "", "tsd-run");
      expect((await connection.rest()).toString()).toContain(says);
      expect(connection.head()).toStartWith("HTTP/1.1 400 Bad Request");
    }
  });

  test("in the background answers that it runs, and leaves it", async () => {
    const { frames } = await run({ create: { Image: "busybox", Cmd: ["sleep"] }, detach: true });
    expect(frames.map(([type]) => type)).toEqual([frameType.created, frameType.started, frameType.exit]);
    expect(json(frames[2]?.[1])).toEqual({ StatusCode: 0, detached: true });
    expect(served.engine.created.get(json(frames[0]?.[1]).Id)?.running).toBe(true);
  });

  test("lets the container run when the client detaches, dies, or sends what is no frame", async () => {
    const detach = ({ socket }: RawConnection) => socket.write(encodeFrame(frameType.detach));
    for (const leave of [
      detach,
      ({ socket }: RawConnection) => socket.destroy(),
      ({ socket }: RawConnection) => socket.write("GET / HTTP/1.1\r\n\r\n"),
    ]) {
      const before = served.engine.attached.length;
      const connection = new RawConnection(served.socket);
      const attach = { stdin: true, stdout: true, stderr: true };
      const create = { Image: "busybox", Cmd: ["cat"] };
      connection.upgrade("/tsd/run", JSON.stringify({ pull: "never", attach, create }), "", "tsd-run");
      await connection.until((received) => received.includes(encodeFrame(frameType.started)));
      leave(connection);
      const rest = (await connection.rest()).toString();
      expect(rest.includes('"detached":true')).toBe(leave === detach);
      const signal = served.engine.attached[before]!;
      await eventually(() => signal.aborted, "the attachment's end");
      const container = [...served.engine.created.values()].at(-1)!;
      expect(container.running).toBe(true);
      container.process.kill(9);
      connection.socket.destroy();
    }
  });
});
