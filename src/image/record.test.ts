/** What is recorded of images, and that they are unpacked when they are first needed. */
import { describe, expect, test } from "bun:test";
import { existsSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Digest, digestOf } from "../core/digest.ts";
import { mediaTypes } from "../oci/image.ts";
import type { PullProgress } from "./image.ts";
import { addImage, addIndex, type FixtureImage } from "./image-fixture.ts";
import type { ImageRecord } from "./record.ts";
import { base, failure, isRoot, top, useStore } from "./store-fixture.ts";

const fixture = useStore();
const canonical = "docker.io/library/loaded:latest";

/** Stores the image's content as `load` does, without unpacking anything. */
async function store(made: FixtureImage): Promise<{ digest: Digest; size: number }[]> {
  const { registry } = fixture;
  const blobs = [registry.manifests.get(made.manifest)!.bytes, registry.blobs.get(made.config)!];
  blobs.push(...made.layers.map(({ digest }) => registry.blobs.get(digest)!));
  for (const bytes of blobs) await fixture.store.content.write(bytes, digestOf(bytes));
  return blobs.map((bytes) => ({ digest: digestOf(bytes), size: bytes.length }));
}

async function loaded(made: FixtureImage): Promise<ImageRecord> {
  const content = await store(made);
  return {
    id: made.manifest,
    mediaType: mediaTypes.ociManifest,
    size: content[0]!.size,
    name: canonical,
    content,
    platforms: [
      {
        manifestDigest: made.manifest,
        platform: { os: "linux", architecture: "amd64" },
        diffIds: made.diffIds,
        isUnpacked: false,
      },
    ],
    origin: "load",
  };
}

describe.skipIf(!isRoot)("an image whose content alone is here", () => {
  test("is seen, and unpacked when it is first needed, once", async () => {
    const made = addImage(fixture.registry, [base, top]);
    await fixture.store.record(await loaded(made));
    const image = fixture.store.get("loaded");
    expect(image).toMatchObject({ isUnpacked: false, unpackedBytes: 0, names: [canonical] });
    expect(fixture.snapshotNames()).toEqual([]);
    expect(() => fixture.store.snapshots.prepare("c", image)).toThrow("is not unpacked");
    const [first, second] = await Promise.all([
      fixture.store.ensureUnpacked(image),
      fixture.store.ensureUnpacked(image),
    ]);
    expect(first).toEqual(second);
    expect(first.isUnpacked).toBe(true);
    expect(first.unpackedBytes).toBeGreaterThan(0);
    expect(fixture.snapshotNames()).toHaveLength(2);
    const { lower } = fixture.store.snapshots.prepare("c", first);
    expect(existsSync(join(lower[1]!, "etc/passwd"))).toBe(true);
    expect(await fixture.store.ensureUnpacked(first)).toBe(first);
    expect(fixture.store.leases.all()).toEqual([]);
    fixture.store.snapshots.remove("c");
    await fixture.store.remove("loaded");
    expect([...fixture.blobs(), ...fixture.snapshotNames()]).toEqual([]);
  });

  test("uses the layers that another image has unpacked", async () => {
    const made = addImage(fixture.registry, [base, top], { tag: "tag" });
    await fixture.store.pull(fixture.name());
    const other = addImage(fixture.registry, [base, top], { config: { Cmd: ["other"] } });
    await fixture.store.record(await loaded(other));
    expect(fixture.store.get("loaded").isUnpacked).toBe(true);
    await fixture.store.remove(made.manifest);
    expect(fixture.snapshotNames()).toHaveLength(2);
    await fixture.store.remove("loaded");
    expect(fixture.snapshotNames()).toEqual([]);
  });

  test("that lacks a layer says which, and is unpacked after a pull", async () => {
    const made = addImage(fixture.registry, [base, top], { tag: "tag" });
    await fixture.store.record(await loaded(made));
    rmSync(fixture.store.content.path(made.layers[1]!.digest));
    const failed = await failure(fixture.store.ensureUnpacked(fixture.store.get("loaded")));
    expect(failed.code).toBe("not_found");
    expect(failed.message).toContain(`layer ${made.layers[1]!.digest.slice(7, 19)} of image ${made.manifest}`);
    expect(fixture.store.get("loaded").isUnpacked).toBe(false);
    await fixture.store.pull(fixture.name());
    expect(fixture.store.get("loaded")).toMatchObject({ isUnpacked: true, id: made.manifest });
  });

  test("is refused when some of its content is not there", async () => {
    const record = await loaded(addImage(fixture.registry, [base]));
    truncateSync(fixture.store.content.path(record.content[2]!.digest), 10);
    expect((await failure(fixture.store.record(record))).message).toBe(
      `image ${record.id}: content ${record.content[2]!.digest} is not in the store`,
    );
    expect(fixture.store.list()).toEqual([]);
  });

  test("is recorded with others or not at all", async () => {
    const first = await loaded(addImage(fixture.registry, [base]));
    const second = await loaded(addImage(fixture.registry, [top]));
    fixture.database.run(
      `CREATE TRIGGER full BEFORE INSERT ON images WHEN new.id = '${second.id}'
       BEGIN SELECT RAISE(ABORT, 'disk I/O error'); END`,
    );
    await expect(fixture.store.recordAll([first, { ...second, name: undefined }])).rejects.toThrow("disk I/O error");
    expect(fixture.store.list()).toEqual([]);
    fixture.database.run("DROP TRIGGER full");
    await fixture.store.recordAll([first, { ...second, name: undefined }]);
    expect(fixture.store.list()).toHaveLength(2);
  });

  test("may be several platforms of an index, recorded together or one after the other", async () => {
    const platforms = ["amd64", "arm64", "s390x"] as const;
    const made = platforms.map((architecture) => addImage(fixture.registry, [base, top], { architecture }));
    const index = addIndex(
      fixture.registry,
      made.map(({ manifest }, at) => ({ digest: manifest, architecture: platforms[at]! })),
      "tag",
    );
    const { bytes } = fixture.registry.manifests.get(index)!;
    await fixture.store.content.write(bytes, index);
    const part = async (at: number) => {
      const { content, platforms: rows } = await loaded(made[at]!);
      return {
        content,
        rows: rows.map((row) => ({ ...row, platform: { os: "linux", architecture: platforms[at]! } })),
      };
    };
    const [first, second, third] = [await part(0), await part(1), await part(2)];
    const common = { id: index, mediaType: mediaTypes.ociIndex, size: bytes.length, origin: "load" as const };
    const root = { digest: index, size: bytes.length };
    await fixture.store.record({
      ...common,
      name: canonical,
      content: [root, ...first.content, ...third.content],
      platforms: [...first.rows, ...third.rows],
    });
    expect(fixture.store.resolve("loaded", { os: "linux", architecture: "arm64" })).toBeUndefined();
    await fixture.store.record({ ...common, content: [root, ...second.content], platforms: second.rows });
    for (const architecture of platforms) {
      expect(fixture.store.get("loaded", { os: "linux", architecture }).platform.architecture).toBe(architecture);
    }
    expect(fixture.store.records.platforms(index)).toHaveLength(3);
    expect(fixture.store.list()).toHaveLength(1);
    await fixture.store.remove("loaded");
    expect(fixture.blobs()).toEqual([]);
  });

  test("that was pulled as well can be fetched again", async () => {
    const made = addImage(fixture.registry, [base], { tag: "tag" });
    await fixture.store.record(await loaded(made));
    expect(fixture.store.records.get(made.manifest)!.origin).toBe("load");
    await fixture.store.pull(fixture.name());
    expect(fixture.store.records.get(made.manifest)!.origin).toBe("pull");
    await fixture.store.record(await loaded(made));
    expect(fixture.store.records.get(made.manifest)!.origin).toBe("pull");
  });
});

