/** Layers whose archives mean harm: refused by the entry's name, or kept inside, and nothing of the host is touched. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { archive, type FixtureEntry } from "../../src/tar/tar-fixture.ts";
import { until } from "../harness/command.ts";
import { Daemon } from "../harness/daemon.ts";
import { Workspace } from "../harness/workspace.ts";
import { HostileRegistry } from "./hostile-registry.ts";

let workspace: Workspace;
let daemon: Daemon;
let registry: HostileRegistry;
/** A directory of the host that the archives try to reach. */
let outside: string;
let count = 0;

beforeAll(async () => {
  workspace = await Workspace.open();
  registry = await HostileRegistry.start(workspace);
  daemon = await Daemon.start(workspace);
  outside = workspace.path("outside");
  await Bun.write(join(outside, "secret"), "untouched");
}, 60_000);

afterAll(() => workspace?.[Symbol.asyncDispose]());

afterEach(async () => {
  expect(readdirSync(outside)).toEqual(["secret"]);
  expect(readFileSync(join(outside, "secret"), "utf8")).toBe("untouched");
  expect(statSync(join(outside, "secret")).mode & 0o7777).toBe(0o644);
  expect(statSync(join(outside, "secret")).nlink).toBe(1);
  const partial = () => readdirSync(join(daemon.root, "snapshots")).filter((name) => name.startsWith("partial"));
  await until("no partial snapshot", () => partial().length === 0);
});

const base: FixtureEntry[] = [{ name: "etc/" }, { name: "etc/passwd", data: "root:x:0:0::/:/bin/sh\n" }];

function push(...layers: FixtureEntry[][]): string {
  count += 1;
  return registry.addImage(
    `image${count}`,
    layers.map((entries) => archive(entries)),
  ).reference;
}

async function refused(reference: string, message: RegExp): Promise<void> {
  const { status, stderr } = await daemon.tsd(["pull", reference]);
  expect([
    status,
    stderr
      .replace(/^hint: .*\n/gm, "")
      .trimEnd()
      .split("\n")
      .at(-1),
  ]).toEqual([1, expect.stringMatching(message)]);
  expect(await daemon.ok("images", "-q", reference)).toBe("");
}

describe("a layer is refused that has", () => {
  const cases: [string, () => FixtureEntry[], RegExp][] = [
    ["a path that climbs", () => [{ name: "../../escaped" }], /layer entry \.\.\/\.\.\/escaped: path leaves the root/],
    ["a path that climbs in the middle", () => [{ name: "a/../../x" }], /path leaves the root/],
    ["a hard link that climbs", () => [{ name: "l", type: "1", link: "../../x" }], /hard link target leaves the root/],
    [
      "a hard link to the host",
      () => [{ name: "l", type: "1", link: join(outside, "secret") }],
      /hard link target .*secret is neither in the layer nor in those below/,
    ],
    [
      "a hard link through a symlink to the host",
      () => [
        { name: "s", type: "2", link: outside },
        { name: "l", type: "1", link: "s/secret" },
      ],
      /layer entry l: /,
    ],
    ["a hard link to a directory", () => [{ name: "d/" }, { name: "l", type: "1", link: "d" }], /layer entry l: /],
    [
      "a hard link to itself deleted",
      () => [{ name: "etc/.wh.passwd" }, { name: "l", type: "1", link: "etc/passwd" }],
      /hard link target etc\/passwd is deleted by the layer/,
    ],
    ["a whiteout of the parent", () => [{ name: "etc/.wh..." }], /invalid whiteout/],
    ["a whiteout of itself", () => [{ name: "etc/.wh.." }], /invalid whiteout/],
    ["a whiteout of nothing", () => [{ name: "etc/.wh." }], /invalid whiteout/],
    ["a root that is a file", () => [{ name: ".", type: "0" }], /the root must be a directory/],
    ["a path that is too long", () => [{ name: "x", pax: { path: `${"d/".repeat(3000)}x` } }], /invalid path/],
    ["a name that is too long", () => [{ name: "x", pax: { path: "n".repeat(300) } }], /ENAMETOOLONG/],
    ["a file below a file", () => [{ name: "f" }, { name: "f/x" }], /ENOTDIR/],
    [
      "symlinks in a circle",
      () => [{ name: "a", type: "2", link: "b" }, { name: "b", type: "2", link: "a" }, { name: "a/x" }],
      /ELOOP|loop/,
    ],
    [
      "a file of more bytes than there are",
      () => [{ name: "huge", size: 0o77777777777 }],
      /(corrupt|truncated|ends|unexpected|end)/,
    ],
  ];
  for (const [name, entries, message] of cases) {
    test(name, async () => {
      await refused(push(base, entries()), message);
    });
  }

  test("more bytes than the limit, whatever the archive's size", async () => {
    // 200 GB of holes in a header of a few bytes: GNU's sparse format in pax records.
    const size = String(200 * 2 ** 30);
    const pax = {
      "GNU.sparse.major": "1",
      "GNU.sparse.minor": "0",
      "GNU.sparse.name": "hole",
      "GNU.sparse.realsize": size,
    };
    await refused(push([{ name: "x", pax, data: `1\n${size}\n0\n`.padEnd(512, "\0") }]), /more than \d+ bytes/);
  });
});

