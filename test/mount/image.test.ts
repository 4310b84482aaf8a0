/** Images mounted in containers: what is seen, that nobody can write to it, and that it stays while somebody has it. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, readdirSync, writeFileSync } from "node:fs";
import { command } from "../harness/command.ts";
import { Engine } from "../harness/engine.ts";
import { dockerClient } from "../harness/packages.ts";

let engine: Engine;
const none = ["--network", "none"];
const image = (source: string, target = "/i", ...more: string[]) => [
  "--mount",
  [`type=image,source=${source},target=${target}`, ...more].join(","),
];
const ok = (...args: string[]) => engine.daemon.ok(...args);
const docker = (...args: string[]) => command([dockerClient(), ...args], { env: engine.daemon.env });

async function refusal(...args: string[]): Promise<string> {
  const { status, stderr } = await engine.tsd(args);
  expect(status).not.toBe(0);
  return stderr.trimEnd();
}

function places(): string[] {
  const directory = `${engine.daemon.state}/mounts`;
  return existsSync(directory) ? readdirSync(directory) : [];
}

/** A new image of two layers, which has a file that says its name. */
async function makeImage(name: string): Promise<string> {
  const script = `mkdir -p /tool/bin; echo ${name} > /tool/name; ln -s /tool/name /link; rm /etc/not-executable
chown -R 7:8 /tool; chmod 4755 /tool/name`;
  await ok("run", ...none, "--name", `of-${name}`, engine.busybox, "sh", "-c", script);
  const id = await ok("commit", `of-${name}`, name);
  await ok("rm", `of-${name}`);
  return id;
}

beforeAll(async () => {
  engine = await Engine.open({ flags: ["--add-runtime", "other=/usr/sbin/runc"] });
  await makeImage("tools");
}, 60_000);
afterAll(() => engine?.[Symbol.asyncDispose]());

describe.each([
  ["tsd's runtime", "tsd"],
  ["runc", "other"],
])("an image mounted with %s", (_, runtime) => {
  const flags = [...none, "--runtime", runtime];

  test("shows the files of all its layers, or those of a part, with their owners and modes", async () => {
    const mounts = [
      ...image("tools"),
      ...image("tools", "/t", "image-subpath=tool"),
      ...image("tools", "/f", "image-subpath=link"),
    ];
    const script = "cat /i/tool/name /t/name /f; stat -c '%u:%g %a' /t/name; ls /i/etc /t";
    expect((await engine.sh([...flags, ...mounts], script)).split("\n")).toEqual([
      ...["tools", "tools", "tools", "7:8 4755", "/i/etc:", "group", "passwd", "", "/t:", "bin", "name"],
    ]);
    expect(places()).toEqual([]);
  });

  test("is written to by nobody, not even by one who may mount", async () => {
    const script = `grep ' /i ' /proc/self/mountinfo | cut -d' ' -f6; touch /i/x; rm /i/tool/name; chmod 700 /i
mount -o remount,rw,bind /i; mount -o remount,rw /i; touch /i/x; mount --bind /i /mnt && mount -o remount,rw /mnt; touch /mnt/x`;
    const { stdout, stderr } = await engine.run(
      [...flags, "--privileged", "--tmpfs", "/mnt", ...image("tools")],
      ["sh", "-c", script],
    );
    expect(stdout).toMatch(/^ro,/);
    expect(stderr.match(/touch: .*: Read-only file system/g)).toHaveLength(3);
    expect(await engine.sh([...none, ...image("tools")], "ls /i/x; cat /i/tool/name 2>&1 | head -c 5")).toBe("tools");
  });
});

