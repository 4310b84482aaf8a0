/** Parts of volumes on the kernel: which directory or file it is, whoever exchanges names meanwhile, and what is left. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { command, until } from "../harness/command.ts";
import { Engine } from "../harness/engine.ts";
import { dockerClient } from "../harness/packages.ts";
import { Random } from "../harness/random.ts";
import { tsd } from "../harness/workspace.ts";
import { race } from "./race.ts";

let engine: Engine;
const none = ["--network", "none"];
const part = (subpath: string, target = "/p", ...more: string[]) => [
  "--mount",
  [`type=volume,source=data,target=${target},volume-subpath=${subpath}`, ...more].join(","),
];
const ok = (...args: string[]) => engine.daemon.ok(...args);
const data = (path: string) => `${engine.daemon.root}/volumes/data/_data/${path}`;

/** Where mounts lie on their way into containers. */
function places(): string[] {
  const directory = `${engine.daemon.state}/mounts`;
  const mounted = engine.workspace.mounts().filter((place) => place.startsWith(directory));
  return [...(existsSync(directory) ? readdirSync(directory) : []), ...mounted];
}

/** Of a mount point in a container: what is mounted there, and its options. */
const mountinfo = (target: string) => `grep ' ${target} ' /proc/self/mountinfo | cut -d' ' -f4,6`;

beforeAll(async () => {
  engine = await Engine.open({ flags: ["--add-runtime", "other=/usr/sbin/runc"] });
  const script = `cd /v; mkdir -p folder/below hack; echo inside > folder/file; echo top > top; chown 7:8 folder/file
ln -s ../folder hack/good; ln -s / hack/root; ln -s root hack/bad; ln -s ../../../../../etc hack/up`;
  await engine.sh([...none, "-v", "data:/v"], script);
}, 60_000);
afterAll(() => engine?.[Symbol.asyncDispose]());

describe.each([
  ["tsd's runtime", "tsd"],
  ["runc", "other"],
])("a part of a volume with %s", (_, runtime) => {
  const flags = [...none, "--runtime", runtime];

  test("is a folder, a file, or what a symlink inside leads to", async () => {
    const mounts = [...part("folder"), ...part("top", "/top"), ...part("hack/good/../folder/file", "/linked")];
    const fixed = part("folder", "/fixed", "readonly");
    const script = `cat /p/file /top /linked; echo ${runtime} > /p/below/new; touch /fixed/x 2>&1
${mountinfo("/p")}; ${mountinfo("/fixed")}; ls /p`;
    const lines = (await engine.sh([...flags, ...mounts, ...fixed], script)).split("\n");
    expect(lines.slice(0, 4)).toEqual(["inside", "top", "inside", "touch: /fixed/x: Read-only file system"]);
    expect(lines[4]).toMatch(/\/volumes\/data\/_data\/folder rw,/);
    expect(lines[5]).toMatch(/\/volumes\/data\/_data\/folder ro,/);
    expect(lines.slice(6)).toEqual(["below", "file"]);
    expect(readFileSync(data("folder/below/new"), "utf8")).toBe(`${runtime}\n`);
    expect(places()).toEqual([]);
  });
});

describe("what cannot be had", () => {
  test("is refused in docker's words, when the container is created or when it starts, and nothing is left", async () => {
    const refusals: [string[], string][] = [
      [part("missing"), `mount /p: cannot access path ${data("missing")}: no such file or directory`],
      [part("top/x"), `mount /p: cannot access path ${data("top/x")}: not a directory`],
      [part("hack/bad"), `path concatenation escapes the base directory, base: ${data("")}`.replace(/\/$/, "")],
      [part("hack/up"), `base: ${data("").slice(0, -1)}, subpath: hack/up`],
      [part("../data"), 'invalid mount config for type "volume": subpath must be a relative path within the volume'],
      [part("/etc"), "subpath must be a relative path within the volume"],
      [["--mount", "type=volume,target=/p,volume-subpath=a"], "must not set Subpath when using anonymous volumes"],
    ];
    for (const [flags, message] of refusals) {
      const { status, stderr } = await engine.run([...none, ...flags], ["true"]);
      expect([status, stderr]).toEqual([125, expect.stringContaining(message)]);
    }
    await engine.untilNoTrace();
    expect(places()).toEqual([]);
  });

  test("may be there when the container is started again", async () => {
    await ok("create", ...none, "--name", "later", ...part("later"), engine.busybox, "cat", "/p/file");
    expect((await engine.tsd(["start", "later"])).stderr).toContain("cannot access path");
    mkdirSync(data("later"));
    writeFileSync(data("later/file"), "there");
    expect(await ok("start", "-a", "later")).toBe("there");
    await ok("rm", "later");
  });
});

