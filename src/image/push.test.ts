import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { rmSync } from "node:fs";
import { type Digest, digestOf } from "../core/digest.ts";
import { mediaTypes } from "../oci/image.ts";
import { addImage, addIndex, type FixtureImage } from "./image-fixture.ts";
import type { PushOptions, PushProgress } from "./push.ts";
import { canonicalReference, parseReference, parseRepository } from "./reference.ts";
import { TestRegistry } from "./registry/hostile-registry.ts";
import { base, failure, isRoot, top, useStore } from "./store-fixture.ts";

const fixture = useStore();
let target: TestRegistry;
let told: string[];
let aux: object[];

beforeEach(() => {
  target = new TestRegistry();
  told = [];
  aux = [];
});
afterEach(() => target.stop());

const name = (tag = "tag") => `${target.host}/mine/image:${tag}`;

/** Stores and records it as `load` does, without unpacking. */
async function load(made: FixtureImage[], root: Digest = made[0]!.manifest, as = name()): Promise<void> {
  const { registry, store } = fixture;
  const rootBytes = registry.manifests.get(root)!;
  const content = new Map<Digest, Uint8Array>([[root, rootBytes.bytes]]);
  for (const image of made) {
    content.set(image.manifest, registry.manifests.get(image.manifest)!.bytes);
    for (const digest of [image.config, ...image.layers.map((layer) => layer.digest)]) {
      content.set(digest, registry.blobs.get(digest)!);
    }
  }
  for (const [digest, bytes] of content) await store.content.write(bytes, digest);
  await store.record({
    id: root,
    mediaType: rootBytes.mediaType,
    size: rootBytes.bytes.length,
    name: canonicalReference(parseReference(as)),
    content: [...content].map(([digest, bytes]) => ({ digest, size: bytes.length })),
    platforms: made.map(({ manifest, config, diffIds }) => {
      const { architecture } = JSON.parse(Buffer.from(registry.blobs.get(config)!).toString()) as {
        architecture: string;
      };
      return { manifestDigest: manifest, platform: { os: "linux", architecture }, diffIds, isUnpacked: false };
    }),
    origin: "load",
  });
}

function push(text = name(), options: Partial<PushOptions> = {}): Promise<void> {
  const onProgress = (event: PushProgress) => {
    if (event.aux) aux.push(event.aux);
    else if (event.status !== "Pushing") told.push(`${event.id === undefined ? "" : `${event.id}: `}${event.status}`);
  };
  const reference = parseRepository(text);
  return fixture.store.push(reference, { onProgress, signal: new AbortController().signal, ...options });
}

const short = (digest: Digest) => digest.slice(7, 19);

