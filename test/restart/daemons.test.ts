/** One daemon a root: a second is refused, and what a killed one left in the way is not. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { command } from "../harness/command.ts";
import { Daemon } from "../harness/daemon.ts";
import { tsd, Workspace } from "../harness/workspace.ts";

let workspace: Workspace;
let daemon: Daemon;
let pidFile: string;
beforeAll(async () => {
  workspace = await Workspace.open();
  pidFile = workspace.path("tsd.pid");
  daemon = await Daemon.start(workspace, { flags: ["--pidfile", pidFile] });
});
afterAll(() => workspace[Symbol.asyncDispose]());

function second(flags: Record<string, string>) {
  const own = {
    root: workspace.path("other", "root"),
    state: workspace.path("other", "s"),
    host: `unix://${workspace.path("other.sock")}`,
  };
  const words = Object.entries({ ...own, ...flags }).flatMap(([name, value]) => [`--${name}`, value]);
  return command(workspace.inNetwork([tsd, "daemon", ...words, "--cgroup-parent", workspace.cgroupParent]));
}

test("a second daemon on the root, the state, the socket or the pid file is refused, and the first goes on", async () => {
  for (const [flags, reason] of [
    [{ root: daemon.root }, `${daemon.root} is in use by another daemon, pid `],
    [{ state: daemon.state }, `${daemon.state} is in use by another daemon, pid `],
    [{ host: `unix://${daemon.socket}` }, `socket ${daemon.socket} is in use: a daemon listens there already`],
    [{ pidfile: pidFile }, "is still running: pid file "],
  ] as const) {
    const { status, stderr } = await second(flags);
    expect(stderr).toContain(`tsd daemon: `);
    expect(stderr).toContain(reason);
    expect(status).toBe(1);
    expect(await daemon.ok("version", "--format", "{{.Server.Version}}")).not.toBe("");
  }
  expect((await Bun.file(pidFile).text()).trim()).toBe(String(daemon.pid));
});

test("a daemon that was killed leaves its socket and pid file; the next one takes their place", async () => {
  await daemon.stop("SIGKILL");
  expect(existsSync(daemon.socket)).toBe(true);
  expect(existsSync(pidFile)).toBe(true);
  const refused = await daemon.tsd(["ps"]);
  expect(refused.status).toBe(1);
  expect(refused.stderr).toContain(daemon.socket);
  await daemon.start();
  expect((await Bun.file(pidFile).text()).trim()).toBe(String(daemon.pid));
  expect(await daemon.ok("ps", "-q")).toBe("");
});

test("a socket's path where something else lies is refused by name, and that is left alone", async () => {
  const path = workspace.path("precious");
  await Bun.write(path, "data");
  const { status, stderr } = await second({ host: `unix://${path}` });
  expect(status).toBe(1);
  expect(stderr).toContain(`${path} is in the way: it is no socket`);
  expect(await Bun.file(path).text()).toBe("data");
});

test("SIGTERM and SIGINT end it with status 0, and its socket and pid file are gone", async () => {
  expect(await daemon.stop("SIGTERM")).toBe(0);
  expect([existsSync(daemon.socket), existsSync(pidFile)]).toEqual([false, false]);
  await daemon.start();
  process.kill(daemon.pid, "SIGINT");
  expect(await daemon.ended()).toBe(0);
  expect([existsSync(daemon.socket), existsSync(pidFile)]).toEqual([false, false]);
  await daemon.start();
});