test("an empty part gets what the image has there, unless it is not to", async () => {
  for (const name of ["filled", "left"]) mkdirSync(data(name));
  const mounts = [
    ...part("filled", "/home"),
    ...part("left", "/etc/init.d", "volume-nocopy"),
    ...part("left", "/etc/x"),
  ];
  await engine.sh([...none, ...mounts], "true");
  await engine.sh([...none, ...part("filled", "/etc")], "true");
  expect(readdirSync(data("left"))).toEqual([]);
  // And places for what is mounted in it.
  const own = ["hostname", "hosts", "resolv.conf"];
  expect(readdirSync(data("filled")).sort()).toEqual(["group", "not-executable", "passwd", ...own].sort());
});

test("files are copied from and to a part, whether the container runs or not", async () => {
  const file = engine.workspace.path("file");
  writeFileSync(file, "copied");
  await ok("create", ...none, "--name", "copies", ...part("folder"), engine.busybox, "sleep", "1000");
  await ok("cp", file, "copies:/p/still");
  await ok("start", "copies");
  await ok("cp", file, "copies:/p/live");
  expect([readFileSync(data("folder/still"), "utf8"), readFileSync(data("folder/live"), "utf8")]).toEqual([
    "copied",
    "copied",
  ]);
  await ok("cp", "copies:/p/live", engine.workspace.path("back"));
  expect(readFileSync(engine.workspace.path("back"), "utf8")).toBe("copied");
  expect(await ok("diff", "copies")).toBe("A /p");
  await ok("rm", "-f", "copies");
  expect(places()).toEqual([]);
});

test("what is mounted is left out of diff, export and commit, which have places for it", async () => {
  const flags = [...none, "--name", "beside", ...part("folder"), ...part("top", "/etc/top"), "--tmpfs", "/scratch"];
  const image = ["--mount", `type=image,source=${engine.busybox},target=/i`];
  await ok("run", ...flags, ...image, engine.busybox, "sh", "-c", "touch /own /p/written /scratch/written");
  expect((await ok("diff", "beside")).split("\n").sort()).toEqual(
    ["A /etc/top", "A /i", "A /own", "A /p", "A /scratch", "C /etc"].sort(),
  );
  const list = `${tsd} export beside | tar -tv | awk '{ print $3, $6 }' | grep -E ' (own|i|p|scratch|etc/top)(/|$)'`;
  const { stdout } = await command(["sh", "-c", list], { env: engine.daemon.env });
  expect(stdout.trimEnd().split("\n").sort()).toEqual(["0 etc/top", "0 i/", "0 own", "0 p/", "0 scratch/"]);
  await ok("commit", "beside", "committed");
  const look = ["find", "/own", "/p", "/i", "/etc/top", "/scratch"];
  const seen = await ok("run", "--rm", ...none, "committed", ...look);
  expect(seen.split("\n")).toEqual(["/own", "/p", "/i", "/etc/top", "/scratch"]);
  await ok("rm", "beside");
  await ok("rmi", "committed");
});

test("in a user namespace a part has the container's owners", async () => {
  const script = "stat -c %u:%g /p/file; touch /p/own";
  expect(await engine.sh([...none, "--userns", "auto", ...part("folder")], script)).toBe("7:8");
  expect(statSync(data("folder/own"))).toMatchObject({ uid: 0, gid: 0 });
});

