/** The unmodified docker client about the daemon and its images: version, info, pull, images, inspect, rmi, events. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { DockerScene } from "../harness/docker.ts";
import { LiveCommand } from "../harness/live.ts";
import { dockerClient } from "../harness/packages.ts";

let scene: DockerScene;
beforeAll(async () => {
  scene = await DockerScene.open();
});
afterAll(() => scene.close());

test("docker version shows both ends and the components", async () => {
  const client = await scene.ok("version", "--format", "{{.Client.Version}}");
  console.log(`note: docker client ${client} (${dockerClient()})`);
  const version = await scene.ok("version");
  expect(version).toContain("Server: tsd");
  for (const component of ["Engine:", "containerd:", "runc:", "docker-init:"]) expect(version).toContain(component);
  expect(await scene.ok("version", "--format", "{{.Server.MinAPIVersion}}")).toBe("1.24");
});

test("docker speaks an older version of the API when it is told to, and is refused a newer one", async () => {
  const at = (version: string) => scene.docker(["ps", "-q"], { env: { DOCKER_API_VERSION: version } });
  expect(await at("1.24")).toMatchObject({ status: 0, stderr: "" });
  expect(await at("1.41")).toMatchObject({ status: 0, stderr: "" });
  const { status, stderr } = await at("1.99");
  expect(status).toBe(1);
  expect(stderr).toContain("client version 1.99 is too new");
});

test("docker info names the driver, the runtimes and the directory", async () => {
  const format = "{{.Driver}} {{.CgroupDriver}} {{.DefaultRuntime}} {{.DockerRootDir}} {{.LoggingDriver}}";
  expect(await scene.ok("info", "--format", format)).toBe(`overlayfs cgroupfs tsd ${scene.daemon.root} json-file`);
  const { status, stderr } = await scene.docker(["info"]);
  expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
});

test("docker pull shows each layer's progress, and says when there is nothing to do", async () => {
  const reference = await scene.registry.push("busybox", "progress:v1");
  await scene.ok("rmi", "-f", scene.image);
  const fresh = await scene.ok("pull", reference);
  expect(fresh).toContain("v1: Pulling from progress");
  expect(fresh).toMatch(/[0-9a-f]{12}: Pulling fs layer/);
  expect(fresh).toMatch(/[0-9a-f]{12}: Pull complete/);
  expect(fresh).toMatch(/Digest: sha256:[0-9a-f]{64}/);
  expect(fresh).toContain(`Status: Downloaded newer image for ${reference}`);
  expect(fresh.trimEnd().split("\n").at(-1)).toBe(reference);
  const again = await scene.ok("pull", reference);
  expect(again).toContain(`Status: Image is up to date for ${reference}`);
  expect(await scene.ok("pull", "-q", scene.image)).toBe(`${scene.image}:latest`);
});

test("docker pull of what is not there names it", async () => {
  const { host } = scene.registry;
  const tag = await scene.docker(["pull", `${host}/busybox:absent`]);
  expect(tag.status).toBe(1);
  expect(tag.stderr).toContain("busybox:absent");
  expect(tag.stderr).toContain("not found");
  const repository = await scene.docker(["pull", `${host}/nowhere`]);
  expect(repository.status).toBe(1);
  expect(repository.stderr).toContain("nowhere");
  const nobody = await scene.docker(["pull", "127.0.0.1:1/busybox"]);
  expect(nobody.status).toBe(1);
  expect(nobody.stderr).toContain("127.0.0.1:1");
  const invalid = await scene.docker(["pull", "Busybox"]);
  expect(invalid.status).toBe(1);
  expect(invalid.stderr).toContain("must be lowercase");
});

test("docker images lists, filters and formats", async () => {
  const reference = await scene.registry.push("busybox", "listed:v2");
  await scene.ok("pull", "-q", reference);
  const table = await scene.ok("images");
  expect(table.split("\n")[0]).toMatch(/^REPOSITORY +TAG +IMAGE ID +CREATED +SIZE$/);
  const repository = reference.replace(/:v2$/, "");
  expect(await scene.ok("images", "--filter", "reference=*/listed", "--format", "{{.Repository}}:{{.Tag}}")).toBe(
    reference,
  );
  expect(await scene.ok("images", repository, "-q", "--no-trunc")).toMatch(/^sha256:[0-9a-f]{64}$/);
  expect(await scene.ok("images", "absent", "-q")).toBe("");
  expect(await scene.ok("images", "--digests", "--format", "{{.Digest}}", repository)).toMatch(/^sha256:[0-9a-f]{64}$/);
  const refused = await scene.docker(["images", "--filter", "colour=red"]);
  expect(refused.status).toBe(1);
  expect(refused.stderr).toContain("invalid filter 'colour'");
});

