import { afterEach, describe, expect, test } from "bun:test";
import { EngineError } from "../core/errors.ts";
import { createApp } from "./app.ts";
import { judgedBytesMax } from "./authorization.ts";
import type { AuthorizationMessage, AuthorizationPlugin } from "./backend/authorization.ts";
import { standsFor } from "./own-routes.ts";
import { encodeFrame, FrameReader, frameType } from "./schema/run-protocol.ts";
import { FakeEngine } from "./testing/fake-engine.ts";
import { RawConnection, type Served, serve } from "./testing/serve.ts";

type Phase = "request" | "response";

/** Allows what is not forbidden, and keeps what it was asked. */
class FakePlugin implements AuthorizationPlugin {
  readonly asked: [Phase, AuthorizationMessage][] = [];
  forbids: (phase: Phase, message: AuthorizationMessage) => string | undefined = () => undefined;

  readonly name: string;

  constructor(name: string) {
    this.name = name;
  }

  async judge(phase: Phase, message: AuthorizationMessage) {
    this.asked.push([phase, message]);
    const reason = this.forbids(phase, message);
    return { isAllowed: reason === undefined, reason: reason ?? "" };
  }

  /** `request POST /v1.55/containers/create`, and the status of an answer. */
  lines(): string[] {
    return this.asked.map(([phase, message]) =>
      [phase, message.RequestMethod, message.RequestUri, message.ResponseStatusCode].filter(Boolean).join(" "),
    );
  }
}

const closers: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0)) await close();
});

async function scene(...names: string[]) {
  const plugins = (names.length > 0 ? names : ["guard"]).map((name) => new FakePlugin(name));
  const served = await serve(plugins);
  closers.push(() => served[Symbol.asyncDispose]());
  return { served, plugins, plugin: plugins[0]! };
}

async function message(response: Response): Promise<[number, string]> {
  return [response.status, ((await response.json()) as { message: string }).message];
}

function text(bytes: Uint8Array | undefined): string | undefined {
  return bytes && Buffer.from(bytes).toString();
}

/** Sends what no client would, and reads until the end of the connection. */
async function raw(served: Served, head: string[], body: string): Promise<string> {
  const connection = new RawConnection(served.socket);
  connection.socket.write(`${[...head, "Host: x", "Connection: close"].join("\r\n")}\r\n\r\n${body}`);
  const rest = (await connection.rest()).toString();
  return `${connection.head()}\n${rest}`;
}

const busybox = JSON.stringify({ Image: "busybox", Cmd: ["sh"] });

