/** Needs root for owners, devices and overlayfs; runs in a directory on the disk, because tmpfs has no user.* attributes. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
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
import { O_DIRECTORY, O_RDONLY } from "../../../ffi/constants/open.ts";
import { open } from "../../../ffi/files.ts";
import { getXattr } from "../../../ffi/stat.ts";
import { archive, type FixtureEntry } from "../../tar/tar-fixture.ts";
import { TarReader } from "../../tar/tar-reader.ts";
import { type ApplyReport, LayerApplier, type WhiteoutForm } from "./applier.ts";

const isRoot = process.getuid?.() === 0;
let base: string;
let outside: string;
let serial = 0;

beforeAll(() => {
  base = mkdtempSync("/var/tmp/tsd-applier-");
  outside = join(base, "outside");
  mkdirSync(outside);
  writeFileSync(join(outside, "secret"), "untouched");
});
afterAll(() => rmSync(base, { recursive: true }));

function target(): string {
  const path = join(base, `root${serial++}`);
  mkdirSync(path);
  return path;
}

interface Options {
  form?: WhiteoutForm;
  into?: string;
  bytesMax?: number;
  entriesMax?: number;
}

function apply(entries: FixtureEntry[], options: Options = {}): { root: string; report: ApplyReport } {
  const root = options.into ?? target();
  using directory = open(root, O_RDONLY | O_DIRECTORY);
  using applier = new LayerApplier(directory, options.form ?? "overlay", {
    bytesMax: options.bytesMax ?? 2 ** 30,
    entriesMax: options.entriesMax ?? 1000,
  });
  const reader = new TarReader(applier);
  reader.write(archive(entries));
  reader.end();
  return { root, report: applier.finish() };
}

function isWhiteoutAt(path: string): boolean {
  const status = lstatSync(path);
  return status.isCharacterDevice() && status.rdev === 0;
}

describe.skipIf(!isRoot)("a layer's files", () => {
  test.each([0, 0o022, 0o077])(
    "have their own mode and group whatever the umask (%o) and their directory say",
    (umask) => {
      const before = process.umask(umask);
      try {
        const { root } = apply([
          { name: "writable", mode: 0o666 },
          { name: "set-id", mode: 0o6755, data: "x" },
          { name: "sticky", mode: 0o1644 },
          { name: "own", mode: 0o640, uid: 7, gid: 8 },
          { name: "plain/", mode: 0o755 },
          { name: "plain/file", mode: 0o604 },
          { name: "shared/", mode: 0o2775, gid: 50 },
          { name: "shared/file", mode: 0o664 },
          { name: "shared/deep/file", mode: 0o664 },
          { name: "after", mode: 0o646 },
        ]);
        const look = (name: string) => {
          const { mode, uid, gid } = lstatSync(join(root, name));
          return `${(mode & 0o7777).toString(8)} ${uid}:${gid}`;
        };
        expect(look("writable")).toBe("666 0:0");
        expect(look("set-id")).toBe("6755 0:0");
        expect(look("sticky")).toBe("1644 0:0");
        expect(look("own")).toBe("640 7:8");
        expect(look("plain/file")).toBe("604 0:0");
        expect(look("shared")).toBe("2775 0:50");
        expect(look("shared/file")).toBe("664 0:0");
        expect(look("shared/deep/file")).toBe("664 0:0");
        expect(look("after")).toBe("646 0:0");
      } finally {
        process.umask(before);
      }
    },
  );

  test("have the archive's owners, modes, times, attributes and links", () => {
    const capability = Uint8Array.of(1, 0, 0, 2, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);
    const { root, report } = apply([
      { name: "./", mode: 0o711, mtime: 5 },
      { name: "dir/", mode: 0o1777, mtime: 1_000_000 },
      {
        name: "dir/file",
        data: "content",
        mode: 0o6755,
        pax: {
          uid: "3000000000",
          gid: "300000",
          mtime: "1234567890.123456789",
          "SCHILY.xattr.user.note": "hi",
          "SCHILY.xattr.security.capability": capability,
        },
      },
      { name: "dir/hard", type: "1", link: "dir/file" },
      { name: "dir/soft", type: "2", link: "/nowhere", uid: 12, mtime: 77 },
      { name: "dir/null", type: "3", device: [1, 3], mode: 0o666 },
      { name: "dir/disk", type: "4", device: [259, 65_537], mode: 0o660, gid: 6 },
      { name: "dir/pipe", type: "6", mode: 0o640, pax: { "SCHILY.xattr.trusted.overlay.redirect": "/etc" } },
    ]);
    const file = lstatSync(join(root, "dir/file"), { bigint: true });
    expect(file).toMatchObject({ uid: 3_000_000_000n, gid: 300_000n, nlink: 2n, mtimeNs: 1_234_567_890_123_456_789n });
    expect(file.mode & 0o7777n).toBe(0o6755n);
    expect(lstatSync(join(root, "dir/hard"), { bigint: true }).ino).toBe(file.ino);
    expect(getXattr({ path: join(root, "dir/file") }, "user.note")).toEqual(new Uint8Array(Buffer.from("hi")));
    expect(getXattr({ path: join(root, "dir/file") }, "security.capability")).toEqual(capability);
    expect(readlinkSync(join(root, "dir/soft"))).toBe("/nowhere");
    expect(lstatSync(join(root, "dir/soft"))).toMatchObject({ uid: 12, mtimeMs: 77_000 });
    expect(lstatSync(join(root, "dir/null")).rdev).toBe(0x103);
    expect(lstatSync(join(root, "dir/disk"))).toMatchObject({ gid: 6 });
    expect(
      Bun.spawnSync(["stat", "-c", "%t %T", join(root, "dir/disk")])
        .stdout.toString()
        .trim(),
    ).toBe("103 10001");
    expect(lstatSync(join(root, "dir/pipe")).isFIFO()).toBe(true);
    expect(lstatSync(join(root, "dir"))).toMatchObject({ mtimeMs: 1_000_000_000 });
    expect(lstatSync(join(root, "dir")).mode & 0o7777).toBe(0o1777);
    expect(lstatSync(root)).toMatchObject({ mtimeMs: 5000 });
    expect(report).toMatchObject({ entries: 8, bytes: 7, implicit: [], opaque: [] });
    expect(report.skippedXattrs).toEqual(["trusted.overlay.redirect"]);
  });

  test("of the same name replace each other, except that directories merge", () => {
    const { root } = apply([
      { name: "a", data: "one" },
      { name: "a", data: "two" },
      { name: "d/" },
      { name: "d/kept" },
      { name: "d/", mode: 0o700 },
      { name: "f", data: "file" },
      { name: "f/" },
      { name: "f/inside" },
      { name: "tree/" },
      { name: "tree/x/" },
      { name: "tree/x/y" },
      { name: "tree", type: "2", link: "d" },
      { name: "tree/through" },
      { name: "l", type: "2", link: "a" },
      { name: "l", data: "not through the link" },
      { name: "deep/er/" },
      { name: "deep/er/x", data: "first" },
      { name: "deep/er/x", data: "second" },
      { name: "deep/er/x", type: "1", link: "a" },
      { name: "self", type: "2", link: "." },
      { name: "self/self", data: "the link itself is replaced" },
      { name: "self.d/" },
      { name: "deep/er", type: "2", link: "../self.d" },
      { name: "deep/er/y" },
    ]);
    expect(lstatSync(join(root, "a")).nlink).toBe(1);
    expect(lstatSync(join(root, "self")).isFile()).toBe(true);
    expect(readdirSync(join(root, "self.d"))).toEqual(["y"]);
    expect(readFileSync(join(root, "a"), "utf8")).toBe("two");
    expect(readdirSync(join(root, "d")).sort()).toEqual(["kept", "through"]);
    expect(lstatSync(join(root, "d")).mode & 0o777).toBe(0o700);
    expect(existsSync(join(root, "f/inside"))).toBe(true);
    expect(readlinkSync(join(root, "tree"))).toBe("d");
    expect(lstatSync(join(root, "l")).isFile()).toBe(true);
  });

  test("directories that no entry describes are made and reported, once described no more", () => {
    const { root, report } = apply([{ name: "a/b/c/file" }, { name: "a/", mode: 0o700 }, { name: "x/y" }]);
    expect(existsSync(join(root, "a/b/c/file"))).toBe(true);
    expect(report.implicit).toEqual(["", "a/b", "a/b/c", "x"]);
  });

  test("sparse files keep their holes", () => {
    const { root } = apply([
      { name: "s", data: "abcd", pax: { "GNU.sparse.map": "1048576,3,4194304,1", "GNU.sparse.size": "8388608" } },
    ]);
    const status = statSync(join(root, "s"));
    expect(status.size).toBe(8_388_608);
    expect(status.blocks * 512).toBeLessThan(100_000);
    const content = readFileSync(join(root, "s"));
    expect(content.toString("latin1", 1_048_576, 1_048_579)).toBe("abc");
    expect(content[4_194_304]).toBe("d".charCodeAt(0));
  });

  test("whose names are not UTF-8 keep their bytes", () => {
    const { root } = apply([{ name: "caf\xe9/" }, { name: "caf\xe9/\xff", data: "x" }]);
    const [name] = readdirSync(root, { encoding: "buffer" });
    expect(Buffer.from(name!).toString("latin1")).toBe("caf\xe9");
  });
});

describe.skipIf(!isRoot)("a hostile layer", () => {
  test.each([
    ["a path that climbs", [{ name: "../escaped" }], "path leaves the root"],
    ["a path that climbs in the middle", [{ name: "a/../../escaped" }], "path leaves the root"],
    [
      "a hard link to a path that climbs",
      [{ name: "l", type: "1", link: "../outside/secret" }],
      "hard link target leaves",
    ],
    [
      "a hard link to what it deletes",
      [{ name: ".wh.gone" }, { name: "l", type: "1", link: "gone" }],
      "hard link target gone is deleted by the layer",
    ],
    ["a whiteout of the parent", [{ name: "d/.wh..." }], "invalid whiteout"],
    ["a whiteout of itself", [{ name: "d/.wh.." }], "invalid whiteout"],
    ["a whiteout of nothing", [{ name: ".wh." }], "invalid whiteout"],
    ["a root that is a file", [{ name: ".", type: "0" }], "root must be a directory"],
    ["a directory below a file", [{ name: "f" }, { name: "f/x" }], "ENOTDIR"],
    [
      "symlinks in a circle",
      [{ name: "a", type: "2", link: "b" }, { name: "b", type: "2", link: "a" }, { name: "a/x" }],
      "ELOOP",
    ],
    ["a name that is too long", [{ name: "x", pax: { path: `${"x/".repeat(3000)}x` } }], "invalid path"],
  ] as [string, FixtureEntry[], string][])("with %s is refused", (_name, entries, message) => {
    expect(() => apply(entries)).toThrow(message);
    expect(readdirSync(outside)).toEqual(["secret"]);
    expect(existsSync(join(base, "escaped"))).toBe(false);
  });

  test("links to nothing but its own files: what it lacks is looked for in the layers below", () => {
    const entries = [
      { name: "s", type: "2", link: "/" },
      { name: "l", type: "1", link: "s/etc/passwd" },
      { name: "again", type: "1", link: "l" },
      { name: "replaced", type: "1", link: "elsewhere" },
      { name: "replaced/", type: "5" },
      { name: "replaced", data: "mine" },
    ];
    const { root, report } = apply(entries);
    expect(report.lowerLinks).toEqual([
      { path: "l", target: "s/etc/passwd" },
      { path: "again", target: "s/etc/passwd" },
    ]);
    expect(existsSync(join(root, "l"))).toBe(false);
    expect(() => apply(entries, { form: "remove" })).toThrow("hard link target s/etc/passwd is not there");
  });

  test.each(["overlay", "remove"] as WhiteoutForm[])("cannot leave through its own symlinks (%s)", (form) => {
    const { root } = apply(
      [
        { name: "abs", type: "2", link: outside },
        { name: "rel", type: "2", link: "../../../../../../../../../../../var/tmp" },
        { name: "up", type: "2", link: ".." },
        { name: "magic", type: "2", link: "/proc/self/cwd" },
        { name: "abs/new", data: "x" },
        { name: "rel/new", data: "x" },
        { name: "up/up/new", data: "x" },
        { name: "magic/new", data: "x" },
        { name: "abs/.wh.secret" },
        { name: "abs/.wh..wh..opq" },
        { name: "/absolute", data: "x" },
      ],
      { form },
    );
    expect(readFileSync(join(outside, "secret"), "utf8")).toBe("untouched");
    expect(readdirSync(outside)).toEqual(["secret"]);
    expect(existsSync("/var/tmp/new")).toBe(false);
    // What went through them is inside, where a process chrooted there would see it.
    expect(existsSync(join(root, "var/tmp/new"))).toBe(true);
    expect(existsSync(join(root, "proc/self/cwd/new"))).toBe(true);
    expect(existsSync(join(root, "new"))).toBe(true);
    expect(existsSync(join(root, "absolute"))).toBe(true);
  });

  test("cannot leave through symlinks that lower layers left", () => {
    const into = target();
    symlinkSync(outside, join(into, "link"));
    symlinkSync(join(outside, "secret"), join(into, "file"));
    apply([{ name: "link/new" }, { name: "file", data: "x" }, { name: "link/.wh.secret" }], { into, form: "remove" });
    expect(readdirSync(outside)).toEqual(["secret"]);
    expect(readFileSync(join(outside, "secret"), "utf8")).toBe("untouched");
  });

  test("that is larger than allowed is stopped, before it is written", () => {
    const big = { name: "big", data: "x".repeat(1000) };
    expect(() => apply([big, big], { bytesMax: 1500 })).toThrow("unpacks to more than 1500 bytes");
    const hole = { name: "hole", pax: { "GNU.sparse.map": "0,0", "GNU.sparse.size": "9000000000000" } };
    expect(() => apply([hole])).toThrow("unpacks to more than");
    const many = Array.from({ length: 11 }, (_, index) => ({ name: `f${index}` }));
    expect(() => apply(many, { entriesMax: 10 })).toThrow("more than 10 entries");
    expect(apply(many, { entriesMax: 11 }).report.entries).toBe(11);
    const deep = [{ name: "a/b/c/d/e/f/g/h/i/j/k" }, { name: "l" }];
    expect(() => apply(deep, { entriesMax: 10 })).toThrow("more than 10 entries");
    expect(apply(deep, { entriesMax: 12 }).report.implicit).toHaveLength(11);
  });
});

describe.skipIf(!isRoot)("whiteouts", () => {
  test("become what overlayfs understands", () => {
    const { root, report } = apply([
      { name: "d/" },
      { name: "d/.wh.gone" },
      { name: "opaque/" },
      { name: "opaque/.wh..wh..opq" },
      { name: "opaque/new" },
      { name: ".wh..wh.plnk/" },
      { name: ".wh..wh.aufs" },
      { name: ".wh.first" },
      { name: "first/" },
      { name: "first/x" },
      { name: "second/x" },
      { name: ".wh.second" },
      { name: "third", data: "mine" },
      { name: ".wh.third" },
      { name: ".wh.fourth" },
      { name: "fourth/deep/x" },
    ]);
    expect(isWhiteoutAt(join(root, "d/gone"))).toBe(true);
    expect(readdirSync(root).sort()).toEqual(["d", "first", "fourth", "opaque", "second", "third"]);
    expect(readFileSync(join(root, "third"), "utf8")).toBe("mine");
    expect(report.opaque.sort()).toEqual(["first", "fourth", "opaque", "second"]);
  });

  test("remove what lower layers had, and nothing of their own layer, in a plain directory", () => {
    const into = target();
    apply(
      [
        { name: "file" },
        { name: "dir/" },
        { name: "dir/a" },
        { name: "dir/sub/" },
        { name: "dir/sub/b" },
        { name: "hidden/" },
        { name: "hidden/old" },
        { name: "hidden/kept/" },
        { name: "hidden/kept/old" },
        { name: "linked/" },
        { name: "linked/x" },
      ],
      { into, form: "remove" },
    );
    symlinkSync("linked", join(into, "link"));
    apply(
      [
        { name: ".wh.file" },
        { name: ".wh.dir" },
        { name: ".wh.absent" },
        { name: ".wh.link" },
        { name: "hidden/" },
        { name: "hidden/new", data: "n" },
        { name: "hidden/kept/" },
        { name: "hidden/kept/new" },
        { name: "hidden/.wh..wh..opq" },
        { name: "hidden/.wh.new" },
      ],
      { into, form: "remove" },
    );
    expect(readdirSync(into).sort()).toEqual(["hidden", "linked"]);
    expect(readdirSync(join(into, "hidden")).sort()).toEqual(["kept", "new"]);
    expect(readdirSync(join(into, "hidden/kept"))).toEqual(["new"]);
    expect(readdirSync(join(into, "linked"))).toEqual(["x"]);
  });
});

describe.skipIf(!isRoot || !Bun.which("tar"))("compared with tar", () => {
  test("a tree of the host comes out the same, entry by entry", () => {
    const source = target();
    const script = `cp -a /etc/alternatives /etc/default .; cp -a /usr/share/zoneinfo/Europe . 2>/dev/null || true; mkdir s; chmod 3775 s; mknod s/n c 1 3
      truncate -s 5M s/sparse; printf x | dd of=s/sparse bs=1 seek=3000000 conv=notrunc status=none; ln s/sparse s/hard; chown 70000:5 s/sparse`;
    expect(Bun.spawnSync(["sh", "-c", script], { cwd: source }).exitCode).toBe(0);
    chmodSync(source, 0o755);
    const packed = Bun.spawnSync(
      ["tar", "--format=posix", "--sparse", "--xattrs", "--numeric-owner", "-cf", "-", "."],
      { cwd: source },
    );
    expect(packed.exitCode).toBe(0);
    const mine = target();
    {
      using directory = open(mine, O_RDONLY | O_DIRECTORY);
      using applier = new LayerApplier(directory, "overlay", { bytesMax: 2 ** 30, entriesMax: 1e6 });
      const reader = new TarReader(applier);
      reader.write(packed.stdout);
      reader.end();
      applier.finish();
    }
    const theirs = target();
    Bun.spawnSync(["tar", "--xattrs", "--numeric-owner", "-xpf", "-"], { cwd: theirs, stdin: packed.stdout });
    const listing = (cwd: string) =>
      Bun.spawnSync(
        [
          "sh",
          "-c",
          "find . -printf '%p %y %m %U %G %n %T@ %l %s\\n' | sort; find . -type f -exec sha256sum {} + | sort -k2",
        ],
        { cwd },
      )
        .stdout.toString()
        .replaceAll(/(?<= d \d+ \d+ \d+ \d+ \S+ {2})\d+$/gm, "");
    const listed = listing(mine);
    expect(listed.split("\n").length).toBeGreaterThan(100);
    expect(listed).toBe(listing(theirs));
    expect(listed).toBe(listing(source));
  }, 30_000);
});
