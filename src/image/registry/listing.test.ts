import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { digestOf } from "../../core/digest.ts";
import { mediaTypes } from "../../oci/image.ts";
import { parseReference, type Reference } from "../reference.ts";
import { failure } from "../store-fixture.ts";
import { RegistryClient } from "./client.ts";
import { TestRegistry } from "./hostile-registry.ts";
import { referrersTag } from "./listing.ts";

let registry: TestRegistry;
let client: RegistryClient;
let reference: Reference;

beforeEach(() => {
  registry = new TestRegistry();
  client = new RegistryClient({ stallTimeoutMs: 5000, retryDelayMs: 1 });
  reference = parseReference(`${registry.host}/some/image`);
});
afterEach(() => registry.stop());

async function tags(): Promise<string[]> {
  const found: string[] = [];
  for await (const tag of client.tags(reference)) found.push(tag);
  return found;
}

describe("tags", () => {
  test("come a page at a time", async () => {
    registry.misbehave = (_request, url) => {
      expect(url.pathname).toBe("/v2/some/image/tags/list");
      const last = url.searchParams.get("last");
      if (last === "b") return Response.json({ tags: ["c"] });
      const link = '</v2/some/image/tags/list?last=b&n=2>; rel="next"';
      return Response.json({ name: "some/image", tags: ["a", "b"] }, { headers: { link } });
    };
    expect(await tags()).toEqual(["a", "b", "c"]);
  });

  test("may be none", async () => {
    registry.misbehave = () => Response.json({ tags: null });
    expect(await tags()).toEqual([]);
  });

  test("that have no end are given up", async () => {
    registry.misbehave = () => Response.json({ tags: ["a"] }, { headers: { link: '</v2/again>; rel="next"' } });
    const failed = await failure(tags());
    expect(failed).toMatchObject({ code: "unavailable" });
    expect(failed.message).toContain(`the list of tags of ${registry.host}/some/image has no end`);
  });

  test("on a page elsewhere are fetched without the token, and never by HTTP after HTTPS", async () => {
    const other = new TestRegistry();
    other.misbehave = () => Response.json({ tags: ["far"] });
    registry.misbehave = (request) =>
      request.headers.has("authorization")
        ? Response.json({ tags: ["near"] }, { headers: { link: `<http://${other.host}/more>; rel=next` } })
        : new Response(null, { status: 401, headers: { "www-authenticate": "Basic" } });
    const found: string[] = [];
    const credentials = { username: "me", password: "secret" };
    for await (const tag of client.tags(reference, { credentials })) found.push(tag);
    expect(found).toEqual(["near", "far"]);
    expect(other.seen).toMatchObject([{ authorization: null }]);
    await other.stop();
  });

  test.each([
    ["<html>", "no JSON"],
    ["[]", "no JSON"],
    ['{"tags":"a"}', "no tags"],
    ['{"tags":["../x"]}', "no tags"],
    ["5", "no JSON"],
  ])("in %j are refused", async (body, message) => {
    registry.misbehave = () => new Response(body);
    expect((await failure(tags())).message).toContain(`the answer is no list of tags: ${message}`);
  });
});

describe("referrers", () => {
  const subject = digestOf("subject");
  const descriptor = (type: string) => ({
    mediaType: mediaTypes.ociManifest,
    digest: digestOf(type),
    size: 5,
    artifactType: type,
  });
  const index = (...types: string[]) => ({
    schemaVersion: 2,
    mediaType: mediaTypes.ociIndex,
    manifests: types.map(descriptor),
  });

  test("come from the API, of one type where the registry does not choose", async () => {
    registry.misbehave = (_request, url) =>
      url.pathname === `/v2/some/image/referrers/${subject}` ? Response.json(index("a/b", "c/d")) : undefined;
    expect((await client.referrers(reference, subject)).map(({ artifactType }) => artifactType)).toEqual([
      "a/b",
      "c/d",
    ]);
    expect(await client.referrers(reference, subject, { artifactType: "c/d" })).toMatchObject([descriptor("c/d")]);
  });

  test("come from the tag of a registry without the API, or are none", async () => {
    expect(await client.referrers(reference, subject)).toEqual([]);
    registry.addManifest(index("a/b"), { tag: referrersTag(subject) });
    expect(await client.referrers(reference, subject)).toMatchObject([descriptor("a/b")]);
  });
});

describe("a busy registry", () => {
  const busy = (headers: Record<string, string>) => new Response(null, { status: 429, headers });

  test("is asked again when it says, by seconds or by date", async () => {
    registry.addManifest({ mediaType: mediaTypes.ociManifest }, { tag: "latest" });
    const answers = [busy({ "retry-after": "0" }), busy({ "retry-after": new Date().toUTCString() }), busy({})];
    registry.misbehave = () => answers.shift();
    await client.manifest(reference);
    expect(registry.seen).toHaveLength(4);
  });

  test("is given up after some tries, and at once when it wants too long a wait", async () => {
    registry.misbehave = () => new Response(null, { status: 503 });
    expect((await failure(client.manifest(reference))).message).toContain("503 Service Unavailable");
    expect(registry.seen).toHaveLength(5);
    registry.misbehave = () => busy({ "retry-after": "3600" });
    expect((await failure(client.manifest(reference))).message).toContain("toomanyrequests");
    expect(registry.seen).toHaveLength(6);
  });

  test("is not waited for by who does not want to wait", async () => {
    registry.misbehave = () => busy({ "retry-after": "30" });
    const controller = new AbortController();
    setTimeout(() => controller.abort(), 20);
    expect((await failure(client.manifest(reference, { signal: controller.signal }))).code).toBe("cancelled");
  });
});
