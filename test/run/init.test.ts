/** `tsd run --init`: a process 1 that starts the command, hands signals on, and reaps. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { command, until } from "../harness/command.ts";
import { Engine } from "../harness/engine.ts";
import { TerminalSession } from "../harness/terminal.ts";
import { tsd } from "../harness/workspace.ts";

let engine: Engine;
beforeAll(async () => {
  engine = await Engine.open({ flags: ["--add-runtime", "runc=/usr/sbin/runc"] });
});
afterAll(() => engine[Symbol.asyncDispose]());

const cmdline = (pid: number) => `tr '\\0' ' ' < /proc/${pid}/cmdline; echo`;

/** The command runs: a signal that came before the init itself did would be lost. */
async function untilSleeps(id: string): Promise<void> {
  await until(`sleep runs in ${id}`, async () => (await engine.tsd(["exec", id, "pidof", "sleep"])).status === 0);
}

describe.each([
  ["tsd's runtime", []],
  ["runc", ["--runtime", "runc"]],
] as const)("with %s", (_, runtime) => {
  const init = ["--init", ...runtime];

  test("process 1 is the init, and the command is its child", async () => {
    const script = `${cmdline(1)}; cat /proc/1/comm; readlink /proc/1/exe; grep PPid /proc/$$/status; ls /proc/1/fd | wc -l`;
    const lines = (await engine.sh([...init], script)).split("\n");
    expect(lines[0]).toStartWith("/sbin/docker-init -- sh -c ");
    expect(lines.slice(1)).toEqual(["docker-init", "/sbin/docker-init", "PPid:\t1", "3"]);
  });

  test("the init can be executed by all users and written by none", async () => {
    const script = "stat -c '%a %u' /sbin/docker-init; id -u; echo x > /sbin/docker-init";
    const asUser = await engine.run([...init, "--user", "alice"], ["sh", "-c", script]);
    expect(asUser).toMatchObject({ status: 1, stdout: "755 0\n1000\n" });
    const asRoot = await engine.run([...init], ["sh", "-c", script]);
    expect(asRoot).toMatchObject({ status: 1, stdout: "755 0\n0\n" });
    expect(asRoot.stderr).toContain("Read-only file system");
  });

  test("the command's status is the container's, 128 + n after a signal", async () => {
    expect(await engine.run([...init], ["sh", "-c", "exit 7"])).toEqual({ status: 7, stdout: "", stderr: "" });
    expect((await engine.run([...init], ["sh", "-c", "kill -TERM $$"])).status).toBe(143);
  });

  test("a command that is not there has status 127, one that cannot be executed 126", async () => {
    const run = (name: string) => engine.run([...init], [name]);
    const refusal = (name: string, reason: string) => `tsd-init: cannot execute ${name}: ${reason}\n`;
    for (const name of ["no-such-program", "/no/such/program", "./bin/no-such-program", "/etc/passwd/x"]) {
      expect(await run(name)).toEqual({ status: 127, stdout: "", stderr: refusal(name, "not found") });
    }
    for (const name of ["/etc/not-executable", "/etc"]) {
      expect(await run(name)).toEqual({ status: 126, stdout: "", stderr: refusal(name, "permission denied") });
    }
  });

  test("the command is looked up along the container's PATH, or is a path from its working directory", async () => {
    const script = 'printf "#!/bin/sh\\necho \\$0 \\$1 in \\$(pwd)\\n" > /own/tool; chmod +x /own/tool';
    const volume = engine.workspace.path(`own-${runtime.length}`);
    await command(["mkdir", volume]);
    const own = [...init, "-v", `${volume}:/own`];
    await engine.sh(own, script);
    const found = await engine.run([...own, "-e", "PATH=/nowhere:/own:/bin"], ["tool", "a"]);
    expect(found.stdout).toBe("/own/tool a in /\n");
    const relative = await engine.run([...own, "-w", "/own"], ["./tool", "b"]);
    expect(relative.stdout).toBe("./tool b in /own\n");
    const absolute = await engine.run([...own, "-e", "PATH=/nowhere"], ["/own/tool", "c"]);
    expect(absolute.stdout).toBe("/own/tool c in /\n");
    expect((await engine.run(own, ["tool"])).status).toBe(127);
  });

  test("stop ends it at once, by the signal that the command gets", async () => {
    const id = await engine.start([...init], "sleep", "1000");
    await untilSleeps(id);
    expect(await engine.daemon.ok("exec", id, "sh", "-c", cmdline(1))).toBe("/sbin/docker-init -- sleep 1000 ");
    const began = performance.now();
    await engine.daemon.ok("stop", "-t", "60", id);
    expect(performance.now() - began).toBeLessThan(30_000);
    expect(await engine.inspect(id, "{{.State.ExitCode}}")).toBe("143");
    // The program is written anew at each start.
    await engine.daemon.ok("start", id);
    await untilSleeps(id);
    await engine.daemon.ok("stop", "-s", "USR1", id);
    expect(await engine.inspect(id, "{{.State.ExitCode}}")).toBe("138");
    await engine.daemon.ok("rm", id);
  });
});