describe("an authorization plugin", () => {
  test("is told of a request with its body, and of the answer with its own, but of no credentials", async () => {
    const { served, plugin } = await scene();
    const headers = { "content-type": "application/json; charset=utf-8", "x-registry-auth": "e30", "X-Thing": "1" };
    const created = await served.fetch("/v1.43/containers/create?name=a%20b", {
      method: "POST",
      body: busybox,
      headers,
    });
    expect(created.status).toBe(201);
    const answer = await created.text();
    const [[first, asked], [second, told]] = plugin.asked as [
      [Phase, AuthorizationMessage],
      [Phase, AuthorizationMessage],
    ];
    expect([first, second]).toEqual(["request", "response"]);
    expect(asked).toMatchObject({ RequestMethod: "POST", RequestUri: "/v1.43/containers/create?name=a%20b" });
    expect(asked.RequestHeaders).toMatchObject({ "Content-Type": headers["content-type"], "X-Thing": "1" });
    expect(Object.keys(asked.RequestHeaders!)).not.toContain("X-Registry-Auth");
    expect(text(asked.RequestBody)).toBe(busybox);
    expect(asked.ResponseStatusCode).toBeUndefined();
    expect(told).toMatchObject({ ...asked, ResponseStatusCode: 201 });
    expect(told.ResponseHeaders).toMatchObject({ "Content-Type": "application/json", "Api-Version": "1.55" });
    expect(text(told.ResponseBody)).toBe(answer);
  });

  test("that refuses a request is the reason of a 403, and nothing has been done", async () => {
    const { served, plugin } = await scene();
    plugin.forbids = (_, { RequestUri }) => (RequestUri.includes("/create") ? "no containers today" : undefined);
    const refused = await served.fetch("/containers/create", { json: JSON.parse(busybox) });
    expect(refused.headers.get("api-version")).toBe("1.55");
    expect(await message(refused)).toEqual([403, "authorization denied by plugin guard: no containers today"]);
    expect(served.engine.calls).toEqual([]);
    expect((await served.fetch("/_ping")).status).toBe(200);
  });

  test("that refuses an answer keeps all of it back, its headers too", async () => {
    const { served, plugin } = await scene();
    plugin.forbids = (phase) => (phase === "response" ? "secret" : undefined);
    const refused = await served.fetch("/_ping");
    expect(refused.headers.get("builder-version")).toBeNull();
    expect(refused.headers.get("server")).toStartWith("tsd/");
    expect(await message(refused)).toEqual([403, "authorization denied by plugin guard: secret"]);
    const head = await served.fetch("/_ping", { method: "HEAD" });
    expect([head.status, await head.text()]).toEqual([403, ""]);
    const stream = await served.fetch(`/events?until=${Math.floor(Date.now() / 1000)}`);
    expect(await message(stream)).toEqual([403, "authorization denied by plugin guard: secret"]);
    expect(plugin.asked.at(-1)![1]).not.toHaveProperty("ResponseBody");
  });

  test("is told of an error, and that it refuses it changes nothing", async () => {
    const { served, plugin } = await scene();
    plugin.forbids = (phase) => (phase === "response" ? "never" : undefined);
    const [status, words] = await message(await served.fetch("/containers/nobody/json"));
    expect(status).toBe(404);
    const [, told] = plugin.asked.at(-1)!;
    expect(told.ResponseStatusCode).toBe(404);
    expect(text(told.ResponseBody)).toContain(words);
    expect((await served.fetch("/nowhere")).status).toBe(404);
  });

  test("that fails allows nothing", async () => {
    const { served, plugin } = await scene();
    plugin.judge = () => Promise.reject(new EngineError("unavailable", "AuthZPlugin.AuthZReq: no answer"));
    const response = await served.fetch("/_ping");
    expect(response.status).toBe(500);
    expect(await response.json()).toMatchObject({
      message: "plugin guard failed with error: AuthZPlugin.AuthZReq: no answer",
      stage: "authorization",
      hint: expect.stringContaining("start it again"),
    });
  });

  test("is asked in its turn, and not when one before it has refused", async () => {
    const { served, plugins } = await scene("first", "second");
    const order: string[] = [];
    for (const plugin of plugins) plugin.forbids = (phase) => void order.push(`${plugin.name} ${phase}`);
    await served.fetch("/_ping");
    expect(order).toEqual(["first request", "second request", "first response", "second response"]);
    plugins[0]!.forbids = () => "enough";
    expect(await message(await served.fetch("/_ping"))).toEqual([403, "authorization denied by plugin first: enough"]);
    expect(plugins[1]!.asked).toHaveLength(2);
  });

  test("sees the body that is served, whatever its length was said to be", async () => {
    const { served, plugin } = await scene();
    plugin.forbids = (_, { RequestBody }) => (text(RequestBody)?.includes("busybox") ? "seen" : undefined);
    const post = ["POST /containers/create HTTP/1.1", "Content-Type: application/json"];
    const chunk = `${Buffer.byteLength(busybox).toString(16)}\r\n${busybox}\r\n0\r\n\r\n`;
    expect(await raw(served, [...post, "Transfer-Encoding: chunked"], chunk)).toContain("by plugin guard: seen");
    // What follows a body of no bytes is another request, or none.
    expect(await raw(served, [...post, "Content-Length: 0"], busybox)).not.toContain(" 201 ");
    expect(await raw(served, [...post, "Content-Length: 0", "Transfer-Encoding: chunked"], chunk)).not.toContain(
      " 201 ",
    );
    const upgraded = new RawConnection(served.socket);
    upgraded.upgrade("/containers/create", busybox);
    expect((await upgraded.rest()).toString()).toContain("by plugin guard: seen");
    expect(served.engine.created.size).toBe(0);
  });

  test("is not passed by with a body that is too long for it", async () => {
    const { served, plugin } = await scene();
    const body = JSON.stringify({ Image: "busybox", Labels: { a: "x".repeat(judgedBytesMax) } });
    const headers = { "content-type": "application/json" };
    const [status, words] = await message(await served.fetch("/containers/create", { method: "POST", body, headers }));
    expect([status, words]).toEqual([403, expect.stringContaining("more than the 1048576 bytes")]);
    expect(plugin.asked).toEqual([]);
    const short = JSON.stringify({ Image: "busybox", Labels: { a: "x".repeat(judgedBytesMax - 100) } });
    expect((await served.fetch("/containers/create", { method: "POST", body: short, headers })).status).toBe(201);
    expect(text(plugin.asked[0]![1].RequestBody)).toBe(short);
  });

  test.each([
    ['{"HostConfig":{"Privileged":true},"Image":"busybox","HostConfig":{}}', '"HostConfig" twice'],
    ['{"HostConfig":{"Privileged":true,"privileged" : false},"Image":"busybox"}', '"privileged" twice'],
    ['{"HostConfig":{"Privileged":true},"Ho\u017ftConfig":{"Privileged":false}}', '"Ho\u017ftConfig" twice'],
    ['{"Image":"a","Labels":{"x":"\\"}"},"I\\u006dage":"b"}', '"Image" twice'],
    ['\ufeff{"Image":"busybox"}', "invalid JSON"],
    ['{"Image":"busybox"}{}', "invalid JSON"],
  ])("is not asked about a body that it could read otherwise: %s", async (body, reason) => {
    const { served, plugin } = await scene();
    const headers = { "content-type": "application/json" };
    const answer = await message(await served.fetch("/containers/create", { method: "POST", body, headers }));
    expect(answer[1]).toContain(reason);
    expect(plugin.asked).toEqual([]);
    expect(served.engine.created.size).toBe(0);
  });

  test("is asked about what has the same key in several objects, or keys of its own in two spellings", async () => {
    const { served } = await scene();
    const json = {
      Image: "busybox",
      Labels: { A: '"a": {', a: "b" },
      HostConfig: { Mounts: [{ Type: "a" }, { Type: "b" }] },
    };
    expect((await served.fetch("/containers/create", { json })).status).toBe(201);
  });

  test("is not asked about the head of what has none, which would be served as a whole", async () => {
    const { served, plugin } = await scene();
    const { Id } = (await (await served.fetch("/containers/create", { json: JSON.parse(busybox) })).json()) as {
      Id: string;
    };
    plugin.asked.length = 0;
    const handshake = ["Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13"];
    const head = [`HEAD /containers/${Id}/attach/ws?stream=1&stdin=1 HTTP/1.1`, ...handshake];
    const connection = new RawConnection(served.socket);
    connection.socket.write(
      `${[...head, "Host: x", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="].join("\r\n")}\r\n\r\n`,
    );
    await connection.rest();
    expect(connection.head()).toStartWith("HTTP/1.1 404 ");
    for (const path of [`/containers/${Id}/export`, "/events", "/containers/json"]) {
      expect((await served.fetch(path, { method: "HEAD" })).status).toBe(404);
    }
    expect(plugin.asked).toEqual([]);
    expect(served.engine.attached).toEqual([]);
  });

  test("is not given credentials, nor what is no JSON", async () => {
    const { served, plugin } = await scene();
    await served.fetch("/v1.44/auth", { json: { username: "u", password: "p" } });
    expect(plugin.asked.map(([, { RequestBody, ResponseBody }]) => [RequestBody, ResponseBody])).toEqual([
      [undefined, undefined],
      [undefined, undefined],
    ]);
    const headers = { "content-type": "application/x-tar" };
    const loaded = await served.fetch("/images/load", { method: "POST", body: "tar", headers });
    expect(loaded.status).toBe(200);
    expect(plugin.asked[2]![1]).not.toHaveProperty("RequestBody");
    expect(served.engine.calls.join()).toContain("load");
  });

  test("that refuses to let a taken connection go on has it cut", async () => {
    const { served, plugin } = await scene();
    const { Id } = (await (await served.fetch("/containers/create", { json: JSON.parse(busybox) })).json()) as {
      Id: string;
    };
    plugin.forbids = (_, { ResponseStatusCode }) => (ResponseStatusCode === 101 ? "no streams" : undefined);
    const connection = new RawConnection(served.socket);
    connection.upgrade(`/containers/${Id}/attach?stream=1&stdout=1`);
    await connection.rest();
    expect(plugin.lines().at(-1)).toEndWith("attach?stream=1&stdout=1 101");
  });
});

