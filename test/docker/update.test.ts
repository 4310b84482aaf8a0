/** Limits of containers are changed by docker's client and by tsd's command line, with tsd's runtime and runc. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { cpus } from "node:os";
import type { CommandResult } from "../harness/command.ts";
import { DockerScene } from "../harness/docker.ts";

let scene: DockerScene;
beforeAll(async () => {
  scene = await DockerScene.open(["--add-runtime", "runc=/usr/sbin/runc"]);
});
afterAll(() => scene.close());

const MB = 2 ** 20;

function field(name: string, template: string): Promise<string> {
  return scene.ok("inspect", "-f", template, name);
}

/** What the kernel says of a container's limit. */
async function limit(name: string, controller: string, v1: string, v2: string): Promise<string> {
  const pid = await field(name, "{{.State.Pid}}");
  for (const line of readFileSync(`/proc/${pid}/cgroup`, "utf8").split("\n")) {
    const [, controllers = "", path = ""] = /^\d+:([^:]*):(.*)$/.exec(line) ?? [];
    if (controllers.split(",").includes(controller)) {
      const directory = [controllers, controller].map((each) => `/sys/fs/cgroup/${each}`).find(existsSync)!;
      return readFileSync(`${directory}${path}/${v1}`, "utf8").trim();
    }
    if (controllers === "" && path !== "" && existsSync("/sys/fs/cgroup/cgroup.controllers")) {
      return readFileSync(`/sys/fs/cgroup${path}/${v2}`, "utf8").trim();
    }
  }
  throw new Error(`${name} is in no cgroup of ${controller}`);
}

const memory = (name: string) => limit(name, "memory", "memory.limit_in_bytes", "memory.max");
const processes = (name: string) => limit(name, "pids", "pids.max", "pids.max");
const cpuset = (name: string) => limit(name, "cpuset", "cpuset.cpus", "cpuset.cpus");
const quota = async (name: string) => (await limit(name, "cpu", "cpu.cfs_quota_us", "cpu.max")).split(" ")[0];

const clients: [string, (args: string[]) => Promise<CommandResult>][] = [
  ["docker", (args) => scene.docker(args)],
  ["tsd", (args) => scene.daemon.tsd(args)],
];

describe.each(["tsd", "runc"])("with the runtime %s", (runtime) => {
  test("limits of a container that runs or stands still are changed at once, and stay over a restart", async () => {
    await scene.background("web", "sleep 1000", ["--runtime", runtime, "-m", "64m"]);
    for (const [client, run] of clients) {
      const lower = client === "docker" ? 48 : 32;
      const flags = ["-m", `${lower}m`, "--pids-limit", "50", "--cpus", "0.5", "--cpuset-cpus", "0"];
      expect(await run(["update", ...flags, "web"]), client).toEqual({ status: 0, stdout: "web\n", stderr: "" });
      const now = [await memory("web"), await processes("web"), await quota("web"), await cpuset("web")];
      expect(now).toEqual([String(lower * MB), "50", "50000", "0"]);
      expect((await run(["pause", "web"])).status).toBe(0);
      expect((await run(["update", "--pids-limit", "-1", "web"])).status).toBe(0);
      expect((await run(["unpause", "web"])).status).toBe(0);
      expect(await processes("web")).toBe("max");
    }
    await scene.ok("update", "--pids-limit", "33", "web");
    await scene.ok("restart", "-t", "0", "web");
    expect([await memory("web"), await processes("web"), await quota("web")]).toEqual([String(32 * MB), "33", "50000"]);
    expect(await field("web", "{{.HostConfig.Memory}} {{.HostConfig.MemorySwap}} {{.HostConfig.NanoCpus}}")).toBe(
      `${32 * MB} ${128 * MB} 500000000`,
    );
    await scene.ok("rm", "-f", "web");
  }, 30_000);

  test("what the kernel refuses changes nothing: neither record nor cgroup", async () => {
    const script = "head -c 40m /dev/zero > /dev/shm/held; echo held; sleep 1000";
    await scene.background("holds", script, ["--runtime", runtime, "-m", "100m", "--memory-swap", "100m"]);
    while (!(await scene.ok("logs", "holds")).includes("held")) await Bun.sleep(20);
    const asked = ["update", "--pids-limit", "50", "-m", "8m", "--memory-swap", "8m", "holds"];
    const before = await processes("holds");
    // Version 2 lets the limit be set, and ends the container.
    if (existsSync("/sys/fs/cgroup/cgroup.controllers")) return void (await scene.ok("rm", "-f", "holds"));
    for (const [, run] of clients) {
      const { status, stdout, stderr } = await run(asked);
      expect([status, stdout]).toEqual([1, ""]);
      expect(stderr).toContain(`Cannot update container ${await field("holds", "{{.Id}}")}: `);
      expect(stderr).toMatch(/memory.*(EBUSY|busy|current usage)/i);
    }
    expect([await memory("holds"), await processes("holds")]).toEqual([String(100 * MB), before]);
    expect(await field("holds", "{{.HostConfig.Memory}} {{.HostConfig.PidsLimit}}")).toBe(`${100 * MB} <nil>`);
    await scene.ok("rm", "-f", "holds");
  }, 30_000);
});

