/** The `manifest` commands of tsd and of docker: the same words, the same files, and the same lists in the registry. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { readdirSync, readFileSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { archive } from "../../src/tar/tar-fixture.ts";
import { type CommandResult, command } from "../harness/command.ts";
import { DockerScene } from "../harness/docker.ts";
import { dockerClient } from "../harness/packages.ts";
import { startRegistry } from "../harness/registry.ts";
import { tsd } from "../harness/workspace.ts";
import { HostileRegistry } from "../image/hostile-registry.ts";

let scene: DockerScene;
/** Registry images: one of OCI's kind, one of Docker's. */
let oci: string;
let docker: string;

beforeAll(async () => {
  scene = await DockerScene.open();
  symlinkSync(tsd, scene.workspace.path("docker"));
  oci = await scene.registry.push("busybox", "oci:1");
  docker = "127.0.0.1:5000/docker:2";
  const flags = ["-q", "--insecure-policy", "--src-tls-verify=false", "--dest-tls-verify=false", "--format", "v2s2"];
  await scene.workspace.run(["skopeo", "copy", ...flags, `docker://${oci}`, `docker://${docker}`]);
}, 60_000);

afterAll(() => scene?.close());

/** tsd under docker's name, with a directory of lists of its own. */
function ours(args: string[], lists = "ours"): Promise<CommandResult> {
  const env = { ...scene.daemon.env, DOCKER_CONFIG: scene.workspace.path(lists) };
  return command([scene.workspace.path("docker"), "manifest", ...args], { env });
}

/** docker, which talks to the registry itself. */
function theirs(args: string[], lists = "theirs"): Promise<CommandResult> {
  const env = { ...scene.daemon.env, DOCKER_CONFIG: scene.workspace.path(lists) };
  return scene.workspace.run([dockerClient(), "manifest", ...args], { env });
}

async function expectSame(...args: string[]): Promise<CommandResult> {
  const [own, other] = [await ours(args), await theirs(args)];
  expect({ status: own.status, stdout: own.stdout }).toEqual({ status: other.status, stdout: other.stdout });
  // Advice and usage below the message are each one's own.
  const said = own.stderr.replace(/^hint: .*\n/gm, "");
  expect(said.split("\n\n")[0]!.trim()).toBe(other.stderr.split("\n\n")[0]!.trim());
  expect(files("ours")).toEqual(files("theirs"));
  return own;
}

/** What is kept: by path the text of each file. */
function files(lists: string): Record<string, string> {
  const root = scene.workspace.path(lists, "manifests");
  try {
    const paths = (readdirSync(root, { recursive: true, withFileTypes: true }) as import("node:fs").Dirent[])
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name));
    return Object.fromEntries(paths.map((path) => [path.slice(root.length), readFileSync(path, "utf8")]));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return {};
    throw error;
  }
}

test("a list is made, annotated, shown, pushed and removed as docker does it", async () => {
  const list = "127.0.0.1:5000/list:all";
  const same = (...args: string[]) =>
    expectSame(...args).then(({ status, stderr }) => expect([status, stderr]).toEqual([0, ""]));
  await same("create", "--insecure", list, oci, docker);
  expect(Object.keys(files("ours"))).toHaveLength(2);
  await same("inspect", list);
  await same("inspect", "-v", list);
  await same("inspect", list, oci);
  await same("inspect", "--verbose", list, docker);
  await same("annotate", list, docker, "--os", "linux", "--arch", "arm", "--variant", "v7", "--os-features", "a,b");
  await same("annotate", "--os-version", "10.0", "--os-features=b,c", list, docker);
  await same("inspect", list);
  await same("push", "--insecure", list);
  await same("rm", list);
  expect(files("ours")).toEqual({});
  await same("inspect", "--insecure", list);
  await same("inspect", "--insecure", "-v", list);
  await same("inspect", "--insecure", oci);
  await same("inspect", "--insecure", "-v", docker);
  await same("create", "--insecure", "127.0.0.1:5000/list:two", oci);
  await same("create", "--insecure", "-a", "127.0.0.1:5000/list:two", docker);
  await same("push", "-p", "--insecure", "127.0.0.1:5000/list:two");
});

test("each goes on with the other's lists", async () => {
  const list = "127.0.0.1:5000/shared:1";
  expect((await theirs(["create", "--insecure", list, oci], "shared")).status).toBe(0);
  expect(await ours(["create", "-a", list, docker], "shared")).toMatchObject({ status: 0, stderr: "" });
  expect(await ours(["annotate", list, docker, "--arch", "arm64"], "shared")).toMatchObject({ status: 0, stderr: "" });
  const shown = JSON.parse((await theirs(["inspect", list], "shared")).stdout) as { manifests: object[] };
  expect(shown.manifests).toMatchObject([
    { platform: { architecture: "arm64", os: "linux" } },
    { platform: { architecture: "amd64", os: "linux" } },
  ]);
  const pushed = await ours(["push", "--purge", list], "shared");
  expect(pushed).toMatchObject({ status: 0, stderr: "" });
  expect(pushed.stdout).toMatch(/^(Pushed ref .*\n){2}sha256:[0-9a-f]{64}\n$/);
  expect((await theirs(["inspect", list], "shared")).stderr).not.toContain("No such manifest");
  // The list is good for a pull: the daemon gets the image of its platform.
  expect(await scene.daemon.ok("pull", "-q", list)).toBe(list);
});

