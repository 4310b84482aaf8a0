/** Pulls that go well, and that are interrupted. */
import { describe, expect, test } from "bun:test";
import { lstatSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { getXattr } from "../../ffi/stat.ts";
import { digestOf } from "../core/digest.ts";
import type { PullProgress } from "./image.ts";
import { addImage, addIndex } from "./image-fixture.ts";
import { slowBody } from "./registry/hostile-registry.ts";
import { base, failure, isRoot, top, useStore } from "./store-fixture.ts";

const fixture = useStore();

describe.skipIf(!isRoot)("a pull", () => {
  test.each(["gzip", "zstd", "none"] as const)(
    "unpacks layers (%s) as overlayfs wants them, and tells what docker tells",
    async (compression) => {
      const made = addImage(fixture.registry, [base, top], { tag: "tag", compression, docker: compression !== "zstd" });
      const events: PullProgress[] = [];
      const image = await fixture.store.pull(fixture.name(), { onProgress: (event) => events.push(event) });
      expect(image).toMatchObject({
        id: made.manifest,
        manifestDigest: made.manifest,
        names: [fixture.name()],
        platform: { os: "linux", architecture: "amd64" },
        createdAt: "2024-01-02T03:04:05Z",
      });
      const { lower, upper, work } = fixture.store.snapshots.prepare("container", image);
      expect(lower).toHaveLength(2);
      expect(lstatSync(join(lower[0]!, "etc/passwd")).isCharacterDevice()).toBe(true);
      expect(readFileSync(join(lower[1]!, "etc/passwd"), "utf8")).toContain("root");
      // No entry describes tmp in the upper layer: it looks as in the lower one.
      expect(statSync(join(lower[0]!, "tmp"))).toMatchObject({ uid: 5, mtimeMs: 1_000_000_000_000 });
      expect(statSync(join(lower[0]!, "tmp")).mode & 0o7777).toBe(0o1777);
      expect(getXattr({ path: join(lower[0]!, "old") }, "trusted.overlay.opaque")).toEqual(Uint8Array.of(0x79));
      expect([upper, work].every((path) => statSync(path).isDirectory())).toBe(true);
      expect(statSync(upper).mode & 0o7777).toBe(0o755);
      const [first, second] = made.layers.map(({ digest }) => digest.slice(7, 19));
      const of = (id: string | undefined) => events.filter((event) => event.id === id).map(({ status }) => status);
      expect(events[0]).toEqual({ id: "tag", status: "Pulling from some/image" });
      for (const id of [first, second]) {
        expect(of(id)).toContain("Verifying Checksum");
        expect(of(id)[0]).toBe("Pulling fs layer");
        expect(of(id).at(-1)).toBe("Pull complete");
        expect(of(id).indexOf("Download complete")).toBeGreaterThan(of(id).indexOf("Verifying Checksum"));
      }
      expect(events.slice(-2).map(({ status }) => status)).toEqual([
        `Digest: ${made.manifest}`,
        `Status: Downloaded newer image for ${fixture.name()}`,
      ]);
    },
  );

  test("of an image that is here asks with HEAD alone", async () => {
    addImage(fixture.registry, [base], { tag: "tag" });
    await fixture.store.pull(fixture.name());
    const before = fixture.registry.seen.length;
    const events: PullProgress[] = [];
    await fixture.store.pull(fixture.name(), { onProgress: (event) => events.push(event) });
    expect(fixture.registry.seen.slice(before).map(({ method }) => method)).toEqual(["HEAD"]);
    expect(events.at(-1)!.status).toBe(`Status: Image is up to date for ${fixture.name()}`);
  });

  test("of a tag that moved leaves the old image without its name", async () => {
    const old = addImage(fixture.registry, [base], { tag: "tag" });
    await fixture.store.pull(fixture.name());
    const moved = addImage(fixture.registry, [base, top], { tag: "tag" });
    const events: PullProgress[] = [];
    const image = await fixture.store.pull(fixture.name(), { onProgress: (event) => events.push(event) });
    expect(image.id).toBe(moved.manifest);
    expect(fixture.store.resolve(old.manifest)).toMatchObject({ id: old.manifest, names: [] });
    expect(events.filter(({ status }) => status === "Already exists")).toHaveLength(1);
    expect(fixture.snapshotNames()).toHaveLength(2);
  });

  test("takes the platform that is asked for from an index, whose digest is the image's id", async () => {
    const amd64 = addImage(fixture.registry, [base]);
    const arm64 = addImage(fixture.registry, [top], { architecture: "arm64" });
    const index = addIndex(
      fixture.registry,
      [
        { digest: arm64.manifest, architecture: "arm64" },
        { digest: amd64.manifest, architecture: "amd64" },
      ],
      "tag",
    );
    expect(await fixture.store.pull(fixture.name())).toMatchObject({ id: index, manifestDigest: amd64.manifest });
    expect(fixture.store.resolve(fixture.name(), { os: "linux", architecture: "arm64" })).toBeUndefined();
    const arm = await fixture.store.pull(fixture.name(), { platform: { os: "linux", architecture: "arm64" } });
    expect(arm).toMatchObject({ id: index, manifestDigest: arm64.manifest });
    expect(fixture.store.resolve(fixture.name())!.manifestDigest).toBe(amd64.manifest);
    expect(fixture.store.list()).toHaveLength(1);
    const missing = await failure(
      fixture.store.pull(fixture.name(), { platform: { os: "linux", architecture: "s390x" } }),
    );
    expect(missing.code).toBe("not_found");
    expect(missing.message).toContain("available: linux/arm64, linux/amd64");
  });

  test("by the digest of a layer that is here is no image", async () => {
    const { layers } = addImage(fixture.registry, [base], { tag: "tag" });
    await fixture.store.pull(fixture.name());
    const { digest } = layers[0]!;
    expect(fixture.store.content.has(digest)).toBe(true);
    const events: PullProgress[] = [];
    const refused = await failure(
      fixture.store.pull(`${fixture.registry.host}/some/image@${digest}`, {
        onProgress: (event) => events.push(event),
      }),
    );
    expect([refused.code, refused.message]).toEqual(["not_found", expect.stringMatching(/^manifest for .* not found/)]);
    // So that the API's answer can have a status of its own.
    expect(events).toEqual([]);
  });

  test("by digest files the image under its digest", async () => {
    const made = addImage(fixture.registry, [base], { tag: "tag" });
    const text = `${fixture.registry.host}/some/image@${made.manifest}`;
    const image = await fixture.store.pull(text);
    expect(image.names).toEqual([text]);
    expect(fixture.store.list()[0]).toMatchObject({ repoTags: [], repoDigests: [text] });
    expect(fixture.store.resolve(`${fixture.registry.host}/some/image:other@${made.manifest}`)?.id).toBe(image.id);
  });

  test("of an image without layers works", async () => {
    addImage(fixture.registry, [], { tag: "tag" });
    const image = await fixture.store.pull(fixture.name());
    expect(image.chainId).toBeUndefined();
    const { lower } = fixture.store.snapshots.prepare("c", image);
    expect(readdirSync(lower[0]!)).toEqual([]);
  });

  test("leaves a layout that says what is in it", async () => {
    const made = addImage(fixture.registry, [base], { tag: "tag" });
    await fixture.store.pull(fixture.name());
    const content = join(fixture.root, "content");
    expect(JSON.parse(readFileSync(join(content, "oci-layout"), "utf8"))).toEqual({ imageLayoutVersion: "1.0.0" });
    const index = JSON.parse(readFileSync(join(content, "index.json"), "utf8"));
    expect(index.manifests).toMatchObject([
      { digest: made.manifest, annotations: { "org.opencontainers.image.ref.name": fixture.name() } },
    ]);
    for (const blob of fixture.blobs()) {
      expect(digestOf(readFileSync(join(content, "blobs/sha256", blob)))).toBe(`sha256:${blob}`);
    }
  });

  test("whose tag and layers are shared with another at the same time downloads once", async () => {
    const made = addImage(fixture.registry, [base, top], { tag: "tag" });
    fixture.registry.misbehave = async (_request, url) => {
      if (url.pathname.includes("/blobs/")) await Bun.sleep(50);
      return undefined;
    };
    addImage(fixture.registry, [base], { tag: "other" });
    const images = await Promise.all([
      fixture.store.pull(fixture.name()),
      fixture.store.pull(fixture.name()),
      fixture.store.pull(fixture.name("other")),
    ]);
    expect(images[0]!.id).toBe(images[1]!.id);
    for (const { digest } of made.layers) {
      expect(fixture.registry.seen.filter(({ path }) => path.endsWith(digest))).toHaveLength(1);
    }
  });

  test("goes on when the one that started the download is cancelled", async () => {
    const made = addImage(fixture.registry, [base], { tag: "tag" });
    const bytes = fixture.registry.blobs.get(made.layers[0]!.digest)!;
    let downloads = 0;
    fixture.registry.misbehave = (_request, url) => {
      if (!url.pathname.endsWith(made.layers[0]!.digest)) return undefined;
      downloads++;
      return new Response(slowBody([bytes.subarray(0, 50), bytes.subarray(50, 60), bytes.subarray(60)], 60));
    };
    const controller = new AbortController();
    const first = failure(fixture.store.pull(fixture.name(), { signal: controller.signal }));
    const second = fixture.store.pull(fixture.name());
    await Bun.sleep(90);
    controller.abort();
    expect((await first).code).toBe("cancelled");
    expect((await second).id).toBe(made.manifest);
    expect(downloads).toBe(1);
  });
});

describe.skipIf(!isRoot)("an interrupted pull", () => {
  test("shows nothing, keeps what it has, and is continued from there", async () => {
    const made = addImage(fixture.registry, [[{ name: "f", data: new Uint8Array(Buffer.alloc(3_000_000, "abc")) }]], {
      tag: "tag",
      compression: "none",
    });
    const layer = made.layers[0]!;
    const bytes = fixture.registry.blobs.get(layer.digest)!;
    const half = bytes.subarray(0, 2_000_000);
    fixture.registry.misbehave = (_request, url) =>
      url.pathname.endsWith(layer.digest) ? new Response(slowBody([half, ...Array(1000).fill("")], 20)) : undefined;
    const controller = new AbortController();
    const cancelled = failure(fixture.store.pull(fixture.name(), { signal: controller.signal }));
    const partial = fixture.store.content.ingestPath(layer.digest);
    while ((statSync(partial, { throwIfNoEntry: false })?.size ?? 0) < half.length) await Bun.sleep(2);
    controller.abort();
    expect((await cancelled).code).toBe("cancelled");
    expect(fixture.store.list()).toEqual([]);
    expect(fixture.store.resolve(fixture.name())).toBeUndefined();
    await fixture.store.settled();
    expect(fixture.snapshotNames()).toEqual([]);
    await fixture.reopen().start();
    expect(statSync(partial).size).toBe(2_000_000);
    fixture.registry.misbehave = () => undefined;
    fixture.registry.seen.length = 0;
    const image = await fixture.store.pull(fixture.name());
    expect(fixture.registry.seen.find(({ path }) => path.endsWith(layer.digest))!.range).toMatch(/^bytes=2000000-/);
    expect(image.unpackedBytes).toBe(3_000_000);
    expect(readdirSync(join(fixture.root, "content/ingest"))).toEqual([]);
  });

  test("from a registry that stays too busy asks it no more often than for anything else", async () => {
    const [layer] = addImage(fixture.registry, [base], { tag: "tag" }).layers;
    fixture.registry.misbehave = (_request, url) =>
      url.pathname.endsWith(layer!.digest) ? new Response(null, { status: 429 }) : undefined;
    expect((await failure(fixture.store.pull(fixture.name()))).message).toContain("toomanyrequests");
    expect(fixture.registry.seen.filter(({ path }) => path.endsWith(layer!.digest))).toHaveLength(5);
  });

  test("whose partial blob is damaged starts over", async () => {
    const made = addImage(fixture.registry, [base], { tag: "tag" });
    const layer = made.layers[0]!;
    writeFileSync(fixture.store.content.ingestPath(layer.digest), Buffer.alloc(50, "?"));
    expect((await fixture.store.pull(fixture.name())).id).toBe(made.manifest);
    writeFileSync(fixture.store.content.ingestPath(layer.digest), Buffer.alloc(1_000_000, "?"));
    await fixture.store.remove(fixture.name());
    expect((await fixture.store.pull(fixture.name())).id).toBe(made.manifest);
  });

  test("goes on over a connection that breaks again and again, as long as bytes come", async () => {
    const made = addImage(fixture.registry, [base], { tag: "tag" });
    const layer = made.layers[0]!;
    const bytes = fixture.registry.blobs.get(layer.digest)!;
    let tries = 0;
    fixture.registry.misbehave = (request, url) => {
      if (!url.pathname.endsWith(layer.digest)) return undefined;
      tries++;
      const from = Number(/\d+/.exec(request.headers.get("range") ?? "0")![0]);
      const piece = bytes.subarray(from, from + 30);
      if (from === 0) return new Response(piece);
      return new Response(piece, { status: 206, headers: { "content-range": `bytes ${from}-/${bytes.length}` } });
    };
    expect((await fixture.store.pull(fixture.name())).id).toBe(made.manifest);
    expect(tries).toBe(Math.ceil(bytes.length / 30));
  }, 30_000);
});
