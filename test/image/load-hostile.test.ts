/** Archives of images that lie, are broken, or mean harm: a clear error, nothing visible, and nothing left. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { gzipSync } from "node:zlib";
import { archive, type FixtureEntry } from "../../src/tar/tar-fixture.ts";
import { until } from "../harness/command.ts";
import { ArchiveScene } from "./archive-scene.ts";
import { ImageLayout, sha256 } from "./image-layout.ts";

let scene: ArchiveScene;
let outside: string;

beforeAll(async () => {
  scene = await ArchiveScene.open();
  outside = scene.workspace.path("outside");
  writeFileSync(outside, "untouched");
}, 60_000);

afterAll(() => scene?.close());

afterEach(async () => {
  expect(readFileSync(outside, "utf8")).toBe("untouched");
  await scene.clear();
});

const files: FixtureEntry[] = [{ name: "etc/" }, { name: "etc/file", data: "x" }];
const layer = archive(files);

/** An archive as docker wrote it before it wrote OCI layouts. */
function dockerArchive(
  options: {
    layers?: Uint8Array[];
    diffIds?: string[];
    list?: object[];
    extra?: FixtureEntry[];
    tags?: string[] | null;
  } = {},
): FixtureEntry[] {
  const layers = options.layers ?? [layer];
  const rootfs = { type: "layers", diff_ids: options.diffIds ?? layers.map((bytes) => sha256(bytes)) };
  const config = JSON.stringify({ os: "linux", architecture: "amd64", config: {}, rootfs });
  const name = `${sha256(config).slice(7)}.json`;
  const paths = layers.map((_, index) => `${index}/layer.tar`);
  const list = options.list ?? [
    { Config: name, RepoTags: options.tags === undefined ? ["hostile:1"] : options.tags, Layers: paths },
  ];
  return [
    ...layers.flatMap((data, index) => [
      { name: `${index}/` },
      { name: `${index}/VERSION`, data: "1.0" },
      { name: `${index}/json`, data: "{}" },
      { name: `${index}/layer.tar`, data },
    ]),
    { name, data: config },
    ...(options.extra ?? []),
    { name: "manifest.json", data: JSON.stringify(list) },
  ];
}

/** A layout of one image, whose entries a test changes. */
function layoutArchive(edit: (entries: FixtureEntry[]) => FixtureEntry[] = (entries) => entries): Uint8Array {
  const layout = new ImageLayout(archive);
  layout.name(layout.image({ architecture: "amd64", files }), "docker.io/library/hostile:1");
  return archive(edit(layout.entries()));
}

const changed = (name: RegExp, change: (entry: FixtureEntry) => FixtureEntry) => (entries: FixtureEntry[]) =>
  entries.map((entry) => (name.test(entry.name) ? change(entry) : entry));

const layerBlob = () => sha256(layer).slice(7);