/** @returns the types of the frames that came, and what the one of an error says. */
async function run(
  served: Served,
  request: object,
  path = "/tsd/run",
): Promise<{ types: number[]; error?: string; id?: string }> {
  const connection = new RawConnection(served.socket);
  connection.upgrade(
    path,
    JSON.stringify(request),
    Buffer.from(encodeFrame(frameType.endOfStdin)).toString(),
    "tsd-run",
  );
  const frames: [number, string][] = [];
  const reader = new FrameReader(
    (type, payload) => frames.push([type, Buffer.from(payload).toString()]),
    () => false,
  );
  reader.push(await connection.rest());
  const find = (type: number) => frames.find(([other]) => other === type)?.[1];
  const [error, created] = [find(frameType.error), find(frameType.created)];
  return {
    types: frames.map(([type]) => type),
    ...(error && { error: (JSON.parse(error) as { message: string }).message }),
    ...(created && { id: (JSON.parse(created) as { Id: string }).Id }),
  };
}

describe("the fast path", () => {
  const create = { Image: "busybox", Cmd: ["exit", "3"], HostConfig: { AutoRemove: true, Privileged: true } };
  const request = { create, name: "web", pull: "missing", attach: { stdin: false, stdout: true, stderr: true } };

  test("is the requests of Docker's that it stands for, to a plugin", async () => {
    const { served, plugin } = await scene();
    const { id, error } = await run(served, request);
    expect(error).toBeUndefined();
    const at = `/v1.55/containers/${id}`;
    expect(plugin.lines()).toEqual([
      "request POST /v1.55/containers/create?name=web",
      "response POST /v1.55/containers/create?name=web 201",
      `request POST ${at}/attach?stream=1&stdout=1&stderr=1`,
      `response POST ${at}/attach?stream=1&stdout=1&stderr=1 101`,
      `request POST ${at}/wait?condition=removed`,
      `response POST ${at}/wait?condition=removed 200`,
      `request POST ${at}/start`,
      `response POST ${at}/start 204`,
    ]);
    expect(JSON.parse(text(plugin.asked[0]![1].RequestBody)!)).toMatchObject(create);
    expect(JSON.parse(text(plugin.asked[1]![1].ResponseBody)!)).toMatchObject({ Id: id });
  });

  test("makes no container that must not be created", async () => {
    const { served, plugin } = await scene();
    plugin.forbids = (_, { RequestBody }) =>
      text(RequestBody)?.includes('"Privileged":true') ? "unprivileged" : undefined;
    expect(await run(served, request)).toEqual({
      types: [frameType.error],
      error: "authorization denied by plugin guard: unprivileged",
    });
    expect(served.engine.created.size).toBe(0);
  });

  test("leaves nothing of a container with --rm that must not be started, and one without it as it was created", async () => {
    const { served, plugin } = await scene();
    plugin.forbids = (_, { RequestUri }) => (RequestUri.endsWith("/start") ? "stay" : undefined);
    expect((await run(served, request)).error).toBe("authorization denied by plugin guard: stay");
    expect(served.engine.created.size).toBe(0);
    const { error, id } = await run(served, { ...request, detach: true, create: { ...create, HostConfig: {} } });
    expect(error).toBe("authorization denied by plugin guard: stay");
    expect(served.engine.created.get(id!)?.running).toBe(false);
  });

  test("executes in a container what Docker's requests would, and nothing that they must not", async () => {
    const { served, plugin } = await scene();
    const { Id } = (await (
      await served.fetch("/containers/create", { json: { ...create, Cmd: ["sleep"] } })
    ).json()) as {
      Id: string;
    };
    await served.fetch(`/containers/${Id}/start`, { method: "POST" });
    plugin.asked.length = 0;
    const exec = { AttachStdout: true, AttachStderr: true, Cmd: ["exit", "4"] };
    const { types, id, error } = await run(served, { container: Id, exec }, "/tsd/exec");
    expect(error).toBeUndefined();
    expect(types.at(-1)).toBe(frameType.exit);
    expect(plugin.lines().filter((line) => line.startsWith("request"))).toEqual([
      `request POST /v1.55/containers/${Id}/exec`,
      `request POST /v1.55/exec/${id}/start`,
    ]);
    expect(JSON.parse(text(plugin.asked[0]![1].RequestBody)!)).toMatchObject(exec);
    plugin.forbids = (_, { RequestUri }) => (RequestUri.endsWith("/exec") ? "no exec" : undefined);
    const before = served.engine.executed.size;
    expect((await run(served, { container: Id, exec }, "/tsd/exec")).error).toEndWith("by plugin guard: no exec");
    expect(served.engine.executed.size).toBe(before);
  });

  test("pulls nothing that must not be pulled", async () => {
    const { served, plugin } = await scene();
    plugin.forbids = (_, { RequestUri }) => (RequestUri.includes("/images/create") ? "no pulls" : undefined);
    const { error } = await run(served, { ...request, create: { ...create, Image: "alpine:3" } });
    expect(error).toBe("authorization denied by plugin guard: no pulls");
    expect(plugin.lines()).toEqual(["request POST /v1.55/images/create?fromImage=alpine%3A3"]);
  });
});

