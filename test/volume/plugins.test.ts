/** Volumes of plugins, through the docker client: what the plugin is asked, what containers and people see. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { makeCertificates } from "../harness/certificates.ts";
import { until } from "../harness/command.ts";
import { DockerScene } from "../harness/docker.ts";
import { VolumePlugin } from "../harness/volume-plugin.ts";

let scene: DockerScene;
let plugin: VolumePlugin;
let folder: string;

beforeAll(async () => {
  const name = `/var/tmp/tsd-plugins-${process.pid}`;
  scene = await DockerScene.open(["--plugin-dir", name]);
  folder = name;
  scene.workspace.onClose("the plugin folder", async () => rmSync(folder, { recursive: true }));
  mkdirSync(folder);
  plugin = await VolumePlugin.start(scene.workspace, { name: "plugged", address: join(folder, "plug.sock") });
});
afterAll(() => scene.close());
afterEach(() => {
  plugin.misbehave({});
  plugin.forget();
});

/** A command that has to fail. @returns what it says. */
async function refused(...words: string[]): Promise<string> {
  const { status, stderr } = await scene.docker(words);
  expect([words, status]).not.toEqual([words, 0]);
  return stderr.trim();
}

const calls = () => plugin.requests().map(({ method }) => method.replace("VolumeDriver.", ""));
const volumeLines = async () => (await scene.ok("volume", "ls", "--format", "{{.Driver}} {{.Name}}")).split("\n");

