/** pause, unpause, restart, rename and prune, asked for by docker's client and by tsd's command line, with tsd's runtime and runc. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { until } from "../harness/command.ts";
import { DockerScene } from "../harness/docker.ts";
import { isFrozen } from "../harness/process-cgroup.ts";

let scene: DockerScene;
beforeAll(async () => {
  scene = await DockerScene.open(["--add-runtime", "runc=/usr/sbin/runc"]);
});
afterAll(() => scene.close());

const inspect = (name: string) => scene.daemon.inspect(name);
/** docker's client where what it says is looked at, tsd's own command line for all else: it starts sooner. */
const ok = (...args: string[]) => scene.daemon.ok(...args);

/** A container that ends with 5 when it is asked to. */
function start(name: string, ...flags: string[]): Promise<string> {
  const script = "trap 'exit 5' TERM; sleep 1000 & wait";
  return ok("run", "-d", "--network", "none", "--name", name, ...flags, scene.image, "sh", "-c", script);
}

/** Whether the kernel has stopped the containers' processes, by its own word. */
function areStill(...names: string[]): Promise<boolean[]> {
  return Promise.all(names.map(async (name) => isFrozen((await inspect(name)).State.Pid)));
}

async function events(name: string, since: number): Promise<string[]> {
  const range = ["--since", String(since / 1000), "--until", String(Date.now() / 1000)];
  const text = await ok("events", ...range, "--filter", `container=${name}`, "--format", "{{.Action}}");
  return text.split("\n").filter(Boolean);
}

test("a container stands still from pause to unpause, over a daemon that is killed meanwhile", async () => {
  const both = ["still-tsd", "still-runc"];
  await Promise.all([start("still-tsd"), start("still-runc", "--runtime", "runc")]);
  expect(await scene.ok("pause", ...both)).toBe(both.join("\n"));
  expect(await areStill(...both)).toEqual([true, true]);
  const list = await scene.ok("ps", "--filter", "status=paused", "--format", "{{.Names}} {{.State}}");
  expect(list.split("\n").sort()).toEqual(["still-runc paused", "still-tsd paused"]);
  await scene.daemon.stop("SIGKILL");
  await scene.daemon.start();
  for (const name of both) {
    expect((await inspect(name)).State).toMatchObject({ Status: "paused", Paused: true, Running: true });
  }
  expect(await areStill(...both)).toEqual([true, true]);
  expect(await ok("container", "unpause", ...both)).toBe(both.join("\n"));
  expect(await areStill(...both)).toEqual([false, false]);
  await ok("pause", ...both);
  await ok("stop", "-t", "20", ...both);
  for (const name of both) expect((await inspect(name)).State).toMatchObject({ ExitCode: 5, Paused: false });
  await ok("start", ...both);
  await ok("pause", ...both);
  await ok("rm", "-f", ...both);
}, 30_000);

test("pause and unpause say why not, one line for each container, as docker's client has it", async () => {
  const id = await start("one");
  const idle = await ok("create", "--name", "idle", scene.image);
  await ok("pause", "one");
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
      "Container one is paused, unpause the container before exec",
    );
    expect((await run(["start", "one"])).stderr).toContain("cannot start a paused container, try unpause instead");
    expect((await run(["unpause", "idle"])).stderr).toContain(`Container ${idle} is not paused`);
  }
  await ok("rm", "-f", "one", "idle");
});

test("restart ends a container in its own way and starts it, also one that is removed with its end", async () => {
  const both = ["again", "goes"];
  await Promise.all([start("again"), start("goes", "--rm")]);
  const before = await Promise.all(both.map(inspect));
  const since = Date.now();
  expect(await scene.ok("restart", "-t", "20", ...both)).toBe(both.join("\n"));
  for (const [n, name] of both.entries()) {
    const after = await inspect(name);
    expect(after.State.StartedAt).not.toBe(before[n]!.State.StartedAt);
    expect(after.Id).toBe(before[n]!.Id);
    expect(await events(name, since)).toEqual(["kill", "die", "stop", "start", "restart"]);
  }
  expect(await ok("restart", "-s", "KILL", ...both)).toBe(both.join("\n"));
  await Promise.all([ok("restart", "-t", "0", ...both), ok("restart", "-t", "0", ...both)]);
  for (const name of both) expect((await inspect(name)).State.Status).toBe("running");
  await ok("stop", "-t", "0", ...both);
  await expect(inspect("goes")).rejects.toThrow("404");
  expect((await inspect("again")).State.Status).toBe("exited");
  await ok("rm", "again");
}, 30_000);

