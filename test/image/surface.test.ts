/** What the API and the command line show of images: platforms, manifests, versions, names, events, live progress. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import type { AttestationStatement, ImageInspect, ImageSummary } from "../../src/api/schema/image.ts";
import { archive, type FixtureEntry } from "../../src/tar/tar-fixture.ts";
import { command, succeed, until } from "../harness/command.ts";
import { Daemon } from "../harness/daemon.ts";
import { type Registry, startRegistry } from "../harness/registry.ts";
import { screenLines } from "../harness/screen.ts";
import { TerminalSession } from "../harness/terminal.ts";
import { tsd, Workspace } from "../harness/workspace.ts";
import { HostileRegistry, noise } from "./hostile-registry.ts";

let workspace: Workspace;
let daemon: Daemon;
let hostile: HostileRegistry;
let registry: Registry;

beforeAll(async () => {
  workspace = await Workspace.open();
  hostile = await HostileRegistry.start(workspace);
  registry = await startRegistry(workspace);
  daemon = await Daemon.start(workspace);
}, 60_000);

afterAll(() => workspace?.[Symbol.asyncDispose]());

const shared: FixtureEntry[] = [{ name: "shared", data: noise(4000) }];

/** An index of images for two platforms and an attestation of the first. */
function addMulti(name: string): { reference: string; digests: Record<"amd64" | "arm64", string> } {
  const digests = { amd64: "", arm64: "" };
  const children: Parameters<HostileRegistry["addIndex"]>[1] = (["amd64", "arm64"] as const).map((architecture) => {
    const layers = [archive(shared), archive([{ name: `${name}-${architecture}`, data: noise(1000) }])];
    const child = hostile.addImage(`${name}-${architecture}`, layers, { architecture });
    hostile.copyManifest(`${name}-${architecture}`, name);
    digests[architecture] = child.manifest.digest;
    return { ...child.manifest, platform: { os: "linux", architecture } };
  });
  const attestation = hostile.addImage(`${name}-attestation`, []).manifest;
  const annotations = {
    "vnd.docker.reference.type": "attestation-manifest",
    "vnd.docker.reference.digest": digests.amd64,
  };
  children.push(Object.assign(attestation, { platform: { os: "unknown", architecture: "unknown" }, annotations }));
  return { reference: hostile.addIndex(name, children), digests };
}

/** The daemon's answer to a request of that version of the API. */
async function api<T>(version: string, path: string, method = "GET"): Promise<{ status: number; body: T }> {
  const url = `http://tsd/v${version}${path}`;
  const { stdout } = await command([
    "curl",
    "-s",
    "-X",
    method,
    "-w",
    "\n%{http_code}",
    "--unix-socket",
    daemon.socket,
    url,
  ]);
  const at = stdout.lastIndexOf("\n");
  return { status: Number(stdout.slice(at + 1)), body: JSON.parse(stdout.slice(0, at) || "null") as T };
}

function only<T>(list: readonly T[]): T {
  expect(list).toHaveLength(1);
  return list[0]!;
}

