import { afterEach, describe, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import type { ServerResponse } from "node:http";
import { join } from "node:path";
import { openDatabase } from "../../core/database.ts";
import type { PluginTimes } from "../../plugin/client.ts";
import { FakePlugin } from "../../plugin/fake-plugin.ts";
import { PluginMounts, pluginSchema } from "./mounts.ts";
import { VolumePlugins } from "./plugins.ts";

/** Long where nothing is to be waited for: the machine may be busy. */
const patient: PluginTimes = {
  longMs: 10_000,
  shortMs: 10_000,
  probeMs: 10_000,
  patienceMs: 10_000,
  strangerPatienceMs: 30,
};
const closers: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

class Scene {
  readonly root = mkdtempSync("/tmp/tsd-plugins-");
  readonly directory = join(this.root, "plugins");
  readonly data = join(this.root, "data");
  readonly reserved = [join(this.root, "tsd"), "/proc"];
  readonly socket = join(this.directory, "fake.sock");
  fake = new FakePlugin();
  /** Who has a volume mounted, as the plugin has it. */
  readonly users = new Set<unknown>();

  constructor() {
    closers.push(() => rmSync(this.root, { recursive: true }));
    mkdirSync(this.directory);
    mkdirSync(this.data);
    mkdirSync(this.reserved[0]!);
    Object.assign(this.fake.answers, {
      "VolumeDriver.Get": {
        Volume: { Name: "v", Mountpoint: "", CreatedAt: "2024-05-06T07:08:09Z", Status: { a: 1 } },
      },
      "VolumeDriver.Capabilities": { Capabilities: { Scope: "GLOBAL" } },
      "VolumeDriver.Mount": { Mountpoint: `${this.data}/` },
      "VolumeDriver.Unmount": {},
    });
  }

  async listen(): Promise<void> {
    await this.fake.listen(this.socket);
    closers.push(() => this.fake.close());
  }

  /** A daemon's life. */
  plugins(times: Partial<PluginTimes> = {}): VolumePlugins & AsyncDisposable {
    const database = openDatabase(join(this.root, "metadata.db"), [pluginSchema]);
    const mounts = new PluginMounts(database);
    const { directory, reserved } = this;
    const plugins = new VolumePlugins({ mounts, directories: [directory], reserved, times: { ...patient, ...times } });
    let isOpen = true;
    const end = async () => {
      if (!isOpen) return;
      isOpen = false;
      await plugins.close();
      database.close();
    };
    closers.push(end);
    return Object.assign(plugins, { [Symbol.asyncDispose]: end });
  }

  unmounts(): unknown[] {
    return this.fake.asked.filter(({ method }) => method.endsWith("Unmount")).map(({ body }) => body.ID);
  }
}

async function failureOf(work: Promise<unknown>): Promise<Error> {
  return work.then(
    () => new Error("no failure"),
    (error: Error) => error,
  );
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await Bun.sleep(5);
}

describe("a volume plugin as a driver", () => {
  test("is greeted once, says its scope, and gets each call with what Docker sends", async () => {
    const scene = new Scene();
    await scene.listen();
    Object.assign(scene.fake.answers, { "VolumeDriver.Create": {}, "VolumeDriver.Remove": { Err: "" } });
    const driver = (await scene.plugins().find("fake"))!;
    expect(driver.scope).toBe("global");
    await driver.create("v", { size: "1" });
    await driver.create("w", {});
    expect(await driver.get("v")).toEqual({ mountpoint: "", createdAt: "2024-05-06T07:08:09Z", status: { a: 1 } });
    expect(await driver.mount("v", "c1")).toBe(scene.data);
    await driver.unmount("v", "c1");
    await driver.remove("v");
    expect(scene.fake.asked.map(({ method, body }) => [method, body])).toEqual([
      ["Plugin.Activate", {}],
      ["VolumeDriver.Capabilities", {}],
      ["VolumeDriver.Create", { Name: "v", Opts: { size: "1" } }],
      ["VolumeDriver.Create", { Name: "w", Opts: null }],
      ["VolumeDriver.Get", { Name: "v" }],
      ["VolumeDriver.Mount", { Name: "v", ID: "c1" }],
      ["VolumeDriver.Unmount", { Name: "v", ID: "c1" }],
      ["VolumeDriver.Remove", { Name: "v" }],
    ]);
  });

  test("reads what was written for Go: any case of keys, nulls, and what is not there", async () => {
    const scene = new Scene();
    await scene.listen();
    scene.fake.answers["Plugin.Activate"] = { implements: ["Other", "VolumeDriver"] };
    delete scene.fake.answers["VolumeDriver.Capabilities"];
    scene.fake.answers["VolumeDriver.List"] = {
      volumes: [{ name: "a", Status: null, CreatedAt: "yesterday" }],
      Err: null,
    };
    const driver = (await scene.plugins().find("fake"))!;
    expect(driver.scope).toBe("local");
    expect(await driver.list()).toEqual([{ name: "a", mountpoint: "" }]);
    scene.fake.answers["VolumeDriver.List"] = { Volumes: null };
    expect(await driver.list()).toEqual([]);
    scene.fake.answers["VolumeDriver.List"] = { Volumes: [{}] };
    expect((await failureOf(driver.list())).message).toContain("a volume has no name");
  });

  test("fails with the plugin's own words, and has no volume that it does not tell of", async () => {
    const scene = new Scene();
    await scene.listen();
    const driver = scene.plugins({ probeMs: 50 }).known("fake");
    await driver.activate(0);
    scene.fake.answers["VolumeDriver.Create"] = { Err: "disk on fire" };
    expect((await failureOf(driver.create("v", {}))).message).toBe("disk on fire");
    for (const answer of [{ Err: "no such volume" }, {}, { Volume: null }]) {
      scene.fake.answers["VolumeDriver.Get"] = answer;
      expect(await driver.get("v")).toBeUndefined();
    }
    scene.fake.answers["VolumeDriver.Get"] = () => undefined;
    expect(await failureOf(driver.probe("v"))).toMatchObject({ code: "timeout" });
  });

  test("is refused a mountpoint where no volume can be, and told that nobody uses it", async () => {
    const scene = new Scene();
    await scene.listen();
    const driver = (await scene.plugins().find("fake"))!;
    symlinkSync(scene.reserved[0]!, join(scene.root, "link"));
    const cases: [unknown, string][] = [
      [undefined, "the answer has no mountpoint"],
      ["", "the answer has no mountpoint"],
      [7, "the answer has no mountpoint"],
      ["relative", 'mountpoint "relative" is no absolute path'],
      ["/var/../etc", 'mountpoint "/var/../etc" has ".." in it'],
      ["//", "mountpoint / is the whole host"],
      ["/proc/self", 'mountpoint "/proc/self" is inside /proc, where no volume of a plugin can be'],
      [`${scene.root}/link`, `is inside ${scene.root}/tsd, where no volume of a plugin can be`],
      ["/nowhere/at/all", "mountpoint /nowhere/at/all: no such file or directory"],
      ["/x\0y", "is no path"],
    ];
    for (const [Mountpoint, reason] of cases) {
      scene.fake.answers["VolumeDriver.Mount"] = { Mountpoint };
      const failure = await failureOf(driver.mount("v", "c1"));
      expect(failure.message).toStartWith('plugin "fake": VolumeDriver.Mount: volume v: ');
      expect(failure.message).toContain(reason);
    }
    expect(scene.unmounts()).toHaveLength(cases.length);
  });

  test("is not told of the end of a mount that it refused, for it may count without ids", async () => {
    const scene = new Scene();
    await scene.listen();
    await using plugins = scene.plugins();
    const driver = (await plugins.find("fake"))!;
    scene.fake.answers["VolumeDriver.Mount"] = { Err: "disk on fire" };
    expect((await failureOf(driver.mount("v", "c1"))).message).toBe("disk on fire");
    await driver.unmount("v", "c1");
    expect(scene.unmounts()).toEqual([]);
  });

  test("is told of the end of a mount whose answer nobody got", async () => {
    const scene = new Scene();
    await scene.listen();
    const driver = (await scene.plugins({ longMs: 50 }).find("fake"))!;
    scene.fake.answers["VolumeDriver.Mount"] = () => undefined;
    expect(await failureOf(driver.mount("v", "c1"))).toMatchObject({ code: "timeout" });
    expect(scene.unmounts()).toEqual(["c1"]);
  });

  test("that is away is not waited for by who ends, and is told when it comes back", async () => {
    const scene = new Scene();
    await scene.listen();
    const driver = (await scene.plugins().find("fake"))!;
    await driver.mount("v", "c1");
    await scene.fake.close();
    await driver.unmount("v", "c1");
    expect(scene.unmounts()).toEqual([]);
    await scene.listen();
    await until(() => scene.unmounts().length > 0);
    expect(scene.unmounts()).toEqual(["c1"]);
  });

  test("that does not answer is not waited for by who ends, and is not told twice", async () => {
    const scene = new Scene();
    await scene.listen();
    const driver = (await scene.plugins({ probeMs: 30 }).find("fake"))!;
    await driver.mount("v", "c1");
    const asked = Promise.withResolvers<ServerResponse>();
    scene.fake.answers["VolumeDriver.Unmount"] = (response) => asked.resolve(response);
    await driver.unmount("v", "c1");
    // Whoever wants it again has his turn when the plugin is done.
    const mounted = driver.mount("v", "c2");
    (await asked.promise).end("{}");
    await mounted;
    expect(scene.fake.methods().slice(-2)).toEqual(["VolumeDriver.Unmount", "VolumeDriver.Mount"]);
  });

  test("is told by the next daemon of what nobody has any more, and of nothing that somebody has", async () => {
    const scene = new Scene();
    await scene.listen();
    {
      await using before = scene.plugins();
      for (const user of ["lives", "ended"]) await before.known("fake").mount("v", user);
      await using first = scene.plugins({ longMs: 50 });
      const driver = first.known("fake");
      scene.fake.answers["VolumeDriver.Mount"] = () => undefined;
      scene.fake.answers["VolumeDriver.Unmount"] = (response) => response.socket!.destroy();
      await failureOf(driver.mount("v", "asked"));
    }
    await scene.fake.close();
    await using plugins = scene.plugins();
    const driver = plugins.known("fake");
    // The plugin is away, and nobody needs it for that.
    expect(await driver.restore("v", "lives")).toBe(scene.data);
    plugins.settle();
    scene.fake = Object.assign(scene.fake, { asked: [] });
    scene.fake.answers["VolumeDriver.Unmount"] = {};
    await scene.listen();
    await until(() => scene.unmounts().length === 2);
    expect(scene.unmounts().sort()).toEqual(["asked", "ended"]);
    await driver.unmount("v", "lives");
    expect(scene.unmounts()).toHaveLength(3);
  });

  test("that takes an unmount and does not answer in time is not told again", async () => {
    const scene = new Scene();
    await scene.listen();
    await using plugins = scene.plugins({ shortMs: 50 });
    const driver = plugins.known("fake");
    await driver.activate(0, patient.shortMs);
    await driver.mount("v", "c1");
    scene.fake.answers["VolumeDriver.Unmount"] = () => undefined;
    await driver.unmount("v", "c1");
    await plugins.close();
    scene.plugins().settle();
    await Bun.sleep(20);
    expect(scene.unmounts()).toEqual(["c1"]);
  });

  test("is told by the next daemon of a mount over which the last one was killed", async () => {
    const scene = new Scene();
    await scene.listen();
    const killed = (await scene.plugins().find("fake"))!;
    const asked = Promise.withResolvers<ServerResponse>();
    scene.fake.answers["VolumeDriver.Mount"] = (response) => asked.resolve(response);
    const mounted = killed.mount("v", "c1");
    const response = await asked.promise;
    scene.plugins().settle();
    await until(() => scene.unmounts().length > 0);
    expect(scene.unmounts()).toEqual(["c1"]);
    response.end(JSON.stringify({ Mountpoint: scene.data }));
    await mounted;
  });

  test("hears of the mounts that it is owed before it is to remove the volume", async () => {
    const scene = new Scene();
    await scene.listen();
    scene.fake.answers["VolumeDriver.Remove"] = {};
    {
      await using first = scene.plugins();
      await (await first.find("fake"))!.mount("v", "c1");
    }
    await using plugins = scene.plugins();
    await plugins.known("fake").remove("v");
    expect(scene.fake.methods().slice(-2)).toEqual(["VolumeDriver.Unmount", "VolumeDriver.Remove"]);
  });
});

describe("the plugins of a host", () => {
  test("one that comes while it is looked for is found; one that nobody has heard of is given up soon", async () => {
    const scene = new Scene();
    const plugins = scene.plugins();
    const start = performance.now();
    expect(await plugins.find("fake")).toBeUndefined();
    expect(performance.now() - start).toBeGreaterThanOrEqual(patient.strangerPatienceMs);
    expect(await plugins.find("vieux/sshfs:latest")).toBeUndefined();
    // Something of it is there, so it may be starting.
    writeFileSync(join(scene.directory, "fake.spec"), `unix://${scene.root}/later.sock`);
    const found = plugins.find("fake");
    await Bun.sleep(40);
    await scene.fake.listen(join(scene.root, "later.sock"));
    closers.push(() => scene.fake.close());
    expect((await found)?.name).toBe("fake");
    expect(plugins.names()).toEqual(["fake"]);
  });

  test("one that is there and does not answer, or is for something else, fails in docker's words", async () => {
    const scene = new Scene();
    writeFileSync(join(scene.directory, "fake.spec"), `unix://${scene.root}/none.sock`);
    const plugins = scene.plugins({ patienceMs: 50 });
    expect((await failureOf(plugins.find("fake"))).message).toBe(
      `error looking up volume plugin fake: plugin "fake": Plugin.Activate: dial unix ${scene.root}/none.sock: connect: no such file or directory`,
    );
    await scene.listen();
    scene.fake.answers["Plugin.Activate"] = { Implements: ["NetworkDriver"] };
    expect((await failureOf(plugins.find("fake"))).message).toBe(
      "error looking up volume plugin fake: plugin does not implement the requested driver",
    );
    expect(plugins.names()).toEqual([]);
    expect(await plugins.list()).toEqual([]);
  });

  test("are listed when they answer, or did; a stranger that does not costs a moment", async () => {
    const scene = new Scene();
    await scene.listen();
    writeFileSync(join(scene.directory, "dead.spec"), `unix://${scene.root}/none.sock`);
    const silent = new FakePlugin();
    silent.answers["Plugin.Activate"] = () => undefined;
    await silent.listen(join(scene.directory, "silent.sock"));
    closers.push(() => silent.close());
    const plugins = scene.plugins({ probeMs: 100 });
    await plugins.find("fake");
    const names = async () => (await plugins.list()).map(({ name }) => name);
    expect(await names()).toEqual(["fake"]);
    await scene.fake.close();
    expect(await names()).toEqual(["fake"]);
  });
});