test("without it, stop has to wait: process 1 ignores what it has no handler for", async () => {
  const id = await engine.start([], "sleep", "1000");
  await engine.daemon.ok("stop", "-t", "0", id);
  expect(await engine.inspect(id, "{{.State.ExitCode}}")).toBe("137");
  await engine.daemon.ok("rm", id);
});

test("signals reach the command, real-time ones too", async () => {
  const script =
    'for n in HUP USR1 WINCH 34 64; do trap "echo got $n" $n; done; echo ready; while :; do sleep 0.01; done';
  const id = await engine.start(["--init"], "sh", "-c", script);
  const untilLogged = (line: string) =>
    until(line, async () => (await engine.daemon.ok("logs", id)).split("\n").includes(line));
  await untilLogged("ready");
  for (const name of ["HUP", "USR1", "WINCH", "34", "64"]) {
    await engine.daemon.ok("kill", "-s", name, id);
    await untilLogged(`got ${name}`);
  }
  await engine.daemon.ok("rm", "-f", id);
});

test("orphans are reaped, which without an init stay zombies", async () => {
  // They end once the command is one that never waits: a shell reaps what it did not start, too.
  const orphan = "(until [ $(cat /proc/$$/comm) = sleep ]; do sleep 0.01; done &)";
  const orphans = ["sh", "-c", `for i in 1 2 3; do ${orphan}; done; exec sleep 1000`];
  const zombies = async (id: string) =>
    (await engine.daemon.ok("exec", id, "ps", "-o", "stat,comm")).match(/^Z/gm)?.length ?? 0;
  const processes = async (id: string) =>
    (await engine.daemon.ok("exec", id, "sh", "-c", "echo /proc/[0-9]*")).split(" ").length;
  const reaping = await engine.start(["--init"], ...orphans);
  const commandOf = (pid: number) => engine.daemon.ok("exec", reaping, "cat", `/proc/${pid}/comm`);
  await until("the orphans were made", async () => (await commandOf(2)) === "sleep");
  // Process 1, the command, and the shell that looks.
  await until("the orphans are gone", async () => (await processes(reaping)) === 3);
  expect(await zombies(reaping)).toBe(0);
  const leaving = await engine.start([], ...orphans);
  await until("the orphans are zombies", async () => (await zombies(leaving)) === 3);
  await engine.daemon.ok("rm", "-f", reaping, leaving);
});

test("what still runs when the command ends is ended with it", async () => {
  expect((await engine.run(["--init"], ["sh", "-c", "sleep 1000 & exit 3"])).status).toBe(3);
  await engine.untilNoTrace();
});

test("at a terminal the command has the foreground: Ctrl-C is for it", async () => {
  const script = [
    "trap 'echo interrupted; exit 4' INT",
    "echo group $(cut -d' ' -f1,5,8 /proc/$$/stat)",
    "while :; do sleep 0.01; done",
  ].join("; ");
  const args = ["run", "-it", "--init", "--rm", engine.busybox, "sh", "-c", script];
  await using session = new TerminalSession([tsd, ...args], { env: engine.daemon.env });
  const [, pid, group, foreground] = await session.expect(/group (\d+) (\d+) (\d+)\r\n/);
  expect([group, foreground]).toEqual([pid, pid]);
  expect(pid).not.toBe("1");
  session.type("\x03");
  await session.expect("interrupted\r\n");
  expect(await session.end()).toBe(4);
});

test("it works without a network, a writable root, capabilities or new privileges", async () => {
  const strict = ["--network", "none", "--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges"];
  expect(await engine.run(["--init", ...strict, "--user", "1000"], ["sh", "-c", "exit 9"])).toMatchObject({
    status: 9,
  });
});

test("in another's process namespace there is no init", async () => {
  const first = await engine.start(["--init"], "sleep", "1000");
  const own = await engine.sh(["--init", "--pid", `container:${first}`], cmdline(1));
  expect(own).toBe("/sbin/docker-init -- sleep 1000 ");
  const parents = await engine.sh(
    ["--init", "--pid", `container:${first}`],
    "grep PPid /proc/self/status; ls /sbin/docker-init 2>&1; :",
  );
  expect(parents).toContain("/sbin/docker-init: No such file or directory");
  await engine.daemon.ok("rm", "-f", first);
});

test("each container has an init of its own, which is removed with it", async () => {
  const ids = [
    await engine.start(["--init"], "sleep", "1000"),
    await engine.start(["--init"], "tail", "-f", "/dev/null"),
  ];
  const files = async () =>
    (await command(["find", engine.daemon.root, "-name", "init*", "-type", "f", "-path", "*/containers/*"])).stdout;
  expect((await files()).trim().split("\n").sort()).toEqual(
    ids.map((id) => `${engine.daemon.root}/containers/${id}/init`).sort(),
  );
  await engine.daemon.ok("rm", "-f", ...ids);
  expect(await files()).toBe("");
});