describe("tsd's other routes", () => {
  test("are judged as what they do in Docker's, and as themselves", async () => {
    const { served, plugin } = await scene();
    const json = { image: "alpine", directory: "/b" };
    await served.fetch("/v1.55/tsd/bundle", { json });
    await served.fetch("/tsd/bundle", { json: { ...json, pull: "never" } });
    await served.fetch("/tsd/gc", { method: "POST" });
    await served.fetch("/tsd/registry/manifest?reference=a/b");
    const asked = plugin.lines().filter((line) => line.startsWith("request"));
    expect(asked).toEqual([
      "request POST /v1.55/images/create?fromImage=alpine",
      "request GET /v1.55/images/alpine/get",
      "request POST /v1.55/tsd/bundle",
      "request GET /v1.55/images/alpine/get",
      "request POST /tsd/bundle",
      "request POST /v1.55/images/prune",
      "request POST /tsd/gc",
      "request GET /v1.55/distribution/a/b/json",
      "request GET /tsd/registry/manifest?reference=a/b",
    ]);
    plugin.forbids = (_, { RequestUri }) => (RequestUri.includes("/images/create") ? "no pulls" : undefined);
    expect(await message(await served.fetch("/tsd/bundle", { json }))).toEqual([
      403,
      "authorization denied by plugin guard: no pulls",
    ]);
  });
});

test("each route of tsd's own is known in terms of Docker's, but for what nobody else has", () => {
  const routes = createApp(new FakeEngine()).routes.filter(({ path }) => path.startsWith("/tsd/"));
  const body = Buffer.from(JSON.stringify({ image: "alpine", directory: "/b" }));
  const unknown = routes.filter(({ method, path }) => standsFor({ method, uri: path, body }).length === 0);
  expect(unknown.map(({ method, path }) => `${method} ${path}`)).toEqual(["POST /tsd/fsck"]);
});
