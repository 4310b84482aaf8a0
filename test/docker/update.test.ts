/** Limits of containers are changed by docker's client and by tsd's command line, with tsd's runtime and runc. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { cpus } from "node:os";
import { type CommandResult, until } from "../harness/command.ts";
import { DockerScene } from "../harness/docker.ts";
import { cgroupLimit, isUnified } from "../harness/process-cgroup.ts";

let scene: DockerScene;
beforeAll(async () => {
  scene = await DockerScene.open(["--add-runtime", "runc=/usr/sbin/runc"]);
});
afterAll(() => scene.close());

const MB = 2 ** 20;

const inspect = (name: string) => scene.daemon.inspect(name);
/** docker's client where what it says is looked at, tsd's own command line for all else: it starts sooner. */
const ok = (...args: string[]) => scene.daemon.ok(...args);

/** What the kernel says of a container's limit. */
async function limit(name: string, controller: string, v1: string, v2: string): Promise<string> {
  return cgroupLimit((await inspect(name)).State.Pid, controller, v1, v2);
}

const memory = (name: string) => limit(name, "memory", "memory.limit_in_bytes", "memory.max");
const processes = (name: string) => limit(name, "pids", "pids.max", "pids.max");
const cpuset = (name: string) => limit(name, "cpuset", "cpuset.cpus", "cpuset.cpus");
const quota = async (name: string) => (await limit(name, "cpu", "cpu.cfs_quota_us", "cpu.max")).split(" ")[0];

const clients: [string, (args: string[]) => Promise<CommandResult>][] = [
  ["docker", (args) => scene.docker(args)],
  ["tsd", (args) => scene.daemon.tsd(args)],
];

/** With tsd's runtime and runc. */
const both = ["of-tsd", "of-runc"];

async function startBoth(script: string, ...flags: string[]): Promise<void> {
  const run = (runtime: string) =>
    ok("run", "-d", "--name", `of-${runtime}`, "--runtime", runtime, ...flags, scene.image, "sh", "-c", script);
  await Promise.all([run("tsd"), run("runc")]);
}

test("limits of containers that run or stand still are changed at once, and stay over a restart", async () => {
  await startBoth("sleep 1000", "-m", "64m");
  for (const [client, run] of clients) {
    const lower = client === "docker" ? 48 : 32;
    const flags = ["-m", `${lower}m`, "--pids-limit", "50", "--cpus", "0.5", "--cpuset-cpus", "0"];
    const stdout = `${both.join("\n")}\n`;
    expect(await run(["update", ...flags, ...both]), client).toEqual({ status: 0, stdout, stderr: "" });
    for (const name of both) {
      const now = [await memory(name), await processes(name), await quota(name), await cpuset(name)];
      expect(now).toEqual([String(lower * MB), "50", "50000", "0"]);
    }
  }
  await ok("pause", ...both);
  await ok("update", "--pids-limit", "-1", ...both);
  await ok("unpause", ...both);
  for (const name of both) expect(await processes(name)).toBe("max");
  await ok("update", "--pids-limit", "33", ...both);
  await ok("restart", "-t", "0", ...both);
  for (const name of both) {
    expect([await memory(name), await processes(name), await quota(name)]).toEqual([String(32 * MB), "33", "50000"]);
    expect((await inspect(name)).HostConfig).toMatchObject({
      Memory: 32 * MB,
      MemorySwap: 128 * MB,
      NanoCpus: 500_000_000,
    });
  }
  await ok("rm", "-f", ...both);
}, 30_000);

// Version 2 lets a limit be set below what is used, and ends the container.
test.skipIf(isUnified)(
  "what the kernel refuses changes nothing: neither record nor cgroup",
  async () => {
    const script = "head -c 40m /dev/zero > /dev/shm/held; echo held; sleep 1000";
    await startBoth(script, "-m", "100m", "--memory-swap", "100m");
    for (const name of both) await until("it holds its memory", async () => (await ok("logs", name)).includes("held"));
    const before = await processes(both[0]!);
    for (const [, run] of clients) {
      const { status, stdout, stderr } = await run([
        "update",
        "--pids-limit",
        "50",
        "-m",
        "8m",
        "--memory-swap",
        "8m",
        ...both,
      ]);
      expect([status, stdout]).toEqual([1, ""]);
      for (const name of both) expect(stderr).toContain(`Cannot update container ${(await inspect(name)).Id}: `);
      expect(stderr.match(/memory.*(EBUSY|busy|current usage)/gi)).toHaveLength(2);
    }
    for (const name of both) {
      expect([await memory(name), await processes(name)]).toEqual([String(100 * MB), before]);
      expect((await inspect(name)).HostConfig).toMatchObject({ Memory: 100 * MB, PidsLimit: null });
    }
    await ok("rm", "-f", ...both);
  },
  30_000,
);

test("a container that does not run has the limits when it starts, and what is wrong is said beside the others", async () => {
  await ok("create", "--name", "one", scene.image, "sleep", "1000");
  await ok("create", "--name", "two", "--rm", scene.image, "sleep", "1000");
  for (const [client, run] of clients) {
    const unknown = await run(["update", "--cpu-shares", "333", "--restart", "always", "one", "none", "two"]);
    expect([client, unknown.status]).toEqual([client, 1]);
    expect(unknown.stdout).toBe("one\n");
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
  expect((await inspect("one")).HostConfig).toMatchObject({ CpuShares: 333, RestartPolicy: { Name: "always" } });
  expect((await inspect("two")).HostConfig.CpuShares).toBe(0);
  await ok("start", "one");
  expect(await limit("one", "cpu", "cpu.shares", "cpu.weight")).toBe(isUnified ? "13" : "333");
  await ok("rm", "-f", "one", "two");
});

test("lists of block devices take the place of those before since API 1.55: null keeps them, and an empty one clears", async () => {
  const [a, b] = ["/dev/loop0", "/dev/loop1"] as const;
  await ok("run", "-d", "--name", "disk", "--device-read-bps", `${a}:1mb`, scene.image, "sleep", "1000");
  const update = async (version: string, body: object) => {
    const response = await fetch(`http://tsd/${version}/containers/disk/update`, {
      unix: scene.daemon.socket,
      method: "POST",
      body: JSON.stringify(body),
      headers: { "content-type": "application/json" },
    });
    expect([response.status, await response.text()]).toEqual([200, '{"Warnings":null}\n']);
    const file = await limit("disk", "blkio", "blkio.throttle.read_bps_device", "io.max");
    return {
      file: file.replace(/ rbps=(\d+).*/, " $1"),
      kept: (await inspect("disk")).HostConfig.BlkioDeviceReadBps,
    };
  };
  const has = (Path: string, Rate: number) => ({ file: `7:${Path === a ? 0 : 1} ${Rate}`, kept: [{ Path, Rate }] });
  expect(await update("v1.55", { BlkioDeviceReadBps: null, CpuShares: 10 })).toEqual(has(a, MB));
  expect(await update("v1.55", { BlkioDeviceReadBps: [{ Path: b, Rate: 2 * MB }] })).toEqual(has(b, 2 * MB));
  expect(await update("v1.54", { BlkioDeviceReadBps: [] })).toEqual(has(b, 2 * MB));
  expect(await update("v1.55", { BlkioDeviceReadBps: [] })).toEqual({ file: "", kept: [] });
  await ok("update", "--cpu-shares", "20", "disk");
  expect(await scene.daemon.ok("update", "--device-read-bps", `${a}:3mb`, "disk")).toBe("disk");
  expect(await update("v1.55", {})).toEqual(has(a, 3 * MB));
  await ok("rm", "-f", "disk");
});
