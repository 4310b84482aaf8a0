/** `tsd fsck` by the built executable, beside a daemon and on the root of one that does not run: damage done by hand is found. */
import { Database } from "bun:sqlite";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { mkdirSync, readdirSync, readFileSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { archive } from "../../src/tar/tar-fixture.ts";
import { type CommandResult, command } from "../harness/command.ts";
import { Daemon } from "../harness/daemon.ts";
import { tsd, Workspace } from "../harness/workspace.ts";
import { HostileRegistry } from "./hostile-registry.ts";

let workspace: Workspace;
let daemon: Daemon;
let registry: HostileRegistry;
let count = 0;
/** Pulled anew for each test. */
let reference: string;

beforeAll(async () => {
  workspace = await Workspace.open();
  registry = await HostileRegistry.start(workspace);
  // What is put there for fsck to find is its alone: a collection would take it first.
  daemon = await Daemon.start(workspace, { flags: ["--gc=off"] });
}, 60_000);

afterAll(() => workspace?.[Symbol.asyncDispose]());

beforeEach(async () => {
  if ((await daemon.tsd(["version"])).status !== 0) await daemon.start();
  for (const id of (await daemon.ok("images", "-q")).split("\n").filter(Boolean)) await daemon.ok("rmi", "-f", id);
  count++;
  const data = crypto.getRandomValues(new Uint8Array(50_000));
  const layers = [archive([{ name: "etc/" }, { name: "etc/data", data }]), archive([{ name: `top${count}` }])];
  ({ reference } = registry.addImage(`image${count}`, layers));
  await daemon.ok("pull", "-q", reference);
});

function fsck(...flags: string[]): Promise<CommandResult> {
  return daemon.tsd(["fsck", ...flags]);
}

async function clean(...flags: string[]): Promise<void> {
  const { status, stdout } = await fsck(...flags);
  expect([status, stdout]).toEqual([
    0,
    expect.stringMatching(/^\d+ blobs \(.*B\), 2 layers, 1 images checked: clean\n$/),
  ]);
}

/** The path of the largest blob, which is the first layer's. */
function layerBlob(): string {
  const directory = join(daemon.root, "content/blobs/sha256");
  const paths = readdirSync(directory).map((name) => join(directory, name));
  return paths.sort((a, b) => Bun.file(b).size - Bun.file(a).size)[0]!;
}

function flip(path: string): void {
  const bytes = readFileSync(path);
  bytes[100]! ^= 0xff;
  writeFileSync(path, bytes);
}

function directories(): string[] {
  return readdirSync(join(daemon.root, "snapshots")).filter((name) => /^[0-9a-f]{16}$/.test(name));
}

describe("beside a running daemon", () => {
  test("a clean root is said to be clean", () => clean());

  test("a blob with other bytes is found, removed by --repair, and fetched by the next pull, and nothing else is", async () => {
    const path = layerBlob();
    flip(path);
    const found = await fsck();
    expect([found.status, found.stdout]).toEqual([
      1,
      expect.stringMatching(
        /^damage: corrupt-content: sha256:\w{64}: its \d+ bytes have digest sha256:\w{64}, of image .*\n.*: 1 damaged, 0 repaired; --repair puts right what can be\n$/,
      ),
    ]);
    expect(await Bun.file(path).exists()).toBe(true);
    const repaired = await fsck("--repair");
    expect([repaired.status, repaired.stdout]).toEqual([
      0,
      expect.stringContaining(
        `\n  repaired: removed; the next pull of ${reference}:latest fetches it, and nothing else\n`,
      ),
    ]);
    expect(await Bun.file(path).exists()).toBe(false);
    // Its files are whole, and containers of it go on.
    expect((await daemon.tsd(["create", "--name", "still", reference, "/x"])).status).toBe(0);
    await daemon.ok("rm", "still");
    expect(await daemon.ok("pull", reference)).toContain("Status: Downloaded newer image");
    expect(await daemon.ok("pull", reference)).toContain("Status: Image is up to date");
    await clean();
  });

  test("a blob that is gone is missed, and the image is not said to be up to date", async () => {
    rmSync(layerBlob());
    expect((await fsck()).stdout).toContain("damage: missing-content: sha256:");
    expect(await daemon.ok("pull", reference)).toContain("Status: Downloaded newer image");
    await clean();
  });

  test("a layer whose files are gone is unpacked again", async () => {
    for (const name of directories()) rmSync(join(daemon.root, "snapshots", name), { recursive: true });
    const found = await fsck();
    expect([found.status, [...found.stdout.matchAll(/damage: missing-layer/g)].length]).toEqual([1, 2]);
    const repaired = await fsck("--repair");
    expect([repaired.status, [...repaired.stdout.matchAll(/repaired: unpacked again/g)].length]).toEqual([0, 2]);
    expect(directories()).toHaveLength(2);
    await clean();
  });

  test("what lies about is found and cleared away, and reported as JSON", async () => {
    mkdirSync(join(daemon.root, "snapshots/00000000000000aa/fs"), { recursive: true });
    const ingest = join(daemon.root, `content/ingest/sha256-${"a".repeat(64)}`);
    writeFileSync(ingest, "half");
    utimesSync(ingest, 1, 1);
    const found = await fsck("--format", "json");
    expect(found.status).toBe(1);
    expect(JSON.parse(found.stdout)).toMatchObject({
      Clean: false,
      Findings: [
        { Kind: "orphan-snapshot", Severity: "damage", Object: "snapshots/00000000000000aa" },
        { Kind: "stale-ingest", Severity: "leftover", Message: expect.stringContaining("since 1970-01-01") },
      ],
      Summary: { Damage: 1, Leftovers: 1, Repaired: 0, Images: 1 },
    });
    const repaired = await fsck("--repair", "--format=json");
    expect([repaired.status, JSON.parse(repaired.stdout)]).toMatchObject([
      0,
      { Clean: true, Summary: { Repaired: 2 } },
    ]);
    await clean();
  });

  test("what a container wrote cannot be brought back, and that is said", async () => {
    const before = new Set(directories());
    const id = await daemon.ok("create", reference, "/x");
    const own = directories().find((name) => !before.has(name))!;
    rmSync(join(daemon.root, "snapshots", own), { recursive: true });
    const { status, stdout } = await fsck("--repair");
    expect([status, stdout]).toEqual([
      1,
      expect.stringContaining(`missing-container-layer: ${id}: what container ${id} wrote`),
    ]);
    expect(stdout).toContain("\n  not repaired: it cannot be put right from what is here\n");
    await daemon.ok("rm", id);
    await clean();
  });
});

describe("on the root of a daemon", () => {
  test("that runs it is refused", async () => {
    const { status, stderr } = await fsck("--root", daemon.root);
    expect([status, stderr]).toEqual([1, expect.stringContaining(`is in use by another daemon, pid ${daemon.pid}`)]);
  });

  test("that does not run damage is found and repaired, and the daemon starts with what is whole", async () => {
    await daemon.stop();
    await clean("--root", daemon.root);
    flip(layerBlob());
    mkdirSync(join(daemon.root, "snapshots/partial-00000000000000bb"));
    const found = await fsck("--root", daemon.root);
    expect([found.status, found.stdout]).toEqual([1, expect.stringContaining(": 2 damaged, 0 repaired")]);
    expect((await fsck("--root", daemon.root, "--repair")).status).toBe(0);
    await daemon.start();
    expect(await daemon.ok("pull", reference)).toContain("Status: Downloaded newer image");
    await clean();
  });

  test("whose database has a damaged index gets it made anew", async () => {
    await daemon.stop();
    const path = join(daemon.root, "metadata.db");
    const database = new Database(path);
    const root = "SELECT rootpage FROM sqlite_master WHERE name = 'image_content_digest'";
    const { rootpage } = database.query<{ rootpage: number }, []>(root).get()!;
    const { page_size } = database.query<{ page_size: number }, []>("PRAGMA page_size").get()!;
    database.close();
    const bytes = readFileSync(path);
    const page = bytes.subarray((rootpage - 1) * page_size, rootpage * page_size);
    // One digit of a digest in the index, while the table has another.
    const at = page.indexOf(basename(layerBlob())) + 63;
    page[at]! ^= 1;
    writeFileSync(path, bytes);
    const found = await fsck("--root", daemon.root);
    expect([found.status, found.stdout]).toEqual([
      1,
      expect.stringMatching(/^damage: database: metadata.db: row \d+ missing from index image_content_digest/),
    ]);
    const repaired = await fsck("--root", daemon.root, "--repair");
    expect([repaired.status, repaired.stdout]).toEqual([
      0,
      expect.stringContaining("repaired: indexes were made anew"),
    ]);
    await clean("--root", daemon.root);
    await daemon.start();
  });

  test("that is none is refused, and nothing is made there", async () => {
    const directory = workspace.path("nothing");
    mkdirSync(directory);
    const { status, stderr } = await fsck("--root", directory);
    expect([status, stderr]).toEqual([1, expect.stringContaining(`${directory} is no root of a daemon`)]);
    expect(readdirSync(directory)).toEqual([]);
    const other = await command([tsd, "fsck", "--format", "xml"]);
    expect([other.status, other.stderr]).toEqual([1, expect.stringContaining("invalid format")]);
  });
});

test("what comes and goes while it looks is no damage, and garbage collection beside it takes nothing that is needed", async () => {
  const busy = await Daemon.start(workspace, { name: "busy", flags: ["--gc-interval=1s"] });
  let isOver = false;
  const until = performance.now() + 5000;
  const images = Array.from({ length: 3 }, (_, at) => {
    const data = crypto.getRandomValues(new Uint8Array(300_000));
    const shared = archive([{ name: "shared", data: "the same in all" }]);
    return registry.addImage(`busy${at}`, [shared, archive([{ name: "data", data }])]).reference;
  });
  const work = images.map(async (image) => {
    while (performance.now() < until) {
      await busy.ok("pull", "-q", image);
      const id = await busy.ok("create", image, "/x");
      await busy.ok("rm", id);
      await busy.ok("rmi", image);
    }
  });
  const checks: CommandResult[] = [];
  const check = (async () => {
    while (!isOver) checks.push(await busy.tsd(["fsck", "--format", "json"]));
  })();
  await Promise.all(work);
  isOver = true;
  await check;
  expect(checks.length).toBeGreaterThan(2);
  const found = checks.flatMap(({ stdout }) => JSON.parse(stdout).Findings as object[]);
  expect(found).toEqual([]);
  expect(checks.every(({ status }) => status === 0)).toBe(true);
  await busy.ok("gc");
  expect((await busy.tsd(["fsck"])).stdout).toContain("0 blobs (0B), 0 layers, 0 images checked: clean");
}, 60_000);
