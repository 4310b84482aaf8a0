import { describe, expect, test } from "bun:test";
import {
  appendFileSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { type Digest, digestOf } from "../../core/digest.ts";
import type { PullProgress } from "../image.ts";
import { addImage, type FixtureImage } from "../image-fixture.ts";
import { base, failure, isRoot, top, useStore } from "../store-fixture.ts";
import { checkStore } from "./check.ts";
import { checkMissing } from "./content.ts";
import { type CheckSummary, type FindingKind, type ReportedFinding, withTurns } from "./finding.ts";

const fixture = useStore();

async function check(repair = false): Promise<{ findings: ReportedFinding[]; summary: CheckSummary }> {
  const findings: ReportedFinding[] = [];
  for await (const event of checkStore(fixture.store, { repair })) {
    if (event.step === "finding") findings.push(event.finding);
    if (event.step === "done") return { findings, summary: event.summary };
  }
  throw new Error("the check did not end");
}

const kinds = async (repair = false) => (await check(repair)).findings.map(({ kind }) => kind);

async function pulled(): Promise<FixtureImage> {
  const made = addImage(fixture.registry, [base, top], { tag: "tag" });
  await fixture.store.pull(fixture.name());
  return made;
}

/** The blob gets other bytes, as many as it had. */
function corrupt(digest: Digest): void {
  const path = fixture.store.content.path(digest);
  const bytes = readFileSync(path);
  bytes[bytes.length >> 1]! ^= 1;
  writeFileSync(path, bytes);
}

/** @returns the blobs that were fetched. */
async function pullAgain(): Promise<string[]> {
  fixture.registry.seen.length = 0;
  const events: PullProgress[] = [];
  await fixture.store.pull(fixture.name(), { onProgress: (event) => events.push(event) });
  expect(events.at(-1)!.status).toContain("Downloaded newer image");
  return fixture.registry.seen.flatMap(({ path }) => (path.includes("/blobs/") ? path.split("/").at(-1)! : []));
}

describe.skipIf(!isRoot)("a check of the store", () => {
  test("lets the event loop have its turns, and loses nothing that came back before the repair", async () => {
    const made = await pulled();
    const path = fixture.store.content.path(made.layers[0]!.digest);
    const bytes = readFileSync(path);
    rmSync(path);
    for await (const { repair } of checkMissing(fixture.store, new Set())) {
      writeFileSync(path, bytes);
      expect(await repair!()).toBe("it has come back");
    }
    expect(await kinds()).toEqual([]);
    let turns = 0;
    let isDone = false;
    const count = () => {
      turns++;
      if (!isDone) setImmediate(count);
    };
    setImmediate(count);
    let items = 0;
    for await (const _ of withTurns(Array(1000).keys())) items++;
    isDone = true;
    expect(items).toBe(1000);
    expect(turns).toBeGreaterThan(10);
  });

  test("finds nothing where nothing is wrong", async () => {
    await pulled();
    fixture.store.snapshots.prepare("c", fixture.store.get(fixture.name()));
    expect(await check()).toEqual({
      findings: [],
      summary: {
        blobs: 4,
        blobBytes: expect.any(Number),
        layers: 2,
        images: 1,
        damage: 0,
        leftovers: 0,
        repaired: 0,
      },
    });
    await fixture.store.remove(fixture.name(), { force: true });
    expect(await kinds()).toEqual([]);
  });

  test.each([
    ["corrupt", "layer", "corrupt-content"],
    ["corrupt", "config", "corrupt-content"],
    ["corrupt", "manifest", "corrupt-content"],
    ["short", "layer", "wrong-size"],
    ["long", "config", "wrong-size"],
    ["missing", "layer", "missing-content"],
    ["missing", "config", "missing-content"],
    ["missing", "manifest", "missing-content"],
  ] as const)("finds a %s %s, and the next pull fetches it and nothing else", async (how, what, kind) => {
    const made = await pulled();
    const digest = { layer: made.layers[1]!.digest, config: made.config, manifest: made.manifest }[what];
    const path = fixture.store.content.path(digest);
    if (how === "corrupt") corrupt(digest);
    else if (how === "missing") rmSync(path);
    else if (how === "short") truncateSync(path, 10);
    else appendFileSync(path, "more");
    const { findings } = await check();
    expect(findings.filter(({ severity }) => severity === "damage")).toMatchObject([
      { kind, severity: "damage", object: digest, message: expect.stringContaining(fixture.name()) },
    ]);
    expect(findings[0]!.repaired).toBeUndefined();
    const repaired = await check(true);
    expect(repaired.findings[0]).toMatchObject({ kind, repaired: expect.stringContaining("next pull of") });
    expect(repaired.summary).toMatchObject({ damage: 1, repaired: 1 });
    expect((await check()).summary.damage).toBe(0);
    expect(await kinds()).toEqual(["incomplete-image"]);
    // Whoever needs files of it still has them, unless it cannot be known what they are.
    expect(fixture.store.resolve(fixture.name()) !== undefined).toBe(what === "layer");
    expect(await pullAgain()).toEqual(what === "manifest" ? [] : [digest]);
    expect(await kinds()).toEqual([]);
  });

  test("unpacks a layer again whose files are gone", async () => {
    const made = await pulled();
    const { lower } = fixture.store.snapshots.prepare("c", fixture.store.get(fixture.name()));
    rmSync(join(lower[1]!, ".."), { recursive: true });
    rmSync(join(lower[0]!, ".."), { recursive: true });
    const { findings } = await check();
    expect(findings.map(({ kind, object }) => [kind, object])).toEqual([
      ["missing-layer", made.diffIds[0]!],
      ["missing-layer", fixture.store.get(fixture.name()).chainId!],
    ]);
    expect((await check(true)).findings.map(({ repaired }) => repaired)).toEqual(["unpacked again", "unpacked again"]);
    expect(await kinds()).toEqual([]);
    expect(readFileSync(join(fixture.store.snapshots.mounts("c").lower[1]!, "etc/passwd"), "utf8")).toContain("root");
  });

  test("has a layer pulled again of which nothing is left", async () => {
    const made = await pulled();
    const [, lower] = fixture.store.layers.paths(fixture.store.get(fixture.name()).chainId!);
    rmSync(join(lower!, ".."), { recursive: true });
    rmSync(fixture.store.content.path(made.layers[0]!.digest));
    const { findings } = await check(true);
    expect(findings.map(({ kind }) => kind)).toEqual(["missing-content", "missing-layer", "incomplete-image"]);
    expect(findings[1]!.failed).toContain("cannot be unpacked again: its content is not stored");
    expect(fixture.store.resolve(fixture.name())).toBeUndefined();
    expect(await pullAgain()).toEqual([made.layers[0]!.digest]);
    expect(await kinds()).toEqual([]);
    expect(fixture.store.get(fixture.name()).isUnpacked).toBe(true);
  });

  test("says of a container whose own files are gone that it cannot be repaired", async () => {
    await pulled();
    const { upper } = fixture.store.snapshots.prepare("c".repeat(64), fixture.store.get(fixture.name()));
    rmSync(join(upper, ".."), { recursive: true });
    const { findings } = await check(true);
    expect(findings).toMatchObject([{ kind: "missing-container-layer", object: "c".repeat(64) }]);
    expect(findings[0]!.failed).toBeDefined();
  });

  test("finds what lies about, and clears it away", async () => {
    await pulled();
    const { root, store } = fixture;
    const ago = (path: string) => utimesSync(path, 1, 1);
    mkdirSync(join(root, "snapshots/0123456789abcdef/fs"), { recursive: true });
    mkdirSync(join(root, "snapshots/partial-0123456789abcdef"), { recursive: true });
    mkdirSync(join(root, "snapshots/trash/old"));
    const orphan = digestOf("orphan");
    await store.content.write(Buffer.from("orphan"), orphan);
    ago(store.content.path(orphan));
    writeFileSync(join(root, "content/ingest/sha256-half"), "half");
    ago(join(root, "content/ingest/sha256-half"));
    writeFileSync(join(root, "content/blobs/sha256/notes"), "mine");
    fixture.database.run("INSERT INTO leases (reason, created_at, touched_at) VALUES ('x', '2020', '2020')");
    const expected: FindingKind[] = [
      "empty-lease",
      "orphan-snapshot",
      "orphan-snapshot",
      "stale-ingest",
      "stray-file",
      "trash",
      "unreferenced-content",
    ];
    expect((await kinds()).sort()).toEqual(expected);
    const { findings, summary } = await check(true);
    expect(findings.map(({ kind }) => kind).sort()).toEqual(expected);
    expect(summary).toMatchObject({ damage: 2, leftovers: 5, repaired: 7 });
    expect(await kinds()).toEqual([]);
    expect(readdirSync(join(root, "snapshots")).filter((name) => name.includes("0123456789abcdef"))).toEqual([]);
    expect(fixture.store.list()).toHaveLength(1);
  });

  test("takes what is being made for what it is", async () => {
    await pulled();
    const partial = fixture.store.directories.makePartial();
    await fixture.store.content.write(Buffer.from("new"), digestOf("new"));
    writeFileSync(join(fixture.root, "content/ingest/sha256-half"), "half");
    using lease = fixture.store.leases.take("load");
    lease.add({ content: [digestOf("new")] });
    expect(await kinds()).toEqual([]);
    fixture.store.directories.discard(partial);
  });

  test("finds records that contradict each other, and an index that does", async () => {
    const made = await pulled();
    fixture.database.run("PRAGMA foreign_keys = OFF");
    fixture.database.run(
      "INSERT INTO image_names (name, image_id) VALUES ('docker.io/library/lost:latest', 'sha256:0')",
    );
    fixture.database.run("UPDATE image_platforms SET top_chain = 'sha256:1'");
    fixture.database.run("PRAGMA foreign_keys = ON");
    writeFileSync(join(fixture.root, "content/index.json"), "{}");
    const { findings } = await check();
    expect(findings.map(({ kind }) => kind)).toEqual(["foreign-key", "index", "image-record"]);
    expect(findings[0]!.message).toContain("images");
    expect((await check(true)).findings.every(({ repaired, severity }) => repaired || severity === "notice")).toBe(
      true,
    );
    expect(await kinds()).toEqual(["incomplete-image"]);
    expect(await pullAgain()).toEqual([]);
    expect(await kinds()).toEqual([]);
    expect(JSON.parse(readFileSync(join(fixture.root, "content/index.json"), "utf8")).manifests).toMatchObject([
      { digest: made.manifest },
    ]);
  });

  test("ends when it is cancelled", async () => {
    await pulled();
    const signal = AbortSignal.abort();
    const all = Array.fromAsync(checkStore(fixture.store, { repair: false, signal }));
    expect((await failure(all)).code).toBe("cancelled");
  });
});