test("a renamed container is found by its new name, by others on its network too, and ports are said to be its own", async () => {
  const run = (name: string, ...flags: string[]) =>
    ok("run", "-d", "--name", name, "--network", "net", ...flags, scene.image, "sleep", "1000");
  await ok("network", "create", "net");
  await run("first", "-p", "127.0.0.1:7070:80");
  await run("asker", "--link", "first:linked");
  const address = (await inspect("first")).NetworkSettings.Networks.net!.IPAddress!;
  const answers = async (...names: string[]) => {
    const script = names.map((name) => `nslookup ${name} | grep -c 'Address.* ${address}$'`).join("; ");
    return (await scene.daemon.tsd(["exec", "asker", "sh", "-c", script])).stdout;
  };
  expect(await answers("first", "second", "linked")).toBe("1\n0\n1\n");
  expect(await scene.ok("rename", "first", "second")).toBe("");
  expect(await answers("first", "second", "linked")).toBe("0\n1\n1\n");
  const taken = await scene.daemon.tsd(["run", "--rm", "-p", "127.0.0.1:7070:80", scene.image, "true"]);
  expect(taken.stderr).toContain("container second");
  await ok("restart", "-t", "0", "asker");
  expect(await answers("linked")).toBe("1\n");
  for (const run of [scene.docker.bind(scene), scene.daemon.tsd.bind(scene.daemon)]) {
    const result = await run(["rename", "second", "asker"]);
    expect(result).toMatchObject({ status: 1, stdout: "" });
    expect(result.stderr).toContain('Conflict. The container name "/asker" is already in use by container "');
    expect((await run(["rename", "second", "second"])).stderr).toContain("same name as its current name");
  }
  await ok("rm", "-f", "second", "asker");
  await ok("network", "rm", "net");
}, 30_000);

test("container prune removes what does not run, in docker's words, and asks before", async () => {
  const runs = await start("runs");
  const kept = await ok("create", "--label", "keep=yes", scene.image);
  for (const run of [scene.docker.bind(scene), scene.daemon.tsd.bind(scene.daemon)]) {
    const created = await ok("create", "--label", "keep=no", scene.image);
    const declined = await run(["container", "prune"], { stdin: "n\n" });
    expect(declined.stdout).toBe(
      "WARNING! This will remove all stopped containers.\nAre you sure you want to continue? [y/N] ",
    );
    const pruned = await run(["container", "prune", "-f", "--filter", "label!=keep=yes"]);
    expect(pruned).toMatchObject({ status: 0, stderr: "" });
    expect(pruned.stdout).toMatch(
      new RegExp(`^Deleted Containers:\n${created}\n\nTotal reclaimed space: [0-9.]+k?B\n$`),
    );
    expect((await ok("ps", "-aq", "--no-trunc")).split("\n").sort()).toEqual([kept, runs].sort());
  }
  await ok("rm", "-f", kept, runs);
});

test("a paused container's files are copied and committed, and it stays paused; a commit pauses one that runs", async () => {
  await ok("run", "-d", "--name", "files", scene.image, "sh", "-c", "echo kept > /file; echo there; sleep 1000");
  await until("the file is there", async () => (await ok("logs", "files")) === "there");
  const since = Date.now();
  await scene.ok("commit", "files", "while-running");
  await ok("commit", "--no-pause", "files", "not-paused");
  expect(await events("files", since)).toEqual(["pause", "unpause", "commit", "commit"]);
  await ok("pause", "files");
  await ok("cp", "files:/file", scene.workspace.path("copied"));
  expect(readFileSync(scene.workspace.path("copied"), "utf8")).toBe("kept\n");
  await ok("commit", "files", "while-paused");
  expect((await inspect("files")).State.Status).toBe("paused");
  expect(await areStill("files")).toEqual([true]);
  expect(await ok("run", "--rm", "while-paused", "cat", "/file")).toBe("kept");
  const waited = scene.docker(["wait", "files"]);
  await ok("kill", "files");
  expect((await waited).stdout).toBe("137\n");
  await ok("rm", "files");
  await ok("rmi", "while-running", "not-paused", "while-paused");
});
