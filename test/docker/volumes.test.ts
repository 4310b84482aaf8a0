/**
 * `volume` commands: tsd's and the unmodified docker client's ask one daemon for the same, print the same of what it
 * answers, and end with the same status; and the docker client gets from tsd what it gets from dockerd.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { VolumeListResponse } from "../../src/api/schema/volume.ts";
import { type Engine, startDocker } from "../bench/engines.ts";
import { type CommandResult, command } from "../harness/command.ts";
import { DockerScene } from "../harness/docker.ts";
import { dockerClient } from "../harness/packages.ts";
import { BothClients, type Outcome, type Step, withoutIds } from "./both-clients.ts";

/** `data` has a label and is a container's, `plain` has none and is nobody's; the container has an anonymous one, too. */
class VolumeScene extends BothClients {
  static async open(): Promise<VolumeScene> {
    const docker = await DockerScene.open(["--gc=off"]);
    const scene = new VolumeScene(docker, /^\/volumes\//);
    await scene.openClients();
    await scene.request(...make("data", { Labels: { "team.colour-code": "blue" } }));
    await scene.request(...make("plain"));
    await docker.ok(
      "create",
      "--name",
      "user",
      "--label",
      "kept",
      "-v",
      "data:/data",
      "-v",
      "/anonymous",
      docker.image,
      "true",
    );
    return scene;
  }
}

let scene: VolumeScene;
let dockerd: Engine;
beforeAll(async () => {
  scene = await VolumeScene.open();
  const started = await startDocker(scene.docker.workspace);
  if (!started) throw new Error("no dockerd: apt-get install docker.io");
  dockerd = started;
}, 60_000);
afterAll(() => scene?.close());

function make(Name: string, rest: object = {}): Step {
  return ["POST", "/volumes/create", { Name, ...rest }];
}
const removeNew: Step = ["DELETE", "/volumes/new"];
const pruneAnonymous: Step = ["POST", "/volumes/prune"];

/** Of all volumes, sorted; of anonymous ones `<id>`. */
async function names(): Promise<string[]> {
  const response = await fetch("http://tsd/volumes", { unix: scene.docker.daemon.socket });
  const { Volumes } = (await response.json()) as VolumeListResponse;
  return Volumes.map(({ Name }) => withoutIds(Name)).sort();
}

const formats = [
  "json",
  "raw",
  "{{.Name}} {{.Mountpoint}} {{.Scope}}",
  "table {{.Name}}\\t{{.Driver}}\\t{{.Labels}}\\t{{.Links}}\\t{{.Size}}\\t{{.Group}}\\t{{.Availability}}\\t{{.Status}}",
  'table {{.Name}}\\t{{.Label "team.colour-code"}}',
];

const looks: string[][] = [
  ["volume", "ls"],
  ["volume", "list", "-q"],
  ["volume", "ls", "--cluster"],
  ["volume", "ls", "--cluster", "-q"],
  ...formats.map((format) => ["volume", "ls", "--format", format]),
  ["volume", "ls", "-q", "--format", "raw"],
  ...[
    "driver=local",
    "driver=none",
    "label=team.colour-code",
    "label=team.colour-code=blue",
    "name=^pl",
    "dangling=1",
  ].map((filter) => [...["volume", "ls", "-f", filter]]),
  ["volume", "ls", "-f", "name=data", "-f", "name=plain", "-f", "dangling=false"],
  ["volume", "inspect", "data"],
  ["volume", "inspect", "plain", "absent", "data"],
  ["volume", "inspect", "-f", "json", "data"],
  ["volume", "inspect", "-f", "{{.}} {{json .}}", "data", "plain"],
  ["volume", "inspect", "-f", "{{.Labels}} {{.Options}} {{.Status}} {{.UsageData}} {{.ClusterVolume}}", "plain"],
  ["volume", "inspect", "-f", "{{json .Options}} {{if .Labels}}some{{else}}none{{end}} {{.CreatedAt}}", "plain"],
  [
    "volume",
    "inspect",
    "-f",
    '{{index .Labels "team.colour-code"}}{{range .Labels}} {{.}}{{end}} {{.Mountpoint}}',
    "data",
  ],
  ["volume", "inspect", "absent", "-f", "{{.Name}}"],
  ["inspect", "data"],
  ["inspect", "--type", "volume", "-f", "{{.Name}}", "data", "absent"],
  ["inspect", "-f", "{{json .Mounts}}", "user"],
  ["ps", "-a", "--filter", "volume=data", "--format", "{{.Names}} {{.Mounts}} {{.LocalVolumes}}"],
];

describe("both print the same of", () => {
  test.each(looks.map((args) => ({ args })))("$args", async ({ args }) => {
    const { requests } = await scene.expectSame(args);
    expect(requests).toEqual([]);
  });
});

test.each(
  [
    ["system", "df"],
    ["system", "df", "--format", "json"],
    ["system", "df", "-v", "--format", "{{range .Volumes}}{{json .}}\\n{{end}}"],
    ["system", "df", "-v", "--format", "{{json .Containers}} {{json .Images}}"],
  ].map((args) => ({ args })),
)("both print the same of $args", async ({ args }) => {
  // The last version whose answer this client knows.
  const [docker, own] = await scene.both(args, { dockerApi: "1.50" });
  const plain = ({ stdout }: Outcome) => stdout.trimEnd().replace(/\d+ seconds? ago/g, "a moment ago");
  expect(plain(own)).toBe(plain(docker));
  expect(plain(own)).toContain("ocal");
});

describe("both make the same volume by", () => {
  test.each(
    [
      [],
      ["-d", "local"],
      ["--label", "a=b", "--label", "c", "--label=d=e=f"],
      ["--driver", "local", "--label", "a=b", "--label", "a=c"],
    ].map((flags) => ({ flags })),
  )("$flags", async ({ flags }) => {
    const { requests, ...result } = await scene.expectSame(["volume", "create", ...flags, "new"], {
      undo: [removeNew],
    });
    expect(result).toEqual({ status: 0, stdout: "new\n", stderr: "" });
    expect(requests.length).toBe(1);
  });

  test("a name that is there, and none", async () => {
    expect((await scene.expectSame(["volume", "create", "--label", "other=1", "data"])).stdout).toBe("data\n");
    for (const none of [[], [""]]) {
      const { stdout } = await scene.expectSame(["volume", "create", ...none]);
      expect(await names()).toEqual(["<id>", "<id>", "<id>", "data", "plain"]);
      await scene.request("DELETE", `/volumes/${stdout.trim()}`);
      await scene.request(...pruneAnonymous);
    }
  });
});

describe("both change the same by", () => {
  test("volume rm of several, with what is not there and what is in use among them", async () => {
    const undo = [make("new"), make("new2")];
    for (const step of undo) await scene.request(...step);
    const [docker, own] = await scene.both(["volume", "rm", "new", "absent", "data", "new2"], { undo });
    expect(own.stderr).toBe(docker.stderr);
    expect(own).toMatchObject({ status: 1, stdout: "new\nnew2\n" });
    expect(withoutIds(own.stderr)).toBe(
      "Error response from daemon: get absent: no such volume\n" +
        "Error response from daemon: remove data: volume is in use - [<id>]\n",
    );
    const forced = await scene.expectSame(["volume", "remove", "-f", "new", "absent", "new2"], { undo });
    expect(forced).toMatchObject({ status: 0, stdout: "new\nabsent\nnew2\n", stderr: "" });
    for (const name of ["new", "new2"]) await scene.request("DELETE", `/volumes/${name}`);
  });

  test("volume prune, asked and not, of anonymous volumes and of all, with filters", async () => {
    for (const [stdin, flags] of [
      ["n\n", []],
      ["", ["-a"]],
    ] as const) {
      const asked = await scene.expectSame(["volume", "prune", ...flags], { stdin });
      expect(asked.requests).toEqual([]);
      expect(asked.stdout).toStartWith("WARNING! This will remove");
    }
    const undo = [make("")];
    await scene.request(...undo[0]!);
    const { stdout } = await scene.expectSame(["volume", "prune"], { stdin: "y\n", undo });
    expect(withoutIds(stdout)).toEndWith("[y/N] Deleted Volumes:\n<id>\n\nTotal reclaimed space: 0B\n");
    const kept = ["--filter", "label!=com.docker.volume.anonymous"];
    expect((await scene.expectSame(["volume", "prune", "-f", ...kept])).stdout).toBe("Total reclaimed space: 0B\n");
    const named = ["volume", "prune", "-f", "--filter", "all=true", ...kept];
    const all = await scene.expectSame(named, { undo: [make("plain")] });
    expect(all.stdout).toBe("Deleted Volumes:\nplain\n\nTotal reclaimed space: 0B\n");
    await scene.request(...pruneAnonymous);
    expect((await scene.expectSame(["volume", "prune", "-af"], { undo: [make("plain")] })).stdout).toBe(all.stdout);
    expect(await names()).toEqual(["<id>", "data", "plain"]);
  });

  test("system prune --volumes, of which tsd has no build cache to ask for", async () => {
    const args = ["system", "prune", "--volumes", "--filter", "label!=kept"];
    const asked = await scene.both(args, { stdin: "n\n" });
    expect(asked[1].stdout).toBe(asked[0].stdout.replace("  - unused build cache\n", ""));
    const undo = [make("")];
    await scene.request(...undo[0]!);
    const [docker, own] = await scene.both([...args, "-f"], { undo });
    expect(docker).toMatchObject({ status: 0, stderr: "" });
    expect(withoutIds(docker.stdout)).toBe("Deleted Volumes:\n<id>\n\nTotal reclaimed space: 0B\n");
    expect(withoutIds(own.stdout)).toBe(withoutIds(docker.stdout));
    await scene.request(...pruneAnonymous);
  });

  test("rm -v, which takes anonymous volumes along, and rm, which leaves them", async () => {
    const create: Step = [
      "POST",
      "/containers/create?name=gone",
      { Image: scene.docker.image, Volumes: { "/own": {} } },
    ];
    await scene.request(...create);
    await scene.expectSame(["rm", "-v", "gone"], { undo: [create] });
    expect(await names()).toEqual(["<id>", "<id>", "data", "plain"]);
    await scene.expectSame(["rm", "gone"], { undo: [create] });
    await scene.request("DELETE", "/containers/gone?v=1");
    expect(await names()).toEqual(["<id>", "<id>", "<id>", "data", "plain"]);
    await scene.request(...pruneAnonymous);
  });
});

test("both tell the same events of volumes", async () => {
  const now = (laterMs = 0) => ((Date.now() + laterMs) / 1000).toFixed(3);
  // The test before may have ended in this very millisecond.
  const since = now(1);
  const { docker } = scene;
  const id = await docker.ok("run", "-d", "--network", "none", "-v", "new:/new:ro", docker.image, "sleep", "1000");
  await scene.request("DELETE", `/containers/${id}?force=1`);
  await scene.request("DELETE", "/volumes/new");
  await scene.request(...pruneAnonymous);
  const times = ["--since", since, "--until", now()];
  const format = "{{.Action}} {{.Actor.ID}} {{json .Actor.Attributes}}";
  const { stdout } = await scene.expectSame(["events", ...times, "--filter", "type=volume", "--format", format]);
  const mount = { container: id, destination: "/new", driver: "local", propagation: "", "read/write": "false" };
  expect(stdout.trim().split("\n")).toEqual([
    'create new {"driver":"local"}',
    `mount new ${JSON.stringify(mount)}`,
    `unmount new {"container":"${id}","driver":"local"}`,
    'destroy new {"driver":"local"}',
    'prune  {"reclaimed":"0"}',
  ]);
  const some = await scene.expectSame(["events", ...times, "--filter", "volume=new"]);
  expect(some.stdout.trim().split("\n").length).toBe(4);
  await scene.expectSame(["events", ...times, "--filter", "event=destroy", "--format", "json"]);
});

/** What people get wrong, and what docker's daemon and command line say to it. */
const mistakes: { args: string[]; says: string | RegExp }[] = [
  { args: ["volume", "create", "a"], says: "volume name is too short, names should be at least two alphanumeric" },
  { args: ["volume", "create", "/host/path"], says: "If you intended to pass a host directory, use absolute path" },
  { args: ["volume", "create", "../up b"], says: "includes invalid characters for a local volume name" },
  { args: ["volume", "create", "new", "new2"], says: "requires at most 1 argument" },
  {
    args: ["volume", "create", "-d", "warp", "new"],
    says: 'create new: error looking up volume plugin warp: plugin "warp',
  },
  { args: ["volume", "create", "-o", "colour=red", "new"], says: 'create new: invalid option: "colour"' },
  { args: ["volume", "create", "--label", "a b", "new"], says: "label 'a b' contains whitespaces" },
  { args: ["volume", "create", "--limit-bytes", "big", "new"], says: "big" },
  { args: ["volume", "ls", "data"], says: "accepts no arguments" },
  { args: ["volume", "ls", "-f", "label"], says: "label" },
  { args: ["volume", "ls", "-f", "colour=red"], says: "invalid filter 'colour'" },
  { args: ["volume", "ls", "-f", "dangling=maybe"], says: "invalid filter 'dangling=[maybe]'" },
  { args: ["volume", "inspect"], says: "requires at least 1 argument" },
  { args: ["volume", "inspect", ""], says: "invalid volume name or ID: value is empty" },
  { args: ["volume", "inspect", "absent"], says: "get absent: no such volume" },
  { args: ["inspect", "--type", "volume", "absent"], says: "get absent: no such volume" },
  { args: ["volume", "rm"], says: "requires at least 1 argument" },
  { args: ["volume", "rm", ""], says: "invalid volume name or ID: value is empty" },
  { args: ["volume", "rm", "absent"], says: "get absent: no such volume" },
  { args: ["volume", "rm", "-f", "data"], says: /remove data: volume is in use - \[[0-9a-f]{64}\]/ },
  { args: ["volume", "prune", "data"], says: "accepts no arguments" },
  { args: ["volume", "prune", "-f", "--filter", "all=x"], says: "invalid filter 'all=[x]'" },
  { args: ["volume", "prune", "-fa", "--filter", "all=1"], says: "conflicting options: cannot specify both --all and" },
  { args: ["volume", "prune", "-f", "--filter", "until=1h"], says: "invalid filter 'until'" },
  { args: ["system", "prune", "--volumes", "--filter", "until=1h"], says: 'The "until" filter is not supported with' },
  { args: ["volume", "update", "data"], says: "can only update cluster volumes" },
  { args: ["volume", "update", "--availability", "drain", "absent"], says: "get absent: no such volume" },
];

describe("both are refused alike", () => {
  test.each(mistakes)("$args", async ({ args, says }) => {
    const { status, stderr } = await scene.expectSame(args);
    expect({ status, stderr }).toEqual({ status: expect.any(Number), stderr: expect.stringMatching(says) });
    expect(status).not.toBe(0);
  });

  test.each(["--group=g", "--limit-bytes=5m", "--scope=multi"])("volume create %s, of a swarm's", async (flag) => {
    const [docker, own] = await scene.both(["volume", "create", flag, "new"]);
    expect(own.status).toBe(docker.status);
    expect(own.stderr).toStartWith(docker.stderr);
    expect(own.stderr).toContain("This node is not a swarm manager.");
  });

  test("and nothing is left of what was refused", async () => {
    expect(await names()).toEqual(["<id>", "data", "plain"]);
  });
});

/** One after another; IMAGE stands for an image. The client speaks the API that dockerd has, 1.41. */
const story: string[] = [
  "volume create one",
  "volume create --label a=b two",
  "volume create --label other=1 two",
  "volume create",
  "volume create a",
  "volume create -o colour=red three",
  "volume create -o type=tmpfs -o device=tmpfs -o o=size=1m,uid=7 memory",
  "volume inspect memory",
  "volume create --scope multi three",
  "volume ls --format {{.Driver}}|{{.Name}}|{{.Scope}}|{{.Mountpoint}}|{{.Labels}}",
  "volume ls -q -f label=a=b",
  "volume ls -q -f dangling=true -f name=o",
  "volume ls -f colour=red",
  "volume inspect one two absent",
  "create --name box -v one:/one:ro -v two:/two -v /three IMAGE true",
  "inspect -f {{json .Mounts}} box",
  "volume ls -q -f dangling=false",
  "volume rm one absent",
  "volume rm -f one",
  "rm box",
  "create --name box --rm -v /three IMAGE true",
  "system df --format {{.Type}}:{{.TotalCount}}:{{.Active}}",
  "rm -v box",
  "volume rm -f two absent",
  "volume prune -f --filter label=z",
  "volume prune -f --filter until=1h",
  "volume prune -f",
  "volume ls",
  "volume rm memory",
];

test("the docker client gets from tsd what it gets from dockerd, along a story", async () => {
  const { docker } = scene;
  await scene.request("DELETE", "/containers/user?v=1");
  await scene.request("POST", '/volumes/prune?filters={"all":["1"]}');
  const tell = async (env: Record<string, string>, image: string) => {
    const told: object[] = [];
    for (const line of story) {
      const words = line.split(" ").map((word) => (word === "IMAGE" ? image : word));
      const result = await command([dockerClient(), ...words], { env: { ...env, DOCKER_API_VERSION: "1.41" } });
      told.push({ line, ...comparable(result) });
    }
    return told;
  };
  const [own, theirs] = await Promise.all([tell(docker.daemon.env, docker.image), tell(dockerd.env, dockerd.image)]);
  expect(own).toEqual(theirs);
}, 30_000);

/** Without what is either's own: ids and their order, the place of the root, times. */
function comparable({ status, stdout, stderr }: CommandResult): object {
  const plain = (text: string) =>
    withoutIds(text)
      .replace(/\/\S*?\/(volumes\/)/g, "/$1")
      .replace(/\d{4}-\d\d-\d\dT[\d:]+(Z|[+-][\d:]+)/g, "<time>")
      // dockerd 28 says it in small letters.
      .replace("Invalid filter", "invalid filter")
      // dockerd labels anonymous volumes since 23.
      .replaceAll("com.docker.volume.anonymous=", "");
  return { status, stdout: plain(stdout).split("\n").sort().join("\n"), stderr: plain(stderr) };
}
