/** Archives as files below a directory in use: what is merged, replaced and refused, and that nothing leads out of it. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { execFileSync } from "node:child_process";
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { O_DIRECTORY, O_PATH } from "../../ffi/constants/open.ts";
import { open } from "../../ffi/files.ts";
import { statx } from "../../ffi/stat.ts";
import { archive, type FixtureEntry } from "./tar-fixture.ts";
import { TarReader } from "./tar-reader.ts";
import { TreeWriter, type TreeWriterOptions } from "./tree-writer.ts";

const isRoot = process.getuid?.() === 0;
let base: string;
let directory: string;

beforeEach(() => {
  base = mkdtempSync("/tmp/tsd-tree-writer-");
  directory = join(base, "root");
  mkdirSync(directory);
  writeFileSync(join(base, "outside"), "outside");
});
afterEach(() => rmSync(base, { recursive: true, force: true }));

function unpack(entries: FixtureEntry[], options: Partial<TreeWriterOptions> = {}): void {
  using root = open(directory, O_PATH | O_DIRECTORY);
  using writer = new TreeWriter(root, { rootName: "", keepsKinds: true, owner: "writer", ...options });
  const reader = new TarReader(writer);
  reader.write(archive(entries));
  reader.end();
  writer.finish();
}

const inside = (name: string) => join(directory, name);
const text = (name: string) => readFileSync(inside(name), "utf8");

describe("an archive in a directory that is in use", () => {
  test("is merged with what is there: directories stay and are described anew, files are replaced", () => {
    mkdirSync(inside("d"), { mode: 0o700 });
    writeFileSync(inside("d/kept"), "kept");
    writeFileSync(inside("d/old"), "old");
    unpack([
      { name: "d/", type: "5", mode: 0o2750, mtime: 5 },
      { name: "d/old", data: "new", mode: 0o4711, mtime: 7 },
      { name: "d/link", type: "2", link: "../../outside" },
      { name: "d/hard", type: "1", link: "d/old" },
    ]);
    expect([text("d/kept"), text("d/old"), readlinkSync(inside("d/link"))]).toEqual(["kept", "new", "../../outside"]);
    expect([statSync(inside("d")).mode & 0o7777, statSync(inside("d")).mtimeMs]).toEqual([0o2750, 5000]);
    const file = statSync(inside("d/old"));
    expect([file.mode & 0o7777, file.mtimeMs, file.nlink]).toEqual([0o4711, 7000, 2]);
  });

  test("keeps the directory that it is put into as it was", () => {
    chmodSync(directory, 0o711);
    unpack([
      { name: "./", type: "5", mode: 0o777 },
      { name: "./a", data: "a" },
    ]);
    expect([statSync(directory).mode & 0o777, text("a")]).toEqual([0o711, "a"]);
  });

  test("fills directories that nobody may write to", () => {
    unpack([
      { name: "d/", type: "5", mode: 0o555, mtime: 9 },
      { name: "d/e/", type: "5", mode: 0 },
      { name: "d/e/f", data: "f" },
    ]);
    expect([statSync(inside("d")).mode & 0o777, statSync(inside("d")).mtimeMs]).toEqual([0o555, 9000]);
    expect(lstatSync(inside("d/e")).mode & 0o777).toBe(0);
    chmodSync(inside("d"), 0o755);
    chmodSync(inside("d/e"), 0o755);
    expect(text("d/e/f")).toBe("f");
  });

  test("makes directories that it does not name, and begins where it is told to", () => {
    mkdirSync(inside("at"));
    unpack([{ name: "a/b/c", data: "c" }], { at: "at" });
    expect(text("at/a/b/c")).toBe("c");
  });

  test("does not change the kind of what is there, unless it may", () => {
    mkdirSync(inside("d"));
    writeFileSync(inside("f"), "f");
    expect(() => unpack([{ name: "d", data: "x" }])).toThrow('cannot overwrite directory "/d" with non-directory "/"');
    expect(() => unpack([{ name: "f/", type: "5" }])).toThrow('cannot overwrite non-directory "/f" with directory "/"');
    expect([statSync(inside("d")).isDirectory(), text("f")]).toEqual([true, "f"]);
    unpack(
      [
        { name: "d", data: "x" },
        { name: "f/", type: "5" },
      ],
      { keepsKinds: false },
    );
    expect([text("d"), statSync(inside("f")).isDirectory()]).toEqual(["x", true]);
  });

  test.if(isRoot)("gives everything to whom it is told to, or to whom the archive says", () => {
    const entries: FixtureEntry[] = [
      { name: "d/", type: "5", uid: 3, gid: 4 },
      { name: "d/f", uid: 5, gid: 6, data: "f" },
      { name: "d/l", type: "2", link: "f", uid: 7, gid: 8 },
    ];
    const owners = () =>
      ["d", "d/f", "d/l"].map((name) => lstatSync(inside(name))).map(({ uid, gid }) => `${uid}:${gid}`);
    unpack(entries, { owner: "archive" });
    expect(owners()).toEqual(["3:4", "5:6", "7:8"]);
    unpack(entries, { owner: { uid: 70_000, gid: 9 } });
    expect(owners()).toEqual(["70000:9", "70000:9", "70000:9"]);
    unpack([{ name: "i/j/f", data: "f" }], { owner: { uid: 70_000, gid: 9 } });
    const implicit = ["i", "i/j", "i/j/f"].map((name) => statSync(inside(name)).uid);
    expect(implicit).toEqual([70_000, 70_000, 70_000]);
  });

  test("that breaks off leaves the files as they were that it had not come to the end of", () => {
    writeFileSync(inside("old"), "old");
    for (const name of ["old", "new"]) {
      const broken = archive([
        { name: "whole", data: name },
        { name, data: "x".repeat(10_000) },
      ]).subarray(0, 4096);
      using root = open(directory, O_PATH | O_DIRECTORY);
      using writer = new TreeWriter(root, { rootName: "", keepsKinds: true, owner: "writer" });
      new TarReader(writer).write(broken);
      expect(text("whole")).toBe(name);
    }
    expect([readdirSync(directory).sort(), text("old")]).toEqual([["old", "whole"], "old"]);
  });

  test.skipIf(!isRoot)("that has no room leaves nothing of a new file, and the old one of one that is there", () => {
    execFileSync("mount", ["-t", "tmpfs", "-o", "size=64k", "none", directory]);
    try {
      writeFileSync(inside("old"), "old");
      const large = "x".repeat(100_000);
      expect(() => unpack([{ name: "new", data: large }])).toThrow("archive entry new: write: ");
      expect(() => unpack([{ name: "old", data: large }])).toThrow("archive entry old: write: ");
      expect([readdirSync(directory), text("old")]).toEqual([["old"], "old"]);
      unpack([{ name: "new", data: "new" }]);
      expect(text("new")).toBe("new");
    } finally {
      execFileSync("umount", [directory]);
    }
  });

  test("has hard links to themselves, by other ways too, which change nothing", () => {
    symlinkSync(".", inside("d"));
    unpack([
      { name: "f", data: "f" },
      { name: "f", type: "1", link: "f" },
      { name: "f", type: "1", link: "d/f" },
      { name: "d/f", type: "1", link: "f" },
    ]);
    expect([text("f"), statSync(inside("f")).nlink]).toEqual(["f", 1]);
    writeFileSync(inside("kept"), "kept");
    expect(() => unpack([{ name: "kept", type: "1", link: "none" }])).toThrow("hard link target /none is not there");
    expect(text("kept")).toBe("kept");
  });

  test("leaves alone what it is told to, with all below it", () => {
    for (const name of ["k", "k/there"]) mkdirSync(inside(name), { mode: 0o700 });
    const { inode } = statx(open(inside("k"), O_PATH | O_DIRECTORY));
    unpack(
      [
        { name: "k/", type: "5", mode: 0o777 },
        { name: "k/f", data: "f" },
        { name: "k/new/f", data: "f" },
        { name: "g", data: "g" },
      ],
      { isLeftOut: (thing) => statx(thing).inode === inode },
    );
    expect([readdirSync(inside("k")), statSync(inside("k")).mode & 0o777, text("g")]).toEqual([["there"], 0o700, "g"]);
  });
});

describe("an archive that means harm", () => {
  test.each([
    ["a name that climbs out", [{ name: "../outside", data: "x" }], "path leaves the root"],
    [
      "a hard link to what is outside",
      [{ name: "l", type: "1", link: "../outside" }],
      "hard link target leaves the root",
    ],
    ["a file in the place of the directory", [{ name: ".", data: "x" }], "it would replace the directory"],
    ["a hard link to nothing", [{ name: "l", type: "1", link: "none" }], "hard link target /none is not there"],
  ] as [string, FixtureEntry[], string][])("%s is refused", (_, entries, message) => {
    expect(() => unpack(entries)).toThrow(message);
    expect([readFileSync(join(base, "outside"), "utf8"), readdirSync(base).sort()]).toEqual([
      "outside",
      ["outside", "root"],
    ]);
  });

  test("an absolute name is one of the directory", () => {
    unpack([{ name: `${base}/outside`, data: "x" }]);
    expect([readFileSync(join(base, "outside"), "utf8"), text(`${base}/outside`)]).toEqual(["outside", "x"]);
  });

  test("names go through symlinks inside the directory only", () => {
    symlinkSync(base, inside("up"));
    symlinkSync("..", inside("back"));
    unpack([
      { name: "up/outside", data: "x" },
      { name: "back/outside2", data: "y" },
      { name: "own", type: "2", link: base },
      { name: "own/outside3", data: "z" },
    ]);
    expect(readdirSync(base).sort()).toEqual(["outside", "root"]);
    expect([text(`${base}/outside`), text("outside2"), text(`${base}/outside3`)]).toEqual(["x", "y", "z"]);
  });

  test("a symlink in the place of a file is replaced and not written through", () => {
    symlinkSync("../outside", inside("f"));
    unpack([{ name: "f", data: "mine" }]);
    expect([lstatSync(inside("f")).isFile(), readFileSync(join(base, "outside"), "utf8")]).toEqual([true, "outside"]);
  });

  test("a hard link to a symlink is one to the link itself", () => {
    symlinkSync("../outside", inside("s"));
    unpack([{ name: "h", type: "1", link: "s" }]);
    expect(lstatSync(inside("h")).isSymbolicLink()).toBe(true);
  });

  test("a directory in the place of a symlink to one is refused: it would be elsewhere", () => {
    mkdirSync(inside("real"));
    symlinkSync("real", inside("d"));
    expect(() => unpack([{ name: "d/", type: "5" }])).toThrow("cannot overwrite non-directory");
    expect(existsSync(inside("real"))).toBe(true);
  });
});
