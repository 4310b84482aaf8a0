import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { digestOf } from "../../core/digest.ts";
import { isEngineError } from "../../core/errors.ts";
import { manifestBytesMax, mediaTypes } from "../../oci/image.ts";
import { parseReference, type Reference } from "../reference.ts";
import { parseChallenges } from "./challenge.ts";
import { RegistryClient } from "./client.ts";
import { registryError, slowBody, TestRegistry } from "./hostile-registry.ts";
import { isInsecure, parseMirror, registryHosts } from "./hosts.ts";

let registry: TestRegistry;
let other: TestRegistry;
let client: RegistryClient;
let reference: Reference;

beforeEach(() => {
  registry = new TestRegistry();
  other = new TestRegistry();
  client = new RegistryClient({ stallTimeoutMs: 300, retryDelayMs: 1 });
  reference = parseReference(`${registry.host}/some/image:tag`);
});
afterEach(async () => {
  await registry.stop();
  await other.stop();
});

const document = { schemaVersion: 2, mediaType: mediaTypes.ociManifest, config: {}, layers: [] };

async function failure(promise: Promise<unknown>): Promise<{ code: string; message: string }> {
  try {
    await promise;
  } catch (error) {
    if (isEngineError(error)) return { code: error.code, message: error.message };
    throw error;
  }
  throw new Error("it did not fail");
}

async function text(body: AsyncIterable<Uint8Array>): Promise<string> {
  let result = "";
  for await (const piece of body) result += Buffer.from(piece).toString();
  return result;
}

