/** What tsd pushes is what it pulled, and what other programs pull. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { command, succeed, until } from "../harness/command.ts";
import { Daemon } from "../harness/daemon.ts";
import { preparePodman, startDockerd } from "../harness/peers.ts";
import { type Registry, startRegistry } from "../harness/registry.ts";
import { tsd, Workspace } from "../harness/workspace.ts";

let workspace: Workspace;
let daemon: Daemon;
let registry: Registry;
let other: Registry;

beforeAll(async () => {
  workspace = await Workspace.open();
  registry = await startRegistry(workspace);
  other = await startRegistry(workspace, { port: 5001 });
  daemon = await Daemon.start(workspace);
}, 60_000);

afterAll(() => workspace?.[Symbol.asyncDispose]());

/** A manifest as a registry has it. */
function raw(reference: string): Promise<string> {
  const flags = ["--raw", "--tls-verify=false"];
  return succeed(workspace.inNetwork(["skopeo", "inspect", ...flags, `docker://${reference}`]));
}

/** The blobs that a registry's storage has, by digest. */
function stored(where: Registry): string[] {
  const root = join(where.data, "docker/registry/v2/blobs/sha256");
  return readdirSync(root).flatMap((prefix) => readdirSync(join(root, prefix)));
}

describe("a pulled image", () => {
  test("pushed again is the same, to the byte, with what the registry has mounted from there", async () => {
    const source = await registry.push("busybox", "source/busybox:1");
    await daemon.ok("pull", "-q", source);
    const copy = `${registry.host}/copy/of-busybox:2`;
    await daemon.ok("tag", source, copy);
    const before = stored(registry);
    const output = await daemon.ok("push", copy);
    expect(await raw(copy)).toBe(await raw(source));
    expect(stored(registry)).toEqual(before);
    const digest = await daemon.ok("images", "--digests", "--format", "{{.Digest}}", copy);
    expect(output.split("\n")).toEqual([
      `The push refers to repository [${registry.host}/copy/of-busybox]`,
      expect.stringMatching(/^[0-9a-f]{12}: Preparing$/),
      expect.stringMatching(/^[0-9a-f]{12}: Mounted from source\/busybox$/),
      expect.stringMatching(new RegExp(`^2: digest: ${digest} size: \\d+$`)),
    ]);
  });

  test("pushed to another registry is the same, and a second time nothing is sent", async () => {
    const source = await registry.push("busybox", "source/busybox:1");
    await daemon.ok("pull", "-q", source);
    const copy = `${other.host}/busybox:1`;
    await daemon.ok("tag", source, copy);
    expect(await daemon.ok("push", copy)).toContain(": Pushed");
    expect(await raw(copy)).toBe(await raw(source));
    expect(await daemon.ok("push", copy)).toContain(": Layer already exists");
    expect(await daemon.ok("push", "--quiet", copy)).toBe(copy);
  });
});

test("hello, whose layer is kept nowhere, is pushed, pulled and run", async () => {
  await daemon.ok("run", "--rm", "hello");
  const copy = `${other.host}/greetings/hello:1`;
  await daemon.ok("tag", "hello", copy);
  await daemon.ok("push", "-q", copy);
  await daemon.ok("rmi", copy);
  expect(await daemon.ok("run", "--rm", "-q", copy)).toContain("Hello from tsd!");
  const again = `${other.host}/greetings/again:1`;
  await daemon.ok("tag", "hello", again);
  expect(await daemon.ok("push", again)).toContain(": Mounted from greetings/hello");
}, 60_000);

