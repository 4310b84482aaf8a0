import { afterEach, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { AuthorizationPluginClient, openAuthorizationPlugins } from "./authorization.ts";
import { defaultPluginTimes } from "./client.ts";
import { type Answer, FakePlugin } from "./fake-plugin.ts";

const times = { ...defaultPluginTimes, patienceMs: 0 };
const closers: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0)) await close();
});

async function plugin(answers: Record<string, Answer>) {
  const directory = mkdtempSync("/tmp/tsd-plugins-");
  closers.push(() => rmSync(directory, { recursive: true }));
  const fake = new FakePlugin();
  Object.assign(fake.answers, { "Plugin.Activate": { Implements: ["authz"] } }, answers);
  await fake.listen(join(directory, "guard.sock"));
  closers.push(() => fake.close());
  return { fake, directory, client: new AuthorizationPluginClient("guard", [directory], times) };
}

const asked = { RequestMethod: "GET", RequestUri: "/_ping" };
const { signal } = new AbortController();

function failureOf(work: Promise<unknown>): Promise<Error> {
  return work.then(
    () => new Error("no failure"),
    (error: Error) => error,
  );
}

describe("an authorization plugin", () => {
  test("is asked by its two methods, with bodies in base64", async () => {
    const { fake, client } = await plugin({
      "AuthZPlugin.AuthZReq": { Allow: true },
      "AuthZPlugin.AuthZRes": { allow: false, msg: "secret" },
    });
    expect(await client.judge("request", asked, signal)).toEqual({ isAllowed: true, reason: "" });
    const told = { ...asked, ResponseStatusCode: 200, ResponseBody: Buffer.from("OK") };
    expect(await client.judge("response", told, signal)).toEqual({ isAllowed: false, reason: "secret" });
    expect(fake.asked.map(({ method, body }) => [method, body])).toEqual([
      ["AuthZPlugin.AuthZReq", asked],
      ["AuthZPlugin.AuthZRes", { ...asked, ResponseStatusCode: 200, ResponseBody: "T0s=" }],
    ]);
  });

  test.each<[string, Answer, object]>([
    ["that says nothing refuses", {}, { isAllowed: false, reason: "" }],
    ["that says null refuses", { Allow: null }, { isAllowed: false, reason: "" }],
    [
      "that refuses by an error refuses with it",
      { Allow: false, Err: "broken" },
      { isAllowed: false, reason: "broken" },
    ],
    ["that refuses with both says its message", { Msg: "no", Err: "broken" }, { isAllowed: false, reason: "no" }],
  ])("%s", async (_, answer, verdict) => {
    const { client } = await plugin({ "AuthZPlugin.AuthZReq": answer });
    expect(await client.judge("request", asked, signal)).toEqual(verdict as never);
  });

  test.each<[string, Answer, string]>([
    ["that allows and fails", { Allow: true, Err: "broken" }, "AuthZPlugin.AuthZReq: broken"],
    ["whose answer is neither true nor false", { Allow: "yes" }, 'Allow is neither true nor false: "yes"'],
    ["that answers with a status", (r) => r.writeHead(500).end('{"Err":"on fire"}'), "AuthZPlugin.AuthZReq: on fire"],
    ["that goes away", (r) => r.socket!.destroy(), "the plugin closed the connection without an answer"],
  ])("%s allows nothing", async (_, answer, words) => {
    const { client } = await plugin({ "AuthZPlugin.AuthZReq": answer });
    expect((await failureOf(client.judge("request", asked, signal))).message).toContain(words);
  });
});

describe("the plugins of a daemon", () => {
  test("are greeted once each, in their order", async () => {
    const { fake, directory } = await plugin({});
    const plugins = await openAuthorizationPlugins(["guard", "guard"], [directory], times);
    expect(plugins.map(({ name }) => name)).toEqual(["guard"]);
    expect(fake.methods()).toEqual(["Plugin.Activate"]);
  });

  test("must all be there, and be what they are to be", async () => {
    const { fake, directory } = await plugin({});
    expect(await failureOf(openAuthorizationPlugins(["guard", "other"], [directory], times))).toMatchObject({
      message: 'error validating authorization plugin: plugin "other" not found',
      hint: expect.stringContaining("--authorization-plugin other"),
    });
    fake.answers["Plugin.Activate"] = { Implements: ["VolumeDriver"] };
    expect((await failureOf(openAuthorizationPlugins(["guard"], [directory], times))).message).toBe(
      "error validating authorization plugin: plugin does not implement the requested driver",
    );
  });
});
