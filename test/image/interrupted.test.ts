/** A pull that the daemon's death interrupts shows nothing, and the next one goes on from there. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { archive } from "../../src/tar/tar-fixture.ts";
import { until } from "../harness/command.ts";
import { Daemon } from "../harness/daemon.ts";
import { tsd, Workspace } from "../harness/workspace.ts";
import { HostileRegistry, noise } from "./hostile-registry.ts";

let workspace: Workspace;
let daemon: Daemon;
let registry: HostileRegistry;

const random = noise(4 << 20);

beforeAll(async () => {
  workspace = await Workspace.open();
  registry = await HostileRegistry.start(workspace);
  daemon = await Daemon.start(workspace);
}, 60_000);

afterAll(() => workspace?.[Symbol.asyncDispose]());

/** Starts a pull and kills the daemon at a moment. */
async function killDuring(reference: string, moment: () => boolean): Promise<void> {
  const client = Bun.spawn([tsd, "pull", reference], {
    env: { ...process.env, ...daemon.env },
    stdio: ["ignore", "ignore", "ignore"],
  });
  await until("the moment to kill the daemon at", moment);
  await daemon.stop("SIGKILL");
  expect(await client.exited).not.toBe(0);
  await daemon.start();
  expect(await daemon.ok("images", "-aq")).toBe("");
}

test("killed in the middle of a download, it keeps what it has and goes on from there", async () => {
  const { layers, reference } = registry.addImage("download", [archive([{ name: "noise", data: random }])], {
    compression: "none",
  });
  const [layer] = layers;
  registry.misbehave({ path: `/blobs/${layer!.digest}$`, pieceBytes: 100_000, pauseMs: 20 });
  const ingest = join(daemon.root, "content/ingest", layer!.digest.replace(":", "-"));
  await killDuring(reference, () => (statSync(ingest, { throwIfNoEntry: false })?.size ?? 0) > 500_000);
  registry.misbehave();
  await daemon.ok("pull", "-q", reference);
  const ranges = registry.requests().filter((line) => line.includes(layer!.digest) && line.includes("bytes="));
  expect(ranges.length).toBeGreaterThan(0);
  expect(Number(/bytes=(\d+)/.exec(ranges.at(-1)!)![1])).toBeGreaterThan(400_000);
  expect(readdirSync(join(daemon.root, "content/ingest"))).toEqual([]);
  const bundle = workspace.path("bundle");
  await daemon.ok("bundle", reference, bundle);
  expect(Buffer.compare(readFileSync(join(bundle, "rootfs/noise")), random)).toBe(0);
  await daemon.ok("rmi", reference);
}, 60_000);

test("killed in the middle of unpacking, what is half done is cleaned away at the next start", async () => {
  const files = Array.from({ length: 3000 }, (_, index) => ({ name: `file${index}`, data: `${index}` }));
  const { reference } = registry.addImage("unpacking", [archive(files)]);
  const snapshots = join(daemon.root, "snapshots");
  const partial = () => readdirSync(snapshots).filter((name) => name.startsWith("partial"));
  await killDuring(reference, () => partial().some((name) => filesOf(join(snapshots, name, "fs")).length > 0));
  await until(
    "nothing half done is left",
    () => partial().length === 0 && readdirSync(join(snapshots, "trash")).length === 0,
  );
  const processes = () =>
    readdirSync("/proc").filter(
      (pid) => /^\d+$/.test(pid) && commandLine(pid).includes(workspace.name) && commandLine(pid).includes("unpack"),
    );
  await until("no child goes on unpacking", () => processes().length === 0);
  await daemon.ok("pull", "-q", reference);
  const bundle = workspace.path("bundle2");
  await daemon.ok("bundle", reference, bundle);
  expect(readdirSync(join(bundle, "rootfs")).length).toBe(3000);
}, 60_000);

function filesOf(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch {
    return []; // it has its final name by now
  }
}

function commandLine(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8");
  } catch {
    return ""; // it ended while it was looked at
  }
}