describe.skipIf(!isRoot)("a damaged image", () => {
  test.each(["layer", "config", "manifest"] as const)("whose %s is gone is not said to be up to date", async (kind) => {
    const made = addImage(fixture.registry, [base, top], { tag: "tag" });
    await fixture.store.pull(fixture.name());
    const lost = { layer: made.layers[0]!.digest, config: made.config, manifest: made.manifest }[kind];
    rmSync(fixture.store.content.path(lost));
    fixture.registry.seen.length = 0;
    const events: PullProgress[] = [];
    await fixture.store.pull(fixture.name(), { onProgress: (event) => events.push(event) });
    expect(events.at(-1)!.status).toBe(`Status: Downloaded newer image for ${fixture.name()}`);
    expect(fixture.store.content.has(lost)).toBe(true);
    const blobs = fixture.registry.seen.filter(({ path }) => path.includes("/blobs/"));
    expect(blobs.map(({ path }) => path.split("/").at(-1))).toEqual(kind === "manifest" ? [] : [lost]);
    await fixture.store.pull(fixture.name(), { onProgress: (event) => events.push(event) });
    expect(events.at(-1)!.status).toBe(`Status: Image is up to date for ${fixture.name()}`);
  });

  test.each(["config", "manifest"] as const)(
    "whose %s has other bytes is not seen, and fetched again",
    async (kind) => {
      const made = addImage(fixture.registry, [base], { tag: "tag" });
      await fixture.store.pull(fixture.name());
      const path = fixture.store.content.path(kind === "config" ? made.config : made.manifest);
      const before = readFileSync(path);
      writeFileSync(path, Buffer.alloc(before.length, "x"));
      fixture.reopen(); // the documents were read before
      expect(fixture.store.list()).toEqual([]);
      expect(fixture.store.resolve(fixture.name())).toBeUndefined();
      await fixture.store.pull(fixture.name());
      expect(readFileSync(path)).toEqual(before);
      expect(fixture.store.list()).toHaveLength(1);
    },
  );
});

test.skipIf(!isRoot)("an image's last use is what happened last to it", async () => {
  const made = addImage(fixture.registry, [base], { tag: "tag" });
  await fixture.store.pull(fixture.name());
  const used = () => fixture.store.records.get(made.manifest)!.lastUsedAt;
  const age = () => {
    fixture.store.records.setUsed(made.manifest, "2020-01-01T00:00:00.000Z");
    fixture.reopen();
  };
  age();
  fixture.store.touch(made.manifest);
  expect(Date.now() - Date.parse(used())).toBeLessThan(5000);
  fixture.store.records.setUsed(made.manifest, "2020-01-01T00:00:00.000Z");
  fixture.store.touch(made.manifest); // within the minute: not written again
  expect(used()).toBe("2020-01-01T00:00:00.000Z");
  age();
  await fixture.store.pull(fixture.name());
  expect(used().slice(0, 4)).not.toBe("2020");
  age();
  await fixture.store.tag(made.manifest, "other");
  expect(used().slice(0, 4)).not.toBe("2020");
});
