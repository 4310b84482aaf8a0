/** The daemon is killed and started again under running containers: nothing of them is lost. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { expectAgreement } from "../harness/audit.ts";
import { until } from "../harness/command.ts";
import { DockerScene } from "../harness/docker.ts";
import { LiveCommand } from "../harness/live.ts";
import { TerminalSession } from "../harness/terminal.ts";
import { tsd } from "../harness/workspace.ts";

let scene: DockerScene;
beforeAll(async () => {
  scene = await DockerScene.open(["--add-runtime", "runc=/usr/sbin/runc"]);
});
afterAll(() => scene.close());

const count = "i=0; while :; do i=$((i+1)); echo line $i; echo error $i >&2; usleep 2000; done";

/** Names of containers with what `tsd run` is told. */
const containers: Record<string, string[]> = {
  "write-1": ["IMAGE", "sh", "-c", count],
  "write-2": ["--network", "none", "IMAGE", "sh", "-c", count],
  "write-runc": ["--runtime", "runc", "IMAGE", "sh", "-c", count],
  "write-terminal": ["-t", "IMAGE", "sh", "-c", count],
  "input-1": ["-i", "IMAGE", "cat"],
  "input-2": ["-i", "--network", "host", "IMAGE", "cat"],
  "terminal-1": ["-it", "IMAGE", "sh"],
  "terminal-2": ["-it", "--network", "none", "IMAGE", "sh"],
  idle: ["--rm", "IMAGE", "sleep", "1000"],
  heeding: ["IMAGE", "sh", "-c", 'trap "exit 5" TERM; while :; do usleep 10000; done'],
};
const names = Object.keys(containers);
const writers = names.filter((name) => name.startsWith("write"));

function live(...args: string[]): LiveCommand {
  return new LiveCommand([tsd, ...args], scene.daemon.env);
}

/** The numbers of a writer's log, by stream, each of which must be 1, 2, 3 and so on. @returns the last. */
async function wholeLog(name: string): Promise<number> {
  const { status, stdout, stderr } = await scene.daemon.tsd(["logs", name]);
  expect(status).toBe(0);
  const numbers = (text: string, word: string) =>
    text.split(/\r?\n/).flatMap((line) => (line.startsWith(`${word} `) ? [Number(line.slice(word.length + 1))] : []));
  const lines = numbers(stdout, "line");
  expect(lines).toEqual(lines.map((_, index) => index + 1));
  const errors = numbers(name === "write-terminal" ? stdout : stderr, "error");
  expect(errors).toEqual(errors.map((_, index) => index + 1));
  return lines.length;
}

test("ten containers go on through three crashes, each managed and no line of their logs lost or doubled", async () => {
  for (const [name, words] of Object.entries(containers)) {
    await scene.daemon.ok("run", "-d", "--name", name, ...words.map((word) => (word === "IMAGE" ? scene.image : word)));
  }
  const pids = async () =>
    scene.daemon.ok(
      "inspect",
      "-f",
      "{{.State.Pid}} {{.State.StartedAt}} {{json .NetworkSettings.Networks}}",
      ...names,
    );
  const before = await pids();
  for (let crash = 0; crash < 3; crash++) {
    await scene.daemon.stop("SIGKILL");
    await scene.daemon.start();
    const running = await scene.daemon.ok("ps", "--format", "{{.Names}}");
    expect(running.split("\n").sort()).toEqual([...names].sort());
    expect(await pids()).toBe(before);
    for (const name of writers) {
      const seen = await wholeLog(name);
      await until(`${name} writes on`, async () => (await wholeLog(name)) > seen);
    }
    await expectAgreement(scene.workspace, scene.daemon);
  }
});

