/** A daemon that is killed again and again while it pulls one large image: what has been fetched stays, and it ends right. */
import { expect } from "bun:test";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { succeed, until } from "../harness/command.ts";
import { Daemon } from "../harness/daemon.ts";
import { LiveCommand } from "../harness/live.ts";
import { Random } from "../harness/random.ts";
import { expectSameTree, treeLines } from "../harness/tree.ts";
import { tsd, Workspace } from "../harness/workspace.ts";
import { HostileRegistry, noise } from "./hostile-registry.ts";

export interface KilledPulls {
  kills: number;
  imageBytes: number;
}

const layerCount = 10;
/** Of the image, in all: the rest is what was on its way at each kill. */
const fetchedMax = 1.1;
/** Milliseconds after the last byte within which those that come late are killed: layers are unpacked then. */
const lateMs = 400;

/** What each layer has of the image: one is large, as in life. */
const shares = [0.02, 0.4, 0.05, 0.15, 0.03, 0.1, 0.05, 0.1, 0.05, 0.05];

export async function playKilledPulls(name: string, { kills, imageBytes }: KilledPulls): Promise<void> {
  const random = new Random(name);
  await using workspace = await Workspace.open();
  // What is in the kernel's buffers when a process is killed is lost: on a network there is less of it than on loopback.
  await succeed(
    workspace.inNetwork(["sysctl", "-qw", "net.ipv4.tcp_rmem=4096 65536 65536", "net.ipv4.tcp_wmem=4096 65536 65536"]),
  );
  const registry = await HostileRegistry.start(workspace);
  const daemon = await Daemon.start(workspace);
  const expected = workspace.path("expected");
  const { reference, layers } = await makeImage(workspace, registry, imageBytes, expected);
  const total = layers.reduce((sum, { size }) => sum + size, 0);

  // A fifth of them when all bytes are there.
  const moments = Array.from({ length: kills }, () => random.below(Math.floor(total * 1.2))).sort((a, b) => a - b);
  for (const moment of moments) {
    await pullAndKill(daemon, registry, { reference, moment: Math.min(moment, total), late: moment > total, random });
    await daemon.start();
    await expectClean(daemon);
    const images = await daemon.ok("images", "-q");
    // A pull that was done before the kill is to be done again, with nothing to fetch.
    if (images !== "") expect(registry.sentBytes()).toBeGreaterThanOrEqual(total);
  }
  await daemon.ok("pull", "-q", reference);
  await expectClean(daemon);
  const fetched = registry.sentBytes();
  console.log(
    `note: ${name}: ${kills} kills, ${fetched} bytes fetched of ${total}: ${((fetched / total - 1) * 100).toFixed(1)} % more`,
  );
  expect(fetched).toBeGreaterThanOrEqual(total);
  expect(fetched).toBeLessThanOrEqual(total * fetchedMax);
  const bundle = workspace.path("bundle");
  await daemon.ok("bundle", "-q", reference, bundle);
  // No layer describes the root itself.
  const [actual, wanted] = [join(bundle, "rootfs"), expected].map((root) => treeLines(root).slice(1));
  expectSameTree(actual!, wanted!);
}

async function expectClean(daemon: Daemon): Promise<void> {
  const found = JSON.parse(await daemon.ok("fsck", "--format", "json")) as { Clean: boolean; Findings: unknown[] };
  expect(found).toMatchObject({ Clean: true, Findings: [] });
}

async function pullAndKill(
  daemon: Daemon,
  registry: HostileRegistry,
  { reference, moment, late, random }: { reference: string; moment: number; late: boolean; random: Random },
): Promise<void> {
  await using client = new LiveCommand([tsd, "pull", "-q", reference], daemon.env);
  let hasEnded = false;
  const ended = client.end(60_000).then(() => {
    hasEnded = true;
  });
  await until(`${moment} bytes are fetched`, () => hasEnded || registry.sentBytes() >= moment, 60_000);
  if (late) await Bun.sleep(random.below(lateMs));
  await daemon.stop("SIGKILL");
  await ended;
}

/** An image of ten layers with many small files and some large ones, and what it unpacks to as tar does it. */
async function makeImage(workspace: Workspace, registry: HostileRegistry, imageBytes: number, expected: string) {
  mkdirSync(expected);
  const tars: Uint8Array[] = [];
  for (const [index, share] of shares.slice(0, layerCount).entries()) {
    const tree = workspace.path("layer");
    const bytes = Math.floor(imageBytes * share);
    mkdirSync(join(tree, `layer${index}`, "small"), { recursive: true });
    writeFileSync(join(tree, `layer${index}`, "large"), noise(Math.floor(bytes * 0.9), 1000 * index));
    const small = Math.floor((bytes * 0.1) / 100);
    for (let file = 0; file < 100; file++) {
      writeFileSync(join(tree, `layer${index}/small/${file}`), noise(small, 1000 * index + file + 1));
    }
    const archive = workspace.path("layer.tar");
    await succeed(["tar", "-c", "--format=posix", "--sort=name", "-f", archive, "-C", tree, `layer${index}`]);
    await succeed(["tar", "-x", "-p", "-f", archive, "-C", expected]);
    tars.push(readFileSync(archive));
    rmSync(tree, { recursive: true });
    rmSync(archive);
  }
  return registry.addImage("large", tars, { compression: "zstd" });
}