test("docker image inspect and rmi name what they do and what is not there", async () => {
  const reference = await scene.registry.push("busybox", "removed:v3");
  await scene.ok("pull", "-q", reference);
  const format = "{{.Os}}/{{.Architecture}} {{json .Config.Cmd}} {{len .RootFS.Layers}}";
  expect(await scene.ok("image", "inspect", "--format", format, reference)).toBe('linux/amd64 ["sh"] 1');
  const id = await scene.background("holder", "exec sleep 1000", ["--label", "x"]);
  const others = (await scene.ok("images", "--format", "{{.Repository}}:{{.Tag}}")).split("\n");
  for (const other of others) {
    if (other !== `${scene.image}:latest`) expect(await scene.ok("rmi", other)).toBe(`Untagged: ${other}`);
  }
  expect(others).toContain(reference);
  const held = await scene.docker(["rmi", scene.image]);
  expect(held.status).toBe(1);
  expect(held.stderr).toContain("conflict: unable to delete");
  expect(held.stderr).toContain(id.slice(0, 12));
  await scene.ok("rm", "-f", "holder");
  const absent = await scene.docker(["rmi", reference]);
  expect(absent.status).toBe(1);
  expect(absent.stderr).toContain(`No such image: ${reference}`);
  expect((await scene.docker(["image", "inspect", "absent"])).stderr).toContain("No such image: absent");
});

test("docker inspect of a name that nothing has looks at every kind of object", async () => {
  const { status, stderr } = await scene.docker(["inspect", "nothing-has-this-name"]);
  expect(status).toBe(1);
  expect(stderr).toContain("No such object: nothing-has-this-name");
});

test("docker events tells of a container's life, live, filtered, and of the past", async () => {
  const since = (Date.now() / 1000 - 0.001).toFixed(3);
  const format = "{{.Type}} {{.Action}} {{.Actor.Attributes.name}}";
  const args = ["events", "--filter", "container=watched", "--format", format];
  await using live = new LiveCommand(scene.argv(...args), scene.daemon.env);
  // Until the subscription stands, an event may be missed: what is told of the past makes that visible.
  await scene.background("watched", "exit 3");
  await scene.ok("wait", "watched");
  await scene.ok("rm", "watched");
  const until = () => (Date.now() / 1000).toFixed(3);
  const past = await scene.ok(...args, "--since", since, "--until", until());
  const life = ["create", "start", "die", "destroy"].map((action) => `container ${action} watched`);
  expect(past.split("\n").filter((line) => life.includes(line))).toEqual(life);
  await live.shows("container destroy watched");
  const json = ["--filter", "event=die", "--format", "{{json .}}"];
  const died = await scene.ok("events", "--since", since, "--until", until(), ...json);
  expect(JSON.parse(died)).toMatchObject({ Action: "die", Actor: { Attributes: { exitCode: "3", name: "watched" } } });
});

test.each([
  [["build", "-"], "building images is not built into this version of tsd"],
  [["swarm", "init"], "tsd has no swarm mode"],
])("docker %j is refused with what is not built", async (args, message) => {
  // The classic builder: buildx would look for a builder of its own first.
  const { status, stderr } = await scene.docker(args, {
    stdin: "FROM scratch\n",
    env: { DOCKER_BUILDKIT: "0" },
  });
  expect(status).not.toBe(0);
  expect(stderr).toContain(message);
});
