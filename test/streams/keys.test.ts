/** The detach keys of docker's config.json, in every command that has a terminal. */

import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdirSync, writeFileSync } from "node:fs";
import { until } from "../harness/command.ts";
import { Engine } from "../harness/engine.ts";
import { TerminalSession } from "../harness/terminal.ts";
import { tsd } from "../harness/workspace.ts";

let engine: Engine;
beforeAll(async () => {
  engine = await Engine.open();
});
afterAll(() => engine[Symbol.asyncDispose]());

const show = ["sh", "-c", "stty raw -echo; echo ready; exec cat -v"];

/** Types what are no detach keys, then those. @returns the client's status. */
async function leave(args: string[], env: Record<string, string>, isReady = false): Promise<number> {
  await using session = new TerminalSession([tsd, ...args], { env });
  if (!isReady) await session.expect("ready");
  // Before, the keys would be this terminal's own: Ctrl-Q is flow control.
  await until("the keys are passed on", () => session.isRaw);
  // Docker's own keys, and a beginning of the configured ones: they are the program's, none is kept back for good.
  session.type("\x10\x11\x01b\n");
  await session.expect("^P^Q^Ab");
  session.type("\x01\x01\n");
  await session.expect("^A^A");
  session.type("\x01");
  session.type("a");
  return await session.end();
}

test("keys of config.json leave run, attach, start and exec, and beginnings of them are passed on", async () => {
  const directory = engine.workspace.path("keys-config");
  mkdirSync(directory);
  writeFileSync(`${directory}/config.json`, JSON.stringify({ detachKeys: "ctrl-a,a" }));
  const env = { ...engine.daemon.env, DOCKER_CONFIG: directory };
  expect(await leave(["run", "-it", "--name", "keys", engine.busybox, ...show], env)).toBe(0);
  expect(await leave(["attach", "keys"], env, true)).toBe(1);
  expect(await leave(["start", "-ai", "keys"], env, true)).toBe(0);
  expect(await leave(["exec", "-it", "keys", ...show], env)).toBe(1);
  expect(await engine.inspect("keys", "{{.State.Running}}")).toBe("true");
  await engine.daemon.ok("rm", "-f", "keys");
});

test("keys that are none are refused, from the flag and from config.json, before anything runs", async () => {
  const flag = await engine.tsd(["run", "--rm", "--detach-keys", "ctrl-1", engine.busybox, "echo", "ran"]);
  expect(flag).toMatchObject({ status: 125, stdout: "" });
  expect(flag.stderr).toContain("Invalid detach keys (ctrl-1) provided");
  const directory = engine.workspace.path("bad-config");
  mkdirSync(directory);
  writeFileSync(`${directory}/config.json`, '{"detachKeys":"nonsense"}');
  const env = { DOCKER_CONFIG: directory };
  const file = await engine.tsd(["run", "--rm", "-t", engine.busybox, "echo", "ran"], { env });
  expect(file).toMatchObject({ status: 125, stdout: "" });
  expect(file.stderr).toContain("Invalid detach keys (nonsense) provided");
});

test("a signal to a run at a terminal is the container's, as docker has it, and the terminal is as it was", async () => {
  const script = "trap 'exit 5' TERM; echo ready; while :; do sleep 0.02; done";
  const argv = [tsd, "run", "--rm", "-it", "--network", "none", engine.busybox, "sh", "-c", script];
  await using session = new TerminalSession(argv, { env: engine.daemon.env });
  await session.expect("ready");
  await until("the terminal is raw", () => session.isRaw);
  process.kill(session.pid, "SIGTERM");
  expect(await session.end()).toBe(5);
  expect(session.isRaw).toBe(false);
});
