import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mediaTypes } from "../../oci/image.ts";
import { parseReference, type Reference } from "../reference.ts";
import { failure } from "../store-fixture.ts";
import { mergeScopes } from "./authorization.ts";
import { RegistryClient } from "./client.ts";
import { registryError, TestRegistry } from "./hostile-registry.ts";
import { registryOfServer } from "./login.ts";

let registry: TestRegistry;
let client: RegistryClient;
let reference: Reference;
/** What the token server was asked: method and parameters. */
let asked: { method: string; parameters: URLSearchParams; authorization: string | null }[];
let issue: (parameters: URLSearchParams) => Response | undefined;

beforeEach(() => {
  registry = new TestRegistry();
  client = new RegistryClient({ stallTimeoutMs: 5000, retryDelayMs: 1 });
  reference = parseReference(`${registry.host}/some/image:tag`);
  registry.addManifest({ mediaType: mediaTypes.ociManifest, config: {}, layers: [] }, { tag: "tag" });
  asked = [];
  issue = () => undefined;
  registry.misbehave = async (request, url) => {
    const authorization = request.headers.get("authorization");
    if (url.pathname === "/token") {
      const parameters = request.method === "POST" ? new URLSearchParams(await request.text()) : url.searchParams;
      asked.push({ method: request.method, parameters, authorization });
      return issue(parameters) ?? Response.json({ token: "good", expires_in: 300 });
    }
    if (authorization === "Bearer good") return url.pathname === "/v2/" ? new Response("{}") : undefined;
    const challenge = `Bearer realm="http://${registry.host}/token",service="s",scope="repository:other:pull"`;
    return registryError(401, "UNAUTHORIZED", "authentication required", { "www-authenticate": challenge });
  };
});
afterEach(() => registry.stop());

const credentials = { username: "me", password: "secret" };

describe("tokens", () => {
  test("are asked for what is to be done and for what the registry says", async () => {
    await client.manifest(reference);
    expect(asked.map(({ method, parameters }) => [method, parameters.getAll("scope")])).toEqual([
      ["GET", ["repository:some/image:pull", "repository:other:pull"]],
    ]);
    expect(asked[0]!.parameters.get("service")).toBe("s");
  });

  test("are kept for each scope and each user", async () => {
    await client.manifest(reference);
    await client.manifest(reference);
    expect(asked).toHaveLength(1);
    await client.manifest(reference, { credentials });
    await client.manifest({ ...reference, repository: "some/other" });
    await client.requests.ask({ reference, need: "push", path: "manifests/tag" }, {});
    expect(asked.map(({ parameters }) => parameters.getAll("scope")[0])).toEqual([
      "repository:some/image:pull",
      "repository:some/image:pull",
      "repository:some/other:pull",
      "repository:some/image:pull,push",
    ]);
  });

  test("are one for requests that are made at the same time, or while one is under way", async () => {
    const answered = Promise.withResolvers<void>();
    const usual = registry.misbehave;
    registry.misbehave = async (request, url) => {
      const isLate = url.pathname.endsWith("/late") && request.headers.get("authorization") === null;
      if (isLate) await answered.promise;
      return usual(request, url);
    };
    const late = failure(client.manifest({ ...reference, tag: "late" }));
    await Promise.all([client.manifest(reference), client.manifest(reference)]);
    answered.resolve();
    expect((await late).code).toBe("not_found");
    expect(asked).toHaveLength(1);
  });

  test("come for an identity token by OAuth 2, without a password", async () => {
    await client.manifest(reference, { credentials: { username: "", password: "", identityToken: "identity" } });
    expect(asked).toMatchObject([{ method: "POST", authorization: null }]);
    expect(Object.fromEntries(asked[0]!.parameters)).toEqual({
      grant_type: "refresh_token",
      refresh_token: "identity",
      service: "s",
      scope: "repository:some/image:pull repository:other:pull",
      client_id: "tsd",
    });
  });

  test("come for name and password by OAuth 2 where the server knows nothing else", async () => {
    issue = (parameters) => (parameters.has("grant_type") ? undefined : new Response(null, { status: 405 }));
    await client.manifest(reference, { credentials });
    expect(asked.map(({ method }) => method)).toEqual(["GET", "POST"]);
    expect(Object.fromEntries(asked[1]!.parameters)).toMatchObject({ grant_type: "password", username: "me" });
  });

  test("that the user brings go to the registry as they are", async () => {
    await client.manifest(reference, { credentials: { username: "", password: "", registryToken: "good" } });
    expect(asked).toEqual([]);
    const stale = { username: "", password: "", registryToken: "bad" };
    expect((await failure(client.manifest(reference, { credentials: stale }))).code).toBe("unauthorized");
  });

  test("that are not given for an identity token say so", async () => {
    issue = () => Response.json({ error: "invalid_grant" }, { status: 400 });
    const stale = { username: "", password: "", identityToken: "old" };
    const failed = await failure(client.manifest(reference, { credentials: stale }));
    expect(failed).toEqual({
      code: "unauthorized",
      message: `Post "http://${registry.host}/token": unauthorized: the identity token is not accepted any more`,
    });
  });

  test("are asked for by nobody to whom the token server redirects what holds the password", async () => {
    const other = new TestRegistry();
    let others = 0;
    other.misbehave = () => {
      others++;
      return Response.json({ token: "good" });
    };
    try {
      issue = () => new Response(null, { status: 307, headers: { location: `http://${other.host}/token` } });
      const identityToken = "identity";
      const failed = await failure(client.manifest(reference, { credentials: { ...credentials, identityToken } }));
      expect([failed.code, failed.message]).toEqual([
        "unavailable",
        `Post "http://${registry.host}/token": redirected to http://${other.host}, which is not to get the user's password`,
      ]);
      expect(others).toBe(0);
    } finally {
      other.stop();
    }
  });

  test("never show up in an error, nor does the name", async () => {
    issue = () => new Response(null, { status: 500 });
    const failed = await failure(client.manifest(reference, { credentials }));
    expect(failed.message).toBe(`Get "http://${registry.host}/token": 500 Internal Server Error`);
  });

  test("are one scope for each repository", () => {
    expect(mergeScopes(["repository:a:pull", "repository:h:5/b:pull", "repository:a:push,pull"])).toEqual([
      "repository:a:pull,push",
      "repository:h:5/b:pull",
    ]);
  });
});

