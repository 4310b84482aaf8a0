/** pause, unpause, restart, rename and prune, asked for by docker's client and by tsd's command line, with tsd's runtime and runc. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { until } from "../harness/command.ts";
import { DockerScene } from "../harness/docker.ts";

let scene: DockerScene;
beforeAll(async () => {
  scene = await DockerScene.open(["--add-runtime", "runc=/usr/sbin/runc"]);
});
afterAll(() => scene.close());

const forever = "trap 'exit 5' TERM; while :; do sleep 0.02; done";

async function field(name: string, template: string): Promise<string> {
  return scene.ok("inspect", "-f", template, name);
}

/** Whether the kernel has stopped the container's processes, by its own word. */
async function isFrozen(name: string): Promise<boolean> {
  const pid = await field(name, "{{.State.Pid}}");
  const lines = readFileSync(`/proc/${pid}/cgroup`, "utf8").split("\n");
  const [, v1] = lines.map((line) => /^\d+:freezer:(.*)$/.exec(line)).find(Boolean) ?? [];
  if (v1 !== undefined) return readFileSync(`/sys/fs/cgroup/freezer${v1}/freezer.state`, "utf8").trim() === "FROZEN";
  const [, v2] = lines.map((line) => /^0::(.*)$/.exec(line)).find(Boolean)!;
  return readFileSync(`/sys/fs/cgroup${v2}/cgroup.events`, "utf8").includes("frozen 1");
}

async function events(name: string, since: number): Promise<string[]> {
  const until = String(Date.now() / 1000);
  const filter = `container=${name}`;
  const from = String(since / 1000);
  const text = await scene.ok(
    "events",
    "--since",
    from,
    "--until",
    until,
    "--filter",
    filter,
    "--format",
    "{{.Action}}",
  );
  return text.split("\n").filter(Boolean);
}

describe.each(["tsd", "runc"])("with the runtime %s", (runtime) => {
  test("a container stands still from pause to unpause, over a daemon that is killed meanwhile", async () => {
    const name = `still-${runtime}`;
    await scene.background(name, forever, ["--runtime", runtime]);
    expect(await scene.ok("pause", name)).toBe(name);
    expect(await isFrozen(name)).toBe(true);
    expect(await scene.ok("ps", "--filter", "status=paused", "--format", "{{.Names}} {{.State}}")).toBe(
      `${name} paused`,
    );
    await scene.daemon.stop("SIGKILL");
    await scene.daemon.start();
    expect(await field(name, "{{.State.Status}} {{.State.Paused}} {{.State.Running}}")).toBe("paused true true");
    expect(await isFrozen(name)).toBe(true);
    expect(await scene.daemon.ok("container", "unpause", name)).toBe(name);
    expect(await isFrozen(name)).toBe(false);
    await scene.ok("pause", name);
    await scene.ok("stop", "-t", "20", name);
    expect(await field(name, "{{.State.ExitCode}} {{.State.Paused}}")).toBe("5 false");
    await scene.ok("start", name);
    await scene.ok("pause", name);
    await scene.ok("rm", "-f", name);
  }, 30_000);
});

test("pause and unpause say why not, one line for each container, as docker's client has it", async () => {
  const id = await scene.background("one", forever);
  await scene.ok("create", "--name", "idle", scene.image);
  const idle = await field("idle", "{{.Id}}");
  await scene.ok("pause", "one");
  for (const run of [scene.docker.bind(scene), scene.daemon.tsd.bind(scene.daemon)]) {
    const result = await run(["pause", "none", "one", "idle"]);
    expect(result.status).toBe(1);
    for (const words of [
      "No such container: none",
      `Container ${id} is already paused`,
      `container ${idle} is not running`,
    ]) {
      expect(result.stderr).toContain(words);
    }
    expect((await run(["exec", "one", "true"])).stderr).toContain(
      `Container ${id} is paused, unpause the container before exec`,
    );
    expect((await run(["start", "one"])).stderr).toContain("cannot start a paused container, try unpause instead");
    expect((await run(["unpause", "idle"])).stderr).toContain(`Container ${idle} is not paused`);
  }
  await scene.ok("rm", "-f", "one", "idle");
});

test("restart ends a container in its own way and starts it, also one that is removed with its end", async () => {
  for (const rm of [[], ["--rm"]]) {
    await scene.background("again", forever, rm);
    const before = await field("again", "{{.Id}} {{.State.StartedAt}}");
    const since = Date.now();
    expect(await scene.ok("restart", "-t", "20", "again")).toBe("again");
    const after = await field("again", "{{.Id}} {{.State.StartedAt}}");
    expect(after).not.toBe(before);
    expect(after.split(" ")[0]).toBe(before.split(" ")[0]!);
    expect(await events("again", since)).toEqual(["kill", "die", "stop", "start", "restart"]);
    expect(await scene.daemon.ok("restart", "-s", "KILL", "again")).toBe("again");
    await Promise.all([scene.ok("restart", "-t", "0", "again"), scene.daemon.ok("restart", "-t", "0", "again")]);
    expect(await field("again", "{{.State.Status}}")).toBe("running");
    if (rm.length === 0) await scene.ok("rm", "-f", "again");
    else await scene.ok("stop", "-t", "0", "again");
    await until("it is gone", async () => (await scene.docker(["inspect", "again"])).status === 1);
  }
}, 30_000);

