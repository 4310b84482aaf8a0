/** A disk that is full: every command says of what, and goes on where it was once there is room again. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdirSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { archive, type FixtureEntry } from "../../src/tar/tar-fixture.ts";
import { command, succeed, until } from "../harness/command.ts";
import { Daemon } from "../harness/daemon.ts";
import { Workspace } from "../harness/workspace.ts";
import { HostileRegistry, noise } from "./hostile-registry.ts";

let workspace: Workspace;
let daemon: Daemon;
let registry: HostileRegistry;
/** The daemon's root, a file system of 16 MB. */
let disk: string;

const random = noise(1 << 20);
const base: FixtureEntry[] = [
  { name: "bin/" },
  { name: "bin/busybox", mode: 0o755, data: new Uint8Array(readFileSync("/bin/busybox")) },
  { name: "bin/sh", type: "2", link: "busybox" },
  ...["dev/", "proc/", "sys/", "etc/"].map((name) => ({ name })),
];

beforeAll(async () => {
  workspace = await Workspace.open();
  registry = await HostileRegistry.start(workspace);
  disk = workspace.path("d", "root");
  mkdirSync(disk, { recursive: true });
  await succeed(["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", disk]);
  workspace.onClose("the small disk", () => succeed(["umount", disk]));
  daemon = await Daemon.start(workspace);
}, 60_000);

afterAll(() => workspace?.[Symbol.asyncDispose]());

/** Takes all the room that is left, until the result is disposed of. */
async function fill(): Promise<Disposable> {
  const file = join(disk, "filler");
  await command(["dd", "if=/dev/zero", `of=${file}`, "bs=4k"]);
  return { [Symbol.dispose]: () => rmSync(file) };
}

async function refusal(...args: string[]): Promise<string> {
  const { status, stderr } = await daemon.tsd(args);
  expect(status).not.toBe(0);
  return stderr.trimEnd();
}

const noSpace = /no space left on device|database or disk is full/i;

test("a layer that the disk cannot take is named, and what came of it is given back", async () => {
  const entries = Array.from({ length: 20 }, (_, index) => ({ name: `f${index}`, data: random }));
  const { layers, reference } = registry.addImage("big", [archive(entries)], { compression: "none" });
  const message = await refusal("pull", reference);
  expect(message).toMatch(noSpace);
  expect(message).toContain(layers[0]!.digest.slice(7, 19));
  expect(await daemon.ok("images", "-aq")).toBe("");
  expect(readdirSync(join(disk, "content/ingest"))).toEqual([]);
});

test("a layer that cannot be unpacked names the file, and what came of it is given back", async () => {
  const entries = Array.from({ length: 20 }, (_, index) => ({ name: `zeros${index}`, data: new Uint8Array(1 << 20) }));
  const { reference } = registry.addImage("zeros", [archive(entries)]);
  const message = await refusal("pull", reference);
  expect(message).toMatch(/layer entry zeros\d+: .*no space left on device/i);
  expect(await daemon.ok("images", "-aq")).toBe("");
  await until("the room is back", () => readdirSync(join(disk, "snapshots/trash")).length === 0);
});

test("with no room at all every command says what could not be written, and all goes on when there is", async () => {
  const { reference } = registry.addImage("small", [archive(base)]);
  await daemon.ok("pull", "-q", reference);
  const other = registry.addImage("other", [archive([...base, { name: "etc/other", data: "x" }])]).reference;
  {
    using _full = await fill();
    for (const args of [
      ["pull", "-q", other],
      ["create", "--name", "one", "--network", "none", reference],
      ["run", "--name", "two", "--network", "none", reference, "true"],
    ]) {
      const message = await refusal(...args);
      console.log(`note: full disk: tsd ${args[0]}: ${message.replaceAll(workspace.directory, "DIR")}`);
      expect(message).toMatch(noSpace);
      // Of what: a file of the root, a digest, or the container.
      expect(message).toMatch(/(\/d\/root\/\S+|sha256:|container|metadata\.db)/);
    }
    expect(await daemon.ok("ps", "-aq")).toBe("");
    // What only reads works.
    expect(await daemon.ok("images", "-q")).not.toBe("");
  }
  expect(await daemon.ok("run", "--rm", "--network", "none", reference, "sh", "-c", "echo room")).toBe("room");
  await daemon.ok("pull", "-q", other);
}, 60_000);

test("a container is removed though there is no room", async () => {
  const reference = `${registry.host}/small`;
  await daemon.ok("create", "--name", "doomed", "--network", "none", reference);
  using _full = await fill();
  const { status, stderr } = await daemon.tsd(["rm", "doomed"]);
  console.log(`note: full disk: tsd rm: ${status} ${stderr.trim()}`);
  if (status !== 0) expect(stderr).toMatch(noSpace);
});