describe("a login", () => {
  test("succeeds with what the token server takes, and brings its identity token", async () => {
    issue = () => Response.json({ token: "good", refresh_token: "identity" });
    expect(await client.login(registry.host, credentials)).toEqual({ identityToken: "identity" });
    expect(Object.fromEntries(asked[0]!.parameters)).toMatchObject({ offline_token: "true", account: "me" });
    issue = () => undefined;
    expect(await client.login(registry.host, credentials)).toEqual({ identityToken: undefined });
  });

  test("asks again, whatever worked before", async () => {
    await client.login(registry.host, credentials);
    issue = () => new Response(null, { status: 401 });
    const failed = await failure(client.login(registry.host, credentials));
    expect(failed).toEqual({
      code: "unauthorized",
      message: `Get "http://${registry.host}/token": unauthorized: incorrect username or password`,
    });
  });

  test("by Basic is what the registry says", async () => {
    registry.misbehave = (request) =>
      request.headers.get("authorization") === `Basic ${btoa("me:secret")}`
        ? new Response("{}")
        : new Response(null, { status: 401, headers: { "www-authenticate": "Basic" } });
    expect(await client.login(registry.host, credentials)).toEqual({ identityToken: undefined });
    expect(await failure(client.login(registry.host, { username: "me", password: "wrong" }))).toEqual({
      code: "unauthorized",
      message: `Get "http://${registry.host}/v2/": unauthorized: incorrect username or password`,
    });
  });

  test("to what is no registry is refused; one that lets everybody in is fine", async () => {
    registry.misbehave = () => new Response("<html>", { status: 404 });
    const failed = await failure(client.login(registry.host, credentials));
    expect(failed.message).toContain("no registry (API version 2) is there: 404 Not Found");
    registry.misbehave = () => new Response("{}");
    expect(await client.login(registry.host, credentials)).toEqual({ identityToken: undefined });
  });

  test.each([
    ["", "docker.io"],
    ["https://index.docker.io/v1/", "docker.io"],
    ["registry.example:5000", "registry.example:5000"],
    ["https://registry.example/v1/", "registry.example"],
  ])("to %j is one to %s", (server, name) => {
    expect(registryOfServer(server)).toBe(name);
  });

  test("to nonsense is refused", () => {
    expect(() => registryOfServer("a b")).toThrow('registry server "a b": no host name');
  });
});