test("attach, exec, logs -f, wait and stop work on the containers of an earlier daemon", async () => {
  await using input = live("attach", "input-1");
  await input.write("through a crash\n");
  await input.shows("through a crash\n");
  await using terminal = new TerminalSession([tsd, "attach", "terminal-2"], { env: scene.daemon.env });
  terminal.type("echo $((6*7))\n");
  await terminal.expect("42\r\n");
  for (const name of names)
    expect(await scene.daemon.ok("exec", name, "echo", "exec in", name)).toBe(`exec in ${name}`);
  await using follower = live("logs", "-f", "--tail", "1", "write-1");
  await until("new lines are followed", () => follower.stdout.split("\n").length > 10);
  const waiting = scene.daemon.ok("wait", "heeding");
  await scene.daemon.ok("stop", "heeding");
  expect(await waiting).toBe("5");
  await scene.daemon.ok("stop", "-t", "0", "write-1", "write-runc");
  expect(await follower.end()).toBe(0);
  const followed = [...follower.stdout.matchAll(/^line (\d+)$/gm)].map((match) => Number(match[1]));
  expect(followed).toEqual(followed.map((_, index) => followed[0]! + index));
  expect(followed.at(-1)).toBe(await wholeLog("write-1"));
  expect(await scene.daemon.ok("inspect", "-f", "{{.State.ExitCode}}", "write-1", "write-runc")).toBe("137\n137");
  await scene.daemon.ok("start", "heeding");
  expect(await scene.daemon.ok("exec", "heeding", "echo", "again")).toBe("again");
  await scene.daemon.ok("stop", "-t", "0", "idle");
  await until("idle, run with --rm, is gone", async () => !(await scene.daemon.ok("ps", "-a")).includes("idle"));
  await expectAgreement(scene.workspace, scene.daemon);
});

test("a client that waits or is attached when the daemon is killed is told so, and the container is not disturbed", async () => {
  await using waiting = live("wait", "input-2");
  await using attached = live("attach", "input-2");
  await attached.write("before\n");
  await attached.shows("before\n");
  await scene.daemon.stop("SIGKILL");
  for (const client of [waiting, attached]) {
    expect(await client.end()).not.toBe(0);
    expect(client.stderr).toContain("daemon");
    expect(client.stderr).not.toContain("Error: ");
  }
  await scene.daemon.start();
  await using again = live("attach", "input-2");
  await again.write("after\n");
  await again.shows("after\n");
  expect(await scene.daemon.ok("logs", "input-2")).toBe("before\nafter");
});

test("a program that reads what is piped to tsd or docker run does not take a crash for the end of it", async () => {
  for (const client of [[tsd], scene.argv()]) {
    const script = "cat; echo ended";
    const args = ["run", "-i", "--name", "piped", scene.image, "sh", "-c", script];
    await using piping = new LiveCommand([...client, ...args], scene.daemon.env);
    await piping.write("first half\n");
    await piping.shows("first half\n");
    await scene.daemon.stop("SIGKILL");
    expect(await piping.end()).toBe(125);
    await scene.daemon.start();
    await using next = live("attach", "piped");
    await next.write("second half\n");
    await next.shows("second half\n");
    expect(await scene.daemon.ok("logs", "piped")).toBe("first half\nsecond half");
    await next.endInput();
    expect(await next.end()).toBe(0);
    expect(await scene.daemon.ok("logs", "piped")).toBe("first half\nsecond half\nended");
    await scene.daemon.ok("rm", "piped");
  }
});

test("a client that is killed ends the input of what it ran, as with docker", async () => {
  for (const client of [[tsd], scene.argv()]) {
    const args = ["run", "-i", "--name", "left", scene.image, "sh", "-c", "cat; exit 6"];
    await using piping = new LiveCommand([...client, ...args], scene.daemon.env);
    await piping.write("some\n");
    await piping.shows("some\n");
    piping.kill("SIGKILL");
    expect(await scene.daemon.ok("wait", "left")).toBe("6");
    await scene.daemon.ok("rm", "left");
  }
});

test("SIGTERM ends the daemon with status 0, its socket gone and its containers running", async () => {
  const pid = await scene.daemon.ok("inspect", "-f", "{{.State.Pid}}", "terminal-1");
  expect(await scene.daemon.stop("SIGTERM")).toBe(0);
  expect(await Bun.file(scene.daemon.socket).exists()).toBe(false);
  expect(await Bun.file(`/proc/${pid}/cmdline`).text()).toBe("sh\0");
  const refused = await scene.daemon.tsd(["ps"]);
  expect(refused.status).not.toBe(0);
  expect(refused.stderr).toContain(scene.daemon.socket);
  await scene.daemon.start();
  expect(await scene.daemon.ok("inspect", "-f", "{{.State.Pid}}", "terminal-1")).toBe(pid);
  await wholeLog("write-2");
});
