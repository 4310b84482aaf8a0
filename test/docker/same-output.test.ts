/** tsd's command line and the unmodified docker client print the same about the images of one daemon, byte by byte. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdirSync, rmSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { archive } from "../../src/tar/tar-fixture.ts";
import { type CommandResult, command } from "../harness/command.ts";
import { DockerScene } from "../harness/docker.ts";
import { screenLines } from "../harness/screen.ts";
import { TerminalSession } from "../harness/terminal.ts";
import { tsd } from "../harness/workspace.ts";
import { HostileRegistry } from "../image/hostile-registry.ts";

let scene: DockerScene;
/** An image with a history, labels and two names; one of many platforms; one that does not say when it was made. */
const history = "127.0.0.1:5555/history";
const multi = "127.0.0.1:5555/multi";
const timeless = "127.0.0.1:5555/timeless";

/** What an index answers; it decides by itself what fits, so that here everything does. */
const searchAnswer = JSON.stringify({
  query: "busybox",
  num_results: 3,
  results: [
    { name: "a/few", description: 'Two\nlines, "quoted", <b> & more than forty-five characters', star_count: 3 },
    { name: "official", description: "", star_count: 1000, is_official: true, is_automated: true },
    { name: "a/none", description: "none", star_count: 0, is_official: false },
  ],
});

beforeAll(async () => {
  scene = await DockerScene.open();
  symlinkSync(tsd, scene.workspace.path("docker"));
  const registry = await HostileRegistry.start(scene.workspace);
  const layer = (name: string, bytes: number) => archive([{ name, data: new Uint8Array(bytes) }]);
  registry.addImage("history", [layer("a", 1000), layer("b", 123_456)], {
    editConfig: (config) => {
      config.config = { Cmd: ["sh", "-c", "echo <hello> & exit"], Labels: { team: "blue", empty: "" } };
      config.created = "2024-05-06T07:08:09.123456789Z";
      config.history = [
        { created: "2020-01-01T00:00:00Z", created_by: "/bin/sh -c #(nop) ADD file:0123 in /", comment: "first" },
        { created_by: "ENV A=1\tB=2 and a text that is longer than what fits", empty_layer: true },
        { created: "2024-05-06T07:08:09Z", created_by: 'RUN "<b>" && two\tthree', comment: "" },
      ];
    },
  });
  const children = (["amd64", "arm64"] as const).map((architecture) => {
    const child = registry.addImage(`child-${architecture}`, [layer(architecture, 5000)], { architecture });
    registry.copyManifest(`child-${architecture}`, "multi");
    return { ...child.manifest, platform: { os: "linux", architecture } };
  });
  registry.addIndex("multi", children);
  registry.addImage("timeless", [layer("t", 10)], {
    editConfig: (config) => {
      delete config.created;
    },
  });
  registry.misbehave({ path: "^/v1/search$", headers: { "content-type": "application/json" }, body: searchAnswer });
  for (const image of [history, multi, timeless]) await scene.ok("pull", "-q", image);
  await scene.ok("tag", history, `${history}:second`);
  await scene.ok("tag", history, `${history}:v1.2.3`);
  await scene.ok("tag", timeless, "gone:1");
  await scene.ok("pull", "-q", `${multi}@${await digestOf(multi)}`);
  await scene.ok("rmi", `${multi}:latest`);
  await scene.ok("rmi", timeless, "-f");
}, 60_000);

afterAll(() => scene?.close());

async function digestOf(image: string): Promise<string> {
  return (await scene.ok("image", "inspect", "--format", "{{index .RepoDigests 0}}", image)).split("@")[1]!;
}

/** What both say, tsd under docker's name. docker's own advice beneath an error, and tsd's, are their own. */
async function both(args: string[]): Promise<{ docker: CommandResult; tsd: CommandResult }> {
  const [docker, own] = await Promise.all([
    scene.docker(args),
    command([scene.workspace.path("docker"), ...args], { env: scene.daemon.env }),
  ]);
  return { docker, tsd: own };
}

