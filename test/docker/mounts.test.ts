/**
 * The flags of mounts with docker's client: tsd mounts what dockerd mounts, shows it as dockerd shows it, and refuses in
 * the same words; and tsd's own command line asks for the same as docker's.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import type { ContainerCreateRequest } from "../../src/api/schema/container-config.ts";
import { startDocker } from "../bench/engines.ts";
import { type CommandResult, command, succeed } from "../harness/command.ts";
import { DockerScene } from "../harness/docker.ts";
import { dockerClient } from "../harness/packages.ts";
import { tsd } from "../harness/workspace.ts";

interface Contender {
  env: Record<string, string>;
  image: string;
}

let scene: DockerScene;
let contenders: { tsd: Contender; dockerd: Contender };
/** On the disk, on a mount that nothing is passed on from. */
let plain: string;
/** A shared mount with another one below it, `sub`. */
let shared: string;

beforeAll(async () => {
  scene = await DockerScene.open();
  const dockerd = await startDocker(scene.workspace);
  if (!dockerd) throw new Error("no dockerd: apt-get install docker.io");
  contenders = { tsd: { env: scene.daemon.env, image: scene.image }, dockerd };
  plain = scene.workspace.path("plain");
  shared = scene.workspace.path("shared");
  for (const path of [plain, `${plain}/dir`, shared]) mkdirSync(path);
  writeFileSync(`${plain}/file`, "in a file");
  symlinkSync("nowhere", `${plain}/dangling`);
  scene.workspace.onClose("the shared mount", () => succeed(["umount", "-R", shared]));
  await succeed(["mount", "-t", "tmpfs", "tmpfs", shared]);
  await succeed(["mount", "--make-shared", shared]);
  mkdirSync(`${shared}/sub`);
  await succeed(["mount", "-t", "tmpfs", "tmpfs", `${shared}/sub`]);
}, 120_000);

afterAll(() => scene?.close());

function on({ env, image }: Contender, args: string[]): Promise<CommandResult> {
  const words = args.map((word) => (word === "IMAGE" ? image : word.replace("PLAIN", plain).replace("SHARED", shared)));
  return command([dockerClient(), ...words], { env });
}

/** The same command on both. */
async function both(args: string[]): Promise<{ tsd: CommandResult; dockerd: CommandResult }> {
  const [ours, theirs] = await Promise.all([on(contenders.tsd, args), on(contenders.dockerd, args)]);
  return { tsd: ours, dockerd: theirs };
}

