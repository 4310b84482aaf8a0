/** What tsd unpacks is what GNU tar unpacks of the same archive, entry by entry. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdirSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { setXattr } from "../../ffi/stat.ts";
import { succeed } from "../harness/command.ts";
import { Daemon } from "../harness/daemon.ts";
import { imageLayout } from "../harness/fixtures.ts";
import { expectSameTree, treeLines } from "../harness/tree.ts";
import { Workspace } from "../harness/workspace.ts";
import { HostileRegistry } from "./hostile-registry.ts";
import { makeTortureTree } from "./torture-tree.ts";

let workspace: Workspace;
let daemon: Daemon;
let registry: HostileRegistry;
let count = 0;

beforeAll(async () => {
  workspace = await Workspace.open();
  registry = await HostileRegistry.start(workspace);
  daemon = await Daemon.start(workspace);
}, 60_000);

afterAll(() => workspace?.[Symbol.asyncDispose]());

const numeric = ["--numeric-owner", "--xattrs", "--xattrs-include=*"];

/** Unpacks an archive with tar, and with tsd both as a layer and as a bundle: all three must be the same. */
async function expectAsTar(archive: string, compression: "none" | "zstd" = "none"): Promise<string[]> {
  const name = `archive-${++count}`;
  const directory = workspace.path(name);
  mkdirSync(directory);
  await succeed(["tar", "-x", "-p", "--same-owner", ...numeric, "-f", archive, "-C", directory]);
  const wanted = treeLines(directory);
  rmSync(directory, { recursive: true });

  const { reference } = registry.addImage(name, [readFileSync(archive)], { compression, cmd: [name] });
  await daemon.ok("pull", "-q", reference);
  const [snapshot, ...others] = readdirSync(join(daemon.root, "snapshots")).filter((entry) => entry !== "trash");
  expect(others).toEqual([]);
  expectSameTree(treeLines(join(daemon.root, "snapshots", snapshot!, "fs")), wanted);
  const bundle = workspace.path(`${name}-bundle`);
  await daemon.ok("bundle", "-q", reference, bundle);
  expectSameTree(treeLines(join(bundle, "rootfs")), wanted);
  rmSync(bundle, { recursive: true });
  await daemon.ok("rmi", reference);
  return wanted;
}

async function archived(tree: string, ...flags: string[]): Promise<string> {
  const path = workspace.path(`archive-${count}.tar`);
  await succeed(["tar", "-c", "--sort=name", "--numeric-owner", ...flags, "-f", path, "-C", tree, "."]);
  return path;
}

test("a Debian root file system is as tar unpacks it", async () => {
  const layout = await imageLayout("debian");
  const tree = workspace.path("debian");
  const rootfs = join(tree, "rootfs");
  await succeed(["mkdir", "-p", rootfs]);
  await unpackLayout(layout, rootfs);
  // What the smallest Debian has none of, and larger ones do.
  setXattr(
    { path: join(rootfs, "usr/bin/who") },
    "security.capability",
    Buffer.from("0100000200200000000000000000000000000000", "hex"),
  );
  setXattr({ path: join(rootfs, "etc") }, "user.note", Buffer.from("a directory's"));
  await succeed(["mknod", "-m", "666", join(rootfs, "dev/null"), "c", "1", "3"]);
  await succeed(["truncate", "-s", "8M", join(rootfs, "var/log/lastlog")]);
  const archive = await archived(rootfs, "--format=posix", "--xattrs", "--xattrs-include=*", "--sparse");
  rmSync(tree, { recursive: true });
  const lines = await expectAsTar(archive, "zstd");
  expect(lines.length).toBeGreaterThan(2000);
  for (const shown of [
    /^"\.\/usr\/bin\/who" .* security\.capability=01000002/,
    /with holes/,
    / 2 links, first/,
    / character 666 /,
  ]) {
    expect(lines.filter((line) => shown.test(line)).length).toBeGreaterThan(0);
  }
}, 100_000);

async function unpackLayout(layout: string, target: string): Promise<void> {
  const index = await Bun.file(join(layout, "index.json")).json();
  const blob = (digest: string) => join(layout, "blobs", ...digest.split(":"));
  const manifest = await Bun.file(blob(index.manifests[0].digest)).json();
  for (const { digest } of manifest.layers) await succeed(["tar", "-xzpf", blob(digest), ...numeric, "-C", target]);
}

describe("a tree that spares no archive program is as tar unpacks it, from an archive", () => {
  test.each([
    ["of GNU tar's own format", ["--format=gnu", "--sparse"]],
    ["of GNU tar's own format, without holes", ["--format=gnu", "--exclude=./sparse/huge*"]],
    ["of the POSIX format with attributes", ["--format=posix", ...numeric]],
    ["with sparse files of version 0.0", ["--format=posix", "--sparse", "--sparse-version=0.0", ...numeric]],
    ["with sparse files of version 0.1", ["--format=posix", "--sparse", "--sparse-version=0.1", ...numeric]],
    ["with sparse files of version 1.0", ["--format=posix", "--sparse", "--sparse-version=1.0", ...numeric]],
  ] as [string, string[]][])(
    "%s",
    async (_, flags) => {
      const tree = workspace.path("torture");
      // The versions differ in nothing but the files that are sparse.
      const sparse = flags.some((flag) => flag.startsWith("--sparse-version"));
      makeTortureTree(tree, { sparse });
      const exclude = flags.includes("--sparse") ? [] : ["--exclude=./sparse/huge*"];
      const archive = await archived(tree, ...flags, ...exclude);
      rmSync(tree, { recursive: true });
      expect((await expectAsTar(archive)).length).toBeGreaterThan(sparse ? 50 : 300);
      rmSync(archive);
    },
    60_000,
  );

  test.each(["v7", "oldgnu", "ustar"])(
    "of the format %s",
    async (format) => {
      const tree = workspace.path("torture");
      makeTortureTree(tree, { plain: true });
      // v7 knows no devices and fifos.
      const exclude = format === "v7" ? ["null", "disk", "fifo", "link-to-null", "link-to-fifo"] : [];
      const archive = await archived(tree, `--format=${format}`, ...exclude.map((name) => `--exclude=./plain/${name}`));
      rmSync(tree, { recursive: true });
      expect((await expectAsTar(archive)).length).toBeGreaterThan(30);
    },
    60_000,
  );
});
