import { expect, test } from "bun:test";
import { emptyEntry, type TarEntry } from "./tar-entry.ts";
import { putUsualHeader, tarHeader, usualHeaderMax } from "./tar-writer.ts";

const named: TarEntry = {
  ...emptyEntry,
  path: "some/file",
  mode: 0o4755,
  uid: 1000,
  gid: 0o7777777,
  size: 0o77777777777,
};
const mtime = { seconds: 1_700_000_000, nanoseconds: 0 };

const usual: Record<string, TarEntry> = {
  "a file": { ...named, mtime },
  "a file of a fraction of a second": { ...named, mtime: { ...mtime, nanoseconds: 120_000_000 } },
  "a file of all digits of a second": { ...named, mtime: { ...mtime, nanoseconds: 123_456_789 } },
  "a file of the epoch's first nanosecond": { ...named, mtime: { seconds: 0, nanoseconds: 1 } },
  "a directory without its slash": { ...named, type: "directory", path: "a/b", mtime: { ...mtime, nanoseconds: 1 } },
  "a directory at the root": { ...named, type: "directory", path: "b/", mtime: { ...mtime, nanoseconds: 1 } },
  "a link": { ...named, type: "symlink", linkPath: "t".repeat(100) },
  "a device": { ...named, type: "block", deviceMajor: 259, deviceMinor: 0o7777777 },
  "a name of a hundred bytes, not all of ASCII": { ...named, path: "\xff".repeat(100), mtime },
};

for (const [what, entry] of Object.entries(usual)) {
  test(`the header of ${what} is the same, put into a buffer`, () => {
    const buffer = new Uint8Array(usualHeaderMax + 20).fill(0xaa);
    const length = putUsualHeader(buffer, 10, entry);
    expect(Buffer.from(buffer.subarray(10, 10 + length))).toEqual(Buffer.from(tarHeader(entry)));
    expect(buffer.subarray(0, 10).every((byte) => byte === 0xaa)).toBe(true);
    expect(buffer.subarray(10 + length).every((byte) => byte === 0xaa)).toBe(true);
  });
}

const unusual: Record<string, TarEntry> = {
  "a long name": { ...named, path: "n".repeat(101) },
  "a directory whose slash is too much": { ...named, type: "directory", path: "n".repeat(100) },
  "a long target": { ...named, type: "symlink", linkPath: "t".repeat(101) },
  "a large owner": { ...named, uid: 0o10000000 },
  "a large group": { ...named, gid: 0o10000000 },
  "a large file": { ...named, size: 0o100000000000 },
  "a time before 1970": { ...named, mtime: { seconds: -1, nanoseconds: 0 } },
  attributes: { ...named, xattrs: new Map([["user.a", Buffer.from("b")]]) },
  holes: { ...named, sparse: [{ offset: 0, size: 1 }] },
};

for (const [what, entry] of Object.entries(unusual)) {
  test(`${what} is none that a usual header holds`, () => {
    const buffer = new Uint8Array(usualHeaderMax);
    expect(putUsualHeader(buffer, 0, entry)).toBe(0);
    expect(buffer.every((byte) => byte === 0)).toBe(true);
  });
}