test("a volume that is a mount of its own is mounted for its part, and no longer than that is had", async () => {
  const mount = ["--mount", "type=volume,source=memory,target=/p,volume-subpath=part"];
  await ok("volume", "create", "-o", "type=tmpfs", "-o", "device=tmpfs", "memory");
  const { status, stderr } = await engine.run([...none, ...mount], ["true"]);
  expect([status, stderr]).toEqual([125, expect.stringContaining("_data/part: no such file or directory")]);
  expect(engine.workspace.mounts()).toEqual([]);
  const holder = await engine.start(
    [...none, "-v", "memory:/v"],
    "sh",
    "-c",
    "mkdir /v/part; touch /v/part/x; sleep 1000",
  );
  await until("the part is there", async () => (await engine.tsd(["exec", holder, "ls", "/v/part"])).stdout === "x\n");
  expect(await engine.sh([...none, ...mount], `ls /p; ${mountinfo("/p")}`)).toMatch(/^x\n\/part rw/);
  expect(await engine.sh([...none, "--volumes-from", holder, ...mount], "ls /p /v/part")).toBe("/p:\nx\n\n/v/part:\nx");
  await ok("rm", "-f", holder);
  await until("the volume is unmounted", () => engine.workspace.mounts().length === 0);
  await ok("volume", "rm", "memory");
});

test("docker's client gets the same, and inspect says what was asked for", async () => {
  const { env } = engine.daemon;
  const docker = (...args: string[]) => command([dockerClient(), ...args], { env });
  const flags = [...none, "--name", "docker", ...part("folder")];
  const ran = await docker("run", ...flags, engine.busybox, "cat", "/p/file");
  expect(ran).toMatchObject({ status: 0, stdout: "inside\n" });
  const asked = await docker("inspect", "--format", "{{json .HostConfig.Mounts}} {{json .Mounts}}", "docker");
  const [mounts, points] = asked.stdout.trim().split(" ");
  expect(JSON.parse(mounts!)).toEqual([
    { Type: "volume", Source: "data", Target: "/p", VolumeOptions: { Subpath: "folder", DriverConfig: {} } },
  ]);
  expect(JSON.parse(points!)).toMatchObject([{ Type: "volume", Name: "data", Destination: "/p", RW: true }]);
  await docker("rm", "docker");
  const missing = await docker("run", "--rm", ...none, ...part("missing"), engine.busybox);
  expect(missing.stderr).toContain(`cannot access path ${data("missing")}: no such file or directory`);
});

test("a container that exchanges the folder for a symlink gets nobody what is outside of the volume", () =>
  race(engine, 8));

test("a daemon that is killed while containers start leaves nothing between, and the volume as it was", async () => {
  const random = new Random("subpath crashes");
  const image = ["--mount", `type=image,source=${engine.busybox},target=/i`];
  for (let round = 0; round < 4; round++) {
    const starts = [1, 2].map(() => engine.run([...none, ...part("folder"), ...image], ["true"]));
    await Bun.sleep(random.below(150));
    await engine.daemon.stop("SIGKILL");
    await Promise.all(starts);
    await engine.daemon.start();
    expect(places()).toEqual([]);
    expect(readdirSync(data("folder"))).toContain("file");
  }
  expect(await engine.sh([...none, ...part("folder"), ...image], "cat /p/file; test -x /i/bin/sh")).toBe("inside");
  await engine.untilNoTrace();
});

test("a daemon that is killed leaves the running container its part, and the next one clears away what lay between", async () => {
  const running = await engine.start([...none, ...part("folder")], "sleep", "1000");
  // As if it had been killed in the middle of a start.
  const left = `${engine.daemon.state}/mounts/left`;
  mkdirSync(left);
  await command(["mount", "-t", "tmpfs", "tmpfs", left]);
  mkdirSync(`${left}/0`);
  await command(["mount", "--bind", data("folder"), `${left}/0`]);
  expect(existsSync(`${left}/0/file`)).toBe(true);
  await engine.daemon.stop("SIGKILL");
  await engine.daemon.start();
  expect(places()).toEqual([]);
  expect(await ok("exec", running, "cat", "/p/file")).toBe("inside");
  expect((await engine.tsd(["volume", "rm", "data"])).status).not.toBe(0);
  await ok("kill", running);
  await ok("wait", running);
  await ok("start", running);
  expect(await ok("exec", running, "cat", "/p/file")).toBe("inside");
  await ok("rm", "-f", running);
});
