/** Images saved and loaded, between tsd and docker, podman and skopeo: the same digests, files and names. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync, zstdCompressSync } from "node:zlib";
import { archive } from "../../src/tar/tar-fixture.ts";
import { command, commandBytes, succeed, until } from "../harness/command.ts";
import { makeBusybox } from "../harness/fixtures.ts";
import { type Peer, preparePodman, startDockerd } from "../harness/peers.ts";
import { TerminalSession } from "../harness/terminal.ts";
import { expectSameTree } from "../harness/tree.ts";
import { tsd } from "../harness/workspace.ts";
import { ArchiveScene } from "./archive-scene.ts";
import { ImageLayout } from "./image-layout.ts";
import { makeTortureTree } from "./torture-tree.ts";

let scene: ArchiveScene;
let docker: Peer;
let podman: Peer;
/** A tree of every kind of file, which all of these programs can hold, and its image's archive as tsd saves it. */
let wanted: string[];
let saved: string;
let savedId: string;

const ok = (...args: string[]) => scene.daemon.ok(...args);
const skopeo = (...args: string[]) => succeed(["skopeo", "--insecure-policy", ...args]);
const load = (path: string, ...flags: string[]) => ok("load", ...flags, "-i", path);
const idOf = (image: string) => ok("inspect", "-f", "{{.Id}}", image);
const layersOf = (image: string) => ok("inspect", "-f", "{{json .RootFS.Layers}}", image);

beforeAll(async () => {
  scene = await ArchiveScene.open();
  [docker, podman] = await Promise.all([startDockerd(scene.workspace), preparePodman(scene.workspace)]);
  const tree = scene.fresh("tree");
  makeTortureTree(tree, { plain: true });
  await makeBusybox(tree);
  const tar = await scene.tar(tree);
  await ok("import", "-c", 'CMD ["sh"]', "-c", "ENV A=b", tar, "base:tree");
  await ok(
    "run",
    "--name",
    "changed",
    "--network",
    "none",
    "base:tree",
    "sh",
    "-c",
    "rm -r /plain/directory-755; echo more > /etc/more; chown 5:6 /etc/more",
  );
  await ok("commit", "changed", "tree:image");
  wanted = await scene.treeOfImage("tree:image");
  saved = scene.fresh("saved.tar");
  await ok("save", "-o", saved, "tree:image");
  savedId = await idOf("tree:image");
  await scene.clear();
}, 120_000);

afterAll(() => scene?.close());

afterEach(() => scene.clear());

/** Times are kept to the second by these, and nothing below it. */
const seconds = (lines: string[]) => lines.map((line) => line.replace(/\.\d{9} ?/, " "));

/** What another engine's container of an image has. */
async function treeOfPeer(peer: Peer, image: string): Promise<string[]> {
  const id = await peer.ok("create", image, "none");
  const path = scene.fresh("peer.tar");
  await peer.ok("export", "-o", path, id.trim());
  await peer.ok("rm", id.trim());
  // docker makes these for its own mounts.
  const without = [
    "./.dockerenv",
    "./dev/console",
    "./dev/pts",
    "./dev/shm",
    "./etc/hostname",
    "./etc/hosts",
    "./etc/mtab",
    "./etc/resolv.conf",
    "./run",
  ];
  const lines = await scene.treeOf(path, { without });
  rmSync(path);
  return lines;
}

/** Directories that a peer puts its mounts into have another time. */
function settled(lines: string[]): string[] {
  return seconds(lines).filter((line) => !/^"\.\/(dev|etc|proc|sys|run)" /.test(line));
}

describe("docker 20.10", () => {
  test("loads what tsd saves, and tsd what docker then saves: the same layers and files", async () => {
    expect(await docker.ok("load", "-i", saved)).toContain("Loaded image: tree:image");
    expectSameTree(settled(await treeOfPeer(docker, "tree:image")), settled(wanted));
    const path = scene.fresh("docker.tar");
    await docker.ok("save", "-o", path, "tree:image");
    await docker.ok("rmi", "-f", "tree:image");
    expect(await load(path)).toBe("Loaded image: tree:image");
    // Of the same files docker makes an archive without compression: other blobs, the same layers.
    expect(await idOf("tree:image")).not.toBe(savedId);
    const [layers, tree] = [await layersOf("tree:image"), await scene.treeOfImage("tree:image")];
    expectSameTree(tree, wanted);
    const first = await idOf("tree:image");
    await scene.clear();
    await load(path);
    expect(await idOf("tree:image")).toBe(first);
    await scene.clear();
    await load(saved);
    expect(await layersOf("tree:image")).toBe(layers);
  }, 60_000);

  test("loads several images at once, and one without a name by its id", async () => {
    await load(saved);
    await ok("tag", "tree:image", "other/name:v1");
    const path = scene.fresh("several.tar");
    await ok("save", "-o", path, "tree:image", "other/name:v1");
    const shown = await docker.ok("load", "-i", path);
    expect(
      shown
        .split("\n")
        .filter((line) => line.startsWith("Loaded"))
        .sort(),
    ).toEqual(["Loaded image: other/name:v1", "Loaded image: tree:image"]);
    await docker.ok("rmi", "-f", "tree:image", "other/name:v1");
    await ok("save", "-o", path, savedId);
    expect(await docker.ok("load", "-i", path)).toMatch(/Loaded image ID: sha256:/);
  }, 60_000);
});