describe("a layer stays inside that", () => {
  test("writes through a symlink to the host", async () => {
    const reference = push(base, [
      { name: "out", type: "2", link: outside },
      { name: "out/file", data: "x" },
      { name: "up", type: "2", link: "../../../../../../../.." },
      { name: `up${outside}/other`, data: "y" },
    ]);
    const { status, stderr } = await daemon.tsd(["pull", reference]);
    // Inside, as in a chroot, or refused: afterEach sees that the host is as it was.
    expect([0, 1]).toContain(status);
    if (status === 1) expect(stderr).toMatch(/layer entry/);
  });

  test("swaps a directory for a symlink between two entries", async () => {
    const reference = push(base, [
      { name: "d/" },
      { name: "d/first", data: "1" },
      { name: "d", type: "2", link: outside },
      { name: "d/second", data: "2" },
    ]);
    const { status, stderr } = await daemon.tsd(["pull", reference]);
    expect([0, 1]).toContain(status);
    if (status === 1) expect(stderr).toMatch(/layer entry d\/second/);
  });

  test("has a symlink in a lower layer where an upper one writes", async () => {
    const reference = push([...base, { name: "link", type: "2", link: outside }], [{ name: "link/file", data: "x" }]);
    expect((await daemon.tsd(["pull", reference])).status).toBe(0);
    const bundle = workspace.path(`bundle${count}`);
    // In a plain directory the second layer meets the first one's symlink.
    await daemon.ok("bundle", reference, bundle);
    expect(existsSync(join(outside, "file"))).toBe(false);
  });

  test("has absolute names", async () => {
    const reference = push([...base, { name: join(outside, "file"), data: "inside" }]);
    await daemon.ok("pull", reference);
    const bundle = workspace.path(`bundle${count}`);
    await daemon.ok("bundle", reference, bundle);
    expect(readFileSync(join(bundle, "rootfs", outside, "file"), "utf8")).toBe("inside");
  });

  test("replaces its own entries", async () => {
    const reference = push([
      { name: "a", data: "one" },
      { name: "a", data: "two" },
      { name: "b/" },
      { name: "b/c", data: "x" },
      { name: "b", data: "a file now" },
      { name: "c", data: "x" },
      { name: "c/", mode: 0o711 },
    ]);
    await daemon.ok("pull", reference);
    const bundle = workspace.path(`bundle${count}`);
    await daemon.ok("bundle", reference, bundle);
    expect(readFileSync(join(bundle, "rootfs/a"), "utf8")).toBe("two");
    expect(readFileSync(join(bundle, "rootfs/b"), "utf8")).toBe("a file now");
    expect(statSync(join(bundle, "rootfs/c")).mode & 0o7777).toBe(0o711);
  });
});