describe("a push", () => {
  test("brings all of an image, byte for byte, and says what it does", async () => {
    const made = addImage(fixture.registry, [base, top]);
    await load([made]);
    await push();
    const { bytes, mediaType } = fixture.registry.manifests.get(made.manifest)!;
    expect(target.manifests.get("tag")).toEqual({ bytes: Buffer.from(bytes), mediaType });
    for (const digest of [made.config, ...made.layers.map((layer) => layer.digest)]) {
      expect(Buffer.compare(target.blobs.get(digest)!, fixture.registry.blobs.get(digest)!)).toBe(0);
    }
    const [first, second] = made.layers.map(({ digest }) => short(digest)) as [string, string];
    expect(told.slice(0, 3)).toEqual([
      `The push refers to repository [${target.host}/mine/image]`,
      `${first}: Preparing`,
      `${second}: Preparing`,
    ]);
    expect(told.slice(3, 5).sort()).toEqual([`${first}: Pushed`, `${second}: Pushed`].sort());
    expect(told.slice(5)).toEqual([`tag: digest: ${made.manifest} size: ${bytes.length}`]);
    expect(aux).toEqual([{ Tag: "tag", Digest: made.manifest, Size: bytes.length }]);
  });

  test("sends nothing twice, and mounts what another repository of the registry has", async () => {
    const made = addImage(fixture.registry, [base]);
    await load([made]);
    await push();
    told = [];
    await push();
    const layer = short(made.layers[0]!.digest);
    expect(told).toContain(`${layer}: Layer already exists`);
    const other = `${target.host}/other/image:1`;
    await fixture.store.tag(made.manifest, other);
    target.blobs.clear();
    for (const digest of [made.config, made.layers[0]!.digest]) target.uploads.mountable.add(`mine/image ${digest}`);
    told = [];
    await push(other);
    expect(told).toContain(`${layer}: Mounted from mine/image`);
    expect(target.seen.filter(({ method }) => method === "PATCH")).toEqual([]);
  });

  test("of one blob by several at once sends it once", async () => {
    const made = addImage(fixture.registry, [base]);
    await load([made]);
    await fixture.store.tag(made.manifest, name("two"));
    await Promise.all([push(), push(name("two"))]);
    expect(target.seen.filter(({ method }) => method === "POST")).toHaveLength(2); // layer and configuration
    expect([...target.manifests.keys()].sort()).toEqual([made.manifest, "tag", "two"].sort());
  });

  test("without a tag brings all of the repository's", async () => {
    const [one, two] = [addImage(fixture.registry, [base]), addImage(fixture.registry, [top])];
    await load([one], one.manifest, name("1"));
    await load([two], two.manifest, name("2"));
    await load([two], two.manifest, `${target.host}/mine/image-not:2`);
    await push(`${target.host}/mine/image`);
    expect([...target.manifests.keys()].sort()).toEqual(["1", "2", one.manifest, two.manifest].sort());
  });

  test("of what is not here is refused", async () => {
    expect(await failure(push(name("none")))).toEqual({
      code: "not_found",
      message: `tag does not exist: ${name("none")}`,
    });
    expect(await failure(push(`${target.host}/nothing`))).toEqual({
      code: "not_found",
      message: `An image does not exist locally with the tag: ${target.host}/nothing`,
    });
    expect(target.seen).toEqual([]);
  });

  test("of an image that lacks a layer names it", async () => {
    const made = addImage(fixture.registry, [base]);
    await load([made]);
    const { digest } = made.layers[0]!;
    rmSync(fixture.store.content.path(digest));
    expect(await failure(push())).toEqual({
      code: "not_found",
      message: `missing content: ${digest} of ${name()} is not here`,
    });
  });

  test("that fails says nothing of success and leaves no tag", async () => {
    const made = addImage(fixture.registry, [base, top]);
    await load([made]);
    target.misbehave = (request) => (request.method === "PUT" ? new Response("", { status: 507 }) : undefined);
    expect((await failure(push())).message).toContain("507");
    expect(told.some((line) => line.includes("Pushed") || line.includes("digest:"))).toBe(false);
    expect(target.manifests.size).toBe(0);
  });

  test("that is cancelled ends", async () => {
    const made = addImage(fixture.registry, [base]);
    await load([made]);
    const controller = new AbortController();
    target.misbehave = (request) => {
      if (request.method !== "POST") return undefined;
      controller.abort();
      return new Promise<never>(() => undefined);
    };
    expect((await failure(push(name(), { signal: controller.signal }))).code).toBe("cancelled");
  });
});

