/** Signals to `tsd run`, `kill`, `stop`, and what becomes of them. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { Engine } from "../harness/engine.ts";
import { TerminalSession } from "../harness/terminal.ts";
import { tsd } from "../harness/workspace.ts";

let engine: Engine;
beforeAll(async () => {
  engine = await Engine.open();
});
afterAll(() => engine[Symbol.asyncDispose]());

/** A shell that says which signal it got, and ends with 40 at the last. */
const catcher = `for s in HUP INT TERM USR1 USR2; do trap "echo $s" $s; done; trap 'exit 40' QUIT; echo ready; while :; do sleep 0.01; done`;

test("signals to run reach the command in the container", async () => {
  const child = Bun.spawn([tsd, "run", "--rm", engine.busybox, "sh", "-c", catcher], {
    stdout: "pipe",
    env: { ...process.env, ...engine.daemon.env },
  });
  const reader = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
  let shown = "";
  const untilShown = async (word: string) => {
    while (!shown.includes(`${word}\n`)) {
      const { value, done } = await reader.read();
      if (done) throw new Error(`ended without ${word}: ${shown}`);
      shown += value;
    }
  };
  await untilShown("ready");
  for (const signal of ["SIGHUP", "SIGINT", "SIGTERM", "SIGUSR1", "SIGUSR2"] as const) {
    child.kill(signal);
    await untilShown(signal.slice(3));
  }
  child.kill("SIGQUIT");
  expect(await child.exited).toBe(40);
  expect(shown).toBe("ready\nHUP\nINT\nTERM\nUSR1\nUSR2\n");
  await engine.untilNoTrace();
});

test("Ctrl-C at the terminal of a run without -t interrupts the container's command", async () => {
  const script = "trap 'echo interrupted; exit 3' INT; echo ready; while :; do sleep 0.01; done";
  await using session = new TerminalSession([tsd, "run", "--rm", engine.busybox, "sh", "-c", script], {
    env: engine.daemon.env,
  });
  await session.expect("ready\r\n");
  session.type("\x03");
  await session.expect("interrupted\r\n");
  expect(await session.end()).toBe(3);
});

test("--sig-proxy=false keeps signals from the container, which goes on", async () => {
  const child = Bun.spawn(
    [tsd, "run", "--name", "unproxied", "--sig-proxy=false", engine.busybox, "sh", "-c", catcher],
    {
      stdout: "pipe",
      env: { ...process.env, ...engine.daemon.env },
    },
  );
  await engine.untilLogs("unproxied", "ready");
  child.kill("SIGTERM");
  expect(await child.exited).toBe(143);
  expect(await engine.inspect("unproxied", "{{.State.Running}}")).toBe("true");
  expect(await engine.daemon.ok("logs", "unproxied")).toBe("ready");
  await engine.daemon.ok("rm", "-f", "unproxied");
});

test("kill sends the signal that -s names, by name or number, and KILL without", async () => {
  const id = await engine.start(["--name", "killed"], "sh", "-c", catcher);
  await engine.untilLogs(id, "ready");
  for (const signal of ["HUP", "SIGUSR1", "12", "int"])
    expect(await engine.daemon.ok("kill", "-s", signal, "killed")).toBe("killed");
  for (const word of ["HUP", "USR1", "USR2", "INT"]) await engine.untilLogs(id, word);
  expect(await engine.inspect(id, "{{.State.Running}}")).toBe("true");
  await engine.daemon.ok("kill", "killed");
  expect(await engine.daemon.ok("wait", "killed")).toBe("137");
  const again = await engine.tsd(["kill", "killed"]);
  expect(again.status).toBe(1);
  expect(again.stderr).toMatch(/killed.* is not running/);
  const unknown = await engine.tsd(["kill", "-s", "BOGUS", "killed"]);
  expect(unknown.status).toBe(1);
  expect(unknown.stderr).toContain("BOGUS");
  await engine.daemon.ok("rm", "killed");
});

test("stop sends TERM, and KILL when that was not enough", async () => {
  const polite = await engine.start([], "sh", "-c", "trap 'exit 5' TERM; echo ready; while :; do sleep 0.01; done");
  await engine.untilLogs(polite, "ready");
  expect(await engine.daemon.ok("stop", polite)).toBe(polite);
  expect(await engine.inspect(polite, "{{.State.Status}} {{.State.ExitCode}}")).toBe("exited 5");
  expect(await engine.daemon.ok("stop", polite)).toBe(polite); // stopped already: no error
  const deaf = await engine.start([], "sleep", "1000"); // process 1 has no handler: it does not hear TERM
  const begun = performance.now();
  await engine.daemon.ok("stop", "-t", "1", deaf);
  expect(performance.now() - begun).toBeGreaterThan(950);
  expect(await engine.inspect(deaf, "{{.State.ExitCode}}")).toBe("137");
  await engine.daemon.ok("rm", polite, deaf);
});

test("--stop-signal and --stop-timeout are what stop uses", async () => {
  const id = await engine.start(["--stop-signal", "USR1", "--stop-timeout", "0"], "sh", "-c", catcher);
  await engine.untilLogs(id, "ready");
  expect(await engine.inspect(id, "{{.Config.StopSignal}} {{.Config.StopTimeout}}")).toBe("USR1 0");
  const begun = performance.now();
  await engine.daemon.ok("stop", id);
  expect(performance.now() - begun).toBeLessThan(8000); // not docker's default of ten seconds
  expect(await engine.inspect(id, "{{.State.ExitCode}}")).toBe("137");
  const quits = await engine.start(["--stop-signal", "SIGQUIT"], "sh", "-c", catcher);
  await engine.untilLogs(quits, "ready");
  await engine.daemon.ok("stop", quits);
  expect(await engine.inspect(quits, "{{.State.ExitCode}}")).toBe("40");
  const bySignal = await engine.start([], "sh", "-c", catcher);
  await engine.untilLogs(bySignal, "ready");
  await engine.daemon.ok("stop", "-s", "QUIT", bySignal);
  expect(await engine.inspect(bySignal, "{{.State.ExitCode}}")).toBe("40");
  await engine.daemon.ok("rm", id, quits, bySignal);
});

test("the client that is killed leaves its container running", async () => {
  const child = Bun.spawn([tsd, "run", "--name", "orphan", engine.busybox, "sh", "-c", catcher], {
    stdout: "ignore",
    env: { ...process.env, ...engine.daemon.env },
  });
  await engine.untilLogs("orphan", "ready");
  child.kill("SIGKILL");
  await child.exited;
  expect(await engine.inspect("orphan", "{{.State.Running}}")).toBe("true");
  await engine.daemon.ok("kill", "-s", "QUIT", "orphan");
  expect(await engine.daemon.ok("wait", "orphan")).toBe("40");
  await engine.daemon.ok("rm", "orphan");
});
