/** Files of a container by path: where paths lead, what is refused, and the confined child. It needs root. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { CLONE_NEWNS } from "../../../ffi/constants/namespace.ts";
import { O_DIRECTORY, O_PATH } from "../../../ffi/constants/open.ts";
import { open } from "../../../ffi/files.ts";
import { EngineError } from "../../core/errors.ts";
import { tsdCommand } from "../../core/testing/tsd.ts";
import { archive, type FixtureEntry } from "../../tar/tar-fixture.ts";
import { TarReader } from "../../tar/tar-reader.ts";
import { isRoot } from "../store-fixture.ts";
import { unpackProgram } from "../unpack/unpacker.ts";
import type { CopyRoot } from "./child.ts";
import { readPath, statPath, writePath } from "./copier.ts";
import { absolutePath, findPlace, followed, nameInArchive, statOf } from "./place.ts";

const program = unpackProgram([...tsdCommand, "copy"]);
let base: string;
let directory: string;

beforeAll(() => {
  base = mkdtempSync("/tmp/tsd-copy-unit-");
  directory = join(base, "root");
  mkdirSync(join(directory, "a/b"), { recursive: true });
  writeFileSync(join(directory, "a/f"), "file");
  writeFileSync(join(base, "outside"), "outside");
  const links = { l: "a/f", d: "/a", up: "../../../../outside", loop: "loop", none: "a/none/x", out: base };
  for (const [name, target] of Object.entries(links)) symlinkSync(target, join(directory, name));
});
afterAll(() => rmSync(base, { recursive: true, force: true }));

function stat(path: string): Record<string, unknown> {
  using root = open(directory, O_PATH | O_DIRECTORY);
  const absolute = absolutePath(path);
  using place = findPlace(root, absolute);
  const { name, mode, linkTarget } = statOf(root, place, absolute);
  return { name, type: mode >> 12, linkTarget };
}

const [directoryType, fileType, linkType] = [4, 8, 10];

describe("paths of a container", () => {
  test.each([
    ["/", "/", "/"],
    ["", "/", "/"],
    [".", "/.", "."],
    ["a/../b/", "/b/", "b"],
    ["/a/.", "/a/.", "."],
    ["/a/./", "/a/", "a"],
    ["../../x", "/x", "x"],
    ["//a//b", "/a/b", "b"],
  ])("%p is %p, and %p in an archive", (path, absolute, name) => {
    expect([absolutePath(path), nameInArchive(absolutePath(path))]).toEqual([absolute, name]);
  });

  test("a symlink is found itself, unless the path asserts a directory", () => {
    expect(stat("/d")).toEqual({ name: "d", type: linkType, linkTarget: "/a" });
    expect(stat("/d/")).toEqual({ name: "d", type: directoryType, linkTarget: "" });
    expect(stat("/d/.")).toEqual({ name: ".", type: directoryType, linkTarget: "" });
    expect(stat("/d/f")).toEqual({ name: "f", type: fileType, linkTarget: "" });
    expect(stat("/none")).toEqual({ name: "none", type: linkType, linkTarget: "/a/none/x" });
    expect(stat("/")).toEqual({ name: "/", type: directoryType, linkTarget: "" });
  });

  test("the root is its own parent, for links too", () => {
    expect(stat("/up")).toMatchObject({ linkTarget: "/outside" });
    expect(() => stat("/up/")).toThrow("no such file or directory");
    expect(() => stat("/out/outside")).toThrow("no such file or directory");
    using root = open(directory, O_PATH | O_DIRECTORY);
    expect(followed(root, "/d/../../l/../b")).toBe("/a/b");
  });

  test.each([
    ["/a/f/", "/a/f/: not a directory"],
    ["/a/f/x", "/a/f/x: not a directory"],
    ["/loop/x", "/loop/x: too many levels of symbolic links"],
    ["/loop", "/loop: too many links"],
    [`/${"x".repeat(300)}`, "file name too long"],
  ])("%p is refused", (path, message) => {
    expect(() => stat(path)).toThrow(message);
  });
});

/** A mount namespace like this one, in which the directory is what it is here. */
function host(): CopyRoot {
  const own = (plan: Parameters<CopyRoot["enter"]>[0]) => plan.call("unshare", [CLONE_NEWNS]);
  return { enter: own, descriptors: {}, place: join(base, "place") };
}

async function read(path: string, signal = new AbortController().signal): Promise<string[]> {
  const names: string[] = [];
  const reader = new TarReader({
    entry: ({ path: name }) => names.push(name),
    data: () => undefined,
    entryEnd: () => undefined,
  });
  const { archive: pieces } = await readPath(host(), path, { signal, program });
  for await (const piece of pieces) reader.write(piece);
  reader.end();
  return names;
}

