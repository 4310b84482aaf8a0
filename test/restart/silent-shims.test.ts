/** Shims that do not answer, because somebody has stopped them (SIGSTOP): the next daemon starts, and believes the record. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expectAgreement, shims } from "../harness/audit.ts";
import { until } from "../harness/command.ts";
import { DockerScene } from "../harness/docker.ts";

let scene: DockerScene;
beforeAll(async () => {
  scene = await DockerScene.open();
});
afterAll(() => scene.close());

async function states(): Promise<string[]> {
  const rows = await scene.daemon.ok("ps", "-a", "--format", "{{.Names}} {{.State}}");
  return rows.split("\n").toSorted();
}

function shimOf(id: string): number {
  const record = readFileSync(join(scene.daemon.state, "containers", id, "shim.json"), "utf8");
  return (JSON.parse(record) as { shimPid: number }).shimPid;
}

test("a daemon starts beside shims that are stopped, and what they have goes on when they do", async () => {
  const { daemon, image } = scene;
  const ids = [];
  for (const name of ["going", "standing", "ending"]) {
    ids.push(await daemon.ok("run", "-d", "--name", name, image, "sleep", "1000"));
  }
  await daemon.ok("pause", "standing");
  const pids = (await daemon.ok("inspect", "-f", "{{.State.Pid}}", ...ids)).split("\n").map(Number);
  await until("a spare shim is there", () => shims(daemon.state).length >= 4);
  const stopped = shims(daemon.state).map(Number);
  for (const pid of stopped) process.kill(pid, "SIGSTOP");
  try {
    await daemon.stop("SIGKILL");
    process.kill(pids[2]!, "SIGKILL");
    const startedMs = performance.now();
    await daemon.start();
    // No shim is waited for as long as one that may be busy (5 s).
    expect(performance.now() - startedMs).toBeLessThan(4000);
    expect(await states()).toEqual(["ending running", "going running", "standing paused"]);
    // Nobody saw how it ended, and the shim that knows will tell.
    expect(ids.map(shimOf).every((pid) => stopped.includes(pid))).toBe(true);
    const stop = daemon.tsd(["stop", "-s", "KILL", "-t", "60", "going"]);
    for (const pid of stopped) process.kill(pid, "SIGCONT");
    expect((await stop).status).toBe(0);
  } finally {
    for (const pid of stopped) {
      try {
        process.kill(pid, "SIGCONT");
      } catch {
        // It has ended.
      }
    }
  }
  expect(await daemon.ok("wait", "ending")).toBe("137");
  await daemon.ok("unpause", "standing");
  expect(await daemon.ok("exec", "standing", "echo", "here")).toBe("here");
  expect(await states()).toEqual(["ending exited", "going exited", "standing running"]);
  await expectAgreement(scene.workspace, daemon);
  await daemon.ok("rm", "-f", ...ids);
}, 20_000);
