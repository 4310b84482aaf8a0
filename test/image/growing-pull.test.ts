/** Layers that are unpacked while they come: what is seen meanwhile, who waits for whom, and what a bad end leaves. */
import { afterAll, afterEach, beforeAll, expect, test } from "bun:test";
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { archive, type FixtureEntry } from "../../src/tar/tar-fixture.ts";
import { until } from "../harness/command.ts";
import { Daemon } from "../harness/daemon.ts";
import { LiveCommand } from "../harness/live.ts";
import { tsd, Workspace } from "../harness/workspace.ts";
import { HostileRegistry, noise } from "./hostile-registry.ts";

let workspace: Workspace;
let daemon: Daemon;
let registry: HostileRegistry;
let serial = 0;

const MiB = 2 ** 20;

beforeAll(async () => {
  workspace = await Workspace.open();
  registry = await HostileRegistry.start(workspace);
  daemon = await Daemon.start(workspace);
}, 60_000);

afterEach(async () => {
  registry.misbehave();
  await until("nothing half done is left", () => partial().length === 0, 20_000);
});

afterAll(() => workspace?.[Symbol.asyncDispose]());

/** An image with a layer of so many files of a megabyte that does not compress. */
function makeImage(files: number) {
  const name = `image${serial++}`;
  const entries: FixtureEntry[] = Array.from({ length: files }, (_, index) => ({
    name: `${name}-${index}`,
    data: noise(MiB, 100 * serial + index),
  }));
  return { name, ...registry.addImage(name, [archive(entries)], { compression: "zstd" }) };
}

const snapshots = () => join(daemon.root, "snapshots");

function partial(): string[] {
  return readdirSync(snapshots()).filter((name) => name.startsWith("partial"));
}

/** Files of layers that are not whole yet. */
function filesUnderWay(): string[] {
  return partial().flatMap((name) => {
    const path = join(snapshots(), name, "fs");
    return existsSync(path) ? readdirSync(path) : [];
  });
}

function pull(reference: string): LiveCommand {
  return new LiveCommand([tsd, "pull", "-q", reference], daemon.env);
}

async function expectWhole(reference: string, files: number): Promise<void> {
  const bundle = workspace.path(`bundle${serial++}`);
  await daemon.ok("bundle", "-q", reference, bundle);
  expect(readdirSync(join(bundle, "rootfs")).length).toBe(files);
  expect(JSON.parse(await daemon.ok("fsck", "--format", "json"))).toMatchObject({ Clean: true });
}

test("a layer is unpacked while it comes, and is seen when it is whole", async () => {
  const { reference, layers } = makeImage(8);
  registry.misbehave({ path: `/blobs/${layers[0]!.digest}$`, pieceBytes: 256 * 1024, pauseMs: 40 });
  const before = registry.sentBytes();
  await using client = pull(reference);
  await until("files are there", () => filesUnderWay().length >= 3);
  expect(registry.sentBytes() - before).toBeLessThan(layers[0]!.size);
  expect(await daemon.ok("images", "-q")).toBe("");
  expect(await client.end()).toBe(0);
  await expectWhole(reference, 8);
  await daemon.ok("rmi", reference);
}, 30_000);

test("a layer that ends in wrong bytes leaves nothing of what was unpacked", async () => {
  const { reference, layers } = makeImage(8);
  const [layer] = layers;
  const blob = join(workspace.path("hostile-5555"), "blobs", layer!.digest.slice(7));
  const bytes = readFileSync(blob);
  bytes[bytes.length - 3]! ^= 1;
  writeFileSync(blob, bytes);
  registry.misbehave({ path: `/blobs/${layer!.digest}$`, pieceBytes: 256 * 1024, pauseMs: 20 });
  await using client = pull(reference);
  await until("files are there", () => filesUnderWay().length >= 3);
  expect(await client.end()).toBe(1);
  expect(client.stderr).toMatch(/blob sha256:[0-9a-f]+: verification failed/);
  expect(await daemon.ok("images", "-aq")).toBe("");
  expect(readdirSync(join(daemon.root, "content/ingest"))).toEqual([]);
}, 30_000);

test("two pulls of an image share what comes, and go on when one of them is given up", async () => {
  const { reference, layers, name } = makeImage(8);
  registry.misbehave({ path: `/blobs/${layers[0]!.digest}$`, pieceBytes: 256 * 1024, pauseMs: 40 });
  const before = registry.sentBytes();
  const asked = () => registry.requests().filter((line) => line.includes(`/${name}/manifests/`)).length;
  await using first = pull(reference);
  await until("files are there", () => filesUnderWay().length >= 2);
  const askedByFirst = asked();
  await using second = pull(reference);
  await until("the second has asked", () => asked() > askedByFirst);
  first.kill("SIGKILL");
  expect(await second.end()).toBe(0);
  // The second's manifest comes anew; the layer does not.
  expect(registry.sentBytes() - before).toBeLessThan(layers[0]!.size * 1.1);
  await expectWhole(reference, 8);
  await daemon.ok("rmi", reference);
}, 30_000);

test("pulls that hang in the middle of their layers delay no other", async () => {
  const stalled = [makeImage(4), makeImage(4)];
  const swift = makeImage(4);
  registry.misbehave(
    ...stalled.map(({ layers }) => ({
      path: `/blobs/${layers[0]!.digest}$`,
      stallAfter: 512 * 1024,
      ignoreRange: true,
    })),
  );
  const clients = stalled.map(({ reference }) => pull(reference));
  try {
    const ingests = () =>
      readdirSync(join(daemon.root, "content/ingest")).filter((name) => !name.endsWith(".map")).length;
    await until("both have begun", () => ingests() === 2);
    await daemon.ok("pull", "-q", swift.reference);
    await expectWhole(swift.reference, 4);
  } finally {
    for (const client of clients) {
      client.kill("SIGKILL");
      await client[Symbol.asyncDispose]();
    }
  }
  await daemon.ok("rmi", swift.reference);
}, 30_000);

test("bytes that were damaged while the daemon was down are fetched anew", async () => {
  const { reference, layers } = makeImage(8);
  const [layer] = layers;
  registry.misbehave({ path: `/blobs/${layer!.digest}$`, pieceBytes: 256 * 1024, pauseMs: 40 });
  const ingest = join(daemon.root, "content/ingest", layer!.digest.replace(":", "-"));
  {
    await using _client = pull(reference);
    await until("half of it is there", () => (statSync(ingest, { throwIfNoEntry: false })?.size ?? 0) > 4 * MiB);
    await daemon.stop("SIGKILL");
  }
  const bytes = readFileSync(ingest);
  bytes.fill(0, 2 * MiB, 2 * MiB + 100);
  writeFileSync(ingest, bytes);
  registry.misbehave();
  await daemon.start();
  await daemon.ok("pull", "-q", reference);
  await expectWhole(reference, 8);
  await daemon.ok("rmi", reference);
}, 30_000);