async function* bytesOf(entries: FixtureEntry[]): AsyncGenerator<Uint8Array, void, void> {
  yield archive(entries);
}

function write(path: string, entries: FixtureEntry[]): Promise<unknown> {
  const { signal } = new AbortController();
  return writePath(host(), { path, keepsKinds: true }, bytesOf(entries), { signal, program });
}

describe.if(isRoot)("the confined child", () => {
  beforeAll(() => mkdirSync(join(base, "place")));
  const { signal } = new AbortController();

  test("reads and writes, and leaves nothing mounted", async () => {
    expect(await read(`${directory}/a`)).toEqual(["a/", "a/b/", "a/f"]);
    mkdirSync(join(directory, "w"));
    await write(`${directory}/w`, [{ name: "x", data: "x", uid: 7, gid: 8, mode: 0o4755 }]);
    expect(readFileSync(join(directory, "w/x"), "utf8")).toBe("x");
    // Of its own: other tests mount and unmount beside this one.
    expect(readFileSync("/proc/self/mountinfo", "utf8")).not.toContain(base);
  });

  test("copies nothing of the kernel's file systems, and writes nothing into them", async () => {
    const message = "/proc/version is in the kernel's proc file system, which holds no files to copy";
    await expect(statPath(host(), "/proc/version", { signal, program })).rejects.toThrow(message);
    await expect(read("/proc/version")).rejects.toMatchObject({ code: "forbidden", message });
    await expect(write("/proc/self", [{ name: "x", data: "x" }])).rejects.toMatchObject({ code: "forbidden" });
    await expect(read("/sys")).rejects.toThrow("the kernel's sysfs file system");
  });

  test("says what is not there, and what is no directory", async () => {
    await expect(read(`${directory}/nothing`)).rejects.toMatchObject({ code: "not_found" });
    await expect(write(`${directory}/nothing`, [])).rejects.toMatchObject({ code: "not_found" });
    await expect(write(`${directory}/a/f`, [])).rejects.toThrow("extraction point is not a directory");
    await expect(write(`${directory}/a`, [{ name: "b", data: "x" }])).rejects.toThrow("cannot overwrite directory");
  });

  test("takes no archive that breaks off for a whole one", async () => {
    mkdirSync(join(directory, "broken"));
    async function* half(): AsyncGenerator<Uint8Array, void, void> {
      yield archive([{ name: "x", data: "x".repeat(10_000) }]).subarray(0, 2000);
    }
    const request = { path: `${directory}/broken`, keepsKinds: true };
    await expect(writePath(host(), request, half(), { signal, program })).rejects.toMatchObject({ code: "corrupt" });
    async function* cut(): AsyncGenerator<Uint8Array, void, void> {
      yield archive([{ name: "y", data: "x".repeat(10_000) }]).subarray(0, 2000);
      throw new Error("the client is gone");
    }
    await expect(writePath(host(), request, cut(), { signal, program })).rejects.toThrow("the client is gone");
  });

  test("does not wait for ever for the next piece of an archive, nor for its end once it has refused it", async () => {
    mkdirSync(join(directory, "silent"));
    const silence = Promise.withResolvers<void>();
    async function* stalled(): AsyncGenerator<Uint8Array, void, void> {
      yield archive([{ name: "x", data: "x".repeat(10_000) }]).subarray(0, 2000);
      await silence.promise;
    }
    const into = (path: string) => ({ path: `${directory}/${path}`, keepsKinds: true });
    const options = { signal, program, silenceMs: 500 };
    const silent = writePath(host(), into("silent"), stalled(), options);
    await expect(silent).rejects.toMatchObject({
      code: "timeout",
      message: "nothing of the archive came for 0.5 s",
    });
    const refused = writePath(host(), into("nothing"), stalled(), { signal, program });
    await expect(refused).rejects.toMatchObject({ code: "not_found" });
    silence.resolve();
  });

  test("ends when nobody reads on, or when it is told to", async () => {
    const unread = await readPath(host(), "/usr", { signal, program });
    await unread.archive.return();
    await unread.over;
    const { archive: pieces } = await readPath(host(), "/usr", { signal, program });
    expect((await pieces.next()).done).toBe(false);
    await pieces.return();
    const stopping = new AbortController();
    const reading = read("/usr", stopping.signal);
    stopping.abort(new EngineError("conflict", "something else has come"));
    await expect(reading).rejects.toMatchObject({ code: "conflict", message: "something else has come" });
    expect(readdirSync(join(base, "place"))).toEqual([]);
  });
});
