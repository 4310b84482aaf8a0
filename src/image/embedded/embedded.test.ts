import { describe, expect, test } from "bun:test";
import {
  copyFileSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { digestOf } from "../../core/digest.ts";
import { addImage } from "../image-fixture.ts";
import { base, isRoot, useStore } from "../store-fixture.ts";
import { readElf } from "./elf.ts";
import { EmbeddedImage, embeddedName, isEmbeddedReference } from "./embedded.ts";
import { neededFiles } from "./libraries.ts";

const fixture = useStore();
const program = Bun.which("true")!;

function files(root: string): string[] {
  return (readdirSync(root, { recursive: true }) as string[])
    .filter((path) => lstatSync(join(root, path)).isFile())
    .sort();
}

describe("an executable", () => {
  test("tells its loader and its libraries", () => {
    const needs = readElf(program);
    expect(needs.interpreter).toMatch(/^\/lib.*\/ld-/);
    expect(needs.needed.some((name) => name.startsWith("libc."))).toBe(true);
    expect(readElf(needs.interpreter!)).toMatchObject({ interpreter: undefined, machine: needs.machine });
  });

  test("needs what ldd says that it needs", () => {
    const listed = Bun.spawnSync(["ldd", process.execPath], { env: { LC_ALL: "C" } }).stdout.toString();
    const expected = [...listed.matchAll(/(\/\S+) \(0x/g)].map((match) => match[1]!).sort();
    const found = neededFiles(process.execPath).map(({ path }) => path);
    const real = (paths: string[]) => paths.map((path) => statSync(path).ino).sort();
    expect(expected.length).toBeGreaterThan(1);
    expect(real(found)).toEqual(real(expected));
  });

  test("that is none is refused", () => {
    const path = join(fixture.root, "script");
    writeFileSync(path, "#!/bin/sh\n");
    expect(() => readElf(path)).toThrow("it is cut short");
    writeFileSync(path, "#!/bin/sh\n".padEnd(100));
    expect(() => readElf(path)).toThrow(`${path}: not a 64-bit little-endian ELF file`);
    writeFileSync(path, readFileSync(program).subarray(0, 200));
    expect(() => readElf(path)).toThrow("it is cut short");
  });
});

describe.skipIf(!isRoot)("the embedded image", () => {
  test("holds the executable and what it needs, as copies, and runs in its own root", async () => {
    const image = await new EmbeddedImage(fixture.store, program).ensure();
    expect(image).toMatchObject({
      names: ["docker.io/library/hello:latest"],
      config: { config: { Entrypoint: ["/tsd", "hello-report"] } },
    });
    const { lower } = fixture.store.snapshots.prepare("c", image);
    const [root] = lower;
    const needed = neededFiles(program).map(({ path }) => path.slice(1));
    expect(files(root!)).toEqual(["tsd", ...needed].sort());
    for (const path of files(root!)) {
      const status = statSync(join(root!, path));
      expect(status).toMatchObject({ nlink: 1, uid: 0, gid: 0, mtimeMs: 0 });
      if (path !== "tsd") expect(digestOf(readFileSync(join(root!, path)))).toBe(digestOf(readFileSync(`/${path}`)));
    }
    expect(statSync(join(root!, "tmp")).mode & 0o7777).toBe(0o1777);
    expect(Bun.spawnSync(["chroot", root!, "/tsd"]).exitCode).toBe(0);
  });

  test("has a digest that depends on the files alone, and a layer that can be written again", async () => {
    const other = join(fixture.root, "copy");
    copyFileSync(program, other);
    const first = await new EmbeddedImage(fixture.store, program).ensure();
    const embedded = new EmbeddedImage(fixture.store, other);
    const second = await embedded.ensure();
    expect(second.id).toBe(first.id);
    expect(fixture.snapshotNames()).toHaveLength(1);
    const bytes = await new Response(embedded.archive(second.chainId!)).bytes();
    expect(digestOf(bytes)).toBe(second.manifest.layers[0]!.digest);
    expect(bytes.length).toBe(second.manifest.layers[0]!.size);
    expect(embedded.archive(digestOf("x"))).toBeUndefined();
    // Its layer is in no blob, so the layout that others read does not offer it.
    expect(fixture.blobs()).not.toContain(second.chainId!.slice(7));
    expect(JSON.parse(readFileSync(join(fixture.root, "content/index.json"), "utf8")).manifests).toEqual([]);
  });

  test("is made once, and anew when the executable is replaced, whereupon the old one goes", async () => {
    const path = join(fixture.root, "tsd");
    copyFileSync(program, path);
    const embedded = new EmbeddedImage(fixture.store, path);
    const [first, same] = await Promise.all([embedded.ensure(), embedded.ensure()]);
    expect(same!.id).toBe(first!.id);
    const before = fixture.snapshotNames();
    expect((await embedded.ensure()).id).toBe(first!.id);
    expect(fixture.snapshotNames()).toEqual(before);
    writeFileSync(path, Buffer.concat([readFileSync(program), Buffer.from("newer")]));
    const second = await embedded.ensure();
    expect(second.id).not.toBe(first!.id);
    expect(fixture.store.list()).toHaveLength(1);
    expect(fixture.snapshotNames()).toHaveLength(1);
    utimesSync(path, 1, 1); // touched, not changed
    expect((await embedded.ensure()).id).toBe(second.id);
    expect(fixture.store.list()).toHaveLength(1);
  });

  test("of an earlier version stays for as long as a container uses it", async () => {
    const path = join(fixture.root, "tsd");
    copyFileSync(program, path);
    const embedded = new EmbeddedImage(fixture.store, path);
    const first = await embedded.ensure();
    fixture.store.snapshots.prepare("c", first);
    fixture.users = [{ containerId: "c", running: true }];
    writeFileSync(path, Buffer.concat([readFileSync(program), Buffer.from("newer")]));
    await embedded.ensure();
    expect(fixture.store.resolve(first.id)).toMatchObject({ names: [] });
    fixture.users = [];
    fixture.store.snapshots.remove("c");
    writeFileSync(path, Buffer.concat([readFileSync(program), Buffer.from("newest")]));
    await embedded.ensure();
    expect(fixture.store.list()).toHaveLength(1);
  });

  test("gives way to an image that the user gave its name", async () => {
    addImage(fixture.registry, [base], { tag: "tag" });
    const { id } = await fixture.store.pull(fixture.name());
    await fixture.store.tag(id, embeddedName);
    expect((await new EmbeddedImage(fixture.store, program).ensure()).id).toBe(id);
    expect(fixture.store.list()).toHaveLength(1);
  });

  test("survives a start, and is made again when its files are gone", async () => {
    const embedded = new EmbeddedImage(fixture.store, program);
    const { id, chainId } = await embedded.ensure();
    await fixture.reopen({ executable: program }).start();
    expect(fixture.store.resolve("hello")?.id).toBe(id);
    const { directory } = fixture.store.layers.get(chainId!)!;
    Bun.spawnSync(["rm", "-r", fixture.store.directories.path(directory)]);
    await fixture.reopen({ executable: program }).start();
    expect(fixture.store.resolve("hello")).toBeUndefined();
    expect((await fixture.store.embedded.ensure()).id).toBe(id);
  });

  test("of another tsd is gone at the next start, and kept by its containers without its name", async () => {
    await new EmbeddedImage(fixture.store, program).ensure();
    await fixture.reopen({ executable: Bun.which("false")! }).start();
    expect(fixture.store.list()).toEqual([]);
    const image = await fixture.store.embedded.ensure();
    fixture.users = [{ containerId: "c", running: false }];
    await fixture.reopen({ executable: program }).start();
    expect(fixture.store.list()).toMatchObject([{ id: image.id, repoTags: [] }]);
  });

  test("is meant by its name alone", () => {
    for (const text of ["hello", "hello:latest", "docker.io/library/hello"])
      expect(isEmbeddedReference(text)).toBe(true);
    for (const text of ["hello:2", "x/hello", "localhost/hello", "hellO", ""])
      expect(isEmbeddedReference(text)).toBe(false);
  });

  test("needs a library that is nowhere: the error names it", async () => {
    const path = join(fixture.root, "broken");
    const bytes = readFileSync(program);
    bytes.write("libX", bytes.indexOf("libc.so.6"));
    writeFileSync(path, bytes);
    mkdirSync(join(fixture.root, "empty"));
    await expect(new EmbeddedImage(fixture.store, path).ensure()).rejects.toThrow(`${path} needs libX.so.6`);
    expect(fixture.snapshotNames()).toEqual([]);
  });
});