describe("an image that is mounted", () => {
  test("is shown by inspect as the reference and the image that it was", async () => {
    const id = await makeImage("shown");
    await ok("create", ...none, "--name", "shows", ...image("shown", "/i", "image-subpath=tool"), engine.busybox);
    const [points, asked] = (await engine.inspect("shows", "{{json .Mounts}}\n{{json .HostConfig.Mounts}}")).split(
      "\n",
    );
    expect(JSON.parse(points!)).toEqual([
      { Type: "image", Name: "shown", Source: id, Destination: "/i", Mode: "", RW: false, Propagation: "rprivate" },
    ]);
    expect(JSON.parse(asked!)).toEqual([
      { Type: "image", Source: "shown", Target: "/i", ImageOptions: { Subpath: "tool" } },
    ]);
    await ok("rm", "shows");
    await ok("rmi", "shown");
  });

  test("is in use: removed by force alone, and then the container has its files all the same", async () => {
    const id = (await makeImage("kept")).slice("sha256:".length, "sha256:".length + 12);
    const user = await engine.start([...none, "--name", "user", ...image("kept")], "sleep", "1000");
    expect(await refusal("rmi", "kept")).toContain(
      `conflict: unable to delete kept:latest (must be forced) - container ${user.slice(0, 12)} is using its referenced image ${id}`,
    );
    expect(await refusal("rmi", "-f", id)).toContain(`image is being used by running container ${user.slice(0, 12)}`);
    expect((await docker("rmi", "kept")).stderr).toContain(
      `container ${user.slice(0, 12)} is using its referenced image`,
    );
    const listed = await fetch("http://tsd/images/json", { unix: engine.daemon.socket });
    const images = (await listed.json()) as { Id: string; Containers: number }[];
    expect(images.find(({ Id }) => Id.startsWith(`sha256:${id}`))?.Containers).toBe(1);
    await ok("tag", "kept", "other-name");
    await ok("create", ...none, "--name", "holder", ...image("tools"), engine.busybox);
    expect(await ok("image", "prune", "-af")).toContain("Total reclaimed space: 0B");
    await ok("rm", "holder");
    expect(await ok("rmi", "other-name")).toBe("Untagged: other-name:latest");
    await ok("kill", "user");
    await ok("wait", "user");
    expect(await refusal("rmi", id)).toContain(`image is being used by stopped container ${user.slice(0, 12)}`);
    expect(await ok("rmi", "-f", id)).toContain(`Deleted: sha256:${id}`);
    await ok("gc");
    await ok("start", "user");
    expect(await ok("exec", "user", "cat", "/i/tool/name")).toBe("kept");
    const layers = readdirSync(`${engine.daemon.root}/snapshots`).length;
    await ok("rm", "-f", "user");
    expect(readdirSync(`${engine.daemon.root}/snapshots`).length).toBe(layers - 2);
  });

  test("survives the daemon: the next one counts it as used, and starts with it", async () => {
    await makeImage("lasting");
    await ok("create", ...none, "--name", "lasts", ...image("lasting"), engine.busybox, "cat", "/i/tool/name");
    await ok("rmi", "-f", "lasting");
    await engine.daemon.stop("SIGKILL");
    await engine.daemon.start();
    expect(await ok("start", "-a", "lasts")).toBe("lasting");
    await ok("rm", "lasts");
  });

  test("comes with --volumes-from, and stays for whoever has it by that", async () => {
    await makeImage("inherited");
    await ok("create", ...none, "--name", "first", ...image("inherited"), engine.busybox);
    await ok("create", ...none, "--name", "second", "--volumes-from", "first", engine.busybox, "cat", "/i/tool/name");
    await ok("rm", "first");
    await ok("rmi", "-f", "inherited");
    await ok("gc");
    expect(await ok("start", "-a", "second")).toBe("inherited");
    await ok("rm", "second");
  });

  test("has the container's owners in a user namespace", async () => {
    const flags = [...none, "--userns", "auto", ...image("tools"), ...image("tools", "/t", "image-subpath=tool/name")];
    const script = "stat -c %u:%g /i /i/tool/name /t; touch /i/x 2>&1 | grep -o Read-only";
    expect((await engine.sh(flags, script)).split("\n")).toEqual(["0:0", "7:8", "7:8", "Read-only"]);
    expect(places()).toEqual([]);
  });

  test("is copied from, running or not, and not to", async () => {
    const file = engine.workspace.path("file");
    writeFileSync(file, "x");
    await ok("create", ...none, "--name", "copies", ...image("tools"), engine.busybox, "sleep", "1000");
    for (const state of ["created", "running"]) {
      if (state === "running") await ok("start", "copies");
      await ok("cp", "copies:/i/tool/name", engine.workspace.path(state));
      expect(await Bun.file(engine.workspace.path(state)).text()).toBe("tools\n");
      expect(await refusal("cp", file, "copies:/i/tool/new")).toContain("mounted volume is marked read-only");
    }
    await ok("rm", "-f", "copies");
    expect(places()).toEqual([]);
  });
});

test("what cannot be mounted is refused, and nothing is left", async () => {
  const run = (...flags: string[]) => refusal("run", "--rm", ...none, ...flags, engine.busybox, "true");
  expect(await run(...image("no-such-image"))).toContain("mount /i: No such image: no-such-image:latest");
  expect(await run(...image("tools", "/i", "image-subpath=missing"))).toContain(
    "mount /i: cannot access path tools/missing: no such file or directory",
  );
  expect(await run(...image("tools", "/i", "image-subpath=../x"))).toContain("subpath must be a relative path");
  expect(await run("--mount", "type=image,target=/i")).toContain("Source must not be empty");
  expect(await run(...image("tools", "/i", "volume-nocopy"))).toContain("volume");
  const { stderr } = await docker("run", "--rm", ...none, ...image("no-such-image"), engine.busybox, "true");
  expect(stderr).toContain("No such image: no-such-image:latest");
  await engine.untilNoTrace();
  expect(places()).toEqual([]);
});

test("docker's client mounts images", async () => {
  const flags = ["run", "--rm", ...none, ...image("tools", "/t", "image-subpath=tool")];
  expect(await docker(...flags, engine.busybox, "cat", "/t/name")).toMatchObject({ status: 0, stdout: "tools\n" });
});