test("an upload whose client leaves is ended, and the registry told", async () => {
  await daemon.ok("run", "--rm", "hello");
  // To a registry that has nothing of it yet.
  const target = `${registry.host}/left/hello:1`;
  await daemon.ok("tag", "hello", target);
  const before = (await registry.accesses()).length;
  const child = Bun.spawn([tsd, "push", target], { env: { ...process.env, ...daemon.env }, stdout: "ignore" });
  const repository = join(registry.data, "docker/registry/v2/repositories/left/hello");
  await until("a part of the layer is there", () => bytesBelow(join(repository, "_uploads")) > 2 ** 22);
  child.kill("SIGINT");
  expect(await child.exited).toBe(130);
  await until("the registry is told", async () =>
    (await registry.accesses()).slice(before).some((line) => /"DELETE \/v2\/left\/hello\/blobs\/uploads\//.test(line)),
  );
  const { stdout } = await workspace.run(["curl", "-s", `${registry.url}/v2/left/hello/tags/list`]);
  expect(stdout).not.toContain('"1"');
}, 60_000);

test("an upload survives that the registry is killed meanwhile, which has forgotten then how far it was", async () => {
  await daemon.ok("run", "--rm", "hello");
  const target = `${registry.host}/resumed/hello:1`;
  await daemon.ok("tag", "hello", target);
  const pushing = daemon.tsd(["push", target]);
  const uploads = join(registry.data, "docker/registry/v2/repositories/resumed/hello/_uploads");
  await until("a part of the layer is there", () => bytesBelow(uploads) > 2 ** 22);
  await registry.restart();
  expect(await pushing).toMatchObject({ status: 0, stderr: "" });
  const accesses = (await registry.accesses()).filter((line) => line.includes("/resumed/hello/blobs/uploads/"));
  const methods = accesses.map((line) => /"([A-Z]+) .* (\d{3}) /.exec(line)?.slice(1, 3).join(" "));
  // docker-registry answers 404 for an upload that has other bytes than its address says: it is begun anew.
  expect(methods).toContain("GET 404");
  // The layer's; the configuration may have come through without a line in the log.
  expect(methods.at(-1)).toBe("PUT 201");
  await daemon.ok("rmi", target);
  expect(await daemon.ok("run", "--rm", "-q", target)).toContain("Hello from tsd!");
}, 60_000);

/** Of all files below a directory, which may not be there yet. */
function bytesBelow(directory: string): number {
  if (!existsSync(directory)) return 0;
  const names = readdirSync(directory, { recursive: true }) as string[];
  const sizes = names.map((name) => statSync(join(directory, name), { throwIfNoEntry: false }));
  return sizes.reduce((sum, status) => sum + (status?.isFile() ? status.size : 0), 0);
}

test("all tags of a repository go with -a, and no other's", async () => {
  const source = await registry.push("busybox", "source/busybox:1");
  await daemon.ok("pull", "-q", source);
  for (const name of ["many:a", "many:b", "many-more:c"]) await daemon.ok("tag", source, `${other.host}/${name}`);
  await daemon.ok("push", "-a", `${other.host}/many`);
  const list = (name: string) =>
    command(workspace.inNetwork(["curl", "-s", `${other.url}/v2/${name}/tags/list`])).then(({ stdout }) => stdout);
  expect((JSON.parse(await list("many")) as { tags: string[] }).tags.sort()).toEqual(["a", "b"]);
  expect(await list("many-more")).toContain("NAME_UNKNOWN");
});

describe("an index", () => {
  test("goes whole where all of it is here, and one manifest of it with --platform", async () => {
    const root = await multiPlatform("whole", ["linux/amd64", "linux/arm64"]);
    const copy = `${other.host}/multi/whole:1`;
    await daemon.ok("tag", root.reference, copy);
    await daemon.ok("push", copy);
    expect(await raw(copy)).toBe(await raw(root.reference));
    const one = `${other.host}/multi/one:1`;
    await daemon.ok("tag", root.reference, one);
    await daemon.ok("push", "--platform", "linux/arm64", one);
    expect(await raw(one)).toBe(await raw(`${root.reference.replace(/:[^:]*$/, "")}@${root.children[1]}`));
    const missing = await daemon.tsd(["push", "--platform", "linux/s390x", one]);
    expect([missing.status, missing.stderr]).toEqual([
      1,
      expect.stringMatching(
        /does not provide the specified platform \(linux\/s390x\): available: linux\/amd64, linux\/arm64/,
      ),
    ]);
  });

  test("of which one platform was pulled goes as that one, and says so", async () => {
    const root = await multiPlatform("part", ["linux/amd64"]);
    const copy = `${other.host}/multi/part:1`;
    await daemon.ok("tag", root.reference, copy);
    const { status, stderr } = await daemon.tsd(["push", copy]);
    expect([status, stderr]).toEqual([
      0,
      expect.stringContaining(
        "Not all multiplatform-content is present and only the available single-platform image was pushed",
      ),
    ]);
    expect(stderr).toContain(`${root.digest} -> ${root.children[0]}`);
    expect(JSON.parse(await raw(copy))).toHaveProperty("layers");
  });

  test("of which the repository has the rest goes whole", async () => {
    const root = await multiPlatform("known", ["linux/amd64"]);
    const again = root.reference.replace(/:[^:]*$/, ":again");
    await daemon.ok("tag", root.reference, again);
    await daemon.ok("push", again);
    expect(await raw(again)).toBe(await raw(root.reference));
  });

  /** An index of two platforms in the first registry, of which some are pulled. */
  async function multiPlatform(name: string, pulled: string[]) {
    const tags: string[] = [];
    for (const architecture of ["amd64", "arm64"]) {
      const layout = workspace.path(`layout-${name}-${architecture}`);
      await makeImage(layout, architecture, name);
      tags.push(await registry.pushLayout(layout, `multi/${name}:${architecture}`));
    }
    const children = await Promise.all(
      tags.map(async (tag, at) => {
        const text = await raw(tag);
        const digest = `sha256:${new Bun.CryptoHasher("sha256").update(text).digest("hex")}`;
        const { mediaType } = JSON.parse(text) as { mediaType: string };
        const architecture = ["amd64", "arm64"][at]!;
        return { mediaType, digest, size: Buffer.byteLength(text), platform: { os: "linux", architecture } };
      }),
    );
    const mediaType = "application/vnd.oci.image.index.v1+json";
    const index = JSON.stringify({ schemaVersion: 2, mediaType, manifests: children });
    const put = ["-X", "PUT", "-H", `content-type: ${mediaType}`, "--data-binary", "@-"];
    const url = `${registry.url}/v2/multi/${name}/manifests/index`;
    await succeed(workspace.inNetwork(["curl", "-sf", ...put, url]), { stdin: index });
    const reference = `${registry.host}/multi/${name}:index`;
    for (const platform of pulled) await daemon.ok("pull", "-q", "--platform", platform, reference);
    const digest = `sha256:${new Bun.CryptoHasher("sha256").update(index).digest("hex")}`;
    return { reference, digest, children: children.map((child) => child.digest) };
  }
});

/** An OCI layout with one layer, of whatever architecture. */
async function makeImage(layout: string, architecture: string, content: string): Promise<void> {
  const { archive } = await import("../../src/tar/tar-fixture.ts");
  const tar = archive([{ name: "file", data: `${content} ${architecture}` }]);
  const write = async (bytes: Uint8Array | string) => {
    const hex = new Bun.CryptoHasher("sha256").update(bytes).digest("hex");
    await Bun.write(join(layout, "blobs/sha256", hex), bytes);
    return { digest: `sha256:${hex}`, size: Buffer.byteLength(bytes as Uint8Array) };
  };
  const layer = await write(tar);
  const config = JSON.stringify({
    os: "linux",
    architecture,
    config: {},
    rootfs: { type: "layers", diff_ids: [layer.digest] },
  });
  const manifest = JSON.stringify({
    schemaVersion: 2,
    mediaType: "application/vnd.oci.image.manifest.v1+json",
    config: { mediaType: "application/vnd.oci.image.config.v1+json", ...(await write(config)) },
    layers: [{ mediaType: "application/vnd.oci.image.layer.v1.tar", ...layer }],
  });
  const annotations = { "org.opencontainers.image.ref.name": "latest" };
  const mediaType = "application/vnd.oci.image.manifest.v1+json";
  const manifests = [{ mediaType, ...(await write(manifest)), annotations }];
  await Bun.write(join(layout, "index.json"), JSON.stringify({ schemaVersion: 2, manifests }));
  await Bun.write(join(layout, "oci-layout"), '{"imageLayoutVersion":"1.0.0"}');
}

describe("other programs pull what was pushed:", () => {
  let pushed: string;
  let digest: string;
  beforeAll(async () => {
    const source = await registry.push("busybox", "source/busybox:1");
    await daemon.ok("pull", "-q", source);
    pushed = `${other.host}/for/others:1`;
    await daemon.ok("tag", source, pushed);
    await daemon.ok("push", "-q", pushed);
    digest = await daemon.ok("images", "--digests", "--format", "{{.Digest}}", pushed);
  });

  test("skopeo, which verifies each digest", async () => {
    const target = workspace.path("skopeo-copy");
    const flags = ["--insecure-policy", "--src-tls-verify=false", "--preserve-digests"];
    await succeed(workspace.inNetwork(["skopeo", "copy", "-q", ...flags, `docker://${pushed}`, `oci:${target}:x`]));
    const index = (await Bun.file(join(target, "index.json")).json()) as { manifests: { digest: string }[] };
    expect(index.manifests[0]!.digest).toBe(digest);
  });

  test("docker's daemon", async () => {
    const peer = await startDockerd(workspace);
    await peer.ok("pull", "-q", pushed);
    const digests = await peer.ok("image", "inspect", "-f", "{{.RepoDigests}}", pushed);
    expect(digests).toBe(`[${pushed.replace(/:1$/, "")}@${digest}]`);
  }, 60_000);

  test("podman", async () => {
    const peer = await preparePodman(workspace);
    await peer.ok("pull", "-q", "--tls-verify=false", pushed);
    const digests = await peer.ok("image", "inspect", "-f", "{{.RepoDigests}}", pushed);
    expect(digests).toContain(`${pushed.replace(/:1$/, "")}@${digest}`);
    expect(await peer.ok("run", "--rm", "--network", "none", pushed, "echo", "from podman")).toBe("from podman");
  }, 60_000);
});

describe("docker's command line pushes with this daemon:", () => {
  test("an image, quietly, all tags, and what is not here", async () => {
    const source = await registry.push("busybox", "source/busybox:1");
    await daemon.ok("pull", "-q", source);
    const copy = `${other.host}/by/docker`;
    await daemon.ok("tag", source, `${copy}:1`);
    const push = async (...args: string[]) => {
      const { status, stdout, stderr } = await daemon.docker(["push", ...args]);
      return { status, stdout: stdout.trim().split("\n"), stderr: stderr.trim() };
    };
    const digest = await daemon.ok("images", "--digests", "--format", "{{.Digest}}", `${copy}:1`);
    const { status, stdout } = await push(`${copy}:1`);
    expect([status, stdout.at(-1)]).toEqual([
      0,
      expect.stringMatching(new RegExp(`^1: digest: ${digest} size: \\d+$`)),
    ]);
    expect(await push("-q", `${copy}:1`)).toEqual({ status: 0, stdout: [`${copy}:1`], stderr: "" });
    expect((await push("-a", copy)).status).toBe(0);
    expect(await push(`${copy}:none`)).toEqual({
      status: 1,
      stdout: [""],
      stderr: `Error response from daemon: tag does not exist: ${copy}:none`,
    });
  });
});

describe("a push is refused", () => {
  test("of an image that is not here, of a name that is none, of all tags of one tag", async () => {
    const refused = async (...args: string[]) => {
      const { status, stderr } = await daemon.tsd(["push", ...args]);
      return [status, stderr.trim().split("\n")[0]];
    };
    expect(await refused(`${other.host}/none:1`)).toEqual([
      1,
      `Error response from daemon: tag does not exist: ${other.host}/none:1`,
    ]);
    expect(await refused("-a", `${other.host}/none`)).toEqual([
      1,
      `Error response from daemon: An image does not exist locally with the tag: ${other.host}/none`,
    ]);
    expect(await refused("-a", `${other.host}/none:1`)).toEqual([1, "tag can't be used with --all-tags/-a"]);
    expect(await refused("UPPER")).toEqual([1, expect.stringContaining("must be lowercase")]);
    expect(await refused("--platform", "a/b/c/d", "x")).toEqual([1, expect.stringContaining("invalid platform")]);
  });

  test("by a registry that is not there, with its address", async () => {
    const source = await registry.push("busybox", "source/busybox:1");
    await daemon.ok("pull", "-q", source);
    await daemon.ok("tag", source, "127.0.0.1:1/x:1");
    const { status, stderr } = await daemon.tsd(["push", "127.0.0.1:1/x:1"]);
    expect([status, stderr]).toEqual([
      1,
      expect.stringMatching(
        /^Head "http:\/\/127\.0\.0\.1:1\/v2\/x\/manifests\/\S+": connect: connection refused\nhint: /,
      ),
    ]);
  });
});