describe("an archive is refused", () => {
  const cases: [string, () => Uint8Array, RegExp][] = [
    ["that is empty", () => new Uint8Array(), /archive is empty/],
    ["that is no block long", () => Buffer.from("a name\n"), /not a tar archive, or a truncated one: it has 7 bytes/],
    ["that is none", () => Buffer.from("x".repeat(5000)), /not a tar archive/],
    ["without images", () => archive(files), /holds no images: it has neither index\.json nor manifest\.json/],
    ["with an empty list", () => archive(dockerArchive({ list: [] })), /archive holds no images/],
    ["that stops in the middle", () => archive(dockerArchive()).subarray(0, 3000), /truncated/],
    [
      "that stops in the middle of its compression",
      () => gzipSync(layoutArchive()).subarray(0, 300),
      /cannot be inflated|truncated/,
    ],
    [
      "that is compressed with xz",
      () => Uint8Array.of(0xfd, 0x37, 0x7a, 0x58, 0x5a, 0, 1, 2),
      /archive compressed with xz is not supported/,
    ],
    [
      "whose entry climbs",
      () => archive([...dockerArchive(), { name: "../escaped", data: "x" }]),
      /archive entry \.\.\/escaped: path leaves the archive/,
    ],
    [
      "whose link is absolute",
      () => archive([{ name: "l", type: "2", link: outside }, ...dockerArchive()]),
      /leaves the archive/,
    ],
    [
      "whose link climbs",
      () => archive([{ name: "0/l", type: "2", link: "../../etc/shadow" }, ...dockerArchive()]),
      /leaves the archive/,
    ],
    [
      "whose hard link climbs",
      () => archive([{ name: "l", type: "1", link: "../../etc/shadow" }, ...dockerArchive()]),
      /leaves the archive/,
    ],
    [
      "whose links go round",
      () =>
        archive([
          ...dockerArchive({ list: [{ Config: "a", Layers: [] }] }),
          { name: "a", type: "2", link: "b" },
          { name: "b", type: "2", link: "a" },
        ]),
      /archive entry a: too many links/,
    ],
    [
      "whose list is no JSON",
      () => archive([{ name: "manifest.json", data: "[{" }]),
      /archive: manifest\.json: not JSON/,
    ],
    [
      "whose list is no list",
      () => archive([{ name: "manifest.json", data: "{}" }]),
      /archive: manifest\.json: document/,
    ],
    [
      "whose list has no strings",
      () => archive([{ name: "manifest.json", data: '[{"Config": 5}]' }]),
      /archive: manifest\.json: 0\.Config/,
    ],
    [
      "whose list comes twice",
      () => archive([...dockerArchive(), { name: "manifest.json", data: "[]" }]),
      /archive has manifest\.json twice/,
    ],
    [
      "that names a configuration which is not there",
      () => archive(dockerArchive({ list: [{ Config: "nowhere.json", Layers: [] }] })),
      /archive has no file nowhere\.json/,
    ],
    [
      "that names a layer which is not there",
      () => archive(dockerArchive().filter(({ name }) => name !== "0/layer.tar")),
      /archive has no file 0\/layer\.tar/,
    ],
    [
      "that names a layer outside",
      () => archive(dockerArchive({ list: [{ Config: "../../etc/passwd", Layers: [] }] })),
      /archive entry \.\.\/\.\.\/etc\/passwd: path leaves the archive/,
    ],
    [
      "with more layers than its configuration says",
      () => archive(dockerArchive({ diffIds: [] })),
      /manifest\.json names 1 layers, configuration [0-9a-f]+\.json has 0/,
    ],
    [
      "whose layer has another diff id",
      () => archive(dockerArchive({ diffIds: [`sha256:${"1".repeat(64)}`] })),
      /archive entry 0\/layer\.tar has diff id sha256:[0-9a-f]+, the configuration says sha256:1111/,
    ],
    [
      "whose compressed layer has another diff id",
      () => archive(dockerArchive({ layers: [gzipSync(layer)], diffIds: [`sha256:${"2".repeat(64)}`] })),
      /layer sha256:[0-9a-f]+: layer has diff id sha256:[0-9a-f]+, the configuration says sha256:2222/,
    ],
    [
      "whose layer is none",
      () => archive(dockerArchive({ layers: [Buffer.from("no tar")] })),
      /not a tar archive|truncated/,
    ],
    [
      "whose layer climbs",
      () => archive(dockerArchive({ layers: [archive([{ name: "../x" }])] })),
      /layer entry \.\.\/x: path leaves the root/,
    ],
    [
      "whose layer is compressed with bzip2",
      () => archive(dockerArchive({ layers: [Buffer.from("BZh91AY&SYx")] })),
      /layer 0\/layer\.tar compressed with bzip2 is not supported/,
    ],
    [
      "with a name of another digest",
      () => archive(dockerArchive({ tags: [`busybox@sha256:${"4".repeat(64)}`] })),
      /archive: image name "busybox@sha256:4+": the image has another digest/,
    ],
    [
      "with an annotation of another digest",
      () => {
        const layout = new ImageLayout(archive);
        layout.name(layout.image({ architecture: "amd64", files }), `docker.io/library/x@sha256:${"5".repeat(64)}`);
        return layout.archive();
      },
      /image name "docker\.io\/library\/x@sha256:5+": the image has another digest/,
    ],
    ["with a name that is none", () => archive(dockerArchive({ tags: ["UPPER"] })), /archive: image name "UPPER"/],
    [
      "whose blob has another digest",
      () =>
        layoutArchive(changed(new RegExp(layerBlob()), (entry) => ({ ...entry, data: archive([{ name: "other" }]) }))),
      /archive entry blobs\/sha256\/[0-9a-f]+: its content has digest sha256:/,
    ],
    [
      "whose blob is not there",
      () => layoutArchive((entries) => entries.filter(({ name }) => !name.endsWith(layerBlob()))),
      /hostile:1: content sha256:[0-9a-f]+ is not here/,
    ],
    [
      "whose layout is of another version",
      () => layoutArchive(changed(/oci-layout/, (entry) => ({ ...entry, data: '{"imageLayoutVersion":"9"}' }))),
      /OCI layout of version "9"/,
    ],
    [
      "whose index is a manifest",
      () =>
        layoutArchive(
          changed(/index\.json/, (entry) => ({ ...entry, data: '{"schemaVersion":2,"manifests":[],"layers":[]}' })),
        ),
      /has the fields of an index and of a manifest/,
    ],
    [
      "whose index has a wrong digest",
      () =>
        layoutArchive(
          changed(/index\.json/, (entry) => ({
            ...entry,
            data: String(entry.data).replace(/sha256:[0-9a-f]+/, "sha256:short"),
          })),
        ),
      /archive: index\.json: .*digest/,
    ],
    [
      "whose index lies about a size",
      () =>
        layoutArchive(
          changed(/index\.json/, (entry) => ({ ...entry, data: String(entry.data).replace(/"size":\d+/, '"size":1') })),
        ),
      /has \d+ bytes, its descriptor says 1/,
    ],
    [
      "whose file has holes",
      () =>
        archive([
          {
            name: "x",
            pax: { "GNU.sparse.major": "1", "GNU.sparse.name": "x", "GNU.sparse.realsize": "99" },
            data: "1\n99\n0\n".padEnd(512, "\0"),
          },
        ]),
      /files with holes are not supported/,
    ],
    [
      "with a document that is too large",
      () => archive([{ name: "manifest.json", data: `[${" ".repeat(5 << 20)}]` }]),
      /archive entry manifest\.json: \d+ bytes are more than the \d+ allowed/,
    ],
    [
      "whose layout says no version",
      () => layoutArchive(changed(/^oci-layout$/, (entry) => ({ ...entry, data: "{}" }))),
      /archive: oci-layout: imageLayoutVersion is missing/,
    ],
    [
      "with more names than anybody needs",
      () => archive(dockerArchive({ tags: Array.from({ length: 10_001 }, (_, index) => `hostile:${index}`) })),
      /archive has more than 10000 names of images/,
    ],
    [
      "whose entries' names are there to fill the memory",
      () =>
        archive(
          Array.from({ length: 8500 }, (_, index) => ({ name: "f", pax: { path: `${index}/`.padEnd(4000, "n/") } })),
        ),
      /archive has more than 33554432 bytes of names/,
    ],
    [
      "with more entries than images have",
      () => archive(Array.from({ length: 100_001 }, (_, index) => ({ name: `f${index}` }))),
      /archive has more than 100000 entries/,
    ],
  ];
  for (const [name, bytes, message] of cases) {
    test(name, async () => {
      const before = scene.stored();
      expect(await scene.refused(["load"], bytes())).toMatch(message);
      expect(await scene.daemon.ok("images", "-aq")).toBe("");
      await until("nothing is left", () => scene.stored().join() === before.join());
    });
  }

  test("when one of its images is bad, the good one in front of it too", async () => {
    const layout = new ImageLayout(archive);
    layout.name(layout.image({ architecture: "amd64", files }), "docker.io/library/good:1");
    layout.name(
      layout.image({ architecture: "amd64", files: [{ name: "b" }], diffId: `sha256:${"3".repeat(64)}` }),
      "docker.io/library/bad:1",
    );
    const before = scene.stored();
    expect(await scene.refused(["load"], layout.archive())).toMatch(/the configuration says sha256:3333/);
    expect(await scene.daemon.ok("images", "-aq")).toBe("");
    await until("nothing is left", () => scene.stored().join() === before.join());
  });

  test("of an image that is no image", async () => {
    const layout = new ImageLayout(archive);
    const config = layout.add("application/vnd.oci.empty.v1+json", {});
    const type = "application/vnd.oci.image.manifest.v1+json";
    layout.name(
      layout.add(type, { schemaVersion: 2, mediaType: type, config, layers: [] }),
      "docker.io/library/artifact:1",
    );
    expect(await scene.refused(["load"], layout.archive())).toMatch(/artifact:1 is no image but an artifact/);
  });

  test("with layers of a kind that nobody can unpack", async () => {
    const layout = new ImageLayout(archive);
    layout.name(
      layout.image({ architecture: "amd64", files, layerType: "application/x-own" }),
      "docker.io/library/own:1",
    );
    expect(await scene.refused(["load"], layout.archive())).toMatch(/unsupported media type "application\/x-own"/);
  });

  test("in which an image's own files mean harm, without a trace on the host", async () => {
    const harm = archive([
      { name: "out", type: "2", link: "/" },
      { name: `out${outside}`, data: "changed" },
    ]);
    const { status } = await scene.daemon.tsd(["load"], { stdin: archive(dockerArchive({ layers: [harm] })) });
    expect([0, 1]).toContain(status);
    expect(existsSync(outside)).toBe(true);
  });
});

