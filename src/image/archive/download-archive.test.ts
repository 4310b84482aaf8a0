/** Archives from the web, from servers that are what servers can be. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { RegistryRequests } from "../registry/requests.ts";
import { failure } from "../store-fixture.ts";
import { downloadArchive } from "./download-archive.ts";

let server: ReturnType<typeof Bun.serve>;
let answer: (request: Request) => Response | Promise<Response>;
const signal = new AbortController().signal;
const requests = new RegistryRequests({ stallTimeoutMs: 300, retryDelayMs: 1 });

beforeEach(() => {
  server = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: (request) => answer(request) });
});
afterEach(() => server.stop(true));

const text = async (body: AsyncIterable<Uint8Array>) => {
  const pieces: Uint8Array[] = [];
  for await (const piece of body) pieces.push(piece);
  return Buffer.concat(pieces).toString();
};

test("an archive comes with its length, and with the password that its address has, which nobody is told", async () => {
  let seen: string | null = null;
  answer = (request) => {
    seen = request.headers.get("authorization");
    return new Response("archive");
  };
  const found = await downloadArchive(requests, `me:p%40ss@127.0.0.1:${server.port}/a.tar`, signal);
  expect([found.url, found.size, await text(found.body)]).toEqual([
    `http://127.0.0.1:${server.port}/a.tar`,
    7,
    "archive",
  ]);
  expect(seen as unknown).toBe(`Basic ${btoa("me:p@ss")}`);
});

test("a redirect to another server is followed without the password", async () => {
  const seen: (string | null)[] = [];
  const other = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    fetch: (request) => {
      seen.push(request.headers.get("authorization"));
      return new Response("there");
    },
  });
  try {
    answer = () => Response.redirect(`http://127.0.0.1:${other.port}/b`);
    const found = await downloadArchive(requests, `http://me:secret@127.0.0.1:${server.port}/a`, signal);
    expect([await text(found.body), seen]).toEqual(["there", [null]]);
  } finally {
    await other.stop(true);
  }
});

test("a server that falls silent is given up", async () => {
  answer = () => new Response(new ReadableStream({ start: (controller) => controller.enqueue(Buffer.from("x")) }));
  const found = await downloadArchive(requests, `http://127.0.0.1:${server.port}/a`, signal);
  expect(await failure(text(found.body))).toMatchObject({
    code: "unavailable",
    message: `Get "http://127.0.0.1:${server.port}/a": no data for 0.3 seconds`,
  });
});

test("it is fetched through the daemon's proxy", async () => {
  let asked = "";
  answer = (request) => {
    asked = request.url;
    return new Response("by proxy");
  };
  const proxies = { http: `http://127.0.0.1:${server.port}` };
  const found = await downloadArchive(new RegistryRequests({ proxies }), "http://archives.example/a", signal);
  expect([await text(found.body), asked]).toEqual(["by proxy", "http://archives.example/a"]);
});

test("what is no address, and what is not there, is named without a password", async () => {
  answer = () => new Response(null, { status: 404 });
  const location = `http://me:secret@127.0.0.1:${server.port}/none`;
  expect(await failure(downloadArchive(requests, location, signal))).toMatchObject({
    code: "not_found",
    message: `download http://127.0.0.1:${server.port}/none: the server answered 404`,
  });
  expect((await failure(downloadArchive(requests, "ftp://a/b", signal))).message).toContain("neither http nor https");
});