describe("a volume of a plugin", () => {
  test("is made, shown, used by containers and removed as a local one is", async () => {
    expect(await scene.ok("volume", "create", "-d", "plug", "-o", "size=1", "--label", "l=1", "first")).toBe("first");
    expect(plugin.requests("VolumeDriver.Create")).toEqual([
      { method: "VolumeDriver.Create", body: { Name: "first", Opts: { size: "1" } } },
    ]);
    expect(JSON.parse(await scene.ok("volume", "inspect", "first"))).toEqual([
      {
        CreatedAt: "2024-05-06T07:08:09Z",
        Driver: "plug",
        Labels: { l: "1" },
        Mountpoint: "",
        Name: "first",
        Options: { size: "1" },
        Scope: "global",
        Status: { options: { size: "1" }, users: 0 },
      },
    ]);
    expect(await volumeLines()).toEqual(["plug first"]);
    const written = await scene.sh("echo hello >/p/file; grep -c ' /p ' /proc/self/mountinfo", ["-v", "first:/p"]);
    expect(written).toMatchObject({ status: 0, stdout: "1\n" });
    expect(readFileSync(join(plugin.directory, "data/first/file"), "utf8")).toBe("hello\n");
    await until("the plugin hears of the end", () => plugin.volumes().first?.users.length === 0);
    expect(await scene.ok("volume", "rm", "first")).toBe("first");
    expect(plugin.volumes()).toEqual({});
    expect(await volumeLines()).toEqual([""]);
  });

  test("is mounted once for each container, and once however often it is among its mounts", async () => {
    const flags = ["--volume-driver", "plug", "-v", "shared:/a", "-v", "shared:/b"];
    const [one, other] = [
      await scene.background("one", "sleep 1000", flags),
      await scene.background("two", "sleep 1000", flags),
    ];
    const ids = plugin.requests("VolumeDriver.Mount").map(({ body }) => body.ID);
    expect(ids).toHaveLength(2);
    expect(plugin.volumes().shared!.users.toSorted()).toEqual(ids.map(String).toSorted());
    expect(await refused("volume", "rm", "shared")).toBe(
      `Error response from daemon: remove shared: volume is in use - [${[one, other].join(", ")}]`,
    );
    await scene.ok("rm", "-f", "one");
    await until("one user is left", () => plugin.volumes().shared!.users.length === 1);
    expect(await scene.ok("exec", "two", "sh", "-c", "echo x >/a/x; cat /b/x")).toBe("x");
    await scene.ok("rm", "-f", "two");
    await until("nobody is left", () => plugin.volumes().shared!.users.length === 0);
    await scene.ok("volume", "rm", "shared");
  });

  test("is not mounted before a container starts, has the image's content, and goes with it when it is anonymous", async () => {
    const mount = "type=volume,dst=/nothing/there,volume-driver=plug,volume-opt=a=b,volume-label=l=1";
    const flags = ["--volume-driver", "plug", "--mount", mount, "-v", "/etc", "--name", "filled"];
    await scene.ok("create", ...flags, scene.image, "cat", "/etc/passwd");
    const mounts = JSON.parse(await scene.ok("inspect", "-f", "{{json .Mounts}}", "filled")) as Record<
      string,
      string
    >[];
    expect(mounts.map(({ Type, Driver }) => `${Type} ${Driver}`)).toEqual(["volume plug", "volume plug"]);
    const name = mounts.find(({ Destination }) => Destination === "/etc")!.Name!;
    const created = plugin.requests("VolumeDriver.Create").map(({ body }) => body.Opts ?? {});
    expect(created).toEqual(expect.arrayContaining([{ a: "b" }, {}]));
    expect(plugin.requests("VolumeDriver.Mount").map(({ body }) => body.Name)).toEqual([name]);
    expect(plugin.requests("VolumeDriver.Unmount").map(({ body }) => body.Name)).toEqual([name]);
    expect(readFileSync(join(plugin.directory, "data", name, "passwd"), "utf8")).toStartWith("root:");
    expect(await scene.ok("start", "-a", "filled")).toStartWith("root:");
    await scene.ok("rm", "-v", "filled");
    expect(plugin.volumes()).toEqual({});
  });

  test("can be copied to and from while nobody runs, be shared by --volumes-from, and be mounted in part", async () => {
    await scene.ok("create", "--name", "still", "-v", "parts:/p", "--volume-driver", "plug", scene.image);
    mkdirSync(join(plugin.directory, "data/parts/sub"));
    writeFileSync(scene.workspace.path("copied"), "copied\n");
    await scene.ok("cp", scene.workspace.path("copied"), "still:/p/sub/file");
    expect(readFileSync(join(plugin.directory, "data/parts/sub/file"), "utf8")).toBe("copied\n");
    expect(await scene.ok("cp", "still:/p/sub/file", "-")).toContain("copied");
    const ids = (name: string) => plugin.requests(`VolumeDriver.${name}`).map(({ body }) => body.ID);
    expect(ids("Mount")).not.toEqual([]);
    await until("every mount is given back", () => ids("Unmount").sort().join() === ids("Mount").sort().join());
    expect((await scene.sh("cat /p/sub/file", ["--volumes-from", "still"])).stdout).toBe("copied\n");
    const part = ["--mount", "type=volume,src=parts,dst=/p,volume-subpath=sub,readonly"];
    expect((await scene.daemon.tsd(["run", "--rm", ...part, scene.image, "ls", "/p"])).stdout).toBe("file\n");
    expect(
      (await scene.daemon.tsd(["run", "--rm", "--userns", "auto", ...part, scene.image, "stat", "-c", "%U", "/p/file"]))
        .stdout,
    ).toBe("root\n");
    await until("nobody has it", () => plugin.volumes().parts!.users.length === 0);
    await scene.ok("rm", "still");
    await scene.ok("volume", "rm", "parts");
  });

  test("that only the plugin knows of is shown, found by its name, used and removed", async () => {
    const known = { options: null, createdAt: "2020-01-02T03:04:05Z", users: [] };
    writeFileSync(join(plugin.directory, "volumes.json"), JSON.stringify({ "theirs/a:b": known, theirs: known }));
    mkdirSync(join(plugin.directory, "data/theirs"), { recursive: true });
    writeFileSync(join(plugin.directory, "data/theirs/file"), "content");
    expect(await volumeLines()).toEqual(["plug theirs", "plug theirs/a:b"]);
    expect(JSON.parse(await scene.ok("volume", "inspect", "theirs/a:b"))[0]).toMatchObject({
      Driver: "plug",
      CreatedAt: "2020-01-02T03:04:05Z",
      Labels: null,
      Options: null,
    });
    expect((await scene.sh("cat /p/file", ["-v", "theirs:/p"])).stdout).toBe("content");
    expect(await refused("volume", "create", "theirs")).toBe(
      "Error response from daemon: create theirs: driver 'plug' already has volume 'theirs': volume name must be unique",
    );
    expect(await scene.ok("volume", "prune", "-f", "-a")).toBe("Total reclaimed space: 0B");
    await scene.ok("volume", "rm", "theirs", "theirs/a:b");
    expect(plugin.volumes()).toEqual({});
  });

  test("that somebody removed in the plugin itself is made anew, but not under a container that has it", async () => {
    await scene.ok("volume", "create", "-d", "plug", "lost");
    writeFileSync(join(plugin.directory, "volumes.json"), "{}");
    expect(await refused("volume", "inspect", "lost")).toContain("get lost: no such volume");
    expect(
      await scene.ok("create", "--name", "holder", "-v", "lost:/p", "--volume-driver", "plug", scene.image),
    ).not.toBe("");
    expect(Object.keys(plugin.volumes())).toEqual(["lost"]);
    writeFileSync(join(plugin.directory, "volumes.json"), "{}");
    expect(await refused("volume", "create", "-d", "plug", "lost")).toBe(
      "Error response from daemon: create lost: found references to volume 'lost' in driver 'plug' but the volume was not " +
        "found in the driver -- you may need to remove containers referencing this volume or force remove the volume to " +
        "re-create it: volume name must be unique",
    );
    await scene.ok("rm", "holder");
    await scene.ok("volume", "rm", "-f", "lost");
    expect(await scene.ok("volume", "create", "lost")).toBe("lost");
    await scene.ok("volume", "rm", "lost");
  });
});

