/** `tsd run -it`, `exec -it` and `attach` at a pseudo-terminal. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { until } from "../harness/command.ts";
import { Engine } from "../harness/engine.ts";
import { TerminalSession } from "../harness/terminal.ts";
import { tsd } from "../harness/workspace.ts";

let engine: Engine;
beforeAll(async () => {
  engine = await Engine.open();
});
afterAll(() => engine[Symbol.asyncDispose]());

function terminal(args: string[], size?: { rows: number; columns: number }): TerminalSession {
  return new TerminalSession([tsd, ...args], { env: engine.daemon.env, ...size });
}

const prompt = "/ # ";

/** Types a line at the prompt and waits for what it answers and for the next prompt: a shell drops what comes between. */
async function enter(session: TerminalSession, line: string, answer: string | RegExp): Promise<RegExpExecArray> {
  session.type(`${line}\r`);
  const found = await session.expect(answer);
  await session.expect(prompt);
  return found;
}

/** A key that interrupts is for the program, which must have the terminal's foreground by then. */
async function untilRuns(container: string, program: string): Promise<void> {
  const look = async () => (await engine.daemon.ok("exec", container, "ps")).includes(program);
  await until(`${program} runs in ${container}`, look);
}

/** The new size takes its way: from the terminal through the client, the daemon and the shim. */
async function untilSize(session: TerminalSession, size: string): Promise<void> {
  await until(`the size is ${size}`, async () => {
    const [line] = await enter(session, "stty size", /\d+ \d+\r\n/);
    return line === `${size}\r\n`;
  });
}

test("run -it gives a shell with a prompt at a terminal of the window's size", async () => {
  await using session = terminal(["run", "-it", "--rm", engine.busybox], { rows: 33, columns: 111 });
  await session.expect(prompt);
  expect(session.isRaw).toBe(true);
  await enter(session, "tty; stty size", "/dev/pts/0\r\n33 111\r\n");
  await enter(session, "test -t 0 && test -t 1 && test -t 2 && echo all three", "all three\r\n");
  await enter(session, "echo $TERM; hostname; id -u", /xterm\r\n[0-9a-f]{12}\r\n0\r\n/);
  session.type("exit 5\r");
  expect(await session.end()).toBe(5);
});

test("a resized window resizes the container's", async () => {
  await using session = terminal(["run", "-it", "--rm", engine.busybox], { rows: 24, columns: 80 });
  await session.expect(prompt);
  session.resize({ rows: 50, columns: 132 });
  await untilSize(session, "50 132");
  session.type("exit 0\r");
  expect(await session.end()).toBe(0);
});

test("Ctrl-C interrupts the program in the container, not run", async () => {
  await using session = terminal(["run", "-it", "--rm", "--name", "interrupted", engine.busybox]);
  await session.expect(prompt);
  session.type("sleep 1000\r");
  await untilRuns("interrupted", "sleep 1000");
  session.type("\x03");
  await session.expect(prompt);
  await enter(session, "echo status $?", "status 130\r\n");
  await enter(session, "false", "\r\n");
  session.type("\x04"); // Ctrl-D
  expect(await session.end()).toBe(1);
});

test("Ctrl-Z and job control work in the container's shell", async () => {
  await using session = terminal(["run", "-it", "--rm", "--name", "jobs", engine.busybox]);
  await session.expect(prompt);
  session.type("sleep 1000\r");
  await untilRuns("jobs", "sleep 1000");
  session.type("\x1a");
  await session.expect(/Stopped +sleep 1000\r\n/);
  await session.expect(prompt);
  await enter(session, "kill -9 %1", "\r\n");
  await until("the job is gone", async () => {
    const [, jobs] = await enter(session, "jobs; echo end", /echo end\r\n([\s\S]*?)end\r\n/);
    return !jobs!.includes("Stopped");
  });
  session.type("exit 0\r");
  expect(await session.end()).toBe(0);
});

test("the detach keys leave the container running, and attach comes back to it", async () => {
  {
    await using session = terminal(["run", "-it", "--name", "left", engine.busybox]);
    await session.expect(prompt);
    await enter(session, "word=remembered", "\r\n");
    session.type("\x10\x11"); // Ctrl-P Ctrl-Q
    expect(await session.end()).toBe(0);
  }
  expect(await engine.inspect("left", "{{.State.Running}}")).toBe("true");
  {
    await using session = terminal(["attach", "left"], { rows: 20, columns: 70 });
    await session.expect(prompt); // drawn anew without a key
    await enter(session, "echo $word; stty size", "remembered\r\n20 70\r\n");
    session.type("\x10\x11");
    // Docker's attach, unlike its run, tells of a detachment by its status.
    expect(await session.end()).toBe(1);
    expect(session.output).toContain("read escape sequence");
  }
  {
    await using session = terminal(["attach", "--detach-keys", "ctrl-a,x", "left"]);
    await session.expect(prompt);
    await enter(session, "echo \x10\x11nothing", "\r\n");
    expect(await engine.inspect("left", "{{.State.Running}}")).toBe("true");
    session.type("\x01x");
    expect(await session.end()).toBe(1);
  }
  {
    await using session = terminal(["attach", "left"]);
    session.type("exit 9\r");
    expect(await session.end()).toBe(9);
  }
  await engine.daemon.ok("rm", "left");
});

