import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { type Served, serve } from "./testing/serve.ts";

let served: Served;
beforeAll(async () => {
  served = await serve();
});
afterAll(() => served[Symbol.asyncDispose]());

const credentials = Buffer.from('{"username":"me","password":"secret"}').toString("base64url");

async function push(path: string): Promise<[number, Record<string, unknown>[]]> {
  const response = await served.fetch(`/images/${path}`, {
    method: "POST",
    headers: { "x-registry-auth": credentials },
  });
  const text = await response.text();
  return [
    response.status,
    text
      .trim()
      .split("\r\n")
      .map((line) => JSON.parse(line) as Record<string, unknown>),
  ];
}

function calls(): string[] {
  return served.engine.calls.splice(0);
}

describe("POST /images/{name}/push", () => {
  test.each([
    ["busybox/push", "push busybox - me"],
    ["busybox/push?tag=1", "push busybox:1 - me"],
    ["reg:5000/a/b/push?tag=1", "push reg:5000/a/b:1 - me"],
    ["reg:5000/a/b:2/push?tag=1", "push reg:5000/a/b:1 - me"],
    ["reg:5000/a/b:2/push", "push reg:5000/a/b:2 - me"],
    [`a/push?tag=sha256:${"0".repeat(64)}`, `push a@sha256:${"0".repeat(64)} - me`],
    ['a/push?tag=1&platform={"os":"linux","architecture":"arm64"}', "push a:1 linux/arm64 me"],
  ])("%s is for the engine %j", async (path, call) => {
    const [status, messages] = await push(path);
    expect(status).toBe(200);
    expect(messages.at(-1)).toEqual({ progressDetail: {}, aux: { Tag: "latest", Digest: "sha256:1", Size: 2 } });
    expect(calls()).toEqual([call]);
  });

  test("does not know platforms before API 1.46", async () => {
    const query = encodeURIComponent('{"os":"linux","architecture":"arm64"}');
    await served.fetch(`/v1.45/images/a/push?platform=${query}`, { method: "POST" });
    await served.fetch(`/v1.46/images/a/push?platform=${query}`, { method: "POST" });
    expect(calls()).toEqual(["push a - -", "push a linux/arm64 -"]);
  });

  test("refuses with a status what fails before the first message, and with the last line what fails later", async () => {
    expect(await push("none/push?tag=1")).toEqual([
      404,
      [expect.objectContaining({ message: "tag does not exist: none:1" })],
    ]);
    const [status, messages] = await push("denied/push");
    expect(status).toBe(200);
    expect(messages.at(-1)).toEqual({
      errorDetail: { message: "push access denied for denied" },
      error: "push access denied for denied",
      details: { code: "not_found" },
    });
    calls();
  });

  test.each([
    ["UPPER/push?tag=1", "invalid reference format: repository name (library/UPPER) must be lowercase"],
    ["a/push?platform=linux", 'invalid platform "linux": '],
    [`a@sha256:${"0".repeat(64)}/push?tag=1`, "cannot push a digest reference under a tag"],
  ])("refuses %s", async (path, message) => {
    const [status, [body]] = await push(path);
    expect(status).toBe(400);
    expect(body?.message).toStartWith(message);
    expect(calls()).toEqual([]);
  });
});

describe("POST /auth", () => {
  test("answers with Docker's words and the identity token", async () => {
    const login = async (username: string, password: string) => {
      const json = { username, password, serveraddress: "reg:5000" };
      const response = await served.fetch("/auth", { json });
      return [response.status, await response.json()];
    };
    expect(await login("me", "secret")).toEqual([200, { Status: "Login Succeeded" }]);
    expect(await login("token", "secret")).toEqual([200, { Status: "Login Succeeded", IdentityToken: "identity" }]);
    expect(await login("me", "wrong")).toEqual([
      401,
      { message: "unauthorized: incorrect username or password", code: "unauthorized" },
    ]);
    expect(calls()).toEqual(["login me@reg:5000", "login token@reg:5000", "login me@reg:5000"]);
  });

  test("refuses what is no credentials", async () => {
    const response = await served.fetch("/auth", { json: { username: 5 } });
    expect([response.status, ((await response.json()) as { message: string }).message]).toEqual([
      400,
      "invalid JSON: username: number where string is wanted",
    ]);
  });
});

test("X-Registry-Config has the credentials of several registries, and X-Registry-Auth goes before it", async () => {
  const encode = (value: object) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const all = encode({
    "https://index.docker.io/v1/": { username: "hub", password: "x" },
    "reg:5000": { auth: "bWU6eA==", username: "own" },
    other: 5,
  });
  const ask = (name: string, headers: Record<string, string>) =>
    served.fetch(`/distribution/${name}/json`, { headers });
  for (const name of ["busybox", "reg:5000/a", "other.example/a"]) await ask(name, { "x-registry-config": all });
  await ask("busybox", { "x-registry-config": all, "x-registry-auth": credentials });
  await ask("busybox", { "x-registry-config": "rubbish" });
  expect(calls()).toEqual([
    "distribution busybox hub",
    "distribution reg:5000/a own",
    "distribution other.example/a -",
    "distribution busybox me",
    "distribution busybox -",
  ]);
});

test("GET /distribution/{name}/json says what a registry has", async () => {
  const headers = { "x-registry-auth": credentials };
  const response = await served.fetch("/distribution/reg:5000/a/b:1/json", { headers });
  expect(await response.json()).toEqual({
    Descriptor: { mediaType: "application/vnd.oci.image.index.v1+json", digest: "sha256:1", size: 5 },
    Platforms: [{ architecture: "amd64", os: "linux" }],
  });
  expect(calls()).toEqual(["distribution reg:5000/a/b:1 me"]);
});

describe("X-Registry-Auth", () => {
  const encode = (text: string) => Buffer.from(text).toString("base64");
  test.each([
    [
      "in either alphabet, with padding or without",
      encode('{"username":"m\u00ff\u00fe?>","password":"x"}'),
      "m\u00ff\u00fe?>",
    ],
    [
      "whose keys are written in any way, as Go reads them",
      encode('{"Username":"me","PASSWORD":"x","more":[1]}'),
      "me",
    ],
    ["with fields that are null", encode('{"username":"me","password":null}'), "me"],
    ["that says nothing", encode("{}"), "-"],
    ["that is null", encode("null"), "-"],
    ["that is no object", encode('"me"'), "-"],
    ["with a field of another type, as Docker without all of it", encode('{"username":"me","password":5}'), "-"],
    ["that is no JSON", encode('{"username":"me"'), "-"],
    ["that is no base64", "%%%", "-"],
    ["that is empty", "", "-"],
  ])("%s", async (_, header, username) => {
    const headers = { "x-registry-auth": header };
    const asked = [
      ["POST", "/images/create?fromImage=busybox&tag=1", "pull busybox:1 -"],
      ["POST", "/images/busybox/push?tag=1", "push busybox:1 -"],
      ["GET", "/distribution/busybox/json", "distribution busybox"],
    ] as const;
    for (const [method, path, call] of asked) {
      const response = await served.fetch(path, { method, headers });
      await response.text();
      expect(response.status).toBe(200);
      expect(calls()).toEqual([`${call} ${username}`]);
    }
  });
});
