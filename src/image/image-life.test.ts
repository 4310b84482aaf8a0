/** Finding, listing and removing images; containers' layers; what the next start puts right. */
import { describe, expect, test } from "bun:test";
import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { digestOf } from "../core/digest.ts";
import { collect } from "./collection/collect.ts";
import { addImage } from "./image-fixture.ts";
import { base, failure, isRoot, top, useStore } from "./store-fixture.ts";
import { StoreMeter } from "./store-usage.ts";

const fixture = useStore();

describe.skipIf(!isRoot)("images", () => {
  test("are found by name, digest and prefix of their id", async () => {
    const made = addImage(fixture.registry, [base], { tag: "tag" });
    const { id } = await fixture.store.pull(fixture.name());
    const hex = id.slice(7);
    for (const text of [
      fixture.name(),
      id,
      hex,
      hex.slice(0, 12),
      `sha256:${hex.slice(0, 4)}`,
      `${fixture.registry.host}/some/image@${id}`,
    ]) {
      expect(fixture.store.resolve(text)?.id, text).toBe(made.manifest);
    }
    for (const text of [
      `${fixture.registry.host}/some/image`,
      `${fixture.registry.host}/other@${id}`,
      hex.slice(0, 3),
      "0000",
      digestOf("x"),
    ]) {
      expect(fixture.store.resolve(text), text).toBeUndefined();
    }
    expect(() => fixture.store.get("nope")).toThrow("No such image: nope:latest");
    expect(() => fixture.store.resolve("NOPE")).toThrow("must be lowercase");
  });

  test("are listed with their names and digests, the newest first", async () => {
    addImage(fixture.registry, [base], { tag: "tag", config: { Labels: { a: "b" } } });
    const { id } = await fixture.store.pull(fixture.name());
    await fixture.store.tag(id, "busybox");
    expect(fixture.store.list()).toMatchObject([
      {
        id,
        repoTags: [fixture.name(), "busybox:latest"],
        repoDigests: [`${fixture.registry.host}/some/image@${id}`, `busybox@${id}`],
        labels: { a: "b" },
        createdAt: "2024-01-02T03:04:05Z",
      },
    ]);
    expect(fixture.store.list()[0]!.sizeBytes).toBeGreaterThan(0);
  });

  test("are untagged by name until the last one goes, with everything that was theirs alone", async () => {
    const first = addImage(fixture.registry, [base], { tag: "tag" });
    addImage(fixture.registry, [base, top], { tag: "other" });
    await fixture.store.pull(fixture.name());
    const { id } = await fixture.store.pull(fixture.name("other"));
    await fixture.store.tag(id, "second");
    expect(await fixture.store.remove("second")).toEqual([{ untagged: "second:latest" }]);
    expect(await fixture.store.remove(fixture.name("other"))).toEqual([
      { untagged: fixture.name("other") },
      { deleted: id },
    ]);
    expect(fixture.snapshotNames()).toHaveLength(1);
    expect(fixture.blobs()).toEqual(
      [first.manifest, first.config, first.layers[0]!.digest].map((digest) => digest.slice(7)).sort(),
    );
    expect(await fixture.store.remove(first.manifest.slice(7, 19))).toEqual([
      { untagged: fixture.name() },
      { deleted: first.manifest },
    ]);
    expect(fixture.blobs()).toEqual([]);
    expect(fixture.snapshotNames()).toEqual([]);
    expect(await failure(fixture.store.remove(fixture.name()))).toEqual({
      code: "not_found",
      message: `No such image: ${fixture.name()}`,
    });
  });

  test("in use are not removed, unless by force and then in name only", async () => {
    addImage(fixture.registry, [base], { tag: "tag" });
    const image = await fixture.store.pull(fixture.name());
    fixture.store.snapshots.prepare("a".repeat(64), image);
    fixture.users = [{ containerId: "a".repeat(64), running: false }];
    const short = image.id.slice(7, 19);
    expect(await failure(fixture.store.remove(fixture.name()))).toEqual({
      code: "conflict",
      message: `conflict: unable to delete ${fixture.name()} (must be forced) - container aaaaaaaaaaaa is using its referenced image ${short}`,
    });
    expect((await failure(fixture.store.remove(short))).message).toBe(
      `conflict: unable to delete ${short} (must be forced) - image is being used by stopped container aaaaaaaaaaaa`,
    );
    fixture.users = [{ containerId: "a".repeat(64), running: true }];
    expect((await failure(fixture.store.remove(short, { force: true }))).message).toBe(
      `conflict: unable to delete ${short} (cannot be forced) - image is being used by running container aaaaaaaaaaaa`,
    );
    expect(await fixture.store.remove(fixture.name(), { force: true })).toEqual([{ untagged: fixture.name() }]);
    expect(fixture.store.resolve(short)).toMatchObject({ names: [] });
    fixture.users = [{ containerId: "a".repeat(64), running: false }];
    expect(await fixture.store.remove(short, { force: true })).toEqual([{ deleted: image.id }]);
    // The container's files outlive its image.
    expect(existsSync(join(fixture.store.snapshots.mounts("a".repeat(64)).lower[0]!, "etc/passwd"))).toBe(true);
    fixture.store.snapshots.remove("a".repeat(64));
    expect(fixture.snapshotNames()).toEqual([]);
  });

  test("of several repositories are removed by id by force alone", async () => {
    addImage(fixture.registry, [base], { tag: "tag" });
    const { id } = await fixture.store.pull(fixture.name());
    await fixture.store.tag(id, "second");
    expect((await failure(fixture.store.remove(id))).message).toContain("image is referenced in multiple repositories");
    expect(await fixture.store.remove(id, { force: true })).toEqual([
      { untagged: fixture.name() },
      { untagged: "second:latest" },
      { deleted: id },
    ]);
  });
});