test("a layer that inflates to more than it may is stopped before it is written", async () => {
  // Not the limit itself, which is 128 GiB: a disk of 8 MB stops it, and says of what.
  const small = workspace.path("small", "root");
  await Bun.$`mkdir -p ${small} && mount -t tmpfs -o size=8m tmpfs ${small}`.quiet();
  workspace.onClose("small disk", () => Bun.$`umount ${small}`.quiet());
  const full = await Daemon.start(workspace, { name: "small" });
  const bomb = archive([{ name: "bomb", data: new Uint8Array(64 << 20) }]);
  expect(gzipSync(bomb).length).toBeLessThan(100_000);
  const { reference } = registry.addImage("bomb", [bomb]);
  const { status, stderr } = await full.tsd(["pull", reference]);
  expect([
    status,
    stderr
      .replace(/^hint: .*\n/gm, "")
      .trimEnd()
      .split("\n")
      .at(-1),
  ]).toEqual([1, expect.stringMatching(/layer.*bomb.*no space left on device/i)]);
  await until("what was written is gone", () => readdirSync(join(small, "snapshots/trash")).length === 0);
  writeFileSync(join(small, "probe"), new Uint8Array(4 << 20));
});

describe("with limits of its own, a daemon refuses a layer", () => {
  const mebibyte = 1 << 20;
  let limited: Daemon;

  beforeAll(async () => {
    const flags = ["--max-layer-size", "5m", "--max-layer-files", "500"];
    limited = await Daemon.start(workspace, { name: "limited", flags });
  }, 30_000);

  const zeros = archive([{ name: "zeros", data: new Uint8Array(100 * mebibyte) }]);
  const hole = String(100 * mebibyte);
  const sparse = {
    "GNU.sparse.major": "1",
    "GNU.sparse.minor": "0",
    "GNU.sparse.name": "hole",
    "GNU.sparse.realsize": hole,
  };
  test.each([
    ["of zeros, compressed to a thousandth of them with gzip", zeros, "gzip", /more than 5242880 bytes/],
    ["of zeros, compressed to a fraction of that with zstd", zeros, "zstd", /more than 5242880 bytes/],
    [
      "of several files that are too large together",
      archive([1, 2, 3].map((file) => ({ name: `file${file}`, data: new Uint8Array(2 * mebibyte) }))),
      "gzip",
      /more than 5242880 bytes/,
    ],
    [
      "of one hole",
      archive([{ name: "x", pax: sparse, data: `1\n${hole}\n0\n`.padEnd(512, "\0") }]),
      "gzip",
      /layer entry hole: .*more than 5242880 bytes|more than 5242880 bytes/,
    ],
    [
      "of too many empty files",
      archive(Array.from({ length: 501 }, (_, file) => ({ name: `file${file}` }))),
      "gzip",
      /more than 500 entries/,
    ],
  ] as const)("%s", async (_, tar, compression, says) => {
    count += 1;
    const { reference, layers } = registry.addImage(`limited${count}`, [tar], { compression });
    const { status, stderr } = await limited.tsd(["pull", reference]);
    expect([status, stderr]).toEqual([1, expect.stringMatching(says)]);
    expect(stderr).toMatch(/the daemon's --max-layer-(size|files) does not allow/);
    expect(stderr).toContain(layers[0]!.digest);
    expect(await limited.ok("images", "-aq")).toBe("");
    const left = () => readdirSync(join(limited.root, "snapshots")).filter((name) => name !== "trash");
    const trash = () => readdirSync(join(limited.root, "snapshots/trash"));
    await until("what was unpacked is gone", () => left().length + trash().length === 0);
  });

  test("and what it had fetched is there when it is told to allow more", async () => {
    const { reference, layers } = registry.addImage("allowed", [zeros]);
    expect((await limited.tsd(["pull", reference])).status).toBe(1);
    await limited.stop();
    const generous = ["--root", limited.root];
    const before = registry.requests().length;
    const allowed = await Daemon.start(workspace, { name: "allowed", flags: generous });
    await allowed.ok("pull", "-q", reference);
    const asked = registry.requests().slice(before);
    expect(asked.filter((line) => line.startsWith("GET") && line.includes(layers[0]!.digest))).toEqual([]);
    await allowed.ok("rmi", reference);
    await allowed.stop();
    await allowed.start();
  }, 30_000);
});