describe("a registry client", () => {
  test("reads manifests by tag and by digest over plain HTTP on loopback", async () => {
    const digest = registry.addManifest(document, { tag: "tag" });
    expect(await client.manifest(reference)).toMatchObject({ digest, mediaType: mediaTypes.ociManifest });
    expect(await client.manifest({ ...reference, digest })).toMatchObject({ digest });
    expect(await client.resolve(reference)).toBe(digest);
  });

  test("reads blobs, from the middle where the registry can and else from the start", async () => {
    const { digest } = registry.addBlob(Buffer.from("0123456789"));
    expect(await text((await client.blob(reference, digest, 0)).body)).toBe("0123456789");
    const middle = await client.blob(reference, digest, 4);
    expect([middle.offset, await text(middle.body)]).toEqual([4, "456789"]);
    registry.supportsRanges = false;
    const whole = await client.blob(reference, digest, 4);
    expect([whole.offset, await text(whole.body)]).toEqual([0, "0123456789"]);
  });

  test("reads a part of a blob, and says where the registry gives no parts", async () => {
    const { digest } = registry.addBlob(Buffer.from("0123456789"));
    const part = await client.blob(reference, digest, 0, { end: 4 });
    expect([part.offset, part.isRange, await text(part.body)]).toEqual([0, true, "0123"]);
    const last = await client.blob(reference, digest, 7, { end: 10 });
    expect([last.offset, last.isRange, await text(last.body)]).toEqual([7, true, "789"]);
    registry.supportsRanges = false;
    const whole = await client.blob(reference, digest, 7, { end: 10 });
    expect([whole.offset, whole.isRange, await text(whole.body)]).toEqual([0, false, "0123456789"]);
  });

  test("starts over where the registry does not like the range", async () => {
    const { digest } = registry.addBlob(Buffer.from("0123456789"));
    registry.misbehave = (request) => (request.headers.has("range") ? new Response(null, { status: 416 }) : undefined);
    expect((await client.blob(reference, digest, 4)).offset).toBe(0);
    registry.misbehave = (request) =>
      request.headers.has("range")
        ? new Response("xx", { status: 206, headers: { "content-range": "bytes 1-2/10" } })
        : undefined;
    const whole = await client.blob(reference, digest, 4);
    expect([whole.offset, whole.isRange, await text(whole.body)]).toEqual([0, false, "0123456789"]);
    registry.misbehave = () => new Response("xx", { status: 206, headers: { "content-range": "bytes 1-2/10" } });
    expect((await failure(client.blob(reference, digest, 4))).message).toContain("asked for the whole blob, got 206");
  });

  test.each([
    [
      () => registryError(404, "MANIFEST_UNKNOWN", "manifest unknown"),
      "not_found",
      /^manifest for .*\/some\/image:tag not found: manifest unknown: manifest unknown$/,
    ],
    [
      () => registryError(404, "NAME_UNKNOWN", "repository name not known to registry"),
      "not_found",
      /^repository .*\/some\/image not found: name unknown: /,
    ],
    [
      () => registryError(403, "DENIED", "requested access to the resource is denied"),
      "not_found",
      /^pull access denied for .*\/some\/image, repository does not exist or may require 'docker login': denied: requested access to the resource is denied$/,
    ],
    [
      () => registryError(401, "UNAUTHORIZED", "authentication required"),
      "unauthorized",
      /: unauthorized: authentication required$/,
    ],
    [
      () => registryError(429, "TOOMANYREQUESTS", "slow down"),
      "unavailable",
      /^toomanyrequests: slow down \(.*\/some\/image\)$/,
    ],
    [() => new Response("<html>no</html>", { status: 404 }), "not_found", /^manifest for .* not found/],
    [
      () => new Response("<html>oops</html>", { status: 502 }),
      "unavailable",
      /received unexpected HTTP status: 502 Bad Gateway$/,
    ],
    [
      () => new Response("<html>hotel</html>", { headers: { "content-type": "text/html; charset=utf-8" } }),
      "unsupported",
      /a web page: is it a registry\?$/,
    ],
    [
      () =>
        new Response("{}", {
          headers: { "content-type": "application/vnd.docker.distribution.manifest.v1+prettyjws" },
        }),
      "unsupported",
      /unsupported media type "application\/vnd.docker.distribution.manifest.v1\+prettyjws"$/,
    ],
    [() => new Response("x".repeat(manifestBytesMax + 1)), "corrupt", /is larger than 4194304$/],
    [
      () => new Response(slowBody(["x".repeat(manifestBytesMax), "x"], 0)),
      "corrupt",
      /answer is larger than 4194304 bytes$/,
    ],
    [
      () => Response.json(document, { headers: { "docker-content-digest": digestOf("other") } }),
      "corrupt",
      /manifest has digest sha256:.*, not sha256:/,
    ],
    [() => new Response(slowBody(["{"], 1000)), "unavailable", /no data for 0.3 seconds$/],
    [() => new Promise<never>(() => undefined), "unavailable", /no data for 0.3 seconds$/],
  ] as [() => Response, string, RegExp][])("says what a registry means: %#", async (answer, code, message) => {
    registry.misbehave = answer;
    const failed = await failure(client.manifest(reference));
    expect(failed.code).toBe(code);
    expect(failed.message).toMatch(message);
  });

  test("gives up a manifest that trickles in", async () => {
    const impatient = new RegistryClient({ stallTimeoutMs: 300 });
    registry.misbehave = () => new Response(slowBody(Array(1000).fill(" "), 20));
    const failed = await failure(impatient.manifest(reference));
    expect(failed.message).toEndWith(": the answer is not complete after 3 seconds");
  });

  test("refuses a manifest that is not what was asked for", async () => {
    registry.addManifest(document, { tag: "tag" });
    const wanted = digestOf("something else");
    registry.misbehave = () => Response.json(document, { headers: { "content-type": mediaTypes.ociManifest } });
    const failed = await failure(client.manifest({ ...reference, digest: wanted }));
    expect(failed).toMatchObject({ code: "corrupt" });
    expect(failed.message).toContain(`not ${wanted}`);
  });

  test("names the address that nobody answers at", async () => {
    const { host } = registry;
    await registry.stop();
    expect(await failure(client.manifest(reference))).toEqual({
      code: "unavailable",
      message: `Get "http://${host}/v2/some/image/manifests/tag": connect: connection refused`,
    });
  });

  test("stops at once when it is told to", async () => {
    const controller = new AbortController();
    registry.misbehave = () => new Response(slowBody(Array(100).fill("x"), 50));
    const { digest } = registry.addBlob(Buffer.from("x"));
    const stream = await client.blob(reference, digest, 0, { signal: controller.signal });
    setTimeout(() => controller.abort(), 20);
    expect((await failure(text(stream.body))).code).toBe("cancelled");
  });
});

