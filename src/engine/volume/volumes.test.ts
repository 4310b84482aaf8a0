import type { Database } from "bun:sqlite";
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openDatabase } from "../../core/database.ts";
import { VolumeDrivers } from "../../volume/drivers.ts";
import { LocalDriver } from "../../volume/local/driver.ts";
import { VolumeStore, volumeSchema } from "../../volume/volumes.ts";
import { eventBus } from "../testing/events.ts";
import { refusal } from "../testing/refusal.ts";
import { VolumeService } from "./volumes.ts";

let root: string;
let database: Database;
let volumes: VolumeService;
let happened: string[];

/** A daemon; the one before it is taken for killed. */
function open(): VolumeService {
  const store = new VolumeStore(database);
  const events = eventBus();
  happened = [];
  events.observe(({ action, actor }) => happened.push(`${action} ${actor.id} ${actor.attributes.driver}`));
  const drivers = new VolumeDrivers(new LocalDriver(root, store.list()));
  return new VolumeService({ store, drivers, events });
}

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "tsd-volumes-"));
  database = openDatabase(join(root, "metadata.db"), [volumeSchema]);
  volumes = open();
});
afterEach(() => {
  database.close();
  rmSync(root, { recursive: true, force: true });
});

const directory = (name: string) => join(root, "volumes", name);