describe("an image of many platforms", () => {
  test("shows its manifests, those that are here with their sizes and containers, and the others", async () => {
    const { reference, digests } = addMulti("manifests");
    await daemon.ok("pull", "-q", reference);
    const filters = encodeURIComponent(JSON.stringify({ reference: [reference] }));
    const list = async (query: string) =>
      only((await api<ImageSummary[]>("1.55", `/images/json?filters=${filters}${query}`)).body);
    expect((await list("")).Manifests).toBeUndefined();
    const { Manifests, Size, Containers, Descriptor, Id } = await list("&manifests=1&identity=1");
    expect(Descriptor).toMatchObject({ digest: Id, mediaType: "application/vnd.oci.image.index.v1+json" });
    const [amd64, arm64, attestation] = Manifests!;
    expect(Manifests).toHaveLength(3);
    expect(amd64).toMatchObject({
      ID: digests.amd64,
      Available: true,
      Kind: "image",
      ImageData: {
        Platform: { os: "linux", architecture: "amd64" },
        Containers: [],
        Identity: { Pull: [{ Repository: reference }] },
      },
    });
    expect(amd64!.Size.Total).toBe(amd64!.Size.Content + amd64!.ImageData!.Size.Unpacked);
    expect(amd64!.ImageData!.Size.Unpacked).toBeGreaterThanOrEqual(5000);
    expect(Size).toBe(amd64!.Size.Total);
    expect(arm64).toMatchObject({ ID: digests.arm64, Available: false, Size: { Content: 0, Total: 0 } });
    expect(attestation).toMatchObject({ Kind: "attestation", AttestationData: { For: digests.amd64 } });
    expect(Containers).toBe(0);
    const id = await daemon.ok("create", reference);
    expect((await list("&manifests=1")).Manifests![0]!.ImageData!.Containers).toEqual([id]);
    expect((await list("")).Containers).toBe(1);
    expect((await api<ImageSummary[]>("1.50", `/images/json?filters=${filters}`)).body[0]!.Containers).toBe(-1);
    const container = await api<{ ImageManifestDescriptor: object }>("1.48", `/containers/${id}/json`);
    expect(container.body.ImageManifestDescriptor).toMatchObject({
      digest: digests.amd64,
      mediaType: "application/vnd.oci.image.manifest.v1+json",
      size: amd64!.Descriptor.size,
    });
    await daemon.ok("rm", id);
  });

  test("is drawn as a tree, with what is used", async () => {
    const { reference, digests } = addMulti("tree");
    await daemon.ok("pull", "-q", reference);
    await daemon.ok("tag", reference, "second:name");
    const id = await daemon.ok("create", reference);
    const short = (digest: string) => digest.slice("sha256:".length, "sha256:".length + 12);
    const imageId = await daemon.ok("images", "-q", "second:name");
    const tree = (await daemon.ok("images", "--tree", "second")).replace(/\d+(?:\.\d+)?k?B/g, (size) =>
      "#".repeat(size.length),
    );
    expect(tree.replace(/ *#+/g, " #")).toBe(
      [
        "IMAGE                ID             DISK USAGE   CONTENT SIZE   EXTRA",
        `second:name          ${imageId} # #   U    `,
        `├─ linux/amd64       ${short(digests.amd64)} # #   U    `,
        `└─ linux/arm64       ${short(digests.arm64)} # #        `,
        "",
      ].join("\n"),
    );
    const refused = await daemon.tsd(["images", "--tree", "-q"]);
    expect([refused.status, refused.stderr]).toEqual([
      1,
      expect.stringContaining("--quiet cannot be used with --tree"),
    ]);
    await daemon.ok("rm", id);
  });

  test("is pulled for the platform that the environment names, unless a flag does", async () => {
    const { reference, digests } = addMulti("environment");
    const env = { DOCKER_DEFAULT_PLATFORM: "linux/arm64" };
    const contents = async () => {
      const { body } = await api<ImageInspect>("1.55", `/images/${reference}/json?manifests=1`);
      return body.Manifests!.filter(({ Kind, Available }) => Kind === "image" && Available).map(({ ID }) => ID);
    };
    expect(await daemon.tsd(["pull", "-q", reference], { env })).toMatchObject({ status: 0, stderr: "" });
    expect(await contents()).toEqual([digests.arm64]);
    const flag = ["--platform", "linux/amd64"];
    expect(await daemon.tsd(["pull", "-q", ...flag, reference], { env })).toMatchObject({ status: 0, stderr: "" });
    expect(await contents()).toEqual([digests.amd64, digests.arm64]);
  });

  test("loses single platforms, and the last one only as an image", async () => {
    const { reference, digests } = addMulti("platforms");
    await daemon.ok("pull", "-q", "--platform", "linux/arm64", reference);
    await daemon.ok("pull", "-q", "--platform", "linux/amd64", reference);
    const inspect = (platform: string) =>
      daemon.ok("image", "inspect", "--platform", platform, "--format", "{{.Id}} {{.Architecture}}", reference);
    expect(await inspect("linux/arm64")).toBe(`${digests.arm64} arm64`);
    const contentOf = async (architecture: "amd64" | "arm64") => {
      const { body } = await api<ImageInspect>("1.55", `/images/${reference}/json?manifests=1`);
      return body.Manifests!.find(({ ID }) => ID === digests[architecture])!.Size.Content;
    };
    const before = await contentOf("amd64");
    const id = await daemon.ok("create", reference);
    const rmi = (platform: string, ...flags: string[]) =>
      daemon.tsd(["rmi", "--platform", platform, ...flags, reference]);
    const used = await rmi("linux/amd64");
    expect([used.status, used.stderr]).toEqual([
      1,
      expect.stringContaining(`used by stopped container ${id.slice(0, 12)}`),
    ]);
    expect(await rmi("linux/arm64")).toMatchObject({ status: 0, stdout: `Deleted: ${digests.arm64}\n` });
    expect(await contentOf("arm64")).toBe(0);
    // What both platforms have is still there for the one that is left.
    expect(await contentOf("amd64")).toBe(before);
    const gone = await daemon.tsd(["image", "inspect", "--platform", "linux/arm64", reference]);
    expect([gone.status, gone.stderr]).toEqual([1, expect.stringContaining("does not provide the specified platform")]);
    const absent = await rmi("linux/s390x");
    expect([absent.status, absent.stderr]).toEqual([1, expect.stringContaining("available: linux/amd64")]);
    await daemon.ok("rm", id);
    const last = await rmi("linux/amd64", "-f");
    expect([last.status, last.stderr]).toEqual([1, expect.stringContaining("unable to delete all platforms")]);
    expect(await inspect("linux/amd64")).toBe(`${digests.amd64} amd64`);
    expect((await daemon.tsd(["run", "--rm", "--network", "none", reference, "/nothing"])).status).toBe(127);
    await daemon.ok("pull", "-q", "--platform", "linux/arm64", reference);
    expect(await inspect("linux/arm64")).toBe(`${digests.arm64} arm64`);
  });
});

test("what was attached to an image is told by its types, with the statements where they are asked for", async () => {
  const { archivePath, types } = await attestedArchive();
  await daemon.ok("load", "-i", archivePath);
  const path = "/images/attested/attestations";
  const all = await api<AttestationStatement[]>("1.55", path);
  expect(all.body.map(({ PredicateType }) => PredicateType)).toEqual(types);
  expect(all.body[0]!.Descriptor).toMatchObject({ mediaType: "application/vnd.in-toto+json" });
  expect(all.body[0]).not.toHaveProperty("Statement");
  const one = await api<AttestationStatement[]>("1.55", `${path}?statement=1&type=${encodeURIComponent(types[1]!)}`);
  expect(only(one.body)).toMatchObject({ PredicateType: types[1], Statement: { predicateType: types[1] } });
  const { body } = await api<AttestationStatement[]>("1.55", `/images/${registry.host}/attest-none/attestations`);
  expect(body).toMatchObject({ message: expect.stringContaining("No such image") });
});

/** An archive of an image `attested` with two statements about it, as BuildKit exports one. */
async function attestedArchive(): Promise<{ archivePath: string; types: string[] }> {
  const layout = workspace.path("attested");
  const put = async (mediaType: string, content: object | Uint8Array, more: object = {}) => {
    const bytes = content instanceof Uint8Array ? content : Buffer.from(JSON.stringify(content));
    const hex = createHash("sha256").update(bytes).digest("hex");
    await Bun.write(`${layout}/blobs/sha256/${hex}`, bytes);
    return { mediaType, digest: `sha256:${hex}`, size: bytes.length, ...more };
  };
  const oci = "application/vnd.oci.image";
  const tar = archive([{ name: "a", data: "x" }]);
  const rootfs = { type: "layers", diff_ids: [`sha256:${createHash("sha256").update(tar).digest("hex")}`] };
  const image = await put(`${oci}.manifest.v1+json`, {
    schemaVersion: 2,
    mediaType: `${oci}.manifest.v1+json`,
    config: await put(`${oci}.config.v1+json`, { os: "linux", architecture: "amd64", rootfs }),
    layers: [await put(`${oci}.layer.v1.tar`, tar)],
  });
  const types = ["https://slsa.dev/provenance/v1", "https://spdx.dev/Document"];
  const statements = types.map((predicateType) =>
    put(
      "application/vnd.in-toto+json",
      { _type: "https://in-toto.io/Statement/v1", predicateType },
      { annotations: { "in-toto.io/predicate-type": predicateType } },
    ),
  );
  const none = { os: "unknown", architecture: "unknown" };
  const attestation = await put(`${oci}.manifest.v1+json`, {
    schemaVersion: 2,
    mediaType: `${oci}.manifest.v1+json`,
    config: await put(`${oci}.config.v1+json`, { ...none, rootfs: { type: "layers", diff_ids: [] } }),
    layers: await Promise.all(statements),
  });
  const annotations = {
    "vnd.docker.reference.type": "attestation-manifest",
    "vnd.docker.reference.digest": image.digest,
  };
  const index = await put(`${oci}.index.v1+json`, {
    schemaVersion: 2,
    mediaType: `${oci}.index.v1+json`,
    manifests: [
      { ...image, platform: { os: "linux", architecture: "amd64" } },
      { ...attestation, platform: none, annotations },
    ],
  });
  const names = { "io.containerd.image.name": "docker.io/library/attested:latest" };
  await Bun.write(
    `${layout}/index.json`,
    JSON.stringify({ schemaVersion: 2, manifests: [{ ...index, annotations: names }] }),
  );
  await Bun.write(`${layout}/oci-layout`, '{"imageLayoutVersion":"1.0.0"}');
  const archivePath = workspace.path("attested.tar");
  await succeed(["tar", "-cf", archivePath, "-C", layout, "."]);
  return { archivePath, types };
}

test("an image's JSON has what the version of the API has", async () => {
  const { reference } = hostile.addImage("versions", [archive([{ name: "a", data: "x" }])], {
    editConfig: (config) => {
      config.config = { Cmd: ["sh"], Labels: { b: "2", a: "1" }, Volumes: {}, User: "" };
    },
  });
  await daemon.ok("pull", "-q", reference);
  const inspect = async (version: string) => (await api<ImageInspect>(version, `/images/${reference}/json`)).body;
  const newest = await inspect("1.55");
  expect(newest.Config).toEqual({ Cmd: ["sh"], Labels: { a: "1", b: "2" } });
  expect(Object.keys(newest.Config.Labels!)).toEqual(["a", "b"]);
  expect(newest).toMatchObject({
    RepoTags: [`${reference}:latest`],
    RepoDigests: [`${reference}@${newest.Id}`],
    Descriptor: { digest: newest.Id },
    Identity: { Pull: [{ Repository: reference }] },
    RootFS: { Type: "layers", Layers: [expect.stringMatching(/^sha256:/)] },
    Metadata: { LastTagTime: expect.stringMatching(/^20\d\d-/) },
  });
  for (const absent of ["GraphDriver", "Comment", "Author", "Parent", "DockerVersion", "Container"]) {
    expect(newest).not.toHaveProperty(absent);
  }
  expect(await inspect("1.52")).not.toHaveProperty("Identity");
  const old = await inspect("1.51");
  expect(old).toMatchObject({ GraphDriver: { Name: "overlayfs", Data: null }, Comment: "", Author: "", Parent: "" });
  expect(old.Config).toMatchObject({ Env: null, User: "", Volumes: null });
  expect(await inspect("1.47")).not.toHaveProperty("Descriptor");
  expect(await inspect("1.44")).toMatchObject({ Container: "", ContainerConfig: { Cmd: null } });
  expect(await inspect("1.43")).toMatchObject({ VirtualSize: newest.Size });
  expect(await inspect("1.24")).toMatchObject({ VirtualSize: newest.Size, Id: newest.Id });
  const both = await api<{ message: string }>("1.55", `/images/${reference}/json?manifests=1&platform=%7B%7D`);
  expect(both.status).toBe(400);
});

test("all tags of a repository are pulled at once", async () => {
  for (const tag of ["one", "two", "three"]) await registry.push("busybox", `tags:${tag}`);
  const name = `${registry.host}/tags`;
  const { status, stdout, stderr } = await daemon.tsd(["pull", "-a", name]);
  expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
  for (const tag of ["one", "two", "three"]) {
    expect(stdout).toContain(`${tag}: Pulling from tags`);
    expect(stdout).toContain(`for ${name}:${tag}\n`);
  }
  expect(stdout).toEndWith(`${name}\n`);
  expect((await daemon.ok("images", "--format", "{{.Tag}}", name)).split("\n").sort()).toEqual(["one", "three", "two"]);
  expect(await daemon.ok("pull", "-aq", name)).toBe(name);
  const absent = await daemon.tsd(["pull", "-a", `${registry.host}/no-such-repository`]);
  expect([absent.status, absent.stderr]).toEqual([1, expect.stringContaining("no-such-repository")]);
  const tagged = await daemon.tsd(["pull", "-a", `${name}:one`]);
  expect([tagged.status, tagged.stderr]).toEqual([1, expect.stringContaining("tag can't be used with --all-tags/-a")]);
});

test("shared layers are counted where they are asked for", async () => {
  const layer = archive(shared);
  const names = ["one", "two"].map((name) => {
    return hostile.addImage(`sharing-${name}`, [layer, archive([{ name, data: noise(500) }])]).reference;
  });
  for (const name of names) await daemon.ok("pull", "-q", name);
  const filters = encodeURIComponent(JSON.stringify({ reference: names }));
  const sizes = async (version: string, query: string) =>
    (await api<ImageSummary[]>(version, `/images/json?filters=${filters}${query}`)).body.map(
      (image) => image.SharedSize,
    );
  expect(await sizes("1.55", "")).toEqual([-1, -1]);
  const [first, second] = await sizes("1.42", "&shared-size=1");
  expect(first).toBe(second!);
  expect(first).toBeGreaterThanOrEqual(4000);
  expect(await sizes("1.41", "&shared-size=1")).toEqual([-1, -1]);
});

test("events tell of names that come and go, and of the image that goes with the last", async () => {
  const { reference } = hostile.addImage("events", [archive([{ name: "e", data: noise(10) }])]);
  const since = (Date.now() / 1000 - 0.001).toFixed(3);
  await daemon.ok("pull", "-q", reference);
  await daemon.ok("tag", reference, "events:other");
  const id = await daemon.ok("images", "-q", "--no-trunc", reference);
  await daemon.ok("rmi", "events:other");
  await daemon.ok("rmi", reference);
  const format = "{{.Action}} {{.Actor.ID}} {{.Actor.Attributes.name}}";
  const until = (Date.now() / 1000).toFixed(3);
  const told = await daemon.ok(
    "events",
    "--since",
    since,
    "--until",
    until,
    "--filter",
    "type=image",
    "--format",
    format,
  );
  expect(told.split("\n")).toEqual([
    `pull ${reference}:latest ${reference}:latest`,
    `tag ${id} events:other`,
    `untag ${id} events:other`,
    `untag ${id} ${reference}:latest`,
    `delete ${id} ${id}`,
  ]);
});

test("a registry without a search says that it has none, and one that is down is named", async () => {
  const none = await daemon.tsd(["search", `${registry.host}/busybox`]);
  expect([none.status, none.stderr]).toEqual([
    1,
    expect.stringMatching(/registry 127\.0\.0\.1:5000 has no search: .*404/),
  ]);
  hostile.misbehave({ path: "^/v1/search$", body: "<html>" });
  const page = await daemon.tsd(["search", `${hostile.host}/busybox`]);
  hostile.misbehave();
  expect([page.status, page.stderr]).toEqual([1, expect.stringContaining("the answer is no JSON")]);
  const down = await daemon.tsd(["search", "127.0.0.1:1/busybox"]);
  expect([down.status, down.stderr]).toEqual([1, expect.stringContaining("127.0.0.1:1")]);
});

describe("the progress of a pull at a terminal", () => {
  test("bears more layers than the terminal has rows, and ends with each layer's last word", async () => {
    const layers = Array.from({ length: 14 }, (_, index) =>
      archive([{ name: `many-${index}`, data: noise(2000 + index) }]),
    );
    const { reference } = hostile.addImage("many", layers);
    await using terminal = new TerminalSession([tsd, "pull", reference], { env: daemon.env, rows: 8, columns: 60 });
    expect(await terminal.end()).toBe(0);
    const lines = screenLines(terminal.output, 8);
    expect(lines.filter((line) => line.endsWith("Pull complete"))).toHaveLength(14);
    expect(lines.at(-1)).toBe(`${reference}:latest`);
    expect(lines.filter((line) => /more$|Downloading|Waiting|Pulling fs/.test(line))).toEqual([]);
  });

  test("is left with ctrl-c, and the daemon leaves the registry", async () => {
    const { reference, layers } = hostile.addImage("slow", [archive([{ name: "slow", data: noise(3_000_000) }])]);
    hostile.misbehave({ path: layers[0]!.digest.replace("sha256:", ""), pieceBytes: 50_000, pauseMs: 100 });
    await using terminal = new TerminalSession([tsd, "pull", reference], { env: daemon.env, columns: 120 });
    await terminal.expect(/: Downloading \[=*>/);
    terminal.type("\x03");
    expect(await terminal.end()).toBe(130);
    await until("the daemon has left", () =>
      hostile.requests().some((line) => line.startsWith("LEFT /v2/slow/blobs/")),
    );
    hostile.misbehave();
    expect(await daemon.ok("pull", "-q", reference)).toBe(`${reference}:latest`);
  });
});
