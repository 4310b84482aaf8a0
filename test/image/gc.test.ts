/** Garbage collection by the built executable: on its schedule, by command, under a budget, killed, and off. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { readdirSync, utimesSync } from "node:fs";
import { join } from "node:path";
import { type Digest, digestOf } from "../../src/core/digest.ts";
import { archive } from "../../src/tar/tar-fixture.ts";
import { command, until } from "../harness/command.ts";
import { Daemon } from "../harness/daemon.ts";
import { tsd, Workspace } from "../harness/workspace.ts";
import { HostileRegistry } from "./hostile-registry.ts";

let workspace: Workspace;
let registry: HostileRegistry;

beforeAll(async () => {
  workspace = await Workspace.open();
  registry = await HostileRegistry.start(workspace);
}, 60_000);

afterAll(() => workspace?.[Symbol.asyncDispose]());

/** An image of one layer with so many bytes that cannot be compressed. */
function image(name: string, bytes = 1000): string {
  const data = crypto.getRandomValues(new Uint8Array(Math.min(bytes, 65_536)));
  const whole = new Uint8Array(bytes).map((_, index) => data[index % data.length]!);
  return registry.addImage(name, [archive([{ name: `${name}.bin`, data: whole }])]).reference;
}

/** A blob that nothing refers to, as from long ago. */
async function orphan(daemon: Daemon, text: string): Promise<Digest> {
  const digest = digestOf(text);
  const path = join(daemon.root, "content/blobs/sha256", digest.slice(7));
  await Bun.write(path, text);
  utimesSync(path, 1, 1);
  return digest;
}

const blobs = (daemon: Daemon) => readdirSync(join(daemon.root, "content/blobs/sha256"));
const layers = (daemon: Daemon) =>
  readdirSync(join(daemon.root, "snapshots")).filter((name) => /^[0-9a-f]{16}$/.test(name));
const images = async (daemon: Daemon) => (await daemon.ok("images", "-q")).split("\n").filter(Boolean);

describe("on its schedule", () => {
  test("what nothing refers to goes, with an event and a line in the log that say why", async () => {
    const daemon = await Daemon.start(workspace, { name: "schedule", flags: ["--gc-interval=1s"] });
    await daemon.ok("pull", "-q", image("kept"));
    const before = blobs(daemon);
    const started = Math.floor(Date.now() / 1000);
    const digest = await orphan(daemon, "nobody's");
    expect(blobs(daemon)).toHaveLength(before.length + 1);
    const filter = ["--filter", "event=collect", "--format", "{{json .}}"];
    const seen = await until("the event", async () => {
      const until = `${Date.now() / 1000}`;
      return (await daemon.ok("events", "--since", `${started}`, "--until", until, ...filter)) || undefined;
    });
    expect(blobs(daemon)).toEqual(before);
    expect(JSON.parse(seen)).toMatchObject({
      Type: "image",
      Action: "collect",
      Actor: { ID: digest, Attributes: { kind: "content", reason: "no image needs it", bytes: "8" } },
    });
    expect(await daemon.log()).toContain(`removed content ${digest}`);
    expect(await images(daemon)).toHaveLength(1);
    await daemon.stop();
  });

  test("it runs soon after an image was removed, however long the interval is", async () => {
    const daemon = await Daemon.start(workspace, { name: "soon" });
    const reference = image("soon");
    await daemon.ok("pull", "-q", reference);
    await orphan(daemon, "left behind");
    await daemon.ok("rmi", reference);
    await until("the orphan is gone", () => blobs(daemon).length === 0);
    await daemon.stop();
  });

  test("under a budget the least recently used image goes, and one with a container stays", async () => {
    const flags = ["--gc-interval=1s", "--gc-max-used=2m", "--gc-keep-for=0"];
    const daemon = await Daemon.start(workspace, { name: "budget", flags });
    const [first, second] = [image("first", 400_000), image("second", 400_000)];
    await daemon.ok("pull", "-q", first);
    const container = await daemon.ok("create", first, "/none");
    await daemon.ok("pull", "-q", second);
    await daemon.ok("pull", "-q", image("third", 400_000));
    await until("one image is gone", async () => (await images(daemon)).length === 2);
    expect(await daemon.ok("images", "-q", second)).toBe("");
    expect(await daemon.log()).toMatch(/removed image sha256:\w+.*images take more space than --gc-max-used/);
    await daemon.ok("rm", container);
    await daemon.stop();
  });

  test("nothing goes when it is off, but for what the command removes", async () => {
    const daemon = await Daemon.start(workspace, {
      name: "off",
      flags: ["--gc=off", "--gc-interval=1s", "--gc-max-used=1k", "--gc-keep-for=0"],
    });
    const reference = image("off");
    await daemon.ok("pull", "-q", reference);
    const digest = await orphan(daemon, "kept for now");
    const [id] = await images(daemon);
    // That nothing happens cannot be waited for but by its time: two intervals.
    await Bun.sleep(2000);
    expect(blobs(daemon)).toContain(digest.slice(7));
    expect(await images(daemon)).toEqual([id!]);
    expect(await daemon.ok("gc", "--dry-run")).toMatch(
      /KIND +ID +SIZE +REASON\ncontent +\w{12} +12B +no image needs it\nimage .*\n\nSpace that would be reclaimed: \d/s,
    );
    expect(blobs(daemon)).toContain(digest.slice(7));
    expect(await daemon.ok("gc")).toContain("Total reclaimed space: ");
    expect([...blobs(daemon), ...layers(daemon), ...(await images(daemon))]).toEqual([]);
    expect(await daemon.ok("gc")).toBe("Total reclaimed space: 0B");
    await daemon.stop();
  });
});

test("a daemon killed while it collects goes on with it, and loses no image", async () => {
  const flags = ["--gc=off"];
  const daemon = await Daemon.start(workspace, { name: "killed", flags });
  const reference = image("survivor", 300_000);
  await daemon.ok("pull", "-q", reference);
  const kept = blobs(daemon);
  const orphans = await Promise.all(Array.from({ length: 2000 }, (_, at) => orphan(daemon, `orphan ${at}`)));
  let left = orphans.length;
  for (let round = 0; round < 4 && left > 0; round++) {
    const collecting = daemon.tsd(["gc"]);
    await until("it has begun", () => blobs(daemon).length < kept.length + left);
    await daemon.stop("SIGKILL");
    await collecting;
    left = blobs(daemon).length - kept.length;
    if (round === 0) expect(left).toBeGreaterThan(0);
    await daemon.start();
    expect(readdirSync(join(daemon.root, "content"))).not.toContain("trash");
    expect(await daemon.ok("images", "-q", reference)).not.toBe("");
  }
  await daemon.ok("gc");
  expect(blobs(daemon).sort()).toEqual(kept.sort());
  await daemon.ok("run", "--rm", reference, "/none").catch((error) => expect(String(error)).toContain("/none"));
});

test("flags that mean nothing are refused by name", async () => {
  const { status, stderr } = await command([tsd, "daemon", "--gc-max-used=lots"]);
  expect([status, stderr]).toEqual([125, expect.stringContaining('invalid argument "lots" for "--gc-max-used" flag')]);
});