describe.skipIf(!isRoot)("containers' layers", () => {
  test("are counted, mounted again and removed", async () => {
    addImage(fixture.registry, [base], { tag: "tag" });
    const image = await fixture.store.pull(fixture.name());
    const mount = fixture.store.snapshots.prepare("c1", image);
    expect(() => fixture.store.snapshots.prepare("c1", image)).toThrow("exists already");
    // Beside the mark that every container has.
    writeFileSync(join(mount.upper, "file"), Buffer.alloc(10_000));
    expect(fixture.store.snapshots.mounts("c1")).toEqual(mount);
    expect(await fixture.store.snapshots.usage("c1")).toEqual({ bytes: 12_288, inodes: 2 });
    fixture.store.snapshots.remove("c1");
    fixture.store.snapshots.remove("c1");
    expect(existsSync(mount.upper)).toBe(false);
    expect(() => fixture.store.snapshots.mounts("c1")).toThrow("has no snapshot");
    await expect(fixture.store.snapshots.usage("c1")).rejects.toThrow("has no snapshot");
    expect(fixture.store.resolve(fixture.name())).toBeDefined();
  });

  test("of images mounted in them are kept until the container goes, also across a start", async () => {
    addImage(fixture.registry, [base], { tag: "tag" });
    addImage(fixture.registry, [base, top], { tag: "mounted" });
    addImage(fixture.registry, [], { tag: "empty" });
    const image = await fixture.store.pull(fixture.name());
    const mounted = await fixture.store.pull(fixture.name("mounted"));
    fixture.store.snapshots.prepare("c1", image);
    fixture.store.snapshots.hold("c1", mounted);
    fixture.store.snapshots.hold("c1", mounted);
    fixture.store.snapshots.hold("c1", await fixture.store.pull(fixture.name("empty")));
    fixture.store.snapshots.hold("c2", mounted);
    await fixture.store.remove(fixture.name("mounted"));
    await fixture.reopen().start();
    await fixture.store.settled();
    expect(await collect(fixture.store, { keepForMs: 0, isDryRun: false })).toEqual([]);
    const [upmost, ...below] = fixture.store.snapshots.layers(mounted.chainId);
    expect(existsSync(upmost!)).toBe(true);
    expect(fixture.store.snapshots.layers(image.chainId)).toEqual([...below, join(fixture.root, "snapshots/empty")]);
    expect(fixture.store.snapshots.layers(undefined)).toEqual([]);
    expect((await new StoreMeter(fixture.store).measure(new Set())).layers.count).toBe(2);
    fixture.store.snapshots.remove("c1");
    expect(existsSync(upmost!)).toBe(true);
    fixture.store.snapshots.retain(new Set());
    expect(existsSync(upmost!)).toBe(false);
    expect(() => fixture.store.snapshots.hold("c3", mounted)).toThrow("is not unpacked");
  });

  test("made in a transaction that fails are found at the next start", async () => {
    addImage(fixture.registry, [base], { tag: "tag" });
    const image = await fixture.store.pull(fixture.name());
    expect(() =>
      fixture.database.transaction(() => {
        fixture.store.snapshots.prepare("c1", image);
        throw new Error("something else failed");
      })(),
    ).toThrow("something else");
    expect(fixture.snapshotNames()).toHaveLength(2);
    await fixture.store.start();
    await fixture.store.settled();
    expect(fixture.snapshotNames()).toHaveLength(1);
  });
});