async function expectSame(args: string[]): Promise<CommandResult> {
  const { docker, tsd: own } = await both(args);
  expect({ status: own.status, stdout: counted(own.stdout) }).toEqual({
    status: docker.status,
    stdout: counted(docker.stdout),
  });
  expect(firstLine(own.stderr)).toBe(firstLine(docker.stderr));
  return own;
}

/** How many containers an image has is told to clients of API 1.51 on, which docker's may not be. */
function counted(text: string): string {
  return text.replace(/"Containers":"(?:N\/A|0)"/g, '"Containers":"?"');
}

function firstLine(text: string): string {
  return text.trimStart().split("\n", 1)[0]!;
}

/** Each a command line; what it prints is empty where it says so. */
const invocations: { args: string[]; isEmpty?: true }[] = [
  { args: ["images"] },
  { args: ["image", "ls"] },
  { args: ["image", "list"] },
  { args: ["images", "-a"] },
  { args: ["images", "--digests"] },
  { args: ["images", "--no-trunc"] },
  { args: ["images", "-q"] },
  { args: ["images", "-q", "--no-trunc"] },
  { args: ["images", "-q", "--digests"] },
  { args: ["images", "--format", "json"] },
  { args: ["images", "--format", "json", "--digests"] },
  { args: ["images", "--format", "raw"] },
  { args: ["images", "--format", "raw", "--digests"] },
  { args: ["images", "--format", "raw", "-q"] },
  { args: ["images", "--format", "table"] },
  { args: ["images", "--format", "table {{.ID}}\\t{{.Repository | upper}}\\t{{.Tag}}"] },
  { args: ["images", "--format", "table {{.ID}}\\t{{.Size}}", "--digests"] },
  { args: ["images", "--format", "{{.Repository}}:{{.Tag}} {{.Digest}}"] },
  { args: ["images", "--format", "{{json .}}"] },
  { args: ["images", "--format", "{{json .Tag}} {{.CreatedAt}} {{.VirtualSize}} {{.SharedSize}} {{.UniqueSize}}"] },
  { args: ["images", "--format", '{{printf "%-30s|" .Repository}}{{.CreatedSince}}'] },
  { args: ["images", "--format", '{{if eq .Tag "latest"}}*{{else}}-{{end}}{{.ID}}'] },
  { args: ["images", history] },
  { args: ["images", `${history}:second`] },
  { args: ["images", "*/history"] },
  { args: ["images", "*/hist[a-o]ry:v?.*"] },
  { args: ["images", "gone"] },
  { args: ["images", "nothing", "-q"], isEmpty: true },
  { args: ["images", "ls"] },
  { args: ["images", "--filter", "reference=127.0.0.1:*/*:v*"] },
  { args: ["images", "--filter", "label=team"] },
  { args: ["images", "--filter", "label=team=blue", "-q"] },
  { args: ["images", "--filter", "label=team=red", "-q"], isEmpty: true },
  { args: ["images", "--filter", `before=${history}`] },
  { args: ["images", "--filter", `since=${history}`] },
  { args: ["images", "--filter", "dangling=true"], isEmpty: true },
  { args: ["images", "--filter", "dangling=false", "-q"] },
  { args: ["images", "--filter", "until=2025-01-01"] },
  { args: ["images", "--filter", "until=24h", "-q"] },
  { args: ["rmi", "absent", "absent:too", "-f"], isEmpty: true },
  { args: ["search", "127.0.0.1:5555/busybox"] },
  { args: ["search", "--no-trunc", "127.0.0.1:5555/busybox"] },
  { args: ["search", "--format", "json", "127.0.0.1:5555/busybox"] },
  { args: ["search", "--format", "{{.Name}} {{.StarCount}} {{.IsOfficial}}", "127.0.0.1:5555/busybox"] },
  { args: ["search", "--format", "table {{.StarCount}}\\t{{.Name}}", "127.0.0.1:5555/busybox"] },
  { args: ["search", "--filter", "is-official=true", "--limit", "5", "127.0.0.1:5555/busybox"] },
  { args: ["search", "-f", "stars=3", "127.0.0.1:5555/busybox"] },
  { args: ["search", "-f", "is-automated=true", "127.0.0.1:5555/busybox"] },
  { args: ["history", history] },
  { args: ["image", "history", history, "--no-trunc"] },
  { args: ["history", "-q", history] },
  { args: ["history", "-q", "--no-trunc", history] },
  { args: ["history", "-H=false", history] },
  { args: ["history", "--human=false", "--no-trunc", history] },
  { args: ["history", "--format", "json", history] },
  { args: ["history", "--format", "{{.ID}} {{.CreatedBy}} {{.Comment}} {{.CreatedSince}}", history] },
  { args: ["history", "--format", "table {{.Size}}\\t{{.CreatedAt}}", history] },
  { args: ["history", "--platform", "linux/amd64", history] },
  { args: ["history", "gone:1"] },
  { args: ["image", "inspect", "--format", "{{.Id}} {{.RepoTags}} {{.RepoDigests}} {{.Architecture}}", history] },
  { args: ["image", "inspect", "--format", "{{json .Config.Labels}} {{.Size}} {{.Created}}", history] },
  { args: ["inspect", "--type", "image", "--format", "{{.Os}}", history, "gone:1"] },
  { args: ["image", "inspect", "--format", "{{len .RootFS.Layers}}", history] },
];