describe("podman", () => {
  test("loads what tsd saves with the same files", async () => {
    await podman.ok("load", "-q", "-i", saved);
    expectSameTree(settled(await treeOfPeer(podman, "tree:image")), settled(wanted));
    await podman.ok("rmi", "-f", "tree:image");
  }, 60_000);

  for (const format of ["docker-archive", "oci-archive"]) {
    test(`saves as ${format} what tsd loads with the same layers and files`, async () => {
      await podman.ok("load", "-q", "-i", saved);
      const path = scene.fresh(`${format}.tar`);
      await podman.ok("save", "-q", "--format", format, "-o", path, "tree:image");
      await podman.ok("rmi", "-f", "tree:image");
      expect(await load(path)).toMatch(/^Loaded image: (localhost|docker\.io\/library)?\/?tree:image$/);
      const [name] = (await ok("images", "--format", "{{.Repository}}:{{.Tag}}")).split("\n");
      expectSameTree(await scene.treeOfImage(name!), wanted);
    }, 60_000);
  }
});

describe("skopeo", () => {
  test("reads what tsd saves as an OCI archive, digest by digest, and as docker's", async () => {
    const raw = await skopeo("inspect", "--raw", `oci-archive:${saved}`);
    expect(`sha256:${new Bun.CryptoHasher("sha256").update(raw).digest("hex")}`).toBe(savedId);
    const layout = scene.fresh("layout");
    await skopeo("copy", "-q", `docker-archive:${saved}:tree:image`, `oci:${layout}:x`);
    const inspected = JSON.parse(await skopeo("inspect", `oci:${layout}:x`)) as { Env: string[] };
    expect(inspected.Env).toEqual(["A=b"]);
  });

  for (const [format, reference] of [
    ["oci-archive", ":tree:image"],
    ["docker-archive", ":tree:image"],
  ] as const) {
    test(`writes as ${format} what tsd loads`, async () => {
      const path = scene.fresh("skopeo.tar");
      const preserve = format === "oci-archive" ? ["--preserve-digests"] : [];
      await skopeo("copy", "-q", ...preserve, `oci-archive:${saved}`, `${format}:${path}${reference}`);
      expect(await load(path)).toBe("Loaded image: tree:image");
      if (format === "oci-archive") expect(await idOf("tree:image")).toBe(savedId);
      expectSameTree(await scene.treeOfImage("tree:image"), wanted);
    }, 60_000);
  }
});

describe("what is loaded and saved again", () => {
  for (const [name, compress] of [
    ["as it is", undefined],
    ["with gzip", (bytes: Uint8Array) => gzipSync(bytes, { level: 1 })],
    ["with zstd", (bytes: Uint8Array) => zstdCompressSync(bytes)],
  ] as const) {
    test(`is the same archive, bit by bit, when it comes compressed ${name} through a pipe`, async () => {
      const bytes = readFileSync(saved);
      const { status, stdout, stderr } = await scene.daemon.tsd(["load"], { stdin: compress?.(bytes) ?? bytes });
      expect([status, stdout, stderr]).toEqual([0, "Loaded image: tree:image\n", ""]);
      const again = await commandBytes([tsd, "save", "tree:image"], { env: scene.daemon.env });
      expect(Buffer.from(again.stdout).equals(bytes)).toBe(true);
      const byDocker = await commandBytes(["docker", "save", "tree:image"], { env: scene.daemon.env });
      expect(Buffer.from(byDocker.stdout).equals(bytes)).toBe(true);
    });
  }

  test("shows progress and docker's words to a person at a terminal, and none with -q", async () => {
    await using terminal = new TerminalSession([tsd, "load", "-i", saved], { env: scene.daemon.env });
    await terminal.expect("Loaded image: tree:image");
    expect(await terminal.end()).toBe(0);
    expect(terminal.output).toMatch(/[0-9a-f]{12}: Loading layer/);
    await using quiet = new TerminalSession([tsd, "load", "-q", "-i", saved], { env: scene.daemon.env });
    expect(await quiet.end()).toBe(0);
    expect(quiet.output.trim()).toBe("Loaded image: tree:image");
  });

  test("is told as events", async () => {
    await load(saved);
    await ok("save", "-o", "/dev/null", "tree:image").catch(() => undefined);
    await commandBytes([tsd, "save", "tree:image"], { env: scene.daemon.env });
    const shown = await ok(
      "events",
      "--since",
      "1m",
      "--until",
      "0s",
      "--filter",
      "type=image",
      "--format",
      "{{.Action}} {{.Actor.ID}}",
    );
    expect(shown.split("\n").slice(-2)).toEqual([`load ${savedId}`, `save ${savedId}`]);
  });
});

