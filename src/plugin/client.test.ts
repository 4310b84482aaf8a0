import { afterEach, describe, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type CallOptions, PluginClient, PluginGone, PluginRefusal } from "./client.ts";
import { type Answer, FakePlugin } from "./fake-plugin.ts";

const once: CallOptions = { timeoutMs: 5_000, patienceMs: 0 };
const closers: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0)) await close();
});

function makeDirectory(): string {
  const directory = mkdtempSync("/tmp/tsd-plugins-");
  closers.push(() => rmSync(directory, { recursive: true }));
  return directory;
}

async function plugin(answer: Answer, directory = makeDirectory()) {
  const fake = new FakePlugin();
  fake.answers["VolumeDriver.Get"] = answer;
  await fake.listen(join(directory, "fake.sock"));
  closers.push(() => fake.close());
  const client = new PluginClient("fake", [directory]);
  const get = (options: Partial<CallOptions> = {}) =>
    client.call("VolumeDriver.Get", { Name: "v" }, { ...once, ...options });
  const failure = async (options?: Partial<CallOptions>) => {
    const error = await get(options).then(
      () => new Error("no failure"),
      (reason: Error) => reason,
    );
    return error;
  };
  return { fake, client, get, failure, directory };
}

describe("a call to a plugin", () => {
  test("is a POST of JSON that names the protocol's version, and its answer is JSON", async () => {
    const { fake, get } = await plugin({ Volume: { Name: "v" } });
    expect(await get()).toEqual({ Volume: { Name: "v" } });
    const accept = "application/vnd.docker.plugins.v1.2+json";
    expect(fake.asked).toEqual([{ method: "VolumeDriver.Get", body: { Name: "v" }, accept }]);
  });

  test("goes by TCP to where a file says, whatever proxy the environment names", async () => {
    const directory = makeDirectory();
    const fake = new FakePlugin();
    const port = await fake.listen();
    closers.push(() => fake.close());
    fake.answers.X = { ok: true };
    writeFileSync(join(directory, "far.spec"), `tcp://127.0.0.1:${port}`);
    const { http_proxy } = process.env;
    process.env.http_proxy = "http://127.0.0.1:1";
    try {
      expect(await new PluginClient("far", [directory]).call("X", {}, once)).toEqual({ ok: true });
    } finally {
      if (http_proxy === undefined) delete process.env.http_proxy;
      else process.env.http_proxy = http_proxy;
    }
  });

  test.each<[string, Answer, string]>([
    ["a status with the plugin's words", (r) => r.writeHead(500).end('{"Err":"no disk"}'), "VolumeDriver.Get: no disk"],
    ["a status with a text", (r) => r.writeHead(500).end("gone\nfishing"), "VolumeDriver.Get: gone"],
    ["a status and nothing", (r) => r.writeHead(503).end(), "VolumeDriver.Get: HTTP status 503"],
    ["a redirect", (r) => r.writeHead(302, { location: "http://x/" }).end(), "VolumeDriver.Get: HTTP status 302"],
    ["what is no JSON", (r) => r.end("lala"), 'plugin "fake": VolumeDriver.Get: the answer is no JSON object'],
    ["nothing", (r) => r.end(), 'plugin "fake": VolumeDriver.Get: the answer is no JSON object'],
    ["a list", (r) => r.end("[]"), 'plugin "fake": VolumeDriver.Get: the answer is no JSON object: "[]"'],
  ])("fails with the reason when the answer is %s", async (_, answer, message) => {
    const { failure } = await plugin(answer);
    const error = await failure();
    expect(error).toBeInstanceOf(PluginRefusal);
    expect(error.message).toStartWith(message);
  });

  test("gives up an answer that is too large, or does not end, and lets go of the connection", async () => {
    const closed = Promise.withResolvers<void>();
    const { failure } = await plugin((response) => {
      const more = () => {
        while (!response.destroyed && response.write(" ".repeat(65_536)));
      };
      response.on("drain", more).on("close", () => closed.resolve());
      more();
    });
    expect((await failure()).message).toContain("the answer has more than 8388608 bytes");
    await closed.promise;
  });

  test("gives up a plugin that does not answer, or not to the end, after the time it has", async () => {
    const silent = await plugin(() => undefined);
    expect(await silent.failure({ timeoutMs: 50 })).toMatchObject({
      code: "timeout",
      message: 'plugin "fake": VolumeDriver.Get: no answer within 0.05 seconds',
    });
    const slow = await plugin((response) => response.write("{"));
    expect(await slow.failure({ timeoutMs: 50 })).toMatchObject({ code: "timeout" });
  });

  test("says where nobody listens", async () => {
    const directory = makeDirectory();
    const client = new PluginClient("fake", [directory]);
    const failure = () => client.call("X", {}, once).catch((error: Error) => error);
    expect(await failure()).toBeInstanceOf(PluginGone);
    expect(((await failure()) as Error).message).toBe('plugin "fake": X: plugin "fake" not found');
    writeFileSync(join(directory, "fake.spec"), `unix://${directory}/none.sock`);
    const address = `unix ${directory}/none.sock`;
    expect(((await failure()) as Error).message).toBe(
      `plugin "fake": X: dial ${address}: connect: no such file or directory`,
    );
    writeFileSync(join(directory, "none.sock"), "");
    expect(((await failure()) as Error).message).toBe(`plugin "fake": X: dial ${address}: connect: connection refused`);
    writeFileSync(join(directory, "fake.spec"), "tcp://127.0.0.1:1");
    expect(((await failure()) as Error).message).toBe(
      'plugin "fake": X: dial tcp 127.0.0.1:1: connect: connection refused',
    );
  });

  test("waits for a plugin that comes later, and finds it where it is then", async () => {
    const directory = makeDirectory();
    const client = new PluginClient("fake", [directory]);
    const answer = client.call("VolumeDriver.Get", {}, { ...once, patienceMs: 10_000 });
    await Bun.sleep(60);
    mkdirSync(join(directory, "fake"));
    const fake = new FakePlugin();
    fake.answers["VolumeDriver.Get"] = { late: true };
    await fake.listen(join(directory, "fake", "fake.sock"));
    closers.push(() => fake.close());
    expect(await answer).toEqual({ late: true });
  });

  test("is made again when the plugin goes away over it, and tells that it was made", async () => {
    let tries = 0;
    const { get, failure } = await plugin((response) => {
      if (++tries === 2) response.end("{}");
      else response.socket!.destroy();
    });
    expect(await get({ patienceMs: 10_000 })).toEqual({});
    expect(await failure()).toMatchObject({ wasSent: true, code: "unavailable" });
    expect(tries).toBe(3);
  });
});
