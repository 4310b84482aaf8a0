import { describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TarEntry } from "./tar-entry.ts";
import { archive, type FixtureEntry, paxBody, seal } from "./tar-fixture.ts";
import { blockSize } from "./tar-header.ts";
import { TarReader } from "./tar-reader.ts";

interface Read extends TarEntry {
  data: string;
  pieces: [number, number][];
}

/** Reads an archive that arrives in pieces of that size. */
function read(bytes: Uint8Array, pieceBytes = bytes.length): Read[] {
  const entries: Read[] = [];
  const reader = new TarReader({
    entry: (entry) => entries.push({ ...entry, data: "", pieces: [] }),
    data: (chunk, offset) => {
      const last = entries.at(-1)!;
      last.data += Buffer.from(chunk).toString("latin1");
      last.pieces.push([offset, chunk.length]);
    },
    entryEnd: () => undefined,
  });
  for (let at = 0; at < bytes.length; at += pieceBytes) reader.write(bytes.subarray(at, at + pieceBytes));
  reader.end();
  return entries;
}

function one(entry: FixtureEntry): Read {
  const entries = read(archive([entry]));
  expect(entries).toHaveLength(1);
  return entries[0]!;
}

describe("tar archives", () => {
  const everyType: FixtureEntry[] = [
    { name: "dir/", mode: 0o1777 },
    { name: "dir/file", data: "x".repeat(1500), mode: 0o4755, uid: 1000, gid: 50 },
    { name: "empty" },
    { name: "hard", type: "1", link: "dir/file" },
    { name: "soft", type: "2", link: "../x" },
    { name: "null", type: "3", device: [1, 3] },
    { name: "disk", type: "4", device: [259, 65537] },
    { name: "pipe", type: "6" },
  ];

  test.each([1, 7, 511, 512, 513, 100_000])("are read whatever the pieces they come in (%d bytes)", (pieceBytes) => {
    const entries = read(archive(everyType), pieceBytes);
    expect(entries.map(({ path, type }) => [path, type])).toEqual([
      ["dir/", "directory"],
      ["dir/file", "file"],
      ["empty", "file"],
      ["hard", "hardlink"],
      ["soft", "symlink"],
      ["null", "character"],
      ["disk", "block"],
      ["pipe", "fifo"],
    ]);
    expect(entries[0]!.mode).toBe(0o1777);
    expect(entries[1]).toMatchObject({ data: "x".repeat(1500), mode: 0o4755, uid: 1000, gid: 50, size: 1500 });
    expect(entries[3]!.linkPath).toBe("dir/file");
    expect(entries[6]).toMatchObject({ deviceMajor: 259, deviceMinor: 65537 });
  });

  test("extended headers win over the header, for one entry", () => {
    const long = `${"d/".repeat(200)}file`;
    const [first, second] = read(
      archive([
        {
          name: "short",
          data: "abc",
          pax: { path: long, uid: "4000000000", gid: "262144", mtime: "1234567890.123456789", comment: "x" },
        },
        { name: "second" },
      ]),
    );
    expect(first).toMatchObject({ path: long, uid: 4_000_000_000, gid: 262_144, data: "abc" });
    expect(first!.mtime).toEqual({ seconds: 1_234_567_890, nanoseconds: 123_456_789 });
    expect(second).toMatchObject({ path: "second", uid: 0, mtime: { seconds: 1_000_000_000, nanoseconds: 0 } });
  });

  test("global headers hold for all entries that follow, and an entry's own wins", () => {
    const [, , first, second] = read(
      archive([
        { name: "before" },
        { name: "before2" },
        { name: "g", type: "g", data: paxBody({ uid: "7", gid: "8" }) },
        { name: "first" },
        { name: "second", pax: { uid: "9" } },
      ]),
    );
    expect(first).toMatchObject({ uid: 7, gid: 8 });
    expect(second).toMatchObject({ uid: 9, gid: 8 });
  });

  test("attribute values are bytes, whatever they are", () => {
    const capability = Uint8Array.of(1, 0, 0, 2, 0x80, 0xff, 0x0a, 0x3d, 0, 0, 0, 0);
    const entry = one({
      name: "f",
      pax: { "SCHILY.xattr.security.capability": capability, "SCHILY.xattr.user.e": "" },
    });
    expect(entry.xattrs.get("security.capability")).toEqual(capability);
    expect(entry.xattrs.get("user.e")).toEqual(new Uint8Array());
  });

  test("names need not be UTF-8", () => {
    expect(one({ name: "caf\xe9" }).path).toBe("caf\xe9");
    expect(one({ name: "x", pax: { path: Uint8Array.of(0xff, 0xfe) } }).path).toBe("\xff\xfe");
  });

  test("times before 1970 and with many digits are read", () => {
    expect(one({ name: "f", pax: { mtime: "-1.5" } }).mtime).toEqual({ seconds: -2, nanoseconds: 500_000_000 });
    expect(one({ name: "f", pax: { mtime: "-3" } }).mtime).toEqual({ seconds: -3, nanoseconds: 0 });
    expect(one({ name: "f", pax: { mtime: "5.0000000019" } }).mtime).toEqual({ seconds: 5, nanoseconds: 1 });
  });

  test("numbers in base 256 are read", () => {
    expect(one({ name: "f", uid: 2 ** 31, gid: 2 ** 32 - 2 })).toMatchObject({ uid: 2 ** 31, gid: 2 ** 32 - 2 });
  });

  test("GNU's long names and the ustar prefix are read", () => {
    const long = `${"n".repeat(150)}/f`;
    const entries = read(
      archive([
        { name: "././@LongLink", type: "L", data: `${long}\0` },
        { name: "././@LongLink", type: "K", data: `${long}2\0` },
        { name: "truncated", type: "2", link: "truncated" },
      ]),
    );
    expect(entries).toMatchObject([{ path: long, linkPath: `${long}2` }]);
    const header = Buffer.from(archive([{ name: "name" }], { end: false }));
    header.write("some/prefix", 345);
    expect(read(seal(header))[0]!.path).toBe("some/prefix/name");
  });

  test("GNU's own header has no prefix where ustar has one", () => {
    const header = Buffer.from(archive([{ name: "name", magic: "ustar  \0" }], { end: false }));
    header.write("14000000000", 345); // atime
    expect(read(seal(header))[0]!.path).toBe("name");
  });

  test("an old directory is a file whose name ends in a slash", () => {
    expect(one({ name: "old/", type: "\0" }).type).toBe("directory");
    expect(one({ name: "old", type: "\0" }).type).toBe("file");
  });

  test("sparse files of pax 0.0, 0.1 and 1.0 put data where it belongs", () => {
    const map = [2, 3, 10, 1];
    const v00 = paxBody([
      ["GNU.sparse.size", "20"],
      ...map.map((value, index): [string, string] => [
        index % 2 ? "GNU.sparse.numbytes" : "GNU.sparse.offset",
        `${value}`,
      ]),
    ]);
    const entries = read(
      archive([
        { name: "pax", type: "x", data: v00 },
        { name: "v00", data: "abcd" },
        { name: "v01", data: "abcd", pax: { "GNU.sparse.map": "2,3,10,1", "GNU.sparse.size": "20" } },
        {
          name: "GNUSparseFile.0/v10",
          data: Buffer.concat([Buffer.from("2\n2\n3\n10\n1\n".padEnd(blockSize, "\0")), Buffer.from("abcd")]),
          pax: {
            "GNU.sparse.major": "1",
            "GNU.sparse.minor": "0",
            "GNU.sparse.realsize": "20",
            "GNU.sparse.name": "v10",
          },
        },
        { name: "after" },
      ]),
    );
    expect(entries.map(({ path }) => path)).toEqual(["v00", "v01", "v10", "after"]);
    for (const entry of entries.slice(0, 3)) {
      expect(entry).toMatchObject({
        size: 20,
        data: "abcd",
        pieces: [
          [2, 3],
          [10, 1],
        ],
      });
      expect(entry.sparse).toHaveLength(2);
    }
  });

  test("the archive's padding, and anything after its end, is ignored", () => {
    const padded = Buffer.concat([archive([{ name: "f" }]), Buffer.alloc(10_000), Buffer.from("rubbish")]);
    expect(read(padded, 100)).toHaveLength(1);
    expect(read(archive([{ name: "f" }], { end: false }))).toHaveLength(1);
  });

  test("an empty archive has no entries", () => {
    expect(read(archive([]))).toEqual([]);
    expect(read(new Uint8Array())).toEqual([]);
  });

  const file = archive([{ name: "f", data: "x".repeat(600) }]);
  test.each([
    ["cut in a header", file.subarray(0, 100), "not a tar archive, or a truncated one: it has 100 bytes"],
    ["cut in a second header", archive([{ name: "d/" }, { name: "e/" }]).subarray(0, 612), "tar archive is truncated"],
    ["cut in data", file.subarray(0, 700), "truncated"],
    ["cut in padding", file.subarray(0, 1200), "truncated"],
    [
      "cut after an extended header",
      archive([{ name: "x", type: "x", data: paxBody({ uid: "1" }) }], { end: false }),
      "truncated",
    ],
    ["with a wrong checksum", Buffer.from(file).fill(1, 0, 1), "wrong header checksum"],
    ["that is a web page", Buffer.from("<html>".padEnd(1024)), "not a tar archive"],
    ["with an unknown type", archive([{ name: "f", type: "Z" }]), 'unsupported type "Z"'],
    [
      "with records that lie about their length",
      archive([{ name: "x", type: "x", data: "99 uid=1\n" }]),
      "malformed extended header",
    ],
    [
      "with records of length zero",
      archive([{ name: "x", type: "x", data: "0 uid=1\n" }]),
      "malformed extended header",
    ],
    ["with a negative size in a record", archive([{ name: "f", pax: { size: "-1" } }]), "no number"],
    ["with a zero byte in a path", archive([{ name: "f", pax: { path: "a\0b" } }]), "zero byte"],
    ["with an enormous extended header", archive([{ name: "x", type: "x", size: 2 ** 21 }]), "too large"],
    [
      "with a sparse map out of the file",
      archive([{ name: "f", data: "a", pax: { "GNU.sparse.map": "9,9", "GNU.sparse.size": "5" } }]),
      "sparse",
    ],
    [
      "with a sparse map that overlaps",
      archive([{ name: "f", data: "ab", pax: { "GNU.sparse.map": "3,1,3,1", "GNU.sparse.size": "5" } }]),
      "sparse",
    ],
    [
      "with a sparse map for other data",
      archive([{ name: "f", data: "abc", pax: { "GNU.sparse.map": "0,1", "GNU.sparse.size": "5" } }]),
      "disagree",
    ],
    [
      "with a sparse map that never ends",
      archive([{ name: "f", data: "9".repeat(5), pax: { "GNU.sparse.major": "1" } }]),
      "does not end",
    ],
  ])("an archive %s is refused", (_name, bytes, message) => {
    expect(() => read(bytes)).toThrow(message);
  });

  const formats = ["v7", "ustar", "gnu", "oldgnu", "posix"];
  test.skipIf(!Bun.which("tar")).each(formats)("what tar writes as %s is read as it was", (format) => {
    const directory = mkdtempSync(join(tmpdir(), "tar-reader-"));
    try {
      const script = `mkdir -p d/e; echo hello > d/e/f; ln d/e/f d/g; ln -s e/f d/s; mkfifo d/p; chmod 2711 d/e
        ${format === "v7" ? "" : "n=$(printf %090d 1); mkdir -p d/$n; echo long > d/$n/$n"}
        ${format === "v7" || format === "ustar" ? "" : "truncate -s 9M d/sparse; for i in $(seq 0 40); do printf x | dd of=d/sparse bs=1 seek=$((i*200000)) conv=notrunc status=none; done"}
        touch -d @1234567890.5 d/e/f
        tar --format=${format} ${format === "v7" || format === "ustar" ? "" : "--sparse"} --owner=1:123456 -cf - ${format === "v7" ? "--exclude=p" : ""} d`;
      const made = Bun.spawnSync(["sh", "-ec", script], { cwd: directory, env: { ...process.env, LC_ALL: "C" } });
      expect(made.stderr.toString()).toBe("");
      const entries = new Map(read(made.stdout, 1000).map((entry) => [entry.path, entry]));
      expect(entries.get("d/e/")).toMatchObject({ type: "directory", mode: 0o2711 });
      const [linked, link] = ["d/e/f", "d/g"].map((path) => entries.get(path)!);
      expect([linked!.type, link!.type].sort()).toEqual(["file", "hardlink"]);
      expect(linked!.data + link!.data).toBe("hello\n");
      expect(linked!.mtime.nanoseconds).toBe(format === "posix" ? 500_000_000 : 0);
      expect(linked!.uid).toBe(123_456);
      expect(entries.get("d/s")).toMatchObject({ type: "symlink", linkPath: "e/f" });
      const long = "0".repeat(89) + 1;
      if (format !== "v7") expect(entries.get(`d/${long}/${long}`)?.data).toBe("long\n");
      if (!["v7", "ustar"].includes(format)) {
        const sparse = entries.get("d/sparse")!;
        expect(sparse.size).toBe(9 * 2 ** 20);
        expect(sparse.sparse!.length).toBeGreaterThan(30);
      }
    } finally {
      rmSync(directory, { recursive: true });
    }
  });
});
