import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import {
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { O_CREAT, O_DIRECTORY, O_EXCL, O_NOFOLLOW, O_PATH, O_RDONLY, O_RDWR, O_WRONLY } from "./constants/open.ts";
import { copyOwnerAndMode, copyPieces, copyRegularFile, copySpecialFile, copyTimes, copyXattrs } from "./copy-file.ts";
import { ftruncate, open, openat, pread, pwrite } from "./files.ts";
import { getXattr, setXattr, statx } from "./stat.ts";

let directory: string;
beforeAll(() => {
  directory = mkdtempSync("/var/tmp/tsd-copy-");
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));

const bytes = (text: string) => Buffer.from(text, "latin1");

describe("the bytes of a file are copied", () => {
  const copy = (path: string, pieceBytes: number) => {
    using source = open(path, O_RDONLY);
    const name = `${directory}/copy-${Math.random()}`;
    using target = open(name, O_WRONLY | O_CREAT | O_EXCL, 0o600);
    return { pieces: [...copyPieces(source, target, pieceBytes)], content: readFileSync(name) };
  };
  test("in pieces", () => {
    const content = Buffer.alloc(2500, "abc");
    writeFileSync(`${directory}/plain`, content);
    expect(copy(`${directory}/plain`, 1000)).toEqual({ pieces: [1000, 1000, 500], content });
  });
  test("where the file has none", () => {
    writeFileSync(`${directory}/empty`, "");
    expect(copy(`${directory}/empty`, 1000)).toEqual({ pieces: [], content: Buffer.alloc(0) });
  });
  test("but for its holes, in the middle and at both ends", () => {
    const path = `${directory}/sparse`;
    const terabyte = 2 ** 40;
    {
      using file = open(path, O_WRONLY | O_CREAT | O_EXCL, 0o600);
      pwrite(file, bytes("first"), terabyte);
      pwrite(file, bytes("second"), terabyte + 2 ** 20);
      ftruncate(file, 2 * terabyte);
    }
    using source = open(path, O_RDONLY);
    using target = open(`${path}-copy`, O_RDWR | O_CREAT | O_EXCL, 0o600);
    const pieces = [...copyPieces(source, target, 1000)];
    expect(pieces.every((length) => length <= 1000)).toBe(true);
    expect(pieces.reduce((sum, length) => sum + length, 0)).toBeLessThan(2 ** 18);
    const { size, blocks } = statx(target);
    expect([size, blocks]).toEqual([2 * terabyte, statx(source).blocks]);
    for (const [offset, text] of [
      [terabyte, "first"],
      [terabyte + 2 ** 20, "second"],
    ] as const) {
      const found = Buffer.alloc(text.length);
      pread(target, found, offset);
      expect(found.toString()).toBe(text);
    }
  });
  test("where all of it is a hole", () => {
    writeFileSync(`${directory}/hole`, "");
    truncateSync(`${directory}/hole`, 5000);
    expect(copy(`${directory}/hole`, 1000)).toEqual({ pieces: [], content: Buffer.alloc(5000) });
  });
  test("where its file system says that it has none", () => {
    const { content } = copy("/proc/self/limits", 100);
    expect(content.toString()).toContain("Max open files");
  });
});

test("a regular file is copied with mode, times and the attributes that are its own", () => {
  const [from, to] = [`${directory}/from`, `${directory}/to`];
  for (const path of [from, to]) mkdirSync(path);
  writeFileSync(`${from}/a`, "content", { mode: 0o751 });
  using fromFd = open(from, O_RDONLY | O_DIRECTORY);
  using toFd = open(to, O_RDONLY | O_DIRECTORY);
  using source = openat(fromFd, "a", O_RDONLY);
  setXattr(source, "user.kept", bytes("yes"));
  setXattr(source, "user.overlay.origin", bytes("no"));
  const status = statx(source);
  using target = copyRegularFile(source, toFd, bytes("b"));
  copyOwnerAndMode(target, status);
  copyXattrs(source, target, /^user\.overlay\./);
  copyTimes(target, status);
  expect(statx(target)).toMatchObject({ mode: status.mode, modified: status.modified, accessed: status.accessed });
  expect(readFileSync(`${to}/b`, "utf8")).toBe("content");
  expect(getXattr(target, "user.kept")).toEqual(new Uint8Array(bytes("yes")));
  expect(getXattr(target, "user.overlay.origin")).toBeUndefined();
  // What is there is not written to.
  expect(() => copyRegularFile(source, toFd, bytes("b"))).toThrow("EEXIST");
});

test("a symlink is copied to the byte, by name or by descriptor", () => {
  const target = Buffer.from([0x2f, 0xff, 0xfe, 0x61]);
  symlinkSync(target, `${directory}/link`);
  using root = open(directory, O_RDONLY | O_DIRECTORY);
  using link = open(`${directory}/link`, O_PATH | O_NOFOLLOW);
  const status = statx(root, "link");
  copySpecialFile(root, bytes("link"), root, bytes("by-name"), status);
  copySpecialFile(link, bytes(""), root, bytes("by-descriptor"), status);
  for (const name of ["by-name", "by-descriptor"]) {
    expect(readlinkSync(`${directory}/${name}`, "buffer")).toEqual(target);
    expect(lstatSync(`${directory}/${name}`).mtimeMs).toBe(lstatSync(`${directory}/link`).mtimeMs);
  }
});
