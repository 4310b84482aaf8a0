import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { existsSync, writeFileSync } from "node:fs";
import type { Engine } from "../engine.ts";
import { busybox, FakeWorld } from "../testing/fake-parts.ts";
import { refusal } from "../testing/refusal.ts";

let world: FakeWorld;
let engine: Engine;
beforeEach(async () => {
  world = new FakeWorld();
  engine = await world.open();
});
afterEach(() => world[Symbol.dispose]());

async function names(filters: Record<string, string[]> = {}): Promise<string[]> {
  return (await engine.volumes.list(filters)).Volumes.map(({ Name }) => Name).sort();
}

/** What has happened to volumes so far: `create data`. */
async function events(): Promise<string[]> {
  const seen: string[] = [];
  const untilNano = BigInt(Date.now()) * 1_000_000n + 999_999n;
  for await (const { Type, Action, Actor } of engine.events.subscribe({ untilNano }, new AbortController().signal)) {
    if (Type === "volume") seen.push(`${Action} ${Actor.ID} ${JSON.stringify(Actor.Attributes)}`);
  }
  return seen;
}

async function withVolumes(...binds: string[]): Promise<string> {
  return (await engine.containers.create(busybox({ HostConfig: { Binds: binds } }), {})).Id;
}

describe("a volume", () => {
  test("is what was asked for, the second time what there is, and gone when it is removed", async () => {
    const made = await engine.volumes.create({ Name: "data", Driver: "local", Labels: { b: "2", a: "1" } });
    expect(made).toEqual({
      CreatedAt: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(Z|[+-]\d\d:\d\d)$/),
      Driver: "local",
      Labels: { a: "1", b: "2" },
      Mountpoint: `${world.layout.root}/volumes/data/_data`,
      Name: "data",
      Options: null,
      Scope: "local",
    });
    expect(Object.keys(made.Labels!)).toEqual(["a", "b"]);
    expect(await engine.volumes.create({ Name: "data", Labels: { c: "3" } })).toEqual(made);
    expect(await engine.volumes.inspect("data")).toEqual(made);
    await engine.volumes.remove("data", { force: false });
    expect(existsSync(made.Mountpoint)).toBe(false);
    expect(await refusal(engine.volumes.inspect("data"))).toEqual(["not_found", "get data: no such volume"]);
    expect(await events()).toEqual(['create data {"driver":"local"}', 'destroy data {"driver":"local"}']);
  });

  test("without a name is anonymous, says so as Docker does, and is there after a restart", async () => {
    const { Name, Labels } = await engine.volumes.create({ Name: "", Labels: { a: "b" } });
    expect(Name).toMatch(/^[0-9a-f]{64}$/);
    expect(Labels).toEqual({ a: "b", "com.docker.volume.anonymous": "" });
    expect(await events()).toEqual([`create ${Name} {"driver":"local"}`]);
    engine = await world.open();
    expect(await names({ label: ["com.docker.volume.anonymous"] })).toEqual([Name]);
  });

  test("that cannot be stored leaves nothing", async () => {
    expect(await refusal(engine.volumes.create({ Name: "x/y" }))).toEqual([
      "invalid_argument",
      expect.stringContaining('create x/y: "x/y" includes invalid characters'),
    ]);
    expect(await names()).toEqual([]);
  });

  test("that a container has stays, running or not, by force too", async () => {
    const id = await withVolumes("data:/data");
    for (const force of [false, true]) {
      const words = `remove data: volume is in use - [${id}]`;
      expect(await refusal(engine.volumes.remove("data", { force }))).toEqual(["conflict", words]);
    }
    await engine.containers.remove(id, { force: false, link: false, volumes: false });
    await engine.volumes.remove("data", { force: false });
    expect(await refusal(engine.volumes.remove("data", { force: false }))).toEqual([
      "not_found",
      "get data: no such volume",
    ]);
    await engine.volumes.remove("data", { force: true });
  });
});

describe("the list", () => {
  test("has what all of the filters let pass, and of each one of its values, but for labels", async () => {
    await engine.volumes.create({ Name: "red-one", Labels: { colour: "red", size: "1" } });
    await engine.volumes.create({ Name: "red-two", Labels: { colour: "red" } });
    await withVolumes("blue:/data");
    for (const [filters, expected] of [
      [{}, ["blue", "red-one", "red-two"]],
      [{ dangling: ["true"] }, ["red-one", "red-two"]],
      [{ dangling: ["0"] }, ["blue"]],
      [{ driver: ["local", "other"] }, ["blue", "red-one", "red-two"]],
      [{ driver: ["loc"] }, []],
      [{ label: ["colour"] }, ["red-one", "red-two"]],
      [{ label: ["colour=red", "size=1"] }, ["red-one"]],
      [{ label: ["colour=blue"] }, []],
      [{ name: ["^b", "two"] }, ["blue", "red-two"]],
      [{ name: ["red"], label: ["size"] }, ["red-one"]],
      [{ name: [] }, ["blue", "red-one", "red-two"]],
    ] as [Record<string, string[]>, string[]][]) {
      expect({ filters, found: await names(filters) }).toEqual({ filters, found: expected });
    }
    expect(await refusal(engine.volumes.list({ name: ["["] }))).toEqual([
      "invalid_argument",
      "invalid filter 'name=['",
    ]);
  });
});

describe("prune", () => {
  test("removes anonymous volumes that no container has, and says what that brought", async () => {
    const { Name, Mountpoint } = await engine.volumes.create({});
    writeFileSync(`${Mountpoint}/file`, Buffer.alloc(5000, 1));
    await engine.volumes.create({ Name: "named" });
    await engine.volumes.create({ Name: "marked", Labels: { "com.docker.volume.anonymous": "" } });
    await withVolumes("/anonymous");
    expect(await engine.volumes.prune({}, { all: false })).toEqual({
      VolumesDeleted: [Name, "marked"],
      SpaceReclaimed: 8192,
    });
    expect(existsSync(Mountpoint)).toBe(false);
    expect(await names()).toEqual([expect.stringMatching(/^[0-9a-f]{64}$/), "named"]);
    expect((await events()).at(-1)).toBe('prune  {"reclaimed":"8192"}');
  });

  test("of all takes those with names, but none that is in use or has options", async () => {
    await withVolumes("used:/data");
    await engine.volumes.create({ Name: "named" });
    const { Options } = await engine.volumes.create({ Name: "far", DriverOpts: { type: "tmpfs", device: "tmpfs" } });
    expect(Options).toEqual({ device: "tmpfs", type: "tmpfs" });
    expect((await engine.volumes.prune({}, { all: true })).VolumesDeleted).toEqual(["named"]);
    expect(await names()).toEqual(["far", "used"]);
  });

  test("goes by labels, and by their absence", async () => {
    for (const [name, labels] of Object.entries({ one: { a: "1" }, two: { a: "2" }, three: {} })) {
      await engine.volumes.create({ Name: name, Labels: labels });
    }
    const prune = async (filters: Record<string, string[]>) =>
      (await engine.volumes.prune(filters, { all: true })).VolumesDeleted;
    expect(await prune({ label: ["a=3"] })).toEqual([]);
    expect(await prune({ "label!": ["a"] })).toEqual(["three"]);
    expect(await prune({ label: ["a"], "label!": ["a=2"] })).toEqual(["one"]);
    expect(await names()).toEqual(["two"]);
  });

  test("is refused while another one runs", async () => {
    const first = engine.volumes.prune({}, { all: true });
    expect(await refusal(engine.volumes.prune({}, { all: true }))).toEqual([
      "conflict",
      "a prune operation is already running",
    ]);
    await first;
  });
});
