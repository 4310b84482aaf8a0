/** Volumes of plugins across the daemon's deaths, and what is on record of them. */
import type { Database } from "bun:sqlite";
import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openDatabase } from "../../core/database.ts";
import { FakePlugin } from "../../plugin/fake-plugin.ts";
import { VolumeDrivers } from "../../volume/drivers.ts";
import { LocalDriver } from "../../volume/local/driver.ts";
import { PluginMounts, pluginSchema } from "../../volume/plugin/mounts.ts";
import { VolumePlugins } from "../../volume/plugin/plugins.ts";
import { VolumeStore, volumeSchema } from "../../volume/volumes.ts";
import { eventBus } from "../testing/events.ts";
import { refusal } from "../testing/refusal.ts";
import { VolumeService } from "./volumes.ts";

let root: string;
let database: Database;
let volumes: VolumeService;
let plugin: FakePlugin;
/** What the plugin has. */
let known: Set<string>;
const closers: (() => Promise<void>)[] = [];

/** A daemon; the one before it is taken for killed. */
function open(): VolumeService {
  const store = new VolumeStore(database);
  const recorded = store.list().map(({ driver }) => driver);
  const directories = [join(root, "plugins")];
  const plugins = new VolumePlugins({ mounts: new PluginMounts(database), directories, reserved: [], recorded });
  closers.push(() => plugins.close());
  const drivers = new VolumeDrivers(new LocalDriver(root, store.list()), plugins);
  return new VolumeService({ store, drivers, events: eventBus() });
}

beforeEach(async () => {
  root = mkdtempSync(join(tmpdir(), "tsd-volumes-"));
  mkdirSync(join(root, "plugins"));
  database = openDatabase(join(root, "metadata.db"), [volumeSchema, pluginSchema]);
  known = new Set();
  plugin = new FakePlugin();
  plugin.handlers = {
    "VolumeDriver.Get": ({ Name }) => (known.has(Name!) ? { Volume: { Name } } : { Err: "no such volume" }),
    "VolumeDriver.Create": ({ Name }) => {
      known.add(Name!);
      return {};
    },
    "VolumeDriver.Remove": ({ Name }) => (known.delete(Name!) ? {} : { Err: "no such volume" }),
    "VolumeDriver.List": () => ({ Volumes: [...known].map((Name) => ({ Name })) }),
  };
  await plugin.listen(join(root, "plugins", "plug.sock"));
  volumes = open();
});
afterEach(async () => {
  for (const close of closers.splice(0)) await close();
  await plugin.close();
  database.close();
  rmSync(root, { recursive: true, force: true });
});

async function untilRemoved(): Promise<void> {
  while (known.size > 0 || volumes.records().length > 0) await Bun.sleep(5);
}

test("an anonymous one whose container was never stored is removed by the next daemon; a stored one is not", async () => {
  await volumes.ensure(undefined, { driver: "plug" });
  const { volume } = await volumes.ensure(undefined, { driver: "plug", labels: { a: "1" } });
  expect(known.size).toBe(2);
  expect(await volumes.list()).toEqual({ volumes: [], warnings: [] });
  database.transaction(() => volumes.insert([volume]))();
  volumes = open();
  await volumes.removeLeftovers();
  while (known.size > 1) await Bun.sleep(5);
  expect((await volumes.list()).volumes).toMatchObject([{ name: volume.name, labels: { a: "1" }, anonymous: true }]);
  expect([...known]).toEqual([volume.name]);
  await volumes.discard(volume);
  await untilRemoved();
});

test("an anonymous one that the plugin was never asked for leaves no record", async () => {
  plugin.handlers["VolumeDriver.Create"] = () => ({});
  const made = await volumes.ensure(undefined, { driver: "plug" });
  expect(made.created).toBe(true);
  volumes = open();
  await volumes.removeLeftovers();
  await untilRemoved();
  expect(plugin.methods()).not.toContain("VolumeDriver.Remove");
});

test("one that the plugin refuses leaves no record, and one that it made all the same is taken back", async () => {
  plugin.handlers["VolumeDriver.Create"] = ({ Name }) => {
    known.add(Name!);
    return { Err: "half made" };
  };
  const [code, message] = await refusal(volumes.ensure(undefined, { driver: "plug" }));
  expect(code).toBe("internal");
  expect(message).toMatch(/^create [0-9a-f]{64}: half made$/);
  await untilRemoved();
  // Others may have known one with a name before.
  expect(await refusal(volumes.ensure("named", { driver: "plug" }))).toEqual(["internal", "create named: half made"]);
  expect([...known]).toEqual(["named"]);
  expect(volumes.records()).toEqual([]);
});

test("one that is removed by force is known no more, whatever the plugin says; without, it stays", async () => {
  await volumes.ensure("data", { driver: "plug" });
  plugin.handlers["VolumeDriver.Remove"] = () => ({ Err: "busy" });
  expect(await refusal(volumes.remove("data", { force: false }))).toEqual(["internal", "remove data: busy"]);
  expect(volumes.records()).toHaveLength(1);
  expect(await refusal(volumes.remove("data", { force: true }))).toEqual(["internal", "remove data: busy"]);
  expect(volumes.records()).toEqual([]);
  known.clear();
  await volumes.remove("data", { force: true });
  expect((await volumes.ensure("data")).volume.driver).toBe("local");
});

test("a plugin that does not answer costs nothing but its own volumes' details", async () => {
  await volumes.ensure("mine");
  await volumes.ensure("theirs", { driver: "plug", labels: { a: "1" } });
  plugin.handlers["VolumeDriver.List"] = () => ({ Err: "no list" });
  const listed = await volumes.list();
  expect(listed.volumes).toMatchObject([{ name: "mine" }, { name: "theirs", driver: "plug", labels: { a: "1" } }]);
  expect(listed.warnings).toEqual(["list plug: no list"]);
  const asked = plugin.asked.length;
  expect((await volumes.listLocal()).map(({ name }) => name)).toEqual(["mine"]);
  expect(plugin.asked).toHaveLength(asked);
});