test("a container that does not run has the limits when it starts, and what is wrong is said beside the others", async () => {
  await scene.ok("create", "--name", "one", scene.image, "sleep", "1000");
  await scene.ok("create", "--name", "two", "--rm", scene.image, "sleep", "1000");
  for (const [client, run] of clients) {
    const unknown = await run(["update", "--cpu-shares", "333", "--restart", "always", "one", "none", "two"]);
    expect([client, unknown.status]).toEqual([client, 1]);
    expect(unknown.stdout.split("\n")[0]).toBe("one");
    expect(unknown.stdout).toContain("The restart policy always is kept");
    expect(unknown.stderr).toContain("No such container: none");
    expect(unknown.stderr).toContain(
      "Restart policy cannot be updated because AutoRemove is enabled for the container",
    );
    expect((await run(["update", "one"])).stderr).toContain(
      "you must provide one or more flags when using this command",
    );
    const many = String(cpus().length + 7);
    expect((await run(["update", "--cpus", many, "one"])).stderr).toContain("range of CPUs is from 0.01 to ");
  }
  expect(await field("one", "{{.HostConfig.CpuShares}} {{.HostConfig.RestartPolicy.Name}}")).toBe("333 always");
  expect(await field("two", "{{.HostConfig.CpuShares}}")).toBe("0");
  await scene.ok("start", "one");
  expect(await limit("one", "cpu", "cpu.shares", "cpu.weight")).toBe(
    existsSync("/sys/fs/cgroup/cgroup.controllers") ? "13" : "333",
  );
  await scene.ok("rm", "-f", "one", "two");
});

test("lists of block devices take the place of those before since API 1.55: null keeps them, and an empty one clears", async () => {
  const [a, b] = ["/dev/loop0", "/dev/loop1"] as const;
  await scene.ok("run", "-d", "--name", "disk", "--device-read-bps", `${a}:1mb`, scene.image, "sleep", "1000");
  const update = async (version: string, body: object) => {
    const response = await fetch(`http://tsd/${version}/containers/disk/update`, {
      unix: scene.daemon.socket,
      method: "POST",
      body: JSON.stringify(body),
      headers: { "content-type": "application/json" },
    });
    expect([response.status, await response.text()]).toEqual([200, '{"Warnings":null}']);
    const file = await limit("disk", "blkio", "blkio.throttle.read_bps_device", "io.max");
    return {
      file: file.replace(/ rbps=(\d+).*/, " $1"),
      kept: JSON.parse(await field("disk", "{{json .HostConfig.BlkioDeviceReadBps}}")) as object,
    };
  };
  const has = (Path: string, Rate: number) => ({ file: `7:${Path === a ? 0 : 1} ${Rate}`, kept: [{ Path, Rate }] });
  expect(await update("v1.55", { BlkioDeviceReadBps: null, CpuShares: 10 })).toEqual(has(a, MB));
  expect(await update("v1.55", { BlkioDeviceReadBps: [{ Path: b, Rate: 2 * MB }] })).toEqual(has(b, 2 * MB));
  expect(await update("v1.54", { BlkioDeviceReadBps: [] })).toEqual(has(b, 2 * MB));
  expect(await update("v1.55", { BlkioDeviceReadBps: [] })).toEqual({ file: "", kept: [] });
  await scene.ok("update", "--cpu-shares", "20", "disk");
  expect(await scene.daemon.ok("update", "--device-read-bps", `${a}:3mb`, "disk")).toBe("disk");
  expect(await update("v1.55", {})).toEqual(has(a, 3 * MB));
  await scene.ok("rm", "-f", "disk");
});