/** Names that either has given by itself. */
function normal(text: string): string {
  return text.replace(/\/[^ "]*\/volumes\//g, "/VOLUMES/").replace(/\b[0-9a-f]{64}\b/g, "ANONYMOUS");
}

const propagations = ["private", "rprivate", "shared", "rshared", "slave", "rslave"];

const everyKind = [
  ...["-v", "PLAIN:/m/short", "-v", "PLAIN:/m/short-ro:ro", "-v", "PLAIN/file:/m/file", "-v", "PLAIN/made:/m/made"],
  ...["-v", "PLAIN/dir:/m/labels:z,rw,cached"],
  ...propagations.flatMap((mode) => ["-v", `SHARED:/m/short-${mode}:${mode}`]),
  ...propagations.flatMap((mode) => ["--mount", `type=bind,src=SHARED,dst=/m/long-${mode},bind-propagation=${mode}`]),
  ...["--mount", "type=bind,src=SHARED,dst=/m/flat,bind-recursive=disabled"],
  ...["--mount", "type=bind,src=SHARED,dst=/m/top-ro,readonly,bind-recursive=writable"],
  ...["--mount", "type=bind,src=PLAIN,dst=/m/long,consistency=delegated"],
  ...["--mount", "type=bind,src=PLAIN,dst=/m/long-ro,ro"],
  ...["-v", "named:/m/named", "-v", "named:/m/named-ro:ro,nocopy", "-v", "/m/anonymous"],
  ...["--mount", "type=volume,src=other,dst=/m/other,volume-label=a=b,volume-nocopy,ro"],
  ...["--mount", "dst=/m/new", "--mount", "type=volume,src=withopt,dst=/etc,volume-driver=local"],
  ...["--mount", "type=tmpfs,dst=/m/tmpfs", "--mount", "type=tmpfs,dst=/m/sized,tmpfs-size=3m,tmpfs-mode=1770,ro"],
  ...["--tmpfs", "/m/short-tmpfs", "--tmpfs", "/m/options:exec,dev,suid,size=65k,mode=700,uid=5,gid=6,nr_inodes=99,rw"],
  ...["--shm-size", "3m"],
];

describe("with all kinds of mounts", () => {
  test("a container has the same ones on dockerd and on tsd", async () => {
    const seen = await both([
      "run",
      "--network",
      "none",
      "--name",
      "kinds",
      ...everyKind,
      "IMAGE",
      "cat",
      "/proc/self/mountinfo",
    ]);
    const { tsd: ours, dockerd: theirs } = seen;
    expect(theirs).toMatchObject({ status: 0, stderr: "" });
    expect(mountTable(ours.stdout)).toEqual(mountTable(theirs.stdout));
    expect(mountTable(theirs.stdout).length).toBeGreaterThan(40);
    expect(ours).toMatchObject({ status: 0, stderr: "" });
    expect(existsSync(`${plain}/made`)).toBe(true);
  });

  test("inspect shows them as dockerd shows them", () => expectSameInspect("kinds"));

  test("inspect shows those of another container as dockerd shows them", async () => {
    const given = ["-v", "PLAIN:/g/bind:rslave", "-v", "PLAIN:/g/ro:ro", "-v", "named:/g/named:nocopy", "-v", "/g/new"];
    const create = async (...args: string[]) => {
      const { tsd: ours, dockerd: theirs } = await both(["create", ...args, "IMAGE", "true"]);
      expect([ours.status, theirs.status]).toEqual([0, 0]);
    };
    await create("--name", "giver", ...given, "--mount", "type=bind,src=PLAIN,dst=/g/long", "--tmpfs", "/g/tmpfs");
    await create("--name", "heir", "--volumes-from", "giver:ro", "-v", "mine:/g/named", "--volume-driver", "local");
    await create("--name", "grandchild", "--volumes-from", "giver", "--volumes-from", "heir:rw");
    await expectSameInspect("heir");
    await expectSameInspect("grandchild");
  });

  async function expectSameInspect(container: string): Promise<void> {
    const fields = ["Mounts", "Tmpfs", "VolumesFrom", "VolumeDriver", "ShmSize", "ReadonlyRootfs"];
    const rest = [".Config.Volumes", ...fields.map((name) => `.HostConfig.${name}`)];
    const template = ["json .Mounts", "json .HostConfig.Binds", ...rest.map((field) => `json ${field}`)];
    const format = template.map((part) => `{{${part}}}`).join("\n");
    const { tsd: ours, dockerd: theirs } = await both(["inspect", "-f", format, container]);
    expect(inspected(ours.stdout)).toEqual(inspected(theirs.stdout));
  }

  /** Docker keeps mounts in no order, and its client sends binds in none. dockerd 20.10 does not know of recursion. */
  function inspected(text: string): unknown[] {
    const [mounts = "", binds = "", ...rest] = normal(text)
      .replace('"ReadOnlyNonRecursive":true', "")
      .trim()
      .split("\n");
    const list = (json: string) => ((JSON.parse(json) ?? []) as unknown[]).map((item) => JSON.stringify(item)).sort();
    return [...list(mounts), ...list(binds), ...rest];
  }
});

/**
 * What stands in mountinfo of the mounts that were asked for, but for numbers. Volumes are private with tsd, as Docker's
 * documents have it; with dockerd they are what the daemon's root is.
 */
function mountTable(mountinfo: string): string[] {
  return normal(mountinfo)
    .split("\n")
    .filter((line) => / \/(m\/|etc |dev\/shm )/.test(line))
    .map((line) =>
      line
        .split(" ")
        .slice(3)
        .join(" ")
        .replace(/(shared|master|propagate_from):\d+/g, "$1"),
    )
    .map((line) => (line.startsWith("/VOLUMES/") ? line.replace(/ (shared|master)\b/g, "") : line))
    .sort();
}

/** Both daemons refuse to make the container, in the same words. PLAIN and SHARED are directories of the host. */
const refusals: string[][] = [
  ["-v", "PLAIN:/b:foo"],
  ["-v", "PLAIN:/b:z,Z"],
  ["-v", "/foo:rw"],
  ["-v", "PLAIN:relative"],
  ["-v", "PLAIN:/b:nocopy"],
  ["-v", "PLAIN:/x/.."],
  ["-v", "aa:/b:rshared"],
  ["-v", "x/y:/b"],
  ["-v", "aa:/b", "-v", "bb:/b/"],
  ["--mount", "dst=/b", "-v", "bb:/b"],
  ["--mount", "type=floppy,dst=/b"],
  ["--mount", "type=bind,dst=/b"],
  ["--mount", "type=bind,src=x,dst=/b"],
  ["--mount", "type=bind,src=/absent,dst=/b"],
  ["--mount", "type=bind,src=PLAIN/dangling,dst=/b"],
  ["--mount", "type=bind,src=PLAIN/file/x,dst=/b"],
  ["--mount", "type=bind,src=PLAIN,dst=b"],
  ["--mount", "type=bind,src=PLAIN,dst=/"],
  ["--mount", "type=bind,src=PLAIN,dst=/b,bind-propagation=sideways"],
  ["--mount", "type=tmpfs,src=x,dst=/b"],
  ["--mount", "dst=/b,ro"],
  ["--mount", "src=x,dst=/b"],
  ["--tmpfs", "relative"],
  ["--tmpfs", "/"],
  ["--volumes-from", "absent"],
  ["--volumes-from", "absent:xx"],
  ["--volumes-from", "absent:rshared"],
];

test("what dockerd refuses when a container is made tsd refuses in the same words", async () => {
  for (const flags of refusals) {
    const { tsd: ours, dockerd: theirs } = await both(["create", ...flags, "IMAGE"]);
    expect({ flags, status: ours.status, said: ours.stderr }).toEqual({ flags, status: 1, said: theirs.stderr });
  }
  expect((await both(["ps", "-aq", "--filter", "status=created"])).tsd.stdout.split("\n").length).toBe(4);
});

/** Refused with the start, which dockerd does in the words of runc in part. */
test.each([
  [
    ["-v", "PLAIN/dangling:/b"],
    "error while creating mount source path 'PLAIN/dangling': mkdir PLAIN/dangling: file exists",
  ],
  [
    ["-v", "PLAIN/file/x:/b"],
    "error while creating mount source path 'PLAIN/file/x': mkdir PLAIN/file/x: not a directory",
  ],
  [["-v", "PLAIN:/b:shared"], "path PLAIN is mounted on / but it is not a shared mount"],
  [["-v", "PLAIN:/b:rslave"], "path PLAIN is mounted on / but it is not a shared or slave mount"],
  [["-v", "PLAIN/file:/bin"], "Are you trying to mount a directory onto a file (or vice-versa)?"],
  [["-v", "PLAIN:/etc/passwd"], "Are you trying to mount a directory onto a file (or vice-versa)?"],
  [["--tmpfs", "/x:foo=bar"], 'invalid tmpfs option ["foo" "bar"]'],
  [["--tmpfs", "/x:size=much"], "size=much"],
  [
    ["--device", "/dev/absent"],
    'gathering device information while adding custom device "/dev/absent": no such file or directory',
  ],
  [
    ["--device", "PLAIN/file"],
    'gathering device information while adding custom device "PLAIN/file": not a device node',
  ],
])("run %j is refused, and nothing is left", async (flags, words) => {
  const { status, stderr } = await on(contenders.tsd, ["run", "--rm", "--network", "none", ...flags, "IMAGE", "true"]);
  expect(stderr.replaceAll(plain, "PLAIN")).toContain(words);
  expect(status).toBe(/no such file/.test(words) ? 127 : 125);
});

/** Docker's client and tsd's command line are given the same flags, and a daemon that keeps what it is asked for. */
const requests: string[][] = [
  [
    "-v",
    "./here:/b:ro",
    "-v",
    "..:/c",
    "-v",
    "/a:/d",
    "-v",
    "/a:/d",
    "-v",
    "name:/e:nocopy",
    "-v",
    "/f",
    "-v",
    "~/x:/y",
  ],
  ["--mount", "src=name,dst=/b"],
  ["--mount", "type=bind,source=./x,destination=/y,readonly", "--mount", "TYPE=bind,src=..,target=/z,ro=0"],
  ["--mount", 'type=bind,"src=/a,b",dst=/y,consistency=CACHED,bind-propagation=RSLAVE,bind-recursive=disabled'],
  ["--mount", "type=bind,src=/a,dst=/b,bind-nonrecursive", "--mount", "type=bind,src=/a,dst=/c,bind-recursive=enabled"],
  ["--mount", "type=bind,src=/a,dst=/b,ro,bind-recursive=writable"],
  ["--mount", "type=bind,src=/a,dst=/b,ro,bind-recursive=readonly,bind-propagation=rprivate"],
  ["--mount", "dst=/b,volume-nocopy,volume-label=a=b,volume-label=c,volume-driver=d,volume-opt=o=x=y,volume-subpath=s"],
  ["--mount", "type=image,src=other,dst=/b,image-subpath=x"],
  ["--mount", "type=tmpfs,dst=/b,tmpfs-size=1.5g,tmpfs-mode=1777"],
  ["--tmpfs", "/x", "--tmpfs", "/y:size=1m,exec", "--tmpfs", "z:a:b"],
  ["--volumes-from", "a", "--volumes-from", "b:ro", "--volume-driver", "special", "--read-only", "--shm-size", "1g"],
  ["--device", "/dev/a", "--device", "/dev/b:r", "--device", "/dev/c:/dev/d", "--device", "/dev/e:/f:rm"],
  ...["", "dst=/x,foo", "dst=/x,ro=no", 'dst=/x,"ro', "type=bind,dst=/b,volume-nocopy"].map((text) => [
    "--mount",
    text,
  ]),
  ...["type=tmpfs,dst=/b,tmpfs-size=-1", "type=bind,dst=/b,bind-recursive=x"].map((text) => ["--mount", text]),
  ["--mount", "type=bind,src=/a,dst=/b,bind-recursive=readonly,ro"],
  ...["", "/a::b", "name:"].map((text) => ["-v", text]),
  ...["/a:/b:c:d", "/dev/a:/dev/b:rr", "a:b:rwm"].map((text) => ["--device", text]),
];

test("tsd asks for the same as docker with each flag, and finds the same faults", async () => {
  const asked: string[] = [];
  const socket = scene.workspace.path("asked.sock");
  const server = Bun.serve({
    unix: socket,
    async fetch(request) {
      if (request.url.endsWith("/_ping"))
        return new Response("OK", { headers: { "Api-Version": "1.51", Ostype: "linux" } });
      asked.push(meaning((await request.json()) as ContainerCreateRequest));
      const headers = { "content-type": "application/json" };
      return new Response('{"message":"enough"}', { status: 400, headers });
    },
  });
  const own = scene.workspace.path("docker-by-name");
  symlinkSync(tsd, own);
  try {
    for (const flags of requests) {
      const outcomes: string[] = [];
      for (const program of [dockerClient(), own]) {
        const env = { DOCKER_HOST: `unix://${socket}` };
        const { status, stderr } = await command([program, "create", "--pull", "never", ...flags, "image"], { env });
        const [said] = stderr.replace(/^(docker|tsd): /, "").split("\n");
        outcomes.push(`${status} ${said} ${asked.splice(0).join()}`);
      }
      expect([flags, outcomes[1]]).toEqual([flags, outcomes[0]]);
    }
  } finally {
    await server.stop(true);
  }
});

/** What is asked of mounts and devices. Docker's client sends binds in no order. */
function meaning({ Volumes, HostConfig = {} }: ContainerCreateRequest): string {
  const { Binds, Mounts, Tmpfs, VolumesFrom, VolumeDriver, ReadonlyRootfs, ShmSize, Devices } = HostConfig;
  const mounts = Mounts?.map(({ VolumeOptions, ...mount }) => ({
    ...mount,
    // An empty one says nothing.
    ...(VolumeOptions && { VolumeOptions: { DriverConfig: {}, ...VolumeOptions } }),
    ReadOnly: mount.ReadOnly ?? false,
  }));
  const fields = { Volumes, Mounts: mounts, Tmpfs, VolumesFrom, VolumeDriver, ReadonlyRootfs, ShmSize, Devices };
  return Bun.inspect({ Binds: [...(Binds ?? [])].sort(), ...withoutNothing(fields) }, { sorted: true, depth: 9 });
}

function withoutNothing(fields: Record<string, unknown>): Record<string, unknown> {
  const isNothing = (value: unknown) => !value || (typeof value === "object" && Object.keys(value).length === 0);
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => !isNothing(value)));
}