describe("volumes", () => {
  test("a named one is made once, whoever asks at the same time, and found again by the next daemon", async () => {
    const request = { labels: { a: "1" } };
    const [first, second] = await Promise.all([volumes.ensure("data", request), volumes.ensure("data")]);
    expect([first.created, second.created]).toEqual([true, false]);
    expect(first.volume).toMatchObject({ driver: "local", scope: "local", labels: { a: "1" }, options: null });
    expect(statSync(first.volume.mountpoint).isDirectory()).toBe(true);
    expect(happened).toEqual(["create data local"]);
    volumes = open();
    expect(await volumes.get("data")).toEqual(first.volume);
    expect(await volumes.list()).toEqual({ volumes: [first.volume], warnings: [] });
  });

  test("one that a container has stays, one that none has goes with its content", async () => {
    const { volume } = await volumes.ensure("data");
    writeFileSync(join(volume.mountpoint, "file"), "x");
    volumes.users.add("data", "c1");
    expect(await refusal(volumes.remove("data", { force: true }))).toEqual([
      "conflict",
      "remove data: volume is in use - [c1]",
    ]);
    expect(await volumes.removeUnused("data", "c2")).toBe(false);
    expect(existsSync(join(volume.mountpoint, "file"))).toBe(true);
    expect(await volumes.removeUnused("data", "c1")).toBe(true);
    expect(existsSync(directory("data"))).toBe(false);
    volumes.users.delete("data", "c1");
    expect(happened.at(-1)).toBe("destroy data local");
    expect(await refusal(volumes.remove("data", { force: false }))).toEqual(["not_found", "get data: no such volume"]);
    await volumes.remove("data", { force: true });
  });

  test("whoever removes one that is being released waits for that", async () => {
    await volumes.ensure("data");
    expect(await volumes.acquire("data", "c1")).toBe(join(directory("data"), "_data"));
    const order: string[] = [];
    const removed = volumes.remove("data", { force: false }).then(() => order.push("removed"));
    await Bun.sleep(1);
    order.push("release");
    expect(await volumes.release("data", "c1")).toBe(true);
    await removed;
    expect(order).toEqual(["release", "removed"]);
    expect(await volumes.release("data", "c1")).toBe(false);
  });

  test("an anonymous one whose container was never stored is a leftover; a stored one is not", async () => {
    const kept = await volumes.ensure(undefined);
    volumes.insert([kept.volume]);
    volumes.announce([kept.volume]);
    const lost = await volumes.ensure(undefined);
    expect(happened).toEqual([`create ${kept.volume.name} local`]);
    mkdirSync(directory("half-removed"));
    volumes = open();
    expect(await volumes.removeLeftovers()).toEqual(["half-removed"]);
    expect(existsSync(directory("half-removed"))).toBe(false);
    expect(existsSync(kept.volume.mountpoint)).toBe(true);
    expect(existsSync(lost.volume.mountpoint)).toBe(false);
    expect(await volumes.get(kept.volume.name)).toMatchObject({ anonymous: true });
    expect(volumes.records()).toEqual([expect.objectContaining({ name: kept.volume.name })]);
  });

  test("files that no record speaks of are kept as volumes, also when all records are lost", async () => {
    const { volume } = await volumes.ensure("precious", { labels: { a: "1" } });
    await volumes.ensure("nothing-in-it");
    writeFileSync(join(volume.mountpoint, "file"), "x");
    mkdirSync(join(directory("by-hand"), "_data/folder"), { recursive: true });
    for (const name of ["lost+found", "notes"]) mkdirSync(join(directory(name), "folder"), { recursive: true });
    writeFileSync(directory("metadata.db"), "docker's");
    database.run("DELETE FROM volumes");
    volumes = open();
    expect(await volumes.removeLeftovers()).toEqual(["nothing-in-it"]);
    expect(readdirSync(join(root, "volumes")).sort()).toEqual([
      "by-hand",
      "lost+found",
      "metadata.db",
      "notes",
      "precious",
    ]);
    expect(await volumes.get("precious")).toEqual({
      ...volume,
      labels: {},
      createdAt: statSync(directory("precious")).birthtime.toISOString(),
    });
    expect(existsSync(join(volume.mountpoint, "file"))).toBe(true);
    const found = async () => (await volumes.list()).volumes.map(({ name }) => name).sort();
    expect(await found()).toEqual(["by-hand", "precious"]);
    volumes = open();
    expect(await volumes.removeLeftovers()).toEqual([]);
    expect(await found()).toEqual(["by-hand", "precious"]);
  });

  test("one whose removal a crash interrupts is removed by the next daemon, one that cannot be removed stays", async () => {
    const { volume } = await volumes.ensure("data");
    writeFileSync(join(volume.mountpoint, "file"), "x");
    const driver = volumes.drivers.known("local");
    const asked = Promise.withResolvers<void>();
    driver.remove = () => {
      asked.resolve();
      return new Promise<void>(() => undefined);
    };
    void volumes.remove("data", { force: false });
    await asked.promise;
    volumes = open();
    await volumes.removeLeftovers();
    expect(existsSync(directory("data"))).toBe(false);
    expect(volumes.records()).toEqual([]);
    const { volume: stubborn } = await volumes.ensure("stubborn");
    writeFileSync(join(stubborn.mountpoint, "file"), "x");
    volumes.drivers.known("local").remove = () => Promise.reject(new Error("not now"));
    expect((await refusal(volumes.remove("stubborn", { force: true })))[1]).toBe("remove stubborn: not now");
    volumes = open();
    await volumes.removeLeftovers();
    expect(existsSync(join(stubborn.mountpoint, "file"))).toBe(true);
  });

  test("an anonymous one is nobody's to find or to take away before its record is written", async () => {
    const { volume } = await volumes.ensure(undefined);
    const { name } = volume;
    expect((await volumes.list()).volumes).toEqual([]);
    for (const work of [volumes.get(name), volumes.remove(name, { force: false })]) {
      expect(await refusal(work)).toEqual(["not_found", `get ${name}: no such volume`]);
    }
    await volumes.remove(name, { force: true });
    expect(existsSync(volume.mountpoint)).toBe(true);
    volumes.insert([volume]);
    expect((await volumes.list()).volumes).toEqual([volume]);
    await volumes.remove(name, { force: false });
    expect(existsSync(volume.mountpoint)).toBe(false);
  });

  test("those that were to go with a container go when the next daemon starts, unless another has them", async () => {
    const [gone, shared] = [await volumes.ensure(undefined), await volumes.ensure(undefined)];
    const [{ name: goneName }, { name: sharedName }] = [gone.volume, shared.volume];
    volumes.insert([gone.volume, shared.volume]);
    volumes.users.add(sharedName, "first");
    volumes.doom([goneName, sharedName], "first");
    volumes = open();
    volumes.users.add(sharedName, "second");
    await volumes.removeLeftovers();
    expect(volumes.records().map(({ name }) => name)).toEqual([sharedName]);
    expect(existsSync(directory(goneName))).toBe(false);
    expect(happened).toEqual([`destroy ${goneName} local`]);
    // It is nobody's business any more that it was to go.
    volumes = open();
    await volumes.removeLeftovers();
    expect(existsSync(directory(sharedName))).toBe(true);
  });

  test("a name that could leave the directory, and a driver that is not there, are refused and leave nothing", async () => {
    for (const name of ["../x", "a/b", ".hidden", "é", "-o", "a b", "a\n"]) {
      const [code, message] = await refusal(volumes.ensure(name));
      expect(code).toBe("invalid_argument");
      expect(message).toStartWith(`create ${name}: "${name}" includes invalid characters for a local volume name`);
    }
    expect(await refusal(volumes.ensure("data", { driver: "nope" }))).toEqual([
      "not_found",
      'create data: error looking up volume plugin nope: plugin "nope" not found',
    ]);
    await volumes.ensure("data");
    expect(volumes.records().map(({ name }) => name)).toEqual(["data"]);
    expect(happened).toEqual(["create data local"]);
  });
});
