/** The archive routes: what they make of their parameters in each version of the API. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { type Served, serve } from "../testing/serve.ts";

let served: Served;

beforeAll(async () => {
  served = await serve();
});
afterAll(() => served[Symbol.asyncDispose]());

/** What the backend was asked for by a request. */
async function asked(path: string, init: Parameters<Served["fetch"]>[1] = {}): Promise<string | undefined> {
  const before = served.engine.calls.length;
  const response = await served.fetch(path, init);
  await response.arrayBuffer();
  return served.engine.calls.slice(before).find((call) => /^(save|load|import|export|commit) /.test(call));
}

const arm = encodeURIComponent('{"os":"linux","architecture":"arm64"}');
const amd = encodeURIComponent('{"os":"linux","architecture":"amd64","variant":"v2"}');

describe("saving", () => {
  test("takes names from the path or the query, and platforms since 1.48 and 1.52", async () => {
    expect(await asked("/images/get?names=a&names=b/c:d")).toBe("save a,b/c:d -");
    expect(await asked("/images/a/b:c/get")).toBe("save a/b:c -");
    expect(await asked(`/images/get?names=a&platform=${arm}`)).toBe("save a linux/arm64");
    expect(await asked(`/images/get?names=a&platform=${arm}&platform=${amd}`)).toBe(
      "save a linux/arm64,linux/amd64/v2",
    );
    expect(await asked(`/v1.47/images/get?names=a&platform=${arm}`)).toBe("save a -");
    expect(await asked(`/v1.48/images/get?names=a&platform=${arm}`)).toBe("save a linux/arm64");
    const response = await served.fetch(`/v1.51/images/get?names=a&platform=${arm}&platform=${amd}`);
    expect([response.status, await response.json()]).toMatchObject([
      400,
      { message: "several platforms need API version 1.52 or later" },
    ]);
  });

  test("answers with the archive", async () => {
    const response = await served.fetch("/images/get?names=a");
    expect([response.status, response.headers.get("content-type")]).toEqual([200, "application/x-tar"]);
    expect(await response.text()).toBe("archive of a");
  });

  test("refuses a platform that is none, and no names", async () => {
    for (const path of ["/images/get?names=a&platform=linux", "/images/get?names=a&platform={}", "/images/get"]) {
      expect((await served.fetch(path)).status).toBe(400);
    }
  });
});

describe("loading", () => {
  test("is quiet unless it is told not to be, and hands the body on", async () => {
    const post = { method: "POST", body: "x".repeat(100_000) };
    expect(await asked("/images/load", post)).toBe("load true -");
    expect(await asked("/images/load?quiet=0", post)).toBe("load false -");
    expect(await asked(`/images/load?quiet=1&platform=${arm}`, post)).toBe("load true linux/arm64");
    const response = await served.fetch("/images/load", post);
    expect(await response.text()).toBe('{"stream":"Loaded image: of 100000 bytes\\n"}\r\n');
  });

  test("of nothing is for the engine to judge", async () => {
    expect(await asked("/images/load", { method: "POST" })).toBe("load true -");
  });
});

describe("importing", () => {
  test("takes the body or a URL, a name, changes, a message and since 1.32 a platform", async () => {
    const imported = async (query: string) => asked(`${query}`, { method: "POST", body: "x" });
    expect(await imported("/images/create?fromSrc=-")).toBe('import - {"message":"Imported from -","changes":[]}');
    expect(await imported("/images/create?fromSrc=http%3A%2F%2Fme%3Asecret%40a%2Fx.tar")).toContain(
      '"message":"Imported from http://a/x.tar"',
    );
    expect(
      await imported(
        "/images/create?fromSrc=http://h/x&repo=a&tag=b&message=m&changes=CMD%20x&changes=ENV%20a=b&platform=linux/arm64",
      ),
    ).toBe('import http://h/x {"message":"m","changes":["CMD x","ENV a=b"],"name":"a:b","platform":"linux/arm64"}');
    expect(await imported("/images/create?fromSrc=-&repo=a:b")).toContain('"name":"a:b"');
    expect(await imported("/v1.31/images/create?fromSrc=-&platform=linux/arm64")).not.toContain("platform");
  });

  test("is not what a pull is", async () => {
    expect(await asked("/images/create?fromImage=busybox&fromSrc=-", { method: "POST" })).toBeUndefined();
  });
});

describe("committing", () => {
  test("pauses unless it is told not to, and takes a configuration or none", async () => {
    const commit = (query: string, json?: unknown) =>
      asked(`/commit?${query}`, { method: "POST", ...(json !== undefined && { json }) });
    const none = { comment: "", author: "", pause: true, changes: [] };
    expect(await commit("container=c")).toBe(`commit c ${JSON.stringify(none)}`);
    expect(await commit("container=c", null)).toBe(`commit c ${JSON.stringify(none)}`);
    expect(await commit("container=c&pause=0&repo=r&tag=t&comment=m&author=a&changes=CMD%20x")).toBe(
      `commit c ${JSON.stringify({ comment: "m", author: "a", pause: false, changes: ["CMD x"], name: "r:t" })}`,
    );
    expect(await commit("container=c", { Env: ["A=b"], Cmd: "x" })).toBe(
      `commit c ${JSON.stringify({ ...none, config: { Env: ["A=b"], Cmd: ["x"] } })}`,
    );
  });

  test("answers 201 with the id, and 400 for a configuration that is none", async () => {
    const response = await served.fetch("/commit?container=c", { method: "POST" });
    expect([response.status, await response.json()]).toEqual([201, { Id: `sha256:${"1".repeat(64)}` }]);
    const refused = await served.fetch("/commit?container=c", { method: "POST", json: { Env: 5 } });
    expect([refused.status, await refused.json()]).toMatchObject([400, { message: expect.stringContaining("Env") }]);
  });
});

test("an export is the archive itself", async () => {
  const response = await served.fetch("/containers/c/export");
  expect([response.headers.get("content-type"), await response.text()]).toEqual(["application/x-tar", "archive of c"]);
  expect(served.engine.calls).toContain("export c");
});