describe("both command lines print the same of", () => {
  test.each(invocations)("$args", async ({ args, isEmpty }) => {
    const { stdout, status } = await expectSame(args);
    expect(status).toBe(0);
    if (!isEmpty) expect(stdout).not.toBe("");
  });
});

/** Names that cannot be, and what is not here. IMAGE stands for an image that is. */
const mistakes: string[][] = [
  ["tag", "absent", "a:b"],
  ["tag", "IMAGE", "Upper:case"],
  ["tag", "IMAGE", "a:"],
  ["tag", "IMAGE", "a::b"],
  ["tag", "IMAGE", "a:b:c"],
  ["tag", "IMAGE", ":b"],
  ["tag", "IMAGE", ""],
  ["tag", "IMAGE", "a b"],
  ["tag", "IMAGE", "-a"],
  ["tag", "IMAGE", "a/-b"],
  ["tag", "IMAGE", "a//b"],
  ["tag", "IMAGE", `a:${"x".repeat(129)}`],
  ["tag", "IMAGE", "a".repeat(64)],
  ["tag", "IMAGE", "sha256"],
  ["tag", "IMAGE", `a@sha256:${"0".repeat(64)}`],
  ["tag", "IMAGE", "a@sha256:00"],
  ["tag", "Absent", "a"],
  ["tag", "IMAGE"],
  ["rmi", "absent"],
  ["rmi", "0123456789ab"],
  ["rmi", "Upper"],
  ["rmi", "a::b"],
  ["rmi", `a@sha256:${"0".repeat(64)}`],
  ["rmi", "--platform", "linux/never", "IMAGE"],
  ["rmi"],
  ["history", "absent"],
  ["history", "Upper"],
  ["history", "--platform", "linux/s390x", "IMAGE"],
  ["image", "inspect", "absent"],
  ["image", "inspect", "Upper"],
  ["image", "inspect", "IMAGE", "absent", "--format", "{{.Os}}"],
  ["inspect", "--type", "image", "absent"],
  ["images", "--filter", "colour=red"],
  ["images", "--filter", "dangling=maybe"],
  ["images", "--filter", "before=absent"],
  ["images", "a", "b"],
  ["images", "--format", "{{.Repository"],
  ["search"],
  ["search", "--limit", "101", "127.0.0.1:5555/busybox"],
  ["search", "-f", "colour=red", "127.0.0.1:5555/busybox"],
  ["search", "-f", "is-official=maybe", "127.0.0.1:5555/busybox"],
  ["pull", "Upper"],
  ["pull", "a::b"],
  ["pull", "a:"],
  ["pull", "-a", "a:b"],
  ["pull", "--platform", "a/b/c/d", "a"],
];

