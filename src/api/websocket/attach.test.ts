/** `GET /containers/{id}/attach/ws` over a fake engine. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { eventually, type Served, serve } from "../testing/serve.ts";
import { RawWebSocket, sampleAccept } from "../testing/websocket-client.ts";
import { opcode } from "./frames.ts";

let served: Served;
beforeAll(async () => {
  served = await serve();
});
afterAll(() => served[Symbol.asyncDispose]());

const { text, binary, close, ping, pong } = opcode;
const everything = "stream=1&stdin=1&stdout=1&stderr=1";

async function created(json: object): Promise<string> {
  const answer = await served.fetch("/containers/create", { json: { Image: "busybox", OpenStdin: true, ...json } });
  return ((await answer.json()) as { Id: string }).Id;
}

async function attached(
  Cmd: string[],
  { version = "/v1.55", query = everything, ...config }: { version?: string; query?: string; Tty?: boolean } = {},
): Promise<{ id: string; socket: RawWebSocket }> {
  const id = await created({ Cmd, ...config });
  const socket = new RawWebSocket(served.socket);
  socket.open(`${version}/containers/${id}/attach/ws?${query}`);
  await socket.until((received) => received.includes("\r\n\r\n"));
  expect((await served.fetch(`/containers/${id}/start`, { method: "POST" })).status).toBe(204);
  return { id, socket };
}

/** The client's half of a close, after which the server's end of output comes. */
async function ended(socket: RawWebSocket): Promise<void> {
  socket.socket.end();
  await socket.rest();
}

test("carries input and output in binary messages, and closes with 1000 when the output has ended", async () => {
  const { socket } = await attached(["both"]);
  await ended(socket);
  expect(socket.head()).toBe(
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
      `Sec-WebSocket-Accept: ${sampleAccept}`,
  );
  // Not multiplexed: each stream's bytes in messages of their own.
  expect(socket.frames.map(({ opcode, payload }) => [opcode, payload.toString("latin1")])).toEqual([
    [binary, "to stdout\n"],
    [binary, "to stderr\n"],
    [close, "\x03\xe8"],
  ]);
});

test("takes fragments, text and binary alike, and answers pings with their payload", async () => {
  const { id, socket } = await attached(["cat"]);
  socket.send({ opcode: text, payload: "one ", last: false });
  socket.send({ opcode: ping, payload: "are you there" });
  socket.send({ opcode: 0, payload: "two " });
  socket.send({ opcode: binary, payload: "three" });
  await socket.until(() => socket.text === "one two three");
  expect(socket.frames.filter(({ opcode }) => opcode === pong).map(({ payload }) => payload.toString())).toEqual([
    "are you there",
  ]);
  served.engine.created.get(id)?.process.kill(9);
  await ended(socket);
});

test("a close is answered in kind and leaves the container, which reads the end of its input first", async () => {
  const { socket } = await attached(["count"]);
  const signal = served.engine.attached.at(-1)!;
  socket.send({ opcode: binary, payload: "x".repeat(70_000) });
  socket.send({ opcode: close, payload: Buffer.from([3, 0xe9]) });
  await ended(socket);
  expect(socket.closeCode).toBe(1001);
  expect(signal.aborted).toBe(true);
});

test("is not asked for input: pings are answered all the same, and a close is seen", async () => {
  const { id, socket } = await attached(["sleep"], { query: "stream=1&stdout=1" });
  const signal = served.engine.attached.at(-1)!;
  socket.send({ opcode: binary, payload: "unwanted" });
  socket.send({ opcode: ping, payload: "p" });
  await socket.until(() => socket.frames.some(({ opcode }) => opcode === pong));
  socket.send({ opcode: close });
  await eventually(() => signal.aborted, "the attachment's end");
  expect(socket.frames.at(-1)).toEqual({ opcode: close, payload: Buffer.alloc(0) });
  expect(served.engine.created.get(id)?.running).toBe(true);
  served.engine.created.get(id)?.process.kill(9);
  await ended(socket);
});

test("a client that breaks the protocol is told so, and the container goes on", async () => {
  const { id, socket } = await attached(["sleep"]);
  socket.send({ opcode: binary, payload: "unmasked", masked: false });
  await ended(socket);
  expect(socket.closeCode).toBe(1002);
  expect(served.engine.created.get(id)?.running).toBe(true);
  served.engine.created.get(id)?.process.kill(9);
});

