/**
 * One image, as skopeo, docker and podman write it to registries and tsd reads it, and the other way round: the same
 * digests, and the same files in the mounted layers, by type, mode, owner, time to the nanosecond, attributes and
 * content.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { archive, type FixtureEntry } from "../../src/tar/tar-fixture.ts";
import { succeed } from "../harness/command.ts";
import { Daemon } from "../harness/daemon.ts";
import { type Peer, preparePodman, startDockerd } from "../harness/peers.ts";
import { type Registry, startRegistry } from "../harness/registry.ts";
import { expectSameTree, type TreeField, treeLines } from "../harness/tree.ts";
import { Workspace } from "../harness/workspace.ts";
import { HostileRegistry, noise } from "./hostile-registry.ts";

let workspace: Workspace;
let daemon: Daemon;
let registry: Registry;
let docker: Peer;
let podman: Peer;
/** The image as it was made, with its manifest's and layers' digests. */
let source: { reference: string; manifest: { digest: string }; layers: { digest: string }[] };
/** What docker has mounted of it. */
let wanted: string[];
let mounts = 0;

/** Programs in Go write the holes of a sparse file as zeros. */
const fields: TreeField[] = ["mode", "owner", "time", "links", "xattrs", "content"];

/** linux/capability.h: revision 2, cap_net_raw in both sets. */
const capability = new Uint8Array([1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);

const bottom: FixtureEntry[] = [
  { name: "./", mode: 0o755, mtime: 1_100_000_000 },
  ...["bin/", "dev/", "proc/", "sys/", "etc/", "opt/", "opaque/", "opaque/deep/"].map((name) => ({ name })),
  { name: "tmp/", mode: 0o1777, uid: 3, gid: 4 },
  { name: "bin/busybox", mode: 0o755, data: new Uint8Array(readFileSync("/bin/busybox")) },
  { name: "bin/sh", type: "2", link: "busybox" },
  { name: "bin/su", type: "1", link: "bin/busybox", mode: 0o755 },
  { name: "opt/suid", mode: 0o6755, uid: 1000, gid: 1001, data: "set-id" },
  { name: "opt/owner", pax: { uid: "4000000000", gid: "3000000000" }, data: "x" },
  { name: "opt/time", pax: { mtime: "1234567890.123456789" }, data: "x" },
  { name: "opt/capable", pax: { "SCHILY.xattr.security.capability": capability }, mode: 0o755, data: "x" },
  { name: "opt/noted", pax: { "SCHILY.xattr.user.note": new Uint8Array([0, 255, 10]) }, data: "x" },
  { name: "opt/empty" },
  { name: "opt/large", data: noise(3_000_000) },
  { name: "opt/fifo", type: "6", mode: 0o622 },
  { name: "opt/null", type: "3", device: [1, 3], mode: 0o666 },
  { name: "opt/disk", type: "4", device: [259, 70_000], mode: 0o660, gid: 6 },
  { name: "opt/dangling", type: "2", link: "/nowhere/at/all" },
  { name: "x", pax: { path: `opt/${"long-".repeat(40)}name` }, data: "long" },
  { name: "x", pax: { path: "opt/é ☃ \n" }, data: "odd" },
  { name: "opaque/hidden", data: "x" },
  { name: "opaque/deep/hidden", data: "x" },
  { name: "etc/deleted", data: "x" },
  { name: "etc/replaced", data: "file" },
  { name: "etc/changed", data: "before", mode: 0o600 },
];
const top: FixtureEntry[] = [
  { name: "./", mode: 0o755, mtime: 1_200_000_000 },
  { name: "etc/", mode: 0o750, uid: 9, mtime: 1_200_000_001 },
  { name: "etc/.wh.deleted" },
  { name: "etc/replaced/", mode: 0o711 },
  { name: "etc/replaced/inside", data: "x" },
  { name: "etc/changed", data: "after", mode: 0o640 },
  { name: "opaque/", mode: 0o700 },
  { name: "opaque/.wh..wh..opq" },
  { name: "opaque/new", data: "x" },
  { name: "top" },
  { name: "top-link", type: "1", link: "top" },
];

beforeAll(async () => {
  workspace = await Workspace.open();
  const made = await HostileRegistry.start(workspace);
  [daemon, registry, docker, podman] = await Promise.all([
    Daemon.start(workspace),
    startRegistry(workspace),
    startDockerd(workspace),
    preparePodman(workspace),
  ]);
  source = made.addImage("source", [archive(bottom), archive(top)], { cmd: ["/bin/sh"] });
  await docker.ok("pull", "-q", source.reference);
  wanted = await treeOfDocker(source.reference);
}, 110_000);

afterAll(() => workspace?.[Symbol.asyncDispose]());

/** But for the root itself, whose time and mode docker and podman make up. */
function linesBelow(root: string): string[] {
  return treeLines(root, { fields }).slice(1);
}

/** A read-only mount of layers, the topmost first, as long as it is looked at. */
async function treeOfLayers(layers: string[]): Promise<string[]> {
  const target = workspace.path(`mount-${++mounts}`);
  mkdirSync(target);
  await succeed(["mount", "-t", "overlay", "-o", `ro,lowerdir=${layers.join(":")}`, "overlay", target]);
  try {
    return linesBelow(target);
  } finally {
    await succeed(["umount", target]);
  }
}

async function treeOfDocker(image: string): Promise<string[]> {
  const driver = JSON.parse(await docker.ok("image", "inspect", "-f", "{{json .GraphDriver}}", image));
  expect(driver.Name).toBe("overlay2");
  return treeOfLayers([driver.Data.UpperDir, ...driver.Data.LowerDir.split(":")]);
}

async function treeOfPodman(image: string): Promise<string[]> {
  const path = await podman.ok("image", "mount", image);
  try {
    return linesBelow(path);
  } finally {
    await podman.ok("image", "unmount", image);
  }
}

/** Its layers, applied one over the other. */
async function treeOfTsd(image: string): Promise<string[]> {
  const bundle = workspace.path(`bundle-${++mounts}`);
  await daemon.ok("bundle", "-q", image, bundle);
  const lines = linesBelow(join(bundle, "rootfs"));
  await succeed(["rm", "-r", bundle]);
  return lines;
}

function manifestOf(
  reference: string,
): Promise<{ config: { digest: string }; layers: { digest: string; mediaType: string }[] }> {
  return succeed(
    workspace.inNetwork(["skopeo", "inspect", "--raw", "--tls-verify=false", `docker://${reference}`]),
  ).then((text) => JSON.parse(text));
}

function skopeo(...args: string[]): Promise<string> {
  const flags = ["-q", "--insecure-policy", "--src-tls-verify=false", "--dest-tls-verify=false"];
  return succeed(workspace.inNetwork(["skopeo", "copy", ...flags, ...args]));
}

/** Pulls with tsd what another program has pushed, and compares all its files. */
async function expectPulled(reference: string): Promise<void> {
  await daemon.ok("pull", "-q", reference);
  expectSameTree(await treeOfTsd(reference), wanted);
  const manifest = await manifestOf(reference);
  const blobs = join(daemon.root, "content/blobs/sha256");
  for (const { digest } of manifest.layers) expect(await Bun.file(join(blobs, digest.slice(7))).exists()).toBe(true);
  await daemon.ok("rmi", reference);
}

describe("tsd reads what is pushed by", () => {
  test.each(["oci", "v2s2"])(
    "skopeo in format %s",
    async (format) => {
      const reference = `${registry.host}/skopeo:${format}`;
      await skopeo("--format", format, `docker://${source.reference}`, `docker://${reference}`);
      await expectPulled(reference);
    },
    30_000,
  );

  test("skopeo, compressed with zstd", async () => {
    const reference = `${registry.host}/skopeo/zstd:1`;
    const directory = workspace.path("zstd");
    await skopeo(
      "--dest-compress-format",
      "zstd",
      "--dest-compress",
      `docker://${source.reference}`,
      `dir:${directory}`,
    );
    await skopeo("--format", "oci", `dir:${directory}`, `docker://${reference}`);
    const { layers } = await manifestOf(reference);
    expect(layers.map(({ mediaType }) => mediaType)).toEqual(
      Array(2).fill("application/vnd.oci.image.layer.v1.tar+zstd"),
    );
    await expectPulled(reference);
  }, 30_000);

  test("docker", async () => {
    const reference = `${registry.host}/docker:1`;
    await docker.ok("tag", source.reference, reference);
    await docker.ok("push", "-q", reference);
    await expectPulled(reference);
  }, 30_000);

  test.each(["gzip", "zstd"])(
    "podman, compressed with %s",
    async (compression) => {
      const reference = `${registry.host}/podman:${compression}`;
      await podman.ok("pull", "-q", "--tls-verify=false", source.reference);
      const flags = ["--tls-verify=false", "--compression-format", compression, "--format", "oci"];
      await podman.ok("push", "-q", ...flags, source.reference, reference);
      await expectPulled(reference);
    },
    30_000,
  );
});

describe("what tsd pulls and pushes", () => {
  const pushed = () => `${registry.host}/tsd:pushed`;

  beforeAll(async () => {
    await daemon.ok("pull", "-q", source.reference);
    await daemon.ok("tag", source.reference, pushed());
    await daemon.ok("push", "-q", pushed());
  }, 30_000);

  test("is the same, to the byte", async () => {
    const text = await succeed(
      workspace.inNetwork(["skopeo", "inspect", "--raw", "--tls-verify=false", `docker://${pushed()}`]),
    );
    expect(`sha256:${new Bun.CryptoHasher("sha256").update(text).digest("hex")}`).toBe(source.manifest.digest);
  });

  test("has the same files for docker", async () => {
    await docker.ok("rmi", source.reference);
    await docker.ok("pull", "-q", pushed());
    expectSameTree(await treeOfDocker(pushed()), wanted);
    expect(await docker.ok("image", "inspect", "-f", "{{.RepoDigests}}", pushed())).toContain(source.manifest.digest);
  }, 30_000);

  test("has the same files for podman", async () => {
    await podman.run(["rmi", "-f", source.reference]);
    await podman.ok("pull", "-q", "--tls-verify=false", pushed());
    expectSameTree(await treeOfPodman(pushed()), wanted);
  }, 30_000);

  test("is read by skopeo from tsd's content store as it lies there, digest by digest", async () => {
    const directory = workspace.path("in-place");
    const canonical = pushed();
    await skopeo("--preserve-digests", `oci:${daemon.root}/content:${canonical}`, `dir:${directory}`);
    const manifest = await Bun.file(join(directory, "manifest.json")).text();
    expect(`sha256:${new Bun.CryptoHasher("sha256").update(manifest).digest("hex")}`).toBe(source.manifest.digest);
    for (const { digest } of source.layers) {
      const bytes = await Bun.file(join(directory, digest.slice(7))).bytes();
      expect(`sha256:${new Bun.CryptoHasher("sha256").update(bytes).digest("hex")}`).toBe(digest);
    }
  });
});

test("what tsd commits from a container and pushes has the same files for docker and podman as for itself", async () => {
  await daemon.ok("pull", "-q", source.reference);
  const script = [
    "busybox rm -r /opt/large /opaque",
    "busybox mkdir -m 710 /opaque /opt/new",
    "busybox chown 77:88 /opt/suid && busybox chmod 4711 /opt/suid",
    "busybox ln /opt/time /opt/new/link",
    "busybox ln -s ../time /opt/new/soft",
    "busybox mknod /opt/new/fifo p",
    "echo text > /opaque/text",
  ];
  await daemon.ok(
    "run",
    "--name",
    "changed",
    "--network",
    "none",
    source.reference,
    "/bin/sh",
    "-ec",
    script.join("\n"),
  );
  const reference = `${registry.host}/tsd:committed`;
  await daemon.ok("commit", "changed", reference);
  await daemon.ok("rm", "changed");
  await daemon.ok("push", "-q", reference);
  const own = await treeOfTsd(reference);
  expect(own.join("\n")).toMatch(/"\.\/opt\/new\/link" file .* 2 links, first "\.\/opt\/new\/link"/);
  expect(own.join("\n")).not.toContain('"./opt/large"');
  expect(own.join("\n")).not.toContain("hidden");
  await docker.ok("pull", "-q", reference);
  expectSameTree(await treeOfDocker(reference), own);
  await podman.ok("pull", "-q", "--tls-verify=false", reference);
  expectSameTree(await treeOfPodman(reference), own);
}, 60_000);