describe("a plugin that fails", () => {
  test("does so in its own words, with docker's around them, and leaves no volume, container or mount", async () => {
    plugin.misbehave({ "VolumeDriver.Create": { error: "no space on the array" } });
    expect(await refused("volume", "create", "-d", "plug", "bad")).toBe(
      "Error response from daemon: create bad: no space on the array",
    );
    plugin.misbehave({ "VolumeDriver.Create": { status: 500, body: '{"Err": "array is away"}' } });
    expect(await refused("volume", "create", "-d", "plug", "bad")).toBe(
      "Error response from daemon: create bad: VolumeDriver.Create: array is away",
    );
    plugin.misbehave({ "VolumeDriver.Mount": { error: "disk on fire" } });
    expect(await refused("run", "-v", "bad:/p", "--volume-driver", "plug", "--name", "burnt", scene.image)).toContain(
      "error while mounting volume 'bad': disk on fire",
    );
    await scene.ok("rm", "burnt");
    plugin.misbehave({ "VolumeDriver.Remove": { error: "busy" } });
    expect(await refused("volume", "rm", "bad")).toBe("Error response from daemon: remove bad: busy");
    expect(await volumeLines()).toEqual(["plug bad"]);
    plugin.misbehave({});
    expect(plugin.volumes().bad!.users).toEqual([]);
    await scene.ok("volume", "rm", "bad");
  });

  test("with answers that are none does not get further than an error", async () => {
    await scene.ok("volume", "create", "-d", "plug", "odd");
    const start = () => refused("run", "--rm", "-v", "odd:/p", scene.image, "true");
    for (const [body, reason] of [
      ["lala", "the answer is no JSON object"],
      ["{}", "the answer has no mountpoint"],
      ['{"Mountpoint": "here"}', 'mountpoint "here" is no absolute path'],
      ['{"Mountpoint": "/"}', "mountpoint / is the whole host"],
      [JSON.stringify({ Mountpoint: `${scene.daemon.root}/volumes` }), `is inside ${scene.daemon.root}`],
      ['{"Mountpoint": "/nowhere/at/all"}', "mountpoint /nowhere/at/all: no such file or directory"],
    ] as const) {
      plugin.misbehave({ "VolumeDriver.Mount": { body } });
      const message = await start();
      expect(message).toContain(`error while mounting volume 'odd': plugin "plug": VolumeDriver.Mount: `);
      expect(message).toContain(reason);
    }
    plugin.misbehave({ "VolumeDriver.List": { endless: true } });
    const { stdout, stderr } = await scene.daemon.tsd(["volume", "ls", "-q"]);
    expect(stdout).toBe("odd\n");
    expect(stderr).toContain('WARNING: list plug: plugin "plug": VolumeDriver.List: the answer has more than');
    plugin.misbehave({});
    await scene.ok("volume", "rm", "odd");
  });

  test("by not answering holds up whoever asks for its volume, and nobody else", async () => {
    await scene.ok("volume", "create", "-d", "plug", "slow");
    plugin.misbehave({ "VolumeDriver.Mount": { slowMs: 1_500 } });
    const started = scene.docker(["run", "--rm", "-v", "slow:/p", scene.image, "true"]);
    await until("the plugin is asked", () => plugin.requests("VolumeDriver.Mount").length > 0);
    const begin = performance.now();
    expect((await scene.sh("true", ["-v", "/p"])).status).toBe(0);
    expect(await scene.ok("volume", "ls", "-q", "-f", "driver=plug")).toBe("slow");
    expect(plugin.volumes().slow!.users).toEqual([]);
    expect(performance.now() - begin).toBeLessThan(1_500);
    expect((await started).status).toBe(0);
    await until("the plugin hears of the end", () => plugin.volumes().slow!.users.length === 0);
    await scene.ok("volume", "rm", "slow");
  });
});

