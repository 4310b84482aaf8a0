/** The unmodified docker client at a terminal: run -it, exec -it, attach with detach keys, sizes. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { until } from "../harness/command.ts";
import { DockerScene } from "../harness/docker.ts";
import { type TerminalOptions, TerminalSession } from "../harness/terminal.ts";

let scene: DockerScene;
beforeAll(async () => {
  scene = await DockerScene.open();
});
afterAll(() => scene.close());

const ctrlC = "\x03";
const ctrlD = "\x04";
const ctrlP = "\x10";
const ctrlQ = "\x11";

function at(args: string[], options: TerminalOptions = {}): TerminalSession {
  return new TerminalSession(scene.argv(...args), { ...options, env: scene.daemon.env });
}

function running(name: string): Promise<string> {
  return scene.ok("inspect", "-f", "{{.State.Running}}", name);
}

test("docker run -it gives a shell at a terminal of the right size, whose status it ends with", async () => {
  await using shell = at(["run", "--rm", "-it", "--network", "none", scene.image], { rows: 31, columns: 101 });
  await shell.expect("/ # ");
  expect(shell.isRaw).toBe(true);
  shell.type("tty; echo $TERM\n");
  await shell.expect("/dev/pts/0\r\nxterm\r\n/ # ");
  // The docker client sets the size after the start, and again until it is accepted.
  await until("the shell has the terminal's size", async () => {
    shell.type("stty size\n");
    return (await shell.expect(/(\d+ \d+)\r\n\/ # /))[1] === "31 101";
  });
  shell.type("exit 7\n");
  expect(await shell.end()).toBe(7);
  expect(shell.isRaw).toBe(false);
});

test("a change of the window's size reaches the program", async () => {
  const script = 'trap "stty size" WINCH; echo ready; while :; do sleep 0.02; done';
  const args = ["run", "--rm", "-it", "--network", "none", "--name", "sized", scene.image, "sh", "-c", script];
  await using session = at(args);
  await session.expect("ready");
  // The docker client listens for changes only from some moment after the start on.
  let columns = 120;
  await until("the program hears of the size", async () => {
    session.resize({ rows: 40, columns: columns++ });
    return session.output.includes("40 12");
  });
  session.resize({ rows: 10, columns: 20 });
  await session.expect("10 20");
  await scene.ok("kill", "sized");
  expect(await session.end()).toBe(137);
});

test("Ctrl-C interrupts the program in the terminal, and without one ends the container by the signal", async () => {
  const script = 'trap "echo interrupted; exit 3" INT; echo ready; while :; do sleep 0.02; done';
  await using session = at(["run", "--rm", "-it", "--network", "none", scene.image, "sh", "-c", script]);
  await session.expect("ready");
  session.type(ctrlC);
  await session.expect("interrupted");
  expect(await session.end()).toBe(3);
  await using plain = at(["run", "--rm", "--network", "none", scene.image, "sh", "-c", script]);
  await plain.expect("ready");
  plain.type(ctrlC);
  await plain.expect("interrupted");
  expect(await plain.end()).toBe(3);
});

test("detach keys leave the container running; attach finds it again", async () => {
  await using first = at(["run", "-it", "--network", "none", "--name", "kept", scene.image]);
  await first.expect("/ # ");
  first.type("x=remembered\n");
  await first.expect("/ # ");
  first.type(ctrlP + ctrlQ);
  await first.end();
  expect(await running("kept")).toBe("true");
  await using second = at(["attach", "--detach-keys", "ctrl-a,z", "kept"]);
  second.type("\n");
  await second.expect("/ # ");
  second.type("echo $x\n");
  await second.expect("remembered\r\n");
  // Not this client's keys: they are the shell's.
  second.type(ctrlP + ctrlQ);
  second.type("\x01z");
  await second.end();
  expect(second.output).toContain("read escape sequence");
  expect(await running("kept")).toBe("true");
  await using third = at(["attach", "kept"]);
  third.type("\n");
  await third.expect("/ # ");
  third.type(ctrlD);
  expect(await third.end()).toBe(0);
  expect(await running("kept")).toBe("false");
  await scene.ok("rm", "kept");
});

test("two terminals attached to one container show the same", async () => {
  await scene.ok("run", "-dit", "--network", "none", "--name", "shared", scene.image);
  await using first = at(["attach", "shared"]);
  first.type("\n");
  await first.expect("/ # ");
  await using second = at(["attach", "shared"]);
  second.type("\n");
  await second.expect("/ # ");
  first.type("echo from-$((40+2))-first\n");
  await first.expect("from-42-first");
  await second.expect("from-42-first");
  second.type("exit 5\n");
  expect([await first.end(), await second.end()]).toEqual([5, 5]);
  await scene.ok("rm", "shared");
});

test("docker exec -it gives a shell of its own size; its detach keys leave the process running", async () => {
  await scene.ok("run", "-d", "--network", "none", "--name", "host", scene.image, "sleep", "1000");
  await using shell = at(["exec", "-it", "-e", "MARK=set", "host", "sh"], { rows: 33, columns: 99 });
  await shell.expect("/ # ");
  await until("the shell has the terminal's size", async () => {
    shell.type("stty size\n");
    return (await shell.expect(/(\d+ \d+)\r\n\/ # /))[1] === "33 99";
  });
  shell.type("echo $MARK; exit 4\n");
  await shell.expect("set\r\n");
  expect(await shell.end()).toBe(4);

  await using detached = at(["exec", "-it", "host", "sh", "-c", "echo here; exec sleep 777"]);
  await detached.expect("here");
  detached.type(ctrlP + ctrlQ);
  // The docker client calls that an error of exec, unlike of run and attach.
  expect(await detached.end()).toBe(1);
  expect(detached.output).toContain("read escape sequence");
  expect(await scene.ok("exec", "host", "ps")).toContain("sleep 777");

  await using missing = at(["exec", "-it", "host", "absent-program"]);
  expect(await missing.end()).toBe(127);
  expect(missing.output).toContain('exec: "absent-program": executable file not found in $PATH');
  await scene.ok("rm", "-f", "host");
});

test("without a terminal at its input docker refuses -t, and tsd gives one to the container all the same with -t alone", async () => {
  const refused = await scene.docker(["run", "--rm", "-it", "--network", "none", scene.image, "true"], { stdin: "" });
  expect(refused.status).not.toBe(0);
  expect(refused.stderr).toContain("the input device is not a TTY");
  const given = await scene.docker(["run", "--rm", "-t", "--network", "none", scene.image, "tty"]);
  expect(given).toEqual({ status: 0, stdout: "/dev/pts/0\r\n", stderr: "" });
});
