/** Pulls that must fail, and leave nothing behind. */
import { afterEach, describe, expect, test } from "bun:test";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { openDatabase } from "../core/database.ts";
import { type Digest, digestOf } from "../core/digest.ts";
import { mediaTypes } from "../oci/image.ts";
import { addImage, addIndex } from "./image-fixture.ts";
import { ImageStore } from "./images.ts";
import { registryError } from "./registry/hostile-registry.ts";
import { imageSchema } from "./schema.ts";
import { base, failure, isRoot, top, unpackProgram, useStore } from "./store-fixture.ts";

const fixture = useStore();

describe.skipIf(!isRoot)("a bad pull leaves nothing behind:", () => {
  afterEach(async () => {
    expect(fixture.store.list()).toEqual([]);
    await fixture.store.settled();
    expect(readdirSync(join(fixture.root, "snapshots/trash"))).toEqual([]);
    expect(fixture.snapshotNames().filter((entry) => entry.startsWith("partial"))).toEqual([]);
    expect(JSON.parse(readFileSync(join(fixture.root, "content/index.json"), "utf8")).manifests).toEqual([]);
  });

  async function refuse(code: string, message: string | RegExp, options: object = {}): Promise<void> {
    const failed = await failure(fixture.store.pull(fixture.name(), options));
    expect(failed.message).toMatch(message);
    expect(failed.code).toBe(code);
  }

  test("an unknown image", async () => {
    await refuse("not_found", /^manifest for .* not found: manifest unknown: manifest unknown$/);
  });

  test("a layer with other content", async () => {
    const { layers } = addImage(fixture.registry, [base], { tag: "tag" });
    const [layer] = layers;
    fixture.registry.blobs.set(layer!.digest, Buffer.alloc(layer!.size, "x"));
    await refuse("corrupt", /blob sha256:.* verification failed/);
    expect(readdirSync(join(fixture.root, "content/ingest"))).toEqual([]);
    expect(existsSync(fixture.store.content.path(layer!.digest))).toBe(false);
  });

  test("a layer that is too short", async () => {
    const { layers } = addImage(fixture.registry, [base], { tag: "tag" });
    const bytes = fixture.registry.blobs.get(layers[0]!.digest)!;
    fixture.registry.supportsRanges = false;
    fixture.registry.blobs.set(layers[0]!.digest, bytes.subarray(0, 20));
    await refuse("unavailable", /truncated: got 20 of \d+ bytes/);
  }, 30_000);

  test("a layer that is too long", async () => {
    const { layers } = addImage(fixture.registry, [base], { tag: "tag" });
    const bytes = fixture.registry.blobs.get(layers[0]!.digest)!;
    fixture.registry.blobs.set(layers[0]!.digest, Buffer.concat([bytes, bytes]));
    await refuse("corrupt", /more than the \d+ bytes/);
  });

  test("a layer that is not what the configuration says", async () => {
    addImage(fixture.registry, [base], {
      tag: "tag",
      editConfig: (config) => Object.assign(config, { rootfs: { type: "layers", diff_ids: [digestOf("other")] } }),
    });
    await refuse("corrupt", /layer has diff id/);
  });

  test("a layer that is missing", async () => {
    const { layers } = addImage(fixture.registry, [base, top], { tag: "tag" });
    fixture.registry.blobs.delete(layers[1]!.digest);
    await refuse("not_found", /blob unknown/);
  });

  test("a layer that leaves its directory", async () => {
    addImage(fixture.registry, [base, [{ name: "../../escaped" }]], { tag: "tag" });
    await refuse("invalid_argument", /layer entry ..\/..\/escaped: path leaves the root/);
  });

  test("a layer that is no tar, and one that stops in the middle", async () => {
    const edit = (bytes: Uint8Array) => (manifest: Record<string, unknown>) => {
      manifest.layers = [{ mediaType: mediaTypes.ociLayer, ...fixture.registry.addBlob(bytes) }];
    };
    addImage(fixture.registry, [base], { tag: "tag", edit: edit(Buffer.from("<html>".repeat(200))) });
    await refuse("corrupt", "not a tar archive");
    addImage(fixture.registry, [base], {
      tag: "tag",
      edit: edit(Buffer.from([0x1f, 0x8b, 8, 0, 1, 2, 3, 4, 5, 6, 7, 8])),
    });
    await refuse("corrupt", "layer cannot be inflated");
    addImage(fixture.registry, [base], { tag: "tag", edit: edit(Buffer.from("fd377a585a0000", "hex")) });
    await refuse("unsupported", "layer compressed with xz");
  });

  test("a layer that is larger than allowed", async () => {
    fixture.reopen({ limits: { bytesMax: 100_000, entriesMax: 1000 } });
    addImage(fixture.registry, [[{ name: "bomb", data: new Uint8Array(1_000_000) }]], { tag: "tag" });
    await refuse("invalid_argument", /more than 100000 bytes/);
  });

  test.each([
    [
      "layers of another kind",
      (m: Record<string, unknown>) =>
        Object.assign((m.layers as object[])[0]!, {
          mediaType: "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
        }),
      "unsupported",
      /unsupported media type "application\/vnd.docker.image.rootfs.foreign/,
    ],
    [
      "an artifact",
      (m: Record<string, unknown>) =>
        Object.assign(m, { config: { mediaType: "application/vnd.x+json", digest: digestOf("{}"), size: 2 } }),
      "unsupported",
      /is no image but an artifact of type "application\/vnd.x\+json"/,
    ],
    [
      "more layers than the configuration has",
      (m: Record<string, unknown>) => (m.layers as object[]).push((m.layers as object[])[0]!),
      "corrupt",
      /the manifest has 2 layers, the configuration 1/,
    ],
    [
      "a configuration that is too large",
      (m: Record<string, unknown>) => Object.assign(m.config as object, { size: 2 ** 23 }),
      "corrupt",
      /are more than the 4194304 allowed/,
    ],
    [
      "a configuration of another size",
      (m: Record<string, unknown>) => Object.assign(m.config as object, { size: 10 }),
      "corrupt",
      /configuration sha256:.*: more than 10 bytes/,
    ],
  ] as [string, (manifest: Record<string, unknown>) => void, string, RegExp][])(
    "%s",
    async (_name, edit, code, message) => {
      addImage(fixture.registry, [base], { tag: "tag", edit });
      await refuse(code, message);
    },
  );

  test("a manifest for another platform than the one asked for", async () => {
    addImage(fixture.registry, [base], { tag: "tag", architecture: "arm64" });
    await refuse("not_found", /its platform \(linux\/arm64\) does not match the specified platform \(linux\/amd64\)/, {
      platform: { os: "linux", architecture: "amd64" },
    });
  });

  test("an index that is nested without end", async () => {
    let child: Digest = addImage(fixture.registry, [base]).manifest;
    for (let depth = 0; depth < 5; depth++)
      child = addIndex(fixture.registry, [{ digest: child, architecture: "amd64" }], "tag");
    await refuse("unsupported", /indexes nested too deeply/);
  });

  test("a child whose size is not as the index says", async () => {
    const { manifest } = addImage(fixture.registry, [base]);
    addIndex(fixture.registry, [{ digest: manifest, architecture: "amd64" }], "tag");
    fixture.registry.manifests.set(manifest, {
      ...fixture.registry.manifests.get(manifest)!,
      bytes: Buffer.from("{}"),
    });
    await refuse("corrupt", /manifest has digest/);
  });

  test("a fixture.registry that breaks down in the middle", async () => {
    const { layers } = addImage(fixture.registry, [base], { tag: "tag" });
    fixture.registry.misbehave = (_request, url) =>
      url.pathname.endsWith(layers[0]!.digest) ? registryError(503, "UNAVAILABLE", "try later") : undefined;
    await refuse("unavailable", /unavailable: try later \(503 Service Unavailable\)/);
  }, 30_000);

  test("a disk that is full", async () => {
    const small = join(fixture.root, "small");
    expect(Bun.spawnSync(["sh", "-c", `mkdir ${small} && mount -t tmpfs -o size=1m none ${small}`]).exitCode).toBe(0);
    const database = openDatabase(join(fixture.root, "other.db"), [imageSchema]);
    try {
      const full = new ImageStore({
        root: small,
        database,
        unpackProgram,
        registry: { retryDelayMs: 1 },
      });
      const data = new Uint8Array(Buffer.from(crypto.getRandomValues(new Uint8Array(60_000))));
      const entries = Array.from({ length: 40 }, (_, index) => ({ name: `f${index}`, data }));
      addImage(fixture.registry, [entries], { tag: "tag", compression: "none" });
      const download = await failure(full.pull(fixture.name()));
      expect(download.code).toBe("no_space");
      expect(readdirSync(join(small, "content/ingest"))).toEqual([]);
      addImage(fixture.registry, [entries], { tag: "tag", compression: "zstd" });
      const unpacking = await failure(full.pull(fixture.name()));
      expect(unpacking.code).toBe("no_space");
      expect(full.list()).toEqual([]);
      await full.settled();
      expect(readdirSync(join(small, "snapshots")).filter((entry) => entry !== "trash")).toEqual([]);
    } finally {
      database.close();
      Bun.spawnSync(["umount", small]);
    }
  });
});