describe("a plugin and a daemon that come and go", () => {
  test("containers run on without the plugin, and it is told of their end when it is back", async () => {
    await scene.background("lasting", "sleep 1000", ["-v", "kept:/p", "--volume-driver", "plug"]);
    await plugin.kill();
    expect(await scene.ok("exec", "lasting", "sh", "-c", "echo x >/p/x; cat /p/x")).toBe("x");
    const { stdout, stderr } = await scene.daemon.tsd(["volume", "ls", "-q"]);
    expect(stdout).toBe("kept\n");
    expect(stderr).toContain(
      `WARNING: list plug: plugin "plug": VolumeDriver.List: dial unix ${folder}/plug.sock: connect: `,
    );
    await scene.ok("rm", "-f", "lasting");
    expect(plugin.volumes().kept!.users).toHaveLength(1);
    const removed = scene.ok("volume", "rm", "kept");
    await plugin.start();
    await removed;
    expect(plugin.volumes()).toEqual({});
    expect(
      calls()
        .filter((method) => method === "Unmount" || method === "Remove")
        .slice(-2),
    ).toEqual(["Unmount", "Remove"]);
  });

  test("a daemon that was killed goes on with what is mounted, and gives back what nobody has any more", async () => {
    for (const name of ["lives", "ends"]) {
      await scene.background(name, "sleep 1000", ["-v", "both:/p", "--volume-driver", "plug"]);
    }
    const ended = Number(await scene.ok("inspect", "-f", "{{.State.Pid}}", "ends"));
    const id = await scene.ok("inspect", "-f", "{{.Id}}", "lives");
    await scene.ok("create", "--name", "gone", "-v", "/p", "--volume-driver", "plug", scene.image);
    plugin.misbehave({ "VolumeDriver.Remove": { error: "busy" } });
    await scene.ok("rm", "-v", "gone");
    expect(await volumeLines()).toEqual(
      expect.arrayContaining(["plug both", expect.stringMatching(/^plug [0-9a-f]{64}$/)]),
    );
    plugin.misbehave({});
    await scene.daemon.stop("SIGKILL");
    await plugin.kill();
    process.kill(ended, "SIGKILL");
    plugin.forget();
    // It needs no plugin to start: that would be waited for 15 s.
    const begin = performance.now();
    await scene.daemon.start();
    expect(performance.now() - begin).toBeLessThan(12_000);
    expect(await scene.ok("exec", "lives", "sh", "-c", "echo y >/p/y; cat /p/y")).toBe("y");
    await plugin.start();
    await until("the plugin hears of the end", () => plugin.volumes().both!.users.length === 1);
    expect(plugin.volumes().both!.users).toEqual([id]);
    await until(
      "the volume of the container that is gone is removed",
      () => Object.keys(plugin.volumes()).length === 1,
    );
    expect(calls()).not.toContain("Mount");
    await scene.ok("rm", "-f", "lives", "ends");
    await until("nobody is left", () => plugin.volumes().both!.users.length === 0);
    await scene.ok("volume", "rm", "both");
  });

  test("a daemon that is killed while the plugin mounts gives that back", async () => {
    await scene.ok("volume", "create", "-d", "plug", "half");
    plugin.misbehave({ "VolumeDriver.Mount": { slowMs: 300 } });
    const started = scene.docker(["run", "--name", "half", "-v", "half:/p", scene.image, "sleep", "1000"]);
    await until("the plugin is asked", () => plugin.requests("VolumeDriver.Mount").length > 0);
    await scene.daemon.stop("SIGKILL");
    await started;
    await until("the plugin has mounted it", () => plugin.volumes().half!.users.length === 1);
    await scene.daemon.start();
    await until("it is given back", () => plugin.volumes().half!.users.length === 0);
    await scene.ok("rm", "half");
    await scene.ok("volume", "rm", "half");
  });

  test("one that starts while it is asked for is waited for, wherever it then is", async () => {
    const created = scene.docker(["volume", "create", "-d", "later", "soon"]);
    const later = new VolumePlugin(scene.workspace, { name: "later", address: scene.workspace.path("l.sock") });
    writeFileSync(join(folder, "later.spec"), `unix://${later.address}\n`);
    await later.start();
    expect(await created).toEqual({ status: 0, stdout: "soon\n", stderr: "" });
    expect(await scene.ok("info", "-f", "{{json .Plugins.Volume}}")).toBe('["local","later","plug"]');
    await scene.ok("volume", "rm", "soon");
    rmSync(join(folder, "later.spec"));
    await later.kill();
  });

  test("one that there is not is refused in docker's words", async () => {
    expect(await refused("volume", "create", "-d", "nosuch", "none")).toBe(
      'Error response from daemon: create none: error looking up volume plugin nosuch: plugin "nosuch" not found',
    );
    expect(await refused("create", "-v", "none:/p", "--volume-driver", "vieux/sshfs", scene.image)).toContain(
      'create none: error looking up volume plugin vieux/sshfs: plugin "vieux/sshfs" not found',
    );
    expect(await volumeLines()).toEqual([""]);
  });
});