test("--detach-keys replaces the keys of run", async () => {
  await using session = terminal(["run", "-it", "--name", "keys", "--detach-keys", "ctrl-x,q", engine.busybox]);
  await session.expect(prompt);
  session.type("\x18q");
  expect(await session.end()).toBe(0);
  expect(await engine.inspect("keys", "{{.State.Running}}")).toBe("true");
  await engine.daemon.ok("rm", "-f", "keys");
});

test("exec -it gives a second shell with a terminal of its own", async () => {
  await engine.start(["--name", "host"], "sleep", "1000");
  await using session = terminal(["exec", "-it", "host", "sh"], { rows: 31, columns: 99 });
  await session.expect(prompt);
  await enter(session, "tty; stty size", "/dev/pts/0\r\n31 99\r\n");
  session.resize({ rows: 40, columns: 100 });
  await untilSize(session, "40 100");
  session.type("sleep 2000\r");
  await untilRuns("host", "sleep 2000");
  session.type("\x03");
  await session.expect(prompt);
  session.type("exit 12\r");
  expect(await session.end()).toBe(12);
  await engine.daemon.ok("rm", "-f", "host");
});

test("the user's terminal is given back as it was", async () => {
  await using shell = new TerminalSession(["bash", "--norc", "-i"], { env: { ...engine.daemon.env, PS1: "host> " } });
  await shell.expect("host> ");
  shell.type("before=$(stty -g)\r");
  await shell.expect("host> ");
  shell.type(`${tsd} run -it --rm ${engine.busybox}\r`);
  await shell.expect(prompt);
  shell.type("exit 0\r");
  await shell.expect("host> ");
  shell.type('[ "$before" = "$(stty -g)" ] && echo un""changed\r');
  await shell.expect("unchanged\r\n");
  shell.type("exit\r");
  expect(await shell.end()).toBe(0);
});

test("-t without -i shows the output of a terminal, line ends and all", async () => {
  const result = await engine.run(["-t"], ["sh", "-c", "test -t 1 && echo terminal"]);
  expect(result).toEqual({ status: 0, stdout: "terminal\r\n", stderr: "" });
});

test("a terminal's log holds what the terminal showed", async () => {
  const id = await engine.start(["-t"], "sh", "-c", "echo shown; echo too >&2");
  await engine.daemon.ok("wait", id);
  expect(await engine.tsd(["logs", id])).toEqual({ status: 0, stdout: "shown\r\ntoo\r\n", stderr: "" });
  await engine.daemon.ok("rm", id);
});

test("pull at a terminal shows a bar that ends with the layer complete", async () => {
  await engine.daemon.ok("rmi", "-f", engine.busybox);
  await using session = terminal(["pull", engine.busybox]);
  await session.expect("Pull complete");
  await session.expect(`Downloaded newer image for ${engine.busybox}:latest`);
  expect(await session.end()).toBe(0);
});

test("start -ai goes to a container that runs already, and its detach keys leave it", async () => {
  await engine.daemon.ok("create", "-it", "--name", "started", engine.busybox);
  for (let round = 0; round < 2; round++) {
    await using session = terminal(["start", "-ai", "started"]);
    session.type("\r");
    await session.expect(prompt);
    session.type("\x10\x11");
    expect(await session.end()).toBe(0);
  }
  await using session = terminal(["start", "-ai", "started"]);
  session.type("exit 8\r");
  expect(await session.end()).toBe(8);
  await engine.daemon.ok("rm", "started");
});

test("the detach keys of exec leave its program running", async () => {
  await engine.start(["--name", "execs"], "sleep", "1000");
  await using session = terminal(["exec", "-it", "execs", "sh", "-c", "echo here; exec sleep 2000"]);
  await session.expect("here\r\n");
  session.type("\x10\x11");
  expect(await session.end()).toBe(1);
  expect(session.output).toContain("read escape sequence");
  expect(await engine.daemon.ok("exec", "execs", "ps")).toContain("sleep 2000");
  await engine.daemon.ok("rm", "-f", "execs");
});

test.each(["SIGHUP", "SIGTERM"] as const)("%s ends exec and gives the terminal back as it was", async (signal) => {
  await engine.start(["--name", "hung-up"], "sleep", "1000");
  await using session = terminal(["exec", "-it", "hung-up", "sh", "-c", "echo here; exec sleep 2000"]);
  await session.expect("here\r\n");
  await until("the terminal is raw", () => session.isRaw);
  process.kill(session.pid, signal);
  expect(await session.end()).toBe(signal === "SIGHUP" ? 129 : 143);
  expect(session.isRaw).toBe(false);
  await engine.daemon.ok("rm", "-f", "hung-up");
});

test("-it without a terminal is refused", async () => {
  const result = await engine.run(["-it"], ["true"], { stdin: "" });
  expect(result.status).toBe(1);
  expect(result.stderr).toContain("the input device is not a TTY");
});
