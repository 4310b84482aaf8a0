/** Execs whose client is gone: ended with all that they have started; and those that go on all the same. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { until } from "../harness/command.ts";
import { DockerScene } from "../harness/docker.ts";
import { LiveCommand } from "../harness/live.ts";
import { TerminalSession } from "../harness/terminal.ts";
import { tsd } from "../harness/workspace.ts";

let scene: DockerScene;
beforeAll(async () => {
  scene = await DockerScene.open(["--add-runtime", "runc=/usr/sbin/runc"]);
  for (const name of ["host", "second"])
    await scene.daemon.ok("run", "-d", "--name", name, scene.image, "sleep", "1000");
  await scene.daemon.ok("run", "-d", "--name", "runc-host", "--runtime", "runc", scene.image, "sleep", "1000");
});
afterAll(() => scene.close());

/** What runs in the container but its first process. */
async function programs(container = "host"): Promise<string[]> {
  const rows = await scene.daemon.ok("top", container, "-o", "pid,args");
  return rows
    .split("\n")
    .slice(2)
    .map((row) => row.trim().split(/\s+/).slice(1).join(" "))
    .toSorted();
}

async function becomes(wanted: string[], container?: string): Promise<void> {
  let found: string[] = [];
  try {
    await until("the container has what is wanted", async () => {
      found = await programs(container);
      return Bun.deepEquals(found, wanted);
    });
  } catch {
    // Shows both.
    expect(found).toEqual(wanted);
  }
}

/** A child, one in a session of its own, and one that wants to go on whatever happens. */
const family = `sleep 11 & setsid sleep 12 & (trap "" HUP; exec sleep 13) & wait`;

function client(name: string, args: string[]): LiveCommand {
  const { daemon } = scene;
  return name === "tsd" ? new LiveCommand([tsd, ...args], daemon.env) : scene.live(...args);
}

test("an exec ends with its client that is killed, and with it what it has started", async () => {
  const ends = [
    ["tsd", "host"],
    ["docker", "second"],
    ["docker", "runc-host"],
  ].map(async ([name, container]) => {
    await using exec = client(name!, ["exec", container!, "sh", "-c", family]);
    await becomes([`sh -c ${family}`, "sleep 11", "sleep 12", "sleep 13"], container);
    exec.kill("SIGKILL");
    await becomes([], container);
  });
  await Promise.all(ends);
}, 20_000);

test("an exec at a terminal ends with its client; the keys that detach let it go on, and so does -d", async () => {
  const { daemon } = scene;
  {
    await using exec = new TerminalSession([tsd, "exec", "-it", "host", "sh", "-c", "echo here; sleep 21; :"], {
      env: daemon.env,
    });
    await exec.expect("here");
    await becomes(["sh -c echo here; sleep 21; :", "sleep 21"]);
  }
  await becomes([]);
  await daemon.ok("exec", "-d", "host", "sleep", "22");
  await using exec = new TerminalSession([tsd, "exec", "-it", "host", "sh", "-c", "echo here; exec sleep 23"], {
    env: daemon.env,
  });
  await exec.expect("here");
  exec.type("\x10\x11");
  expect(await exec.end()).toBe(1);
  await using before = client("docker", ["exec", "host", "sleep", "24"]);
  await becomes(["sleep 22", "sleep 23", "sleep 24"]);
  before.kill("SIGKILL");
  await becomes(["sleep 22", "sleep 23"]);
  await daemon.ok("exec", "host", "killall", "sleep");
  await becomes([]);
}, 20_000);

test("an exec of which its client wanted no stream is answered as soon as it runs, and goes on", async () => {
  const { daemon } = scene;
  const headers = { "content-type": "application/json" };
  const post = (path: string, body: object) =>
    fetch(`http://tsd${path}`, { method: "POST", headers, unix: daemon.socket, body: JSON.stringify(body) });
  const { Id } = (await (await post("/containers/host/exec", { Cmd: ["sleep", "27"] })).json()) as { Id: string };
  const answer = await post(`/exec/${Id}/start`, { Detach: false });
  expect([answer.status, await answer.text()]).toEqual([200, ""]);
  expect(await programs()).toEqual(["sleep 27"]);
  await daemon.ok("exec", "host", "killall", "sleep");
  await becomes([]);
});

test.each(["SIGTERM", "SIGKILL"] as const)(
  "execs go on when their client is cut off by the daemon's %s",
  async (signal) => {
    const { daemon } = scene;
    await using exec = client("tsd", ["exec", "host", "sleep", "31"]);
    await using other = client("docker", ["exec", "-i", "host", "sleep", "32"]);
    await becomes(["sleep 31", "sleep 32"]);
    await daemon.stop(signal);
    expect(await exec.end()).not.toBe(0);
    await other.end();
    await daemon.start();
    expect(await programs()).toEqual(["sleep 31", "sleep 32"]);
    await daemon.ok("exec", "host", "killall", "sleep");
    await becomes([]);
  },
);
