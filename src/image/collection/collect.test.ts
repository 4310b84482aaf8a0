import { describe, expect, test } from "bun:test";
import { existsSync, readdirSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { digestOf } from "../../core/digest.ts";
import { addImage, type FixtureImage } from "../image-fixture.ts";
import type { Lease } from "../leases.ts";
import { pruneImage } from "../prune-image.ts";
import { registryError } from "../registry/hostile-registry.ts";
import { base, failure, isRoot, top, useStore } from "../store-fixture.ts";
import { lacking } from "./budget.ts";
import { collect } from "./collect.ts";
import type { Collected, CollectOptions } from "./collected.ts";

const fixture = useStore();
const long = "2020-01-01T00:00:00.000Z";
/** So much that nothing is ever enough. */
const everything = { bytes: Number.MAX_SAFE_INTEGER };

function run(options: Partial<CollectOptions> = {}): Promise<Collected[]> {
  return collect(fixture.store, { keepForMs: 3_600_000, isDryRun: false, ...options });
}

/** Makes everything that is stored look as if it had been for long. */
function age(): void {
  for (const directory of ["content/blobs/sha256", "content/ingest"]) {
    for (const name of readdirSync(join(fixture.root, directory))) {
      utimesSync(join(fixture.root, directory, name), 1, 1);
    }
  }
  fixture.database.run("UPDATE leases SET touched_at = ?", [long]);
}

async function pulled(tag: string, usedAt: string, ...layers: (typeof base)[]): Promise<FixtureImage> {
  const made = addImage(fixture.registry, layers, { tag, config: { Labels: { tag } } });
  await fixture.store.pull(fixture.name(tag));
  fixture.store.records.setUsed(made.manifest, usedAt);
  return made;
}

/** A pull that ends when its first layer is unpacked and the second cannot be fetched. */
async function unfinished(): Promise<FixtureImage> {
  const made = addImage(fixture.registry, [base, top], { tag: "tag" });
  const isUnpacked = () => fixture.store.layers.get(made.diffIds[0]!) !== undefined;
  fixture.registry.misbehave = async (_request, url) => {
    if (!url.pathname.endsWith(made.layers[1]!.digest)) return undefined;
    while (!isUnpacked()) await Bun.sleep(2);
    return registryError(404, "BLOB_UNKNOWN", "gone");
  };
  expect((await failure(fixture.store.pull(fixture.name()))).code).toBe("not_found");
  fixture.registry.misbehave = () => undefined;
  return made;
}

const kinds = (items: Collected[]) => items.map(({ kind }) => kind);

describe.skipIf(!isRoot)("what nothing refers to", () => {
  test("waits for a pull that goes on with it, and goes when none has come for long", async () => {
    const made = await unfinished();
    expect(fixture.store.leases.all()).toMatchObject([{ isLive: false, reason: `pull ${fixture.name()}` }]);
    const before = [fixture.blobs(), fixture.snapshotNames()];
    expect(before.flat()).toHaveLength(4);
    expect(await run()).toEqual([]);
    age();
    writeFileSync(join(fixture.root, "content/ingest", made.layers[1]!.digest.replace(":", "-")), "part");
    fixture.database.run("UPDATE leases SET touched_at = ?", [new Date().toISOString()]);
    expect(await run()).toEqual([]);
    expect([fixture.blobs(), fixture.snapshotNames()]).toEqual(before);
    age();
    const dry = await run({ isDryRun: true });
    expect(kinds(dry)).toEqual(["lease", "layer", "content", "content", "content", "ingest"]);
    expect([fixture.blobs(), fixture.snapshotNames()]).toEqual(before);
    const told: Collected[] = [];
    const items = await run({ onCollected: (item) => told.push(item) });
    expect(items).toEqual(dry);
    expect(told).toEqual(items);
    expect(items.every(({ why, error }) => why !== "" && error === undefined)).toBe(true);
    await fixture.store.settled();
    expect([...fixture.blobs(), ...fixture.snapshotNames()]).toEqual([]);
    expect(fixture.store.leases.all()).toEqual([]);
    expect(await run()).toEqual([]);
  });

  test("is kept while a live lease, an image or a container has it", async () => {
    const made = await pulled("tag", long, base, top);
    fixture.store.snapshots.prepare("c", fixture.store.get(fixture.name()));
    using lease = fixture.store.leases.take("save");
    lease.add({ content: [made.layers[0]!.digest] });
    await fixture.store.remove(fixture.name());
    age();
    expect(await run()).toEqual([]); // the lease was touched by this run
    expect(fixture.blobs()).toEqual([made.layers[0]!.digest.slice(7)]);
    expect(fixture.snapshotNames()).toHaveLength(3);
    lease[Symbol.dispose]();
    age();
    expect(kinds(await run())).toEqual(["content"]);
    fixture.store.snapshots.remove("c");
    await fixture.store.settled();
    expect(fixture.snapshotNames()).toEqual([]);
  });

  test("is kept for a pull that goes on, even when another image that had it is removed", async () => {
    const shared = await pulled("shared", long, base);
    const made = addImage(fixture.registry, [base, top], { tag: "tag" });
    const asked = Promise.withResolvers<void>();
    const removed = Promise.withResolvers<void>();
    fixture.registry.misbehave = async (_request, url) => {
      if (!url.pathname.endsWith(made.layers[1]!.digest)) return undefined;
      asked.resolve();
      await removed.promise;
      return undefined;
    };
    const pulling = fixture.store.pull(fixture.name());
    await asked.promise;
    await fixture.store.remove(shared.manifest);
    age();
    await run();
    expect(fixture.store.layers.get(shared.diffIds[0]!)).toBeDefined();
    expect(fixture.store.content.has(shared.layers[0]!.digest)).toBe(true);
    fixture.registry.seen.length = 0;
    removed.resolve();
    expect((await pulling).isUnpacked).toBe(true);
    expect(fixture.registry.seen).toEqual([]);
  });

  test("goes when it is a part of a blob that has come whole another way, and stays when a pull has come for it", async () => {
    const made = await pulled("tag", long, base);
    const ingest = fixture.store.content.ingestPath(made.layers[0]!.digest);
    writeFileSync(ingest, "part");
    expect(await run()).toEqual([]);
    age();
    {
      using lease = fixture.store.leases.take("pull it again");
      lease.add({ content: [made.layers[0]!.digest] });
      expect(await run()).toEqual([]);
    }
    expect(await run({ isDryRun: true })).toMatchObject([{ kind: "ingest", why: "the whole blob is in the store" }]);
    expect(kinds(await run())).toEqual(["ingest"]);
    expect(existsSync(ingest)).toBe(false);
  });

  test("stays when a pull comes for it while it is looked at", async () => {
    const made = await unfinished();
    const { digest } = made.layers[1]!;
    writeFileSync(fixture.store.content.ingestPath(digest), "part");
    age();
    let lease: Lease | undefined;
    const onCollected = ({ kind }: Collected) => {
      // When it is known what is needed, and before the downloads are looked at.
      if (kind !== "content" || lease) return;
      lease = fixture.store.leases.take(`pull ${fixture.name()}`);
      lease.add({ content: [digest] });
    };
    expect(kinds(await run({ onCollected }))).not.toContain("ingest");
    expect(existsSync(fixture.store.content.ingestPath(digest))).toBe(true);
    lease![Symbol.dispose]();
  });

  test("of an unfinished pull keeps no image from being pruned, and is kept itself; work that goes on does", async () => {
    const made = await pulled("tag", long, base);
    const lease = fixture.store.leases.take("pull another");
    lease.add({ content: [made.manifest, made.layers[0]!.digest] });
    expect(await pruneImage(fixture.store, made.manifest)).toBeUndefined();
    lease.keep();
    expect((await pruneImage(fixture.store, made.manifest))?.results.at(-1)).toEqual({ deleted: made.manifest });
    expect(fixture.store.content.has(made.layers[0]!.digest)).toBe(true);
    expect(fixture.store.content.has(made.config)).toBe(false);
  });

  test("is passed over when it has only just come, whoever stored it", async () => {
    const bytes = Buffer.from("stored before it is held");
    await fixture.store.content.write(bytes, digestOf(bytes));
    expect(await run()).toEqual([]);
    age();
    expect(await run()).toMatchObject([{ kind: "content", id: digestOf(bytes), bytes: bytes.length }]);
  });

  test("of a damaged image is kept for the next pull, unless it has no name to be pulled by", async () => {
    const made = await pulled("tag", long, base);
    fixture.store.records.losePlatform(made.manifest, made.manifest);
    age();
    expect(await run()).toMatchObject([{ kind: "layer" }]);
    expect(fixture.blobs()).toHaveLength(3);
    fixture.store.records.removeName(fixture.name("tag"));
    expect(kinds(await run())).toEqual(["image"]);
    expect(fixture.blobs()).toEqual([]);
  });

  test("and cannot be removed is reported, and does not keep the rest", async () => {
    await pulled("one", long, base);
    await unfinished();
    age();
    const { store } = fixture;
    const broken = fixture.blobs().map((hex) => `sha256:${hex}` as const);
    const remove = store.content.remove.bind(store.content);
    const stuck = broken.find((digest) => !store.records.isReferenced(digest))!;
    store.content.remove = async (digest) => {
      if (digest === stuck) throw new Error("EIO");
      await remove(digest);
    };
    const items = await run();
    expect(items.filter(({ error }) => error !== undefined)).toMatchObject([{ id: stuck, error: "EIO" }]);
    expect(items.filter(({ kind, error }) => kind === "content" && error === undefined).length).toBeGreaterThan(0);
    store.content.remove = remove;
    expect(await run()).toMatchObject([{ id: stuck }]);
    expect(store.get(fixture.name("one"))).toBeDefined();
  });
});

describe.skipIf(!isRoot)("when there is too little space", () => {
  test("images that can be fetched again go, the least recently used first, those without a name before", async () => {
    await pulled("new", "2024-03-01T00:00:00.000Z", base);
    await pulled("old", "2024-01-01T00:00:00.000Z", [{ name: "old" }]);
    await pulled("moved", "2024-02-01T00:00:00.000Z", [{ name: "first" }]);
    await pulled("moved", "2024-02-02T00:00:00.000Z", [{ name: "second" }]);
    const names = (items: Collected[]) => items.map((item) => item.names[0]?.split(":").at(-1));
    const dry = await run({ minFree: everything, isDryRun: true });
    expect(names(dry)).toEqual([undefined, "old", "moved", "new"]);
    expect(fixture.store.list()).toHaveLength(4);
    const items = await run({ minFree: everything });
    expect(names(items)).toEqual([undefined, "old", "moved", "new"]);
    expect(items[1]!.why).toMatch(/^less space is free than --gc-min-free, and image \w{12} was last used 2024-01-01/);
    expect(items.map(({ bytes }) => bytes)).toEqual(dry.map(({ bytes }) => bytes));
    expect(fixture.store.list()).toEqual([]);
    expect(fixture.blobs()).toEqual([]);
  });

  test("no more go than have to", async () => {
    const data = (fill: number) => new Uint8Array(Buffer.alloc(200_000, fill));
    for (const at of [1, 2, 3, 4])
      await pulled(`i${at}`, `2024-01-0${at}T00:00:00.000Z`, [{ name: "f", data: data(at) }]);
    const items = await run({ maxUsed: { bytes: 500_000 } });
    expect(items.map((item) => item.names[0]!.split(":").at(-1))).toEqual(["i1", "i2"]);
    expect(items[0]!.bytes).toBeGreaterThan(200_000);
    expect(items[0]!.why).toContain("images take more space than --gc-max-used");
    expect(fixture.store.list()).toHaveLength(2);
  });

  test("an image stays that is used, was used lately, came from no registry, or has a container or a lease", async () => {
    await pulled("used", new Date().toISOString(), [{ name: "used" }]);
    const imported = await pulled("imported", long, [{ name: "imported" }]);
    fixture.database.run("UPDATE images SET origin = 'import' WHERE id = ?", [imported.manifest]);
    const leased = await pulled("leased", long, [{ name: "leased" }]);
    using lease = fixture.store.leases.take("push");
    lease.add({ content: [leased.manifest] });
    expect(await run({ minFree: everything })).toEqual([]);
    const held = await pulled("held", long, [{ name: "held" }]);
    fixture.users = [{ containerId: "c", running: false }];
    expect(await run({ minFree: everything })).toEqual([]);
    fixture.users = [];
    expect((await run({ minFree: everything })).map(({ id }) => id)).toEqual([held.manifest]);
    expect(fixture.store.list()).toHaveLength(3);
  });

  test("work that nobody has finished goes before any image", async () => {
    await pulled("other", long, [{ name: "other" }]);
    await unfinished();
    age();
    fixture.database.run("UPDATE leases SET touched_at = ?", [new Date(Date.now() - 2 * 3_600_000).toISOString()]);
    const items = await run({ maxUsed: { bytes: 0 } });
    expect(kinds(items).slice(0, 2)).toEqual(["lease", "layer"]);
    expect(kinds(items).at(-1)).toBe("image");
  });

  test("limits are sizes or parts of the file system, with a bound", () => {
    const space = { usedBytes: 300, freeBytes: 50, totalBytes: 1000 };
    const policy = { keepForMs: 0 };
    expect(lacking(space, policy)).toBe(0);
    expect(lacking(space, { ...policy, maxUsed: { bytes: 250 } })).toBe(50);
    expect(lacking(space, { ...policy, maxUsed: { percent: 20 } })).toBe(100);
    expect(lacking(space, { ...policy, minFree: { percent: 10 } })).toBe(50);
    expect(lacking(space, { ...policy, minFree: { percent: 10, bytesMax: 60 } })).toBe(10);
    expect(lacking(space, { ...policy, minFree: { percent: 5 }, maxUsed: { percent: 40 } })).toBe(0);
  });
});