test("detach keys end it, and a terminal's bytes come as they are", async () => {
  const { id, socket } = await attached(["cat"], { Tty: true, query: `${everything}&detachKeys=ctrl-a,x` });
  socket.send({ opcode: binary, payload: "a\x01b\x01" });
  await socket.until(() => socket.text === "a\x01b");
  socket.send({ opcode: binary, payload: "x after" });
  await ended(socket);
  expect(socket.text).toBe("a\x01b");
  expect(socket.closeCode).toBe(1000);
  expect(served.engine.attached.at(-1)?.reason).toMatchObject({ stage: "detach" });
  served.engine.created.get(id)?.process.kill(9);
});

test("before API 1.28 messages are text, of whole characters; before 1.42 all streams are attached", async () => {
  const { id, socket } = await attached(["cat"], { version: "/v1.27", query: "stream=1" });
  const euro = Buffer.from("€");
  socket.send({ opcode: binary, payload: euro.subarray(0, 1) });
  socket.send({ opcode: binary, payload: euro.subarray(1, 2) });
  socket.send({ opcode: binary, payload: Buffer.concat([euro.subarray(2), Buffer.from("!")]) });
  await socket.until(() => socket.text === "€!");
  expect(socket.frames.every(({ opcode }) => opcode === text)).toBe(true);
  for (const { payload } of socket.frames)
    expect(new TextDecoder("utf-8", { fatal: true }).decode(payload)).not.toBe("");
  served.engine.created.get(id)?.process.kill(9);
  await ended(socket);
});

test("a standard client finds its way", async () => {
  const id = await created({ Cmd: ["cat"] });
  await served.fetch(`/containers/${id}/start`, { method: "POST" });
  const socket = new WebSocket(`ws+unix://${served.socket}:/containers/${id}/attach/ws?${everything}`);
  socket.binaryType = "arraybuffer";
  const closed = Promise.withResolvers<number>();
  socket.onopen = () => socket.send("through and through");
  socket.onmessage = ({ data }) => {
    expect(Buffer.from(data).toString()).toBe("through and through");
    served.engine.created.get(id)?.process.kill(9);
  };
  socket.onclose = ({ code }) => closed.resolve(code);
  expect(await closed.promise).toBe(1000);
});

test.each<[string, Record<string, string>, string]>([
  ["no upgrade", { Upgrade: "", Connection: "close" }, "not a WebSocket handshake"],
  ["another upgrade", { Upgrade: "tcp" }, "not a WebSocket handshake"],
  ["an old version", { "Sec-WebSocket-Version": "8" }, 'WebSocket version "8": only 13 is served'],
  ["no key", { "Sec-WebSocket-Key": "" }, 'Sec-WebSocket-Key "": not 16 bytes in base64'],
  ["a short key", { "Sec-WebSocket-Key": "c2hvcnQ=" }, 'Sec-WebSocket-Key "c2hvcnQ=": not 16 bytes in base64'],
])("of a handshake with %s is refused with 400", async (_what, headers, message) => {
  const id = await created({ Cmd: ["cat"] });
  const socket = new RawWebSocket(served.socket);
  socket.open(`/containers/${id}/attach/ws?stream=1`, headers);
  const body = (await socket.rest()).toString();
  expect(socket.head()).toStartWith("HTTP/1.1 400 Bad Request");
  expect(body).toContain(JSON.stringify(message).slice(1, -1));
  if (headers["Sec-WebSocket-Version"]) expect(socket.head().toLowerCase()).toContain("sec-websocket-version: 13");
});

test("of what is not there is an ordinary 404; a protocol that the client names is agreed to", async () => {
  const absent = new RawWebSocket(served.socket);
  absent.open("/containers/absent/attach/ws?stream=1");
  expect((await absent.rest()).toString()).toContain("No such container: absent");
  expect(absent.head()).toStartWith("HTTP/1.1 404 Not Found");
  const id = await created({ Cmd: ["cat"] });
  const socket = new RawWebSocket(served.socket);
  socket.open(`/containers/${id}/attach/ws?logs=1`, { "Sec-WebSocket-Protocol": "chat, more" });
  await ended(socket);
  expect(socket.head()).toContain("Sec-WebSocket-Protocol: chat");
});