describe("both command lines refuse alike", () => {
  test.each(mistakes.map((args) => ({ args })))("$args", async ({ args }) => {
    const { status, stderr } = await expectSame(args.map((word) => (word === "IMAGE" ? history : word)));
    expect(status).not.toBe(0);
    expect(stderr).not.toBe("");
  });
});

test("both print lists as the user's config.json says, unless they are told otherwise", async () => {
  const file = join(scene.daemon.env.DOCKER_CONFIG!, "config.json");
  mkdirSync(scene.daemon.env.DOCKER_CONFIG!, { recursive: true });
  const psFormat = "table {{.Names}}\\t{{.State}}";
  await Bun.write(file, JSON.stringify({ imagesFormat: "{{.Tag}} of {{.Repository}}", psFormat }));
  try {
    expect((await expectSame(["images", history])).stdout).toContain(`second of ${history}\n`);
    await expectSame(["images", "-q"]);
    await expectSame(["images", "--format", "table"]);
    await expectSame(["ps", "-a"]);
    await expectSame(["ps", "-aq"]);
  } finally {
    rmSync(file);
  }
});

test.each(["1.24", "1.30", "1.41", "1.42", "1.43", "1.44", "1.46", "1.47", "1.48", "1.49", "1.50"])(
  "docker is served by version %s of the API as by the newest",
  async (version) => {
    const at = (args: string[], env: Record<string, string>) => scene.docker(args, { env });
    for (const args of [
      ["images", "--digests", "--no-trunc"],
      ["images", "--filter", "label=team=blue", "--filter", "dangling=false", "-q"],
      ["images", history, "-q"],
      ["history", "--no-trunc", history],
      ["image", "inspect", "--format", "{{.Id}} {{.RepoTags}} {{.RepoDigests}} {{.Config.Cmd}} {{.Size}}", history],
      ["search", "127.0.0.1:5555/busybox"],
    ]) {
      expect(await at(args, { DOCKER_API_VERSION: version })).toEqual(await at(args, {}));
    }
    const name = `versioned:v${version}`;
    expect(await at(["tag", history, name], { DOCKER_API_VERSION: version })).toMatchObject({ status: 0, stderr: "" });
    const removed = await at(["rmi", name], { DOCKER_API_VERSION: version });
    expect(removed).toMatchObject({ status: 0, stdout: `Untagged: ${name}\n` });
  },
);

describe("both show a pull alike", () => {
  const pulled = "127.0.0.1:5000/busybox";

  /** Each pulls the image anew. */
  async function fresh(pull: (argv: string[]) => Promise<string>): Promise<[docker: string, tsd: string]> {
    const shown: string[] = [];
    for (const program of [scene.argv()[0]!, scene.workspace.path("docker")]) {
      await scene.ok("rmi", "-f", pulled);
      shown.push(await pull([program]));
    }
    return [shown[0]!, shown[1]!];
  }

  test("in plain lines", async () => {
    const [docker, own] = await fresh(async (argv) => {
      const { stdout } = await command([...argv, "pull", pulled], { env: scene.daemon.env });
      return stdout.split("\n").sort().join("\n");
    });
    expect(docker).toContain("Pull complete");
    expect(own).toBe(docker);
    await expectSame(["pull", pulled]);
    await expectSame(["pull", "-q", pulled]);
    await expectSame(["pull", `${pulled}:latest`]);
  });

  test("at a terminal, when it has ended", async () => {
    const [docker, own] = await fresh(async (argv) => {
      await using terminal = new TerminalSession([...argv, "pull", pulled], { env: scene.daemon.env, columns: 120 });
      expect(await terminal.end()).toBe(0);
      return screenLines(terminal.output, 24).join("\n");
    });
    expect(docker).toContain("Pull complete");
    expect(own).toBe(docker);
  });
});