test("a plugin on a port is spoken to with TLS both ways, as its .json file says, and not by whoever has another authority", async () => {
  const { workspace } = scene;
  const { ca, server, client } = await makeCertificates(workspace.path("certificates"), ["127.0.0.1"]);
  const other = await makeCertificates(workspace.path("other"), ["127.0.0.1"]);
  const tls = { ...server, authority: ca };
  const secure = await VolumePlugin.start(workspace, { name: "secured", address: "4443", tls });
  const describePlugin = (name: string, CAFile: string) => {
    const TLSConfig = { CAFile, CertFile: client.certificate, KeyFile: client.key };
    writeFileSync(join(folder, `${name}.json`), JSON.stringify({ Addr: "https://127.0.0.1:4443", TLSConfig }));
  };
  describePlugin("secure", ca);
  describePlugin("false", other.ca);
  expect(await scene.ok("volume", "create", "-d", "secure", "far")).toBe("far");
  expect((await scene.sh("echo far >/p/file", ["-v", "far:/p"])).status).toBe(0);
  expect(readFileSync(join(secure.directory, "data/far/file"), "utf8")).toBe("far\n");
  expect(await refused("volume", "create", "-d", "false", "near")).toContain("error looking up volume plugin false: ");
  await until("the plugin hears of the end", () => secure.volumes().far!.users.length === 0);
  await scene.ok("volume", "rm", "far");
});
