import { describe, expect, test } from "bun:test";
import { mkdirSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import type { FixtureEntry } from "../tar/tar-fixture.ts";
import { addImage } from "./image-fixture.ts";
import { base, failure, isRoot, top, useStore } from "./store-fixture.ts";
import { unpackImage } from "./unpack-image.ts";

const fixture = useStore();

function emptyDirectory(name = "rootfs"): string {
  const path = join(fixture.root, name);
  mkdirSync(path);
  return path;
}

describe.skipIf(!isRoot)("an image in a plain directory", () => {
  test("shows what its layers together show", async () => {
    addImage(fixture.registry, [base, top], { tag: "tag" });
    const image = await fixture.store.pull(fixture.name());
    const directory = emptyDirectory();
    await unpackImage(fixture.store, image, { directory });
    expect((readdirSync(directory, { recursive: true }) as string[]).sort()).toEqual(["etc", "old", "tmp", "tmp/x"]);
    expect(statSync(join(directory, "tmp")).mode & 0o7777).toBe(0o1777);
  });

  test("can be the embedded one", async () => {
    fixture.reopen({ executable: Bun.which("true")! });
    const events: string[] = [];
    const image = await fixture.store.pull("hello", { onProgress: ({ status }) => events.push(status) });
    expect(events).toEqual([`Digest: ${image.id}`, "Status: Made newer image for hello:latest"]);
    const directory = emptyDirectory();
    await unpackImage(fixture.store, image, { directory });
    expect(readFileSync(join(directory, "tsd"))).toEqual(readFileSync(Bun.which("true")!));
  });

  test("is refused by name when a layer's content is gone", async () => {
    const { layers } = addImage(fixture.registry, [base], { tag: "tag" });
    const image = await fixture.store.pull(fixture.name());
    rmSync(fixture.store.content.path(layers[0]!.digest));
    const failed = await failure(unpackImage(fixture.store, image, { directory: emptyDirectory() }));
    expect(failed.message).toBe(`layer ${layers[0]!.digest.slice(7, 19)} of image ${image.id} is not stored`);
  });

  test("looks as its layers do in overlayfs", async () => {
    const tricky: FixtureEntry[] = [
      { name: "etc/", mode: 0o700, uid: 7 },
      { name: "etc/new/deep/file", data: "x" },
      { name: "old/.wh..wh..opq" },
      { name: "old/", mode: 0o711 },
      { name: "old/young", data: "y" },
      { name: "tmp", type: "2", link: "old" },
      { name: "late/", mode: 0o750 },
      { name: "late/x" },
      { name: ".wh.late" },
    ];
    const first = [
      ...base,
      { name: "late/" },
      { name: "late/hidden" },
      { name: "etc/link", type: "1", link: "etc/passwd" },
    ];
    const last: FixtureEntry[] = [
      { name: ".wh.tmp" },
      { name: "tmp/again" },
      { name: "etc/new/.wh.deep" },
      { name: "etc/new/deep/other" },
    ];
    addImage(fixture.registry, [first, tricky, last], { tag: "tag" });
    const image = await fixture.store.pull(fixture.name());
    const directory = emptyDirectory();
    await unpackImage(fixture.store, image, { directory });
    const { lower, upper, work } = fixture.store.snapshots.prepare("c", image);
    const merged = emptyDirectory("merged");
    const options = `lowerdir=${lower.join(":")},upperdir=${upper},workdir=${work}`;
    expect(Bun.spawnSync(["mount", "-t", "overlay", "none", "-o", options, merged]).exitCode).toBe(0);
    try {
      const listing = (cwd: string) =>
        Bun.spawnSync(["find", ".", "-printf", "%p %y %m %U %G %l\\n"], { cwd })
          .stdout.toString()
          .split("\n")
          // The mark of a container, which an image in a directory is not.
          .filter((line) => !line.startsWith("./.dockerenv "))
          .sort()
          .join("\n");
      expect(listing(merged)).toContain("./old/young");
      expect(listing(merged)).toBe(listing(directory));
    } finally {
      Bun.spawnSync(["umount", merged]);
    }
  });
});
