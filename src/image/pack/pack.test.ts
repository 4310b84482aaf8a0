/** Trees as archives: read back by tsd's own reader and by GNU tar, and compared file by file. Device nodes need root. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { execFileSync } from "node:child_process";
import {
  chmodSync,
  linkSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { O_DIRECTORY, O_RDONLY } from "../../../ffi/constants/open.ts";
import { S_IFCHR, S_IFIFO, S_IFSOCK } from "../../../ffi/constants/stat.ts";
import { fchownat, makeDevice, mknodat, open, utimensat } from "../../../ffi/files.ts";
import { getXattr, setXattr } from "../../../ffi/stat.ts";
import { digestOf } from "../../core/digest.ts";
import type { TarEntry } from "../../tar/tar-entry.ts";
import { TarReader } from "../../tar/tar-reader.ts";
import { endOfArchive, padding, tarHeader } from "../../tar/tar-writer.ts";
import { type PackOptions, TreePacker } from "../../tar/tree-packer.ts";
import { isRoot, unpackProgram } from "../store-fixture.ts";
import { packStream } from "./packer.ts";

const plain: TarEntry = {
  type: "file",
  path: "a",
  linkPath: "",
  mode: 0o644,
  uid: 0,
  gid: 0,
  size: 0,
  mtime: { seconds: 1, nanoseconds: 0 },
  deviceMajor: 0,
  deviceMinor: 0,
  xattrs: new Map(),
  sparse: undefined,
};

interface Read {
  entry: TarEntry;
  data: string;
}

function readBack(archive: Uint8Array): Read[] {
  const read: Read[] = [];
  const reader = new TarReader({
    entry: (entry) => read.push({ entry, data: "" }),
    data: (chunk) => {
      read.at(-1)!.data += Buffer.from(chunk).toString("latin1");
    },
    entryEnd: () => undefined,
  });
  reader.write(archive);
  reader.end();
  return read;
}

describe("a header says of an entry", () => {
  const cases: [string, Partial<TarEntry>, extended: boolean][] = [
    ["nothing unusual", {}, false],
    ["a name of 100 bytes", { path: "n".repeat(100) }, false],
    ["a name that is cut at a slash", { path: `${"d".repeat(90)}/${"n".repeat(90)}` }, false],
    ["a name that cannot be cut", { path: "n".repeat(101) }, true],
    ["a directory whose name fills the field", { type: "directory", path: `${"n".repeat(99)}/` }, false],
    ["a long path", { path: `${"d/".repeat(400)}n` }, true],
    ["a name that is not UTF-8", { path: "\xff\xfe" }, false],
    ["a link of 100 bytes", { type: "symlink", linkPath: "l".repeat(100) }, false],
    ["a long link", { type: "symlink", linkPath: "l".repeat(101) }, true],
    ["the largest ids of a header", { uid: 0o7777777, gid: 0o7777777 }, false],
    ["larger ids", { uid: 0xffff_fffe, gid: 0o10000000 }, true],
    ["a fraction of a second", { mtime: { seconds: 1_700_000_000, nanoseconds: 120_000_001 } }, true],
    ["a time before 1970", { mtime: { seconds: -5, nanoseconds: 250_000_000 } }, true],
    ["a time just before 1970", { mtime: { seconds: -1, nanoseconds: 750_000_000 } }, true],
    ["a whole second before 1970", { mtime: { seconds: -1, nanoseconds: 0 } }, true],
    ["a time after 2242", { mtime: { seconds: 0o100000000000, nanoseconds: 0 } }, true],
    ["a device", { type: "character", deviceMajor: 4095, deviceMinor: 0xfffff }, false],
    [
      "attributes that are no text",
      {
        xattrs: new Map([
          ["user.b", Uint8Array.of(0, 255, 10)],
          ["user.a", new Uint8Array()],
        ]),
      },
      true,
    ],
    ["set-id bits", { mode: 0o7777 }, false],
  ];
  for (const [name, fields, extended] of cases) {
    test(name, () => {
      const entry = { ...plain, ...fields };
      const header = tarHeader(entry);
      expect(readBack(Buffer.concat([header, endOfArchive]))).toEqual([{ entry, data: "" }]);
      expect(header.length > 512).toBe(extended);
    });
  }

  test("that it has holes", () => {
    const sparse = [
      { offset: 4096, size: 3 },
      { offset: 1 << 30, size: 0 },
    ];
    const entry = { ...plain, path: "d/holes", size: 1 << 30, sparse };
    const read = readBack(Buffer.concat([tarHeader(entry), Buffer.from("abc"), padding(3), endOfArchive]));
    expect(read).toEqual([{ entry: { ...entry, sparse: [sparse[0]!] }, data: "abc" }]);
  });

  test("a size beyond 8 GiB", () => {
    const size = 0o100000000000;
    const seen: number[] = [];
    const sink = {
      entry: (entry: TarEntry) => seen.push(entry.size),
      data: () => undefined,
      entryEnd: () => undefined,
    };
    new TarReader(sink).write(tarHeader({ ...plain, size }));
    expect(seen).toEqual([size]);
  });
});

describe.skipIf(!isRoot)("a tree", () => {
  let base: string;
  let tree: string;

  beforeEach(() => {
    base = mkdtempSync("/var/tmp/tsd-pack-");
    tree = join(base, "tree");
    mkdirSync(tree);
  });
  afterEach(() => rmSync(base, { recursive: true }));

  function packed(options: Partial<PackOptions> = {}): Buffer {
    using root = open(tree, O_RDONLY | O_DIRECTORY);
    const pieces = new TreePacker(root, { form: "tree", ...options }).pack();
    return Buffer.concat(Array.from(pieces, (piece) => Buffer.from(piece)));
  }
  const names = (archive: Uint8Array) => readBack(archive).map(({ entry }) => entry.path);

  test("unpacked by GNU tar is what it was", () => {
    using root = open(tree, O_RDONLY | O_DIRECTORY);
    mkdirSync(join(tree, "d"), 0o700);
    writeFileSync(join(tree, "d/file"), "x".repeat(3_000_000));
    chmodSync(join(tree, "d/file"), 0o4751);
    setXattr({ path: join(tree, "d/file") }, "user.binary", Uint8Array.of(0, 255, 10, 61));
    linkSync(join(tree, "d/file"), join(tree, "second"));
    symlinkSync("/absolute/target", join(tree, "link"));
    mknodat(root, "null", S_IFCHR | 0o666, makeDevice(1, 3));
    mknodat(root, "pipe", S_IFIFO | 0o600);
    mknodat(root, "socket", S_IFSOCK | 0o600);
    writeFileSync(join(tree, "name".repeat(30)), "long");
    mknodat(root, Uint8Array.of(0xff, 0xfe), 0o100644);
    fchownat(root, "pipe", 3_000_000_000, 70_000);
    utimensat(root, "link", { seconds: 5, nanoseconds: 6 }, { seconds: 1_600_000_000, nanoseconds: 123_456_789 });
    writeFileSync(join(base, "archive"), packed());
    const copy = join(base, "copy");
    mkdirSync(copy);
    execFileSync("tar", [
      "-xf",
      join(base, "archive"),
      "-C",
      copy,
      "--xattrs",
      "--xattrs-include=*",
      "--same-owner",
      "-p",
    ]);
    rmSync(join(tree, "socket"));
    expect(listing(copy)).toEqual(listing(tree));
    expect(getXattr({ path: join(copy, "second") }, "user.binary")).toEqual(Uint8Array.of(0, 255, 10, 61));
    expect(lstatSync(join(copy, "second")).ino).toBe(lstatSync(join(copy, "d/file")).ino);
    expect(readFileSync(join(copy, "second"), "utf8")).toBe("x".repeat(3_000_000));
  });

  test("gives the same archive whatever the order in which its files were made", () => {
    for (const name of ["b", "a", "c"]) writeFileSync(join(tree, name), name);
    for (const name of ["a", "b", "c"]) execFileSync("touch", ["-d", "@1", join(tree, name)]);
    const first = digestOf(packed());
    rmSync(join(tree, "a"));
    writeFileSync(join(tree, "a"), "a");
    execFileSync("touch", ["-d", "@1", join(tree, "a")]);
    expect(digestOf(packed())).toBe(first);
    expect(names(packed())).toEqual(["a", "b", "c"]);
  });

  test("keeps the holes of its files, and the end of one that is all hole", () => {
    execFileSync("truncate", ["-s", "1G", join(tree, "empty")]);
    execFileSync("dd", ["if=/dev/urandom", `of=${join(tree, "holes")}`, "bs=4096", "count=2", "seek=1000"], {
      stdio: "ignore",
    });
    execFileSync("truncate", ["-s", "100M", join(tree, "holes")]);
    const archive = packed();
    expect(archive.length).toBeLessThan(100_000);
    writeFileSync(join(base, "archive"), archive);
    execFileSync("tar", ["-xf", join(base, "archive"), "-C", base]);
    expect(lstatSync(join(base, "empty")).size).toBe(2 ** 30);
    execFileSync("cmp", [join(base, "holes"), join(tree, "holes")]);
  });

  test("as a layer has whiteouts and opaque directories in the specification's words", () => {
    using root = open(tree, O_RDONLY | O_DIRECTORY);
    mkdirSync(join(tree, "dir"));
    writeFileSync(join(tree, "dir/new"), "");
    mknodat(root, "gone", S_IFCHR, 0);
    const archive = packed({ form: "layer", opaque: new Set(["dir"]) });
    expect(names(archive)).toEqual(["dir/", "dir/.wh..wh..opq", "dir/new", ".wh.gone"]);
    expect(names(packed({ form: "layer", opaque: new Set([""]) }))[0]).toBe(".wh..wh..opq");
    // In a tree of all layers together such a device is just a device.
    expect(readBack(packed()).find(({ entry }) => entry.path === "gone")?.entry.type).toBe("character");
  });

  test("as a layer has the holes of its files only where they are huge", () => {
    execFileSync("truncate", ["-s", "100K", join(tree, "small")]);
    execFileSync("truncate", ["-s", "9G", join(tree, "huge")]);
    const read = readBack(packed({ form: "layer" }));
    expect(read.map(({ entry }) => [entry.path, entry.size, entry.sparse !== undefined])).toEqual([
      ["huge", 9 * 2 ** 30, true],
      ["small", 100 * 1024, false],
    ]);
    expect(read[1]!.data).toBe("\0".repeat(100 * 1024));
  });

  test("leaves out what its mounts lay on, unless there is something in it", () => {
    mkdirSync(join(tree, "proc"));
    mkdirSync(join(tree, "data"));
    writeFileSync(join(tree, "data/own"), "");
    writeFileSync(join(tree, "hosts"), "");
    writeFileSync(join(tree, "empty"), "");
    const mountPoints = new Set(["proc", "data", "hosts"]);
    expect(names(packed({ form: "layer", mountPoints }))).toEqual(["data/", "data/own", "empty"]);
  });

  test("that changes while it is read keeps the archive whole", () => {
    writeFileSync(join(tree, "a-large"), Buffer.alloc(4 << 20, "a"));
    for (const name of ["b-removed", "c-replaced", "d-last"]) writeFileSync(join(tree, name), name);
    using root = open(tree, O_RDONLY | O_DIRECTORY);
    const pieces: Uint8Array[] = [];
    for (const piece of new TreePacker(root, { form: "tree" }).pack()) {
      if (pieces.length === 0) {
        writeFileSync(join(tree, "a-large"), "short");
        rmSync(join(tree, "b-removed"));
        rmSync(join(tree, "c-replaced"));
        symlinkSync("/etc/passwd", join(tree, "c-replaced"));
      }
      pieces.push(Buffer.from(piece));
    }
    const read = readBack(Buffer.concat(pieces));
    expect(read.map(({ entry }) => [entry.path, entry.type])).toEqual([
      ["a-large", "file"],
      ["c-replaced", "symlink"],
      ["d-last", "file"],
    ]);
    expect(read[0]!.data).toHaveLength(4 << 20);
    expect(read[0]!.data.endsWith("\0")).toBe(true);
  });

  test("is read by a child that sees layers put together and cannot write to them", async () => {
    for (const [layer, file] of [
      ["upper", "shown"],
      ["lower", "below"],
    ] as const) {
      mkdirSync(join(base, layer));
      writeFileSync(join(base, layer, file), file);
    }
    const upper = open(join(base, "upper"), O_RDONLY | O_DIRECTORY);
    mknodat(upper, "hidden", S_IFCHR, 0);
    upper.close();
    writeFileSync(join(base, "lower/hidden"), "");
    const command = [...unpackProgram.command.slice(0, -1), "pack"];
    const stream = packStream(
      { directory: tree, layers: [join(base, "upper"), join(base, "lower")] },
      { form: "tree", compression: "none" },
      { program: { ...unpackProgram, command } },
    );
    const pieces: Uint8Array[] = [];
    for await (const piece of stream) pieces.push(Buffer.from(piece));
    expect(names(Buffer.concat(pieces))).toEqual(["below", "shown"]);
  });

  test("may have more opaque directories than a command line has room for", async () => {
    const opaque = Array.from({ length: 2000 }, (_, index) => `${"d".repeat(100)}${index}`).sort();
    for (const name of opaque) mkdirSync(join(tree, name));
    const command = [...unpackProgram.command.slice(0, -1), "pack"];
    const stream = packStream(
      { directory: tree },
      { form: "layer", compression: "none", opaque },
      { program: { ...unpackProgram, command } },
    );
    const pieces: Uint8Array[] = [];
    for await (const piece of stream) pieces.push(Buffer.from(piece));
    expect(names(Buffer.concat(pieces))).toEqual(opaque.flatMap((name) => [`${name}/`, `${name}/.wh..wh..opq`]));
  });
});

/** What find(1) and sha256sum(1) say of a tree. */
function listing(directory: string): string {
  const format = "%P|%y|%m|%U|%G|%l|%T@\\n";
  const found = execFileSync(
    "find",
    [".", "-mindepth", "1", "(", "-type", "d", "-printf", "%P|%y|%m|%U|%G\\n", "-o", "-printf", format, ")"],
    { cwd: directory },
  );
  return found.toString("latin1").split("\n").sort().join("\n");
}