describe("the embedded image", () => {
  test("is saved although its layer is stored nowhere, and loaded again", async () => {
    await ok("pull", "-q", "hello");
    const id = await idOf("hello");
    const path = scene.fresh("hello.tar");
    await ok("save", "-o", path, "hello");
    await scene.clear();
    expect(await load(path)).toBe("Loaded image: hello:latest");
    expect(await idOf("hello")).toBe(id);
    expect(await ok("run", "--rm", "--network", "none", "hello")).toContain("Hello from tsd");
  }, 60_000);
});

describe("an image of several platforms", () => {
  /** amd64 and arm64 are there, s390x is not, and an attestation of each. */
  const platforms = () => {
    const layout = new ImageLayout(archive);
    const amd64 = layout.image({ architecture: "amd64", files: [{ name: "amd64" }] });
    const arm64 = layout.image({ architecture: "arm64", files: [{ name: "arm64" }] });
    const absent = layout.image({ architecture: "s390x", files: [{ name: "s390x" }] });
    layout.forget(absent);
    const index = layout.index([amd64, arm64, absent, layout.attestation(amd64), layout.attestation(absent)]);
    layout.name(index, "docker.io/library/several:1");
    return { layout, index, amd64, arm64, absent };
  };

  test("keeps its index's digest, with exactly the children that are here", async () => {
    const { layout, index, arm64 } = platforms();
    const path = scene.fresh("index.tar");
    writeFileSync(path, layout.archive());
    expect(await load(path)).toBe("Loaded image: several:1");
    expect(await idOf("several:1")).toBe(index.digest);
    const again = scene.fresh("again.tar");
    await ok("save", "-o", again, "several:1");
    const names = (await succeed(["tar", "-tf", again])).split("\n");
    const blobs = names
      .filter((name) => name.startsWith("blobs/sha256/") && name !== "blobs/sha256/")
      .map((name) => name.slice(13));
    expect(blobs.sort()).toEqual(layout.blobNames(([digest]) => !digest.includes("of s390x")).sort());
    await scene.clear();
    await load(again);
    expect(await idOf("several:1")).toBe(index.digest);
    // The one that this machine cannot run is unpacked when somebody wants it.
    expect(
      await ok("create", "--platform", "linux/arm64", "--network", "none", "--name", "arm", "several:1", "x"),
    ).toHaveLength(64);
    const tar = scene.fresh("arm.tar");
    await ok("export", "-o", tar, "arm");
    expect(await succeed(["tar", "-tf", tar])).toBe(".dockerenv\narm64");
    expect(arm64.size).toBeGreaterThan(0);
  });

  test("is loaded and saved in part with --platform", async () => {
    const { layout, arm64, amd64, index } = platforms();
    const path = scene.fresh("index.tar");
    writeFileSync(path, layout.archive());
    await load(path, "--platform", "linux/arm64");
    expect(await idOf("several:1")).toBe(index.digest);
    expect(scene.stored()).not.toContain(amd64.digest.slice(7));
    const one = scene.fresh("one.tar");
    expect(await scene.refused(["save", "--platform", "linux/amd64", "-o", one, "several:1"])).toBe(
      "Error response from daemon: image with reference several:1 was found but does not provide the specified platform (linux/amd64)",
    );
    await ok("save", "--platform", "linux/arm64", "-o", one, "several:1");
    const listed = JSON.parse(await succeed(["tar", "-xOf", one, "index.json"])) as { manifests: { digest: string }[] };
    expect(listed.manifests.map(({ digest }) => digest)).toEqual([arm64.digest]);
    await load(path);
    await ok("save", "--platform", "linux/arm64,linux/amd64", "-o", one, "several:1");
    const both = JSON.parse(await succeed(["tar", "-xOf", one, "index.json"])) as { manifests: { digest: string }[] };
    expect(both.manifests.map(({ digest }) => digest)).toEqual([index.digest]);
    expect(await scene.refused(["load", "--platform", "linux/riscv64", "-i", path])).toMatch(
      /does not provide the specified platform \(linux\/riscv64\)/,
    );
  });
});