describe("authentication", () => {
  const credentials = { username: "me", password: "secret" };
  const basic = `Basic ${btoa("me:secret")}`;

  function withTokens(issue: (url: URL, request: Request) => Response | undefined): void {
    registry.misbehave = (request, url) => {
      if (url.pathname === "/token") return issue(url, request) ?? Response.json({ token: "t1", expires_in: 300 });
      if (request.headers.get("authorization") === "Bearer t1") return undefined;
      const challenge = `Bearer realm="http://${registry.host}/token",service="registry, \\"quoted\\"",scope="repository:some/image:pull"`;
      return registryError(401, "UNAUTHORIZED", "authentication required", { "www-authenticate": challenge });
    };
  }

  test("gets an anonymous token where the registry sends for one, and keeps it", async () => {
    const digest = registry.addManifest(document, { tag: "tag" });
    const asked: string[] = [];
    withTokens((url, request) => {
      asked.push(`${url.search} ${request.headers.get("authorization")}`);
      return undefined;
    });
    await client.manifest(reference);
    await client.manifest({ ...reference, digest });
    expect(asked).toEqual(["?service=registry%2C+%22quoted%22&scope=repository%3Asome%2Fimage%3Apull null"]);
  });

  test("gets a new token when the old one is refused", async () => {
    registry.addManifest(document, { tag: "tag" });
    let serial = 0;
    let valid = "";
    registry.misbehave = (request, url) => {
      if (url.pathname === "/token") {
        valid = `t${++serial}`;
        return Response.json({ access_token: valid });
      }
      if (request.headers.get("authorization") === `Bearer ${valid}` && valid !== "") return undefined;
      return registryError(401, "UNAUTHORIZED", "expired", {
        "www-authenticate": `Bearer realm="http://${registry.host}/token"`,
      });
    };
    await client.manifest(reference);
    valid = "revoked";
    await client.manifest(reference);
    expect(serial).toBe(2);
  });

  test("sends name and password to the token server and not to the registry", async () => {
    registry.addManifest(document, { tag: "tag" });
    withTokens((url, request) =>
      request.headers.get("authorization") === basic && url.searchParams.get("account") === "me"
        ? undefined
        : new Response(null, { status: 401 }),
    );
    await client.manifest(reference, { credentials });
    expect(registry.seen.filter(({ path, authorization }) => authorization === basic && path !== "/token")).toEqual([]);
    const wrong = await failure(client.manifest(reference, { credentials: { username: "me", password: "wrong" } }));
    expect(wrong).toMatchObject({ code: "unauthorized" });
    expect(wrong.message).toEndWith("unauthorized: incorrect username or password");
  });

  test("answers Basic with name and password, and says so when it has none", async () => {
    registry.addManifest(document, { tag: "tag" });
    registry.misbehave = (request) =>
      request.headers.get("authorization") === basic
        ? undefined
        : registryError(401, "UNAUTHORIZED", "authentication required", { "www-authenticate": 'Basic realm="r"' });
    await client.manifest(reference, { credentials });
    expect(await failure(client.manifest(reference))).toEqual({
      code: "unauthorized",
      message: `Get "http://${registry.host}/v2/some/image/manifests/tag": no basic auth credentials`,
    });
    const wrong = { username: "me", password: "wrong" };
    expect((await failure(client.manifest(reference, { credentials: wrong }))).code).toBe("unauthorized");
  });

  test.each([
    ["that answers nonsense", () => new Response("<html>"), "the answer holds no token"],
    ["that is broken", () => new Response("", { status: 500 }), "500"],
  ] as [string, () => Response, string][])("fails with a token server %s", async (_name, answer, message) => {
    withTokens(answer);
    const failed = await failure(client.manifest(reference));
    expect(failed.code).toBe("unavailable");
    expect(failed.message).toContain(message);
  });

  test("never goes round in circles with a registry that refuses its own tokens", async () => {
    registry.misbehave = (_request, url) =>
      url.pathname === "/token"
        ? Response.json({ token: "t" })
        : registryError(401, "UNAUTHORIZED", "no", {
            "www-authenticate": `Bearer realm="http://${registry.host}/token"`,
          });
    expect((await failure(client.manifest(reference))).code).toBe("unauthorized");
    expect(registry.count("manifests")).toBe(2);
  });
});

describe("redirects", () => {
  const credentials = { username: "me", password: "secret" };

  test("are followed, and credentials stay with the host that they are for", async () => {
    const { digest } = other.addBlob(Buffer.from("content"));
    registry.misbehave = (request) =>
      request.headers.has("authorization")
        ? Response.redirect(`http://user:word@${other.host}/v2/x/blobs/${digest}`, 307)
        : registryError(401, "UNAUTHORIZED", "no", { "www-authenticate": "Basic" });
    const { body } = await client.blob(reference, digest, 0, { credentials });
    expect(await text(body)).toBe("content");
    expect(other.seen).toMatchObject([{ authorization: null }]);
  });

  test("do not let their target ask for the password", async () => {
    const { digest } = registry.addBlob(Buffer.from("content"));
    registry.misbehave = () => Response.redirect(`http://${other.host}/v2/x/blobs/${digest}`, 307);
    other.misbehave = (_request, url) =>
      url.pathname === "/steal"
        ? Response.json({ token: "t" })
        : registryError(401, "UNAUTHORIZED", "no", { "www-authenticate": `Bearer realm="http://${other.host}/steal"` });
    expect((await failure(client.blob(reference, digest, 0, { credentials }))).code).toBe("unauthorized");
    expect(other.seen.filter(({ path }) => path === "/steal")).toEqual([]);
  });

  test.each([
    ["in a circle", () => `http://${registry.host}/again`, "stopped after 10 redirects"],
    ["to a file", () => "file:///etc/passwd", "which is not secure"],
    ["to nonsense", () => "http://[", "redirected to"],
  ] as [string, () => string, string][])("%s are refused", async (_name, location, message) => {
    registry.misbehave = () => new Response(null, { status: 302, headers: { location: location() } });
    expect((await failure(client.manifest(reference))).message).toContain(message);
  });
});