describe("an index", () => {
  async function index(...here: string[]): Promise<{ root: Digest; images: Record<string, FixtureImage> }> {
    const images: Record<string, FixtureImage> = {};
    for (const architecture of ["amd64", "arm64", "s390x"]) {
      images[architecture] = addImage(fixture.registry, [[{ name: architecture }]], { architecture });
    }
    const entries = Object.entries(images).map(([architecture, { manifest }]) => ({ architecture, digest: manifest }));
    const root = addIndex(fixture.registry, entries, "index");
    await load(
      here.map((architecture) => images[architecture]!),
      root,
    );
    return { root, images };
  }

  test("whose manifests are all here is pushed whole", async () => {
    const { root, images } = await index("amd64", "arm64", "s390x");
    await push();
    const { bytes } = fixture.registry.manifests.get(root)!;
    expect(target.manifests.get("tag")).toEqual({ bytes: Buffer.from(bytes), mediaType: mediaTypes.ociIndex });
    const children = Object.values(images).map(({ manifest }) => manifest);
    expect([...target.manifests.keys()].sort()).toEqual([...children, root, "tag"].sort());
  });

  test("of which one is here is pushed as that one, and says so", async () => {
    const { root, images } = await index("arm64");
    await push();
    const { manifest } = images.arm64!;
    expect([...target.manifests.keys()].sort()).toEqual([manifest, "tag"].sort());
    expect(aux).toEqual([
      { Tag: "tag", Digest: manifest, Size: expect.any(Number) },
      {
        manifestPushedInsteadOfIndex: true,
        originalIndex: expect.objectContaining({ digest: root }),
        selectedManifest: expect.objectContaining({ digest: manifest }),
      },
    ]);
  });

  test("of which some are here is pushed as the host's, where it is among them", async () => {
    const { images } = await index("amd64", "s390x");
    await push();
    expect([...target.manifests.keys()]).toContain(images.amd64!.manifest);
    expect([...target.manifests.keys()]).not.toContain(images.s390x!.manifest);
  });

  test("of which several are here and none the host's wants to be told which", async () => {
    const { images } = await index("arm64", "s390x");
    const failed = await failure(push());
    expect(failed.code).toBe("conflict");
    expect(failed.message).toContain("multiple matching manifests found but no specific platform requested");
    expect(failed.message).toContain(`${images.amd64!.manifest} (linux/amd64) is not`);
    await push(name(), { platform: { os: "linux", architecture: "s390x" } });
    expect(target.manifests.get("tag")!.bytes).toEqual(
      Buffer.from(fixture.registry.manifests.get(images.s390x!.manifest)!.bytes),
    );
  });

  test("whose other manifests are in the repository already is pushed whole", async () => {
    const { root, images } = await index("amd64");
    for (const architecture of ["arm64", "s390x"]) {
      const { manifest } = images[architecture]!;
      target.manifests.set(manifest, fixture.registry.manifests.get(manifest)!);
    }
    await push();
    expect([...target.manifests.keys()]).toContain(root);
    expect(aux).toHaveLength(1);
  });

  test("without any manifest here names them", async () => {
    const { images } = await index();
    const failed = await failure(push());
    expect(failed.code).toBe("not_found");
    for (const { manifest } of Object.values(images)) expect(failed.message).toContain(manifest);
  });

  test("without the platform that is asked for says which there are", async () => {
    await index("arm64", "s390x");
    expect(await failure(push(name(), { platform: { os: "linux", architecture: "riscv64" } }))).toEqual({
      code: "not_found",
      message: `image with reference ${name()} was found but does not provide the specified platform (linux/riscv64): available: linux/arm64, linux/s390x`,
    });
  });
});

describe.skipIf(!isRoot)("a pulled image", () => {
  test("is mounted from where it came from when it is pushed to another repository there", async () => {
    const made = addImage(fixture.registry, [base], { tag: "tag" });
    await fixture.store.pull(fixture.name());
    const copy = `${fixture.registry.host}/other/copy:1`;
    await fixture.store.tag(made.manifest, copy);
    const { registry } = fixture;
    for (const digest of [made.config, made.layers[0]!.digest]) registry.uploads.mountable.add(`some/image ${digest}`);
    registry.blobs.clear();
    await push(copy);
    expect(told).toContain(`${short(made.layers[0]!.digest)}: Mounted from some/image`);
    expect(digestOf(registry.manifests.get("1")!.bytes)).toBe(made.manifest);
  });

  test("named hello is pushed although its layer is not stored", async () => {
    const hello = await fixture.store.pull("hello");
    await fixture.store.tag(hello.id, name("hello"));
    target.uploads.cutAfter = 2 ** 20;
    await push(name("hello"));
    const [layer] = hello.manifest.layers;
    expect(digestOf(target.blobs.get(layer!.digest)!)).toBe(layer!.digest);
  });
});