describe.skipIf(!isRoot)("at the next start", () => {
  async function restart(): Promise<void> {
    await fixture.store.settled();
    await fixture.reopen().start();
    await fixture.store.settled();
  }

  test("directories that nobody knows are removed, and those in use are kept", async () => {
    addImage(fixture.registry, [base], { tag: "tag" });
    const image = await fixture.store.pull(fixture.name());
    const { lower } = fixture.store.snapshots.prepare("c1", image);
    fixture.store.directories.makePartial();
    fixture.store.directories.makeWritable();
    writeFileSync(join(fixture.root, "content/blobs/sha256/x.tmp"), "half");
    expect(fixture.snapshotNames()).toHaveLength(4);
    await restart();
    expect(fixture.snapshotNames()).toHaveLength(2);
    expect(existsSync(lower[0]!)).toBe(true);
    expect(existsSync(join(fixture.root, "content/blobs/sha256/x.tmp"))).toBe(false);
    fixture.store.snapshots.retain(new Set());
    expect(fixture.store.snapshots.keys()).toEqual([]);
  });

  test("layers whose directory is gone are unpacked again", async () => {
    addImage(fixture.registry, [base, top], { tag: "tag" });
    const { lower } = fixture.store.snapshots.prepare("c1", await fixture.store.pull(fixture.name()));
    rmSync(join(lower[1]!, ".."), { recursive: true });
    await restart();
    const again = fixture.store.snapshots.mounts("c1").lower;
    expect(again[0]).toBe(lower[0]!);
    expect(readFileSync(join(again[1]!, "etc/passwd"), "utf8")).toContain("root");
  });

  test("an image that cannot be made whole is forgotten, and pulled anew", async () => {
    const made = addImage(fixture.registry, [base, top], { tag: "tag" });
    const { lower } = fixture.store.snapshots.prepare("c1", await fixture.store.pull(fixture.name()));
    fixture.store.snapshots.remove("c1");
    rmSync(join(lower[1]!, ".."), { recursive: true });
    rmSync(fixture.store.content.path(made.layers[0]!.digest));
    await restart();
    expect(fixture.store.resolve(fixture.name())).toBeUndefined();
    expect((await fixture.store.pull(fixture.name())).id).toBe(made.manifest);
    rmSync(fixture.store.content.path(made.config));
    await restart();
    expect(fixture.store.resolve(fixture.name())).toBeUndefined();
    expect((await fixture.store.pull(fixture.name())).id).toBe(made.manifest);
  });
});