describe("both refuse alike", () => {
  test.each([
    { args: ["inspect", "--insecure", "127.0.0.1:5000/absent"] },
    { args: ["inspect", "--insecure", "127.0.0.1:5000/oci:absent"] },
    { args: ["inspect", "a::"] },
    { args: ["inspect", "Upper"] },
    { args: ["inspect", "127.0.0.1:5000/list", "127.0.0.1:5000/oci:1"] },
    { args: ["inspect"] },
    { args: ["inspect", "a", "b", "c"] },
    { args: ["rm", "127.0.0.1:5000/absent"] },
    { args: ["rm", "Upper", "a"] },
    { args: ["push", "127.0.0.1:5000/absent"] },
    { args: ["create", "--insecure", "127.0.0.1:5000/l", "127.0.0.1:5000/absent:1"] },
    { args: ["create", "Upper", "a"] },
    { args: ["create", "a", "Upper"] },
    { args: ["annotate", "127.0.0.1:5000/absent", "127.0.0.1:5000/oci:1", "--arch", "arm"] },
    { args: ["annotate", "Upper", "a"] },
    { args: ["annotate", "a", "Upper"] },
    { args: ["annotate", "a"] },
  ])("$args", async ({ args }) => {
    const { status, stderr } = await expectSame(...args);
    expect(status).toBe(1);
    expect(stderr).not.toBe("");
  });

  test("what cannot be put into a list that is there", async () => {
    const list = "127.0.0.1:5000/refusing:1";
    await expectSame("create", "--insecure", list, oci);
    expect((await expectSame("create", "--insecure", list, docker)).stderr).toContain("no --amend flag");
    expect((await expectSame("annotate", list, oci, "--os", "linux", "--arch", "z80")).stderr).toContain("linux/z80");
    await expectSame("rm", list);
  });
});

test("a list of a list is refused with what to name instead, and one of another registry's image before anything is sent", async () => {
  const list = "127.0.0.1:5000/nested:1";
  await ours(["create", list, oci]);
  await ours(["push", "-p", list]);
  const nested = await ours(["create", "127.0.0.1:5000/outer:1", list]);
  expect(nested.status).toBe(1);
  expect(nested.stderr).toContain(`${list} is a manifest list, and a list cannot hold another`);
  expect(files("ours")).toEqual({});
  const other = await startRegistry(scene.workspace, { port: 5001 });
  const foreign = await other.push("busybox", "foreign:1");
  await ours(["create", "127.0.0.1:5000/mixed:1", oci, foreign]);
  const mixed = await ours(["push", "127.0.0.1:5000/mixed:1"]);
  expect(mixed.status).toBe(1);
  expect(mixed.stderr).toContain("different registry than the target image: 127.0.0.1:5001 != 127.0.0.1:5000");
  await ours(["rm", "127.0.0.1:5000/mixed:1"]);
});

test("a manifest that is damaged on the way, or in the file, is refused", async () => {
  const hostile = await HostileRegistry.start(scene.workspace);
  const { reference } = hostile.addImage("image", [archive([{ name: "a", data: "x" }])]);
  expect(await ours(["create", "127.0.0.1:5555/l:1", reference])).toMatchObject({ status: 0 });
  hostile.misbehave({ path: "/blobs/", body: '{"os":"linux","architecture":"amd64"}' });
  const damaged = await ours(["inspect", "-v", reference]);
  expect([damaged.status, damaged.stderr]).toEqual([1, expect.stringContaining("the registry sent another")]);
  hostile.misbehave();
  const path = scene.workspace.path("ours", "manifests", "127.0.0.1-5555_l-1", "127.0.0.1-5555_image-latest");
  await Bun.write(path, "{}");
  const file = await ours(["inspect", "127.0.0.1:5555/l:1"]);
  expect([file.status, file.stderr]).toEqual([1, expect.stringContaining(`invalid manifest file ${path}`)]);
  await ours(["rm", "127.0.0.1:5555/l:1"]);
});

test("the user's credentials are sent along, and a registry without them refuses", async () => {
  const user = { user: "alice", password: "a:secret" };
  const closed = await startRegistry(scene.workspace, { port: 5002, htpasswd: user });
  const image = await closed.push("busybox", "closed:1");
  const list = `${closed.host}/closed:list`;
  const refused = await ours(["create", list, image], "with-password");
  expect([refused.status, refused.stderr]).toEqual([1, expect.stringContaining("no basic auth credentials")]);
  const auth = Buffer.from(`${user.user}:${user.password}`).toString("base64");
  const file = scene.workspace.path("with-password", "config.json");
  await Bun.write(file, JSON.stringify({ auths: { [closed.host]: { auth } } }));
  expect(await ours(["create", list, image], "with-password")).toMatchObject({ status: 0, stderr: "" });
  expect(await ours(["push", "-p", list], "with-password")).toMatchObject({ status: 0, stderr: "" });
  expect((await ours(["inspect", list], "with-password")).stdout).toContain('"architecture": "amd64"');
});

test("a registry that is not trusted is talked to in plain only with --insecure", async () => {
  const plain = await startRegistry(scene.workspace, { port: 5003, address: "192.0.2.7" });
  const image = `${plain.host}/plain:1`;
  const flags = ["-q", "--insecure-policy", "--src-tls-verify=false", "--dest-tls-verify=false"];
  const copied = await scene.workspace.run(["skopeo", "copy", ...flags, `docker://${oci}`, `docker://${image}`]);
  expect(copied).toMatchObject({ status: 0 });
  const refused = await ours(["inspect", image]);
  expect([refused.status, refused.stderr]).toEqual([1, expect.stringContaining(plain.host)]);
  expect(await ours(["inspect", "--insecure", image])).toMatchObject({ status: 0, stderr: "" });
  const list = `${plain.host}/other:list`;
  expect(await ours(["create", "--insecure", list, image])).toMatchObject({ status: 0, stderr: "" });
  expect((await ours(["push", list])).status).toBe(1);
  expect(await ours(["push", "--insecure", "--purge", list])).toMatchObject({ status: 0, stderr: "" });
});