describe("an archive is loaded", () => {
  const loads = async (bytes: Uint8Array, shown: RegExp | string) => {
    const { status, stdout, stderr } = await scene.daemon.tsd(["load"], { stdin: bytes });
    expect([status, stderr]).toEqual([0, ""]);
    expect(stdout).toMatch(shown);
    return stdout;
  };

  test("whose layers are links to each other's, as docker writes a layer that is there twice", async () => {
    const entries = dockerArchive({ layers: [layer, layer] }).map(
      (entry): FixtureEntry =>
        entry.name === "1/layer.tar" ? { name: entry.name, type: "2", link: "../0/layer.tar" } : entry,
    );
    await loads(archive(entries), "Loaded image: hostile:1");
    const hard = entries.map(
      (entry): FixtureEntry => (entry.type === "2" ? { name: entry.name, type: "1", link: "0/layer.tar" } : entry),
    );
    const [first] = (await scene.daemon.ok("images", "-q", "--no-trunc")).split("\n");
    await loads(archive(hard), "Loaded image: hostile:1");
    expect(await scene.daemon.ok("images", "-q", "--no-trunc")).toBe(first!);
  });

  test("in whatever order its entries come", async () => {
    const ids = new Set<string>();
    for (const order of [
      dockerArchive(),
      dockerArchive().reverse(),
      [...dockerArchive()].sort((a, b) => (a.name < b.name ? -1 : 1)),
    ]) {
      await loads(archive(order), "Loaded image: hostile:1");
      ids.add(await scene.daemon.ok("inspect", "-f", "{{.Id}}", "hostile:1"));
      await scene.clear();
    }
    expect(ids.size).toBe(1);
    await loads(
      layoutArchive((entries) => entries.reverse()),
      "Loaded image: hostile:1",
    );
  });

  test("with an image without a name, by its id", async () => {
    const shown = await loads(archive(dockerArchive({ tags: null })), /^Loaded image ID: sha256:[0-9a-f]{64}\n$/);
    const id = shown.trim().split(" ").at(-1)!;
    expect(await scene.daemon.ok("images", "-q", "--no-trunc")).toBe(id);
  });

  test("with two images of which the second takes the first's name from another", async () => {
    await loads(archive(dockerArchive()), "hostile:1");
    const old = await scene.daemon.ok("inspect", "-f", "{{.Id}}", "hostile:1");
    await loads(layoutArchive(), "hostile:1");
    expect(await scene.daemon.ok("inspect", "-f", "{{.Id}}", "hostile:1")).not.toBe(old);
    expect(await scene.daemon.ok("inspect", "-f", "{{json .RepoTags}}", old)).toBe("[]");
  });

  test("with indexes that name one image thousands of times, in the time of one", async () => {
    const layout = new ImageLayout(archive);
    let root = layout.image({ architecture: "amd64", files });
    for (let depth = 0; depth < 3; depth++) root = layout.index(Array.from({ length: 5000 }, () => root));
    layout.name(root, "docker.io/library/many:1");
    await loads(layout.archive(), "Loaded image: many:1");
    expect(JSON.parse(await scene.daemon.ok("inspect", "many:1"))).toHaveLength(1);
    expect(await scene.daemon.ok("images", "--tree")).toContain("linux/amd64");
    const { status, stderr } = await scene.daemon.tsd(["push", "127.0.0.1:1/many:1"]);
    expect([status, stderr]).toEqual([1, expect.stringContaining("tag does not exist")]);
    await scene.daemon.ok("tag", "many:1", "127.0.0.1:1/many:1");
    expect((await scene.daemon.tsd(["push", "127.0.0.1:1/many:1"])).stderr).toContain("connection refused");
  });

  test("with directories, devices and files that nobody asked for among its own", async () => {
    const extra: FixtureEntry[] = [
      { name: "some/directory/" },
      { name: "dev", type: "3", device: [1, 3] },
      { name: "pipe", type: "6" },
      { name: "note.txt", data: "x".repeat(100_000) },
      { name: "blobs/md5/0123", data: "x" },
    ];
    const before = scene.stored();
    await loads(archive(dockerArchive({ extra })), "Loaded image: hostile:1");
    await scene.clear();
    await until("nothing is left", () => scene.stored().join() === before.join());
  });

  test("after an image of the same layers, without writing them again", async () => {
    await loads(layoutArchive(), "hostile:1");
    const before = scene.stored();
    await loads(layoutArchive(), "hostile:1");
    expect(scene.stored()).toEqual(before);
  });
});