describe("mirrors", () => {
  test("are asked first for docker.io, without the user's password, and left out when they fail", async () => {
    const mirrored = new RegistryClient({
      mirrors: [`http://${registry.host}/`, `http://${other.host}`],
      stallTimeoutMs: 300,
    });
    registry.misbehave = () => new Response(null, { status: 500 });
    const digest = other.addManifest(document, { tag: "latest" });
    const busybox = parseReference("busybox");
    const options = { credentials: { username: "me", password: "secret" } };
    expect(await mirrored.manifest(busybox, options)).toMatchObject({ digest });
    expect(other.seen).toMatchObject([{ path: "/v2/library/busybox/manifests/latest", authorization: null }]);
    await mirrored.manifest(busybox, options);
    expect(registry.seen).toHaveLength(1); // who answered is asked first from then on
  });

  test("that ask for a password get none, and the next is asked", async () => {
    const mirrors = [`http://${registry.host}`, `http://${other.host}`];
    const mirrored = new RegistryClient({ mirrors, stallTimeoutMs: 300 });
    registry.misbehave = () => new Response(null, { status: 401, headers: { "www-authenticate": "Basic" } });
    const digest = other.addManifest(document, { tag: "latest" });
    const options = { credentials: { username: "me", password: "secret" } };
    expect(await mirrored.manifest(parseReference("busybox"), options)).toMatchObject({ digest });
    expect(registry.seen).toMatchObject([{ authorization: null }]);
  });

  test.each([
    "",
    "registry.example",
    "ftp://registry.example",
    "https://u:p@registry.example",
    "https://x/?q=1",
    "https://x/#f",
  ])("%j is no mirror", (mirror) => {
    expect(() => parseMirror(mirror)).toThrow("invalid mirror");
  });
});

describe("hosts", () => {
  test.each([
    ["localhost", true],
    ["localhost:5000", true],
    ["127.0.0.1:5000", true],
    ["127.9.9.9", true],
    ["[::1]:5000", true],
    ["[0:0:0:0:0:0:0:1]", true],
    ["128.0.0.1", false],
    ["[::2]:5000", false],
    ["registry.example", false],
    ["registry.lan:5000", true],
    ["other.lan", true],
    ["other.lan:80", true],
    ["registry.lan", false],
    ["10.1.2.3:5000", true],
    ["11.1.2.3:5000", false],
    ["[fd00:1::5]:1", true],
    ["[fd00:2::5]:1", false],
    ["10.evil.example", false],
  ])("%s insecure: %p", (host, expected) => {
    expect(isInsecure(host, ["registry.lan:5000", "other.lan", "10.0.0.0/8", "fd00:1::/32"])).toBe(expected);
  });

  test("HTTP is tried for insecure registries alone, after HTTPS", () => {
    const urls = (registry: string, config: object = {}) =>
      registryHosts(registry, { certificateDirectories: [], ...config }, "pull").map(({ apiUrl }) => apiUrl);
    expect(urls("docker.io")).toEqual(["https://registry-1.docker.io/v2"]);
    expect(urls("localhost:5000")).toEqual(["https://localhost:5000/v2", "http://localhost:5000/v2"]);
    expect(urls("docker.io", { mirrors: ["https://mirror.example/"] })[0]).toBe("https://mirror.example/v2");
    expect(urls("quay.io", { mirrors: ["https://mirror.example"] })).toHaveLength(1);
  });
});

describe("challenges", () => {
  test.each([
    ["Basic", [{ scheme: "basic", parameters: {} }]],
    [
      'Bearer realm="https://a/b?c=d,e",service=x',
      [{ scheme: "bearer", parameters: { realm: "https://a/b?c=d,e", service: "x" } }],
    ],
    [
      'Basic realm="a\\"b", Bearer Realm = "c" , scope="repository:x:pull,push"',
      [
        { scheme: "basic", parameters: { realm: 'a"b' } },
        { scheme: "bearer", parameters: { realm: "c", scope: "repository:x:pull,push" } },
      ],
    ],
    [
      "Negotiate, Basic realm=x",
      [
        { scheme: "negotiate", parameters: {} },
        { scheme: "basic", parameters: { realm: "x" } },
      ],
    ],
    ["", []],
    ["=", []],
  ])("%j is read", (header, expected) => {
    expect(parseChallenges(header)).toEqual(expected);
  });
});