test("a renamed container is found by its new name, by others on its network too, and ports are said to be its own", async () => {
  await scene.ok("network", "create", "net");
  await scene.ok(
    "run",
    "-d",
    "--name",
    "first",
    "--network",
    "net",
    "-p",
    "127.0.0.1:7070:80",
    scene.image,
    "sleep",
    "1000",
  );
  await scene.ok(
    "run",
    "-d",
    "--name",
    "asker",
    "--network",
    "net",
    "--link",
    "first:linked",
    scene.image,
    "sleep",
    "1000",
  );
  const address = await field("first", "{{.NetworkSettings.Networks.net.IPAddress}}");
  const answers = async (name: string) =>
    (await scene.docker(["exec", "asker", "nslookup", name])).stdout.includes(address);
  expect(await answers("first")).toBe(true);
  expect(await scene.ok("rename", "first", "second")).toBe("");
  expect([await answers("second"), await answers("first"), await answers("linked")]).toEqual([true, false, true]);
  const taken = await scene.docker(["run", "--rm", "-p", "127.0.0.1:7070:80", scene.image, "true"]);
  expect(taken.stderr).toContain("container second");
  await scene.daemon.stop("SIGKILL");
  await scene.daemon.start();
  expect(await answers("second")).toBe(true);
  await scene.daemon.ok("restart", "-t", "0", "asker");
  expect(await answers("linked")).toBe(true);
  for (const run of [scene.docker.bind(scene), scene.daemon.tsd.bind(scene.daemon)]) {
    const result = await run(["rename", "second", "asker"]);
    expect(result).toMatchObject({ status: 1, stdout: "" });
    expect(result.stderr).toContain('Conflict. The container name "/asker" is already in use by container "');
    expect((await run(["rename", "second", "second"])).stderr).toContain("same name as its current name");
  }
  await scene.ok("rm", "-f", "second", "asker");
  await scene.ok("network", "rm", "net");
}, 30_000);

test("container prune removes what does not run, in docker's words, and asks before", async () => {
  for (const run of [scene.docker.bind(scene), scene.daemon.tsd.bind(scene.daemon)]) {
    await scene.background("runs", forever);
    const created = await scene.ok("create", "--label", "keep=no", scene.image);
    const kept = await scene.ok("create", "--label", "keep=yes", scene.image);
    const declined = await run(["container", "prune"], { stdin: "n\n" });
    expect(declined.stdout).toBe(
      "WARNING! This will remove all stopped containers.\nAre you sure you want to continue? [y/N] ",
    );
    const pruned = await run(["container", "prune", "-f", "--filter", "label!=keep=yes"]);
    expect(pruned).toMatchObject({ status: 0, stderr: "" });
    expect(pruned.stdout).toMatch(
      new RegExp(`^Deleted Containers:\n${created}\n\nTotal reclaimed space: [0-9.]+k?B\n$`),
    );
    expect((await scene.ok("ps", "-aq", "--no-trunc")).split("\n").sort()).toEqual(
      [kept, await field("runs", "{{.Id}}")].sort(),
    );
    await scene.ok("rm", "-f", kept, "runs");
  }
});

test("a paused container's files are copied and committed, and it stays paused; a commit pauses one that runs", async () => {
  await scene.background("files", "echo kept > /file; while :; do sleep 0.02; done");
  const kept = async () => (await scene.docker(["exec", "files", "cat", "/file"])).stdout;
  await until("the file is there", async () => (await kept()) === "kept\n");
  const since = Date.now();
  await scene.ok("commit", "files", "while-running");
  await scene.daemon.ok("commit", "--no-pause", "files", "not-paused");
  expect(await events("files", since)).toEqual(["pause", "unpause", "commit", "commit"]);
  await scene.ok("pause", "files");
  await scene.ok("cp", "files:/file", scene.workspace.path("copied"));
  expect(readFileSync(scene.workspace.path("copied"), "utf8")).toBe("kept\n");
  await scene.ok("commit", "files", "while-paused");
  expect(await field("files", "{{.State.Status}}")).toBe("paused");
  expect(await isFrozen("files")).toBe(true);
  expect(await scene.ok("run", "--rm", "while-paused", "cat", "/file")).toBe("kept");
  const waited = scene.docker(["wait", "files"]);
  await scene.ok("kill", "files");
  expect((await waited).stdout).toBe("137\n");
  await scene.ok("rm", "files");
  await scene.ok("rmi", "while-running", "not-paused", "while-paused");
});