describe("save finds", () => {
  test("all tags of a repository, one tag, and an image without a name by its id", async () => {
    await load(saved);
    for (const tag of ["tree:second", "other:x"]) await ok("tag", "tree:image", tag);
    const tags = async (...names: string[]) => {
      const { stdout } = await commandBytes([tsd, "save", ...names], { env: scene.daemon.env });
      const path = scene.fresh("tags.tar");
      writeFileSync(path, stdout);
      const manifest = JSON.parse(await succeed(["tar", "-xOf", path, "manifest.json"])) as {
        RepoTags: string[] | null;
      }[];
      return manifest.map(({ RepoTags }) => RepoTags);
    };
    expect(await tags("tree")).toEqual([["tree:image", "tree:second"]]);
    expect(await tags("tree:second")).toEqual([["tree:second"]]);
    expect(await tags("tree:image", "other:x")).toEqual([["tree:image", "other:x"]]);
    expect(await tags(savedId.slice(7, 19))).toEqual([null]);
    expect(await tags(savedId, "other:x")).toEqual([["other:x"]]);
  });

  test("no image of that name, and says so in docker's words", async () => {
    expect(await scene.refused(["save", "-o", scene.fresh("x"), "nothing:1"])).toBe(
      "Error response from daemon: No such image: nothing:1",
    );
    const { stdout } = await scene.workspace.run([
      "curl",
      "-s",
      "--unix-socket",
      scene.daemon.socket,
      "http://x/v1.55/images/get",
    ]);
    expect(JSON.parse(stdout)).toMatchObject({ message: "no image named: the parameter names is missing" });
  });

  test("a terminal no place for an archive", async () => {
    await using terminal = new TerminalSession([tsd, "save", "any"], { env: scene.daemon.env });
    await terminal.expect("cowardly refusing to save to a terminal. Use the -o flag or redirect");
    expect(await terminal.end()).toBe(1);
    await using reading = new TerminalSession([tsd, "load"], { env: scene.daemon.env });
    await reading.expect("requested load from stdin, but stdin is empty");
    expect(await reading.end()).toBe(1);
  });

  test("a layer that was lost, and cuts the archive off", async () => {
    await load(saved);
    const [layer] = scene
      .stored()
      .filter((name) => /^[0-9a-f]{64}$/.test(name))
      .sort((a, b) => sizeOf(b) - sizeOf(a));
    rmSync(blob(layer!));
    expect(await scene.refused(["save", "-o", scene.fresh("x"), "tree:image"])).toMatch(
      /tree:image: content sha256:[0-9a-f]+ is not here/,
    );
  });
});

function blob(hex: string): string {
  return join(scene.daemon.root, "content/blobs/sha256", hex);
}
function sizeOf(hex: string): number {
  return Bun.file(blob(hex)).size;
}

describe("while an archive is loaded", () => {
  let big: string;

  beforeAll(async () => {
    const tree = scene.fresh("big");
    mkdirSync(tree);
    await succeed(["sh", "-c", `head -c 60000000 /dev/urandom > ${tree}/random`]);
    await ok("import", await scene.tar(tree), "big:1");
    big = scene.fresh("big.tar");
    await ok("save", "-o", big, "big:1");
    await scene.clear();
  }, 60_000);

  /** Sends most of an archive, and then nothing. */
  async function begin(): Promise<Bun.Subprocess> {
    const before = scene.stored().length;
    const script = `(head -c 45000000 ${big}; sleep 100) | exec ${tsd} load`;
    const env = { ...process.env, ...scene.daemon.env };
    const client = Bun.spawn(["setsid", "sh", "-c", script], { env, stdio: ["ignore", "ignore", "ignore"] });
    await until("the archive is on its way", () => scene.stored().length > before);
    return client;
  }

  async function end(client: Bun.Subprocess): Promise<void> {
    await command(["kill", "-KILL", "--", `-${client.pid}`]);
    await client.exited;
  }

  test("the daemon answers, and nothing is left when the client goes", async () => {
    const before = scene.stored();
    const client = await begin();
    const started = performance.now();
    expect(await ok("images", "-q")).toBe("");
    expect(performance.now() - started).toBeLessThan(2000);
    await end(client);
    await until("nothing is left", () => scene.stored().join() === before.join());
    expect(await load(big)).toBe("Loaded image: big:1");
  }, 60_000);

  test("nothing is left when the daemon is killed", async () => {
    const before = scene.stored();
    const client = await begin();
    await scene.daemon.stop("SIGKILL");
    await scene.daemon.start();
    await end(client);
    expect(scene.stored()).toEqual(before);
    const { status, stdout } = await scene.daemon.tsd(["fsck"]);
    expect([status, stdout]).toEqual([0, expect.any(String)]);
    expect(await load(big)).toBe("Loaded image: big:1");
  }, 60_000);
});
