/** A daemon with `--shim-per project`: one shim process for the containers of a project, and what its loss means. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { until } from "../harness/command.ts";
import { Daemon } from "../harness/daemon.ts";
import { startRegistry } from "../harness/registry.ts";
import { Workspace } from "../harness/workspace.ts";

let workspace: Workspace;
let daemon: Daemon;
let image: string;
beforeAll(async () => {
  workspace = await Workspace.open();
  const registry = await startRegistry(workspace);
  daemon = await Daemon.start(workspace, { flags: ["--shim-per", "project"] });
  image = await registry.push("busybox");
});
afterAll(() => workspace[Symbol.asyncDispose]());

async function run(name: string, project: string | undefined, ...command: string[]): Promise<void> {
  const labels = project === undefined ? [] : ["--label", `com.docker.compose.project=${project}`];
  await daemon.ok("run", "-d", "--network", "none", "--name", name, ...labels, image, ...command);
}

async function shimOf(name: string): Promise<number> {
  const id = await daemon.ok("inspect", "-f", "{{.Id}}", name);
  return JSON.parse(readFileSync(join(daemon.state, "containers", id, "shim.json"), "utf8")).shimPid;
}

test("a project's containers have one process, those of another or of none have their own", async () => {
  await Promise.all(["one", "two", "three"].map((name) => run(name, "p", "sleep", "1000")));
  await run("other", "q", "sleep", "1000");
  await run("alone", undefined, "sleep", "1000");
  const [one, two, three, other, alone] = await Promise.all(["one", "two", "three", "other", "alone"].map(shimOf));
  expect([two, three]).toEqual([one, one]);
  expect(new Set([one, other, alone]).size).toBe(3);
});

test("each has streams, execs and an end of its own, and its place is free for the next", async () => {
  expect(await daemon.ok("exec", "two", "echo", "from two")).toBe("from two");
  await run("short", "p", "sh", "-c", "echo words; exit 7");
  expect(await daemon.ok("wait", "short")).toBe("7");
  expect(await daemon.ok("logs", "short")).toBe("words");
  await daemon.ok("rm", "-f", "one");
  expect(await daemon.ok("exec", "two", "echo", "still")).toBe("still");
  await daemon.ok("restart", "-t", "0", "three");
  expect(await shimOf("three")).toBe(await shimOf("two"));
});

test("the next daemon finds them all; a container that comes then has a process of its own daemon's", async () => {
  const before = await shimOf("two");
  await daemon.stop("SIGKILL");
  await daemon.start();
  expect(await daemon.ok("exec", "two", "echo", "again")).toBe("again");
  await daemon.ok("stop", "-t", "0", "three");
  expect(await daemon.ok("inspect", "-f", "{{.State.ExitCode}}", "three")).toBe("137");
  await run("later", "p", "sleep", "1000");
  expect(await shimOf("later")).not.toBe(before);
  expect(await shimOf("two")).toBe(before);
});

test("killed, it takes its containers along: each has ended, in what way is unknown; others go on", async () => {
  await daemon.ok("start", "three");
  const lost = await shimOf("later");
  expect(await shimOf("three")).toBe(lost);
  process.kill(lost, "SIGKILL");
  for (const name of ["later", "three"]) {
    await until(
      `${name} has ended`,
      async () => (await daemon.ok("inspect", "-f", "{{.State.Running}}", name)) === "false",
    );
    expect(await daemon.ok("inspect", "-f", "{{.State.Error}}", name)).toContain("shim");
  }
  expect(await daemon.ok("exec", "two", "echo", "here")).toBe("here");
  expect(await daemon.ok("exec", "alone", "echo", "here")).toBe("here");
});
