/** Containers and shims that end while there is no daemon, or under one: what is known of it, and what is left. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { isErrno } from "../../src/core/errors.ts";
import { expectAgreement } from "../harness/audit.ts";
import { until } from "../harness/command.ts";
import { DockerScene } from "../harness/docker.ts";

let scene: DockerScene;
let share: string;
beforeAll(async () => {
  scene = await DockerScene.open(["--add-runtime", "runc=/usr/sbin/runc"]);
  share = scene.workspace.path("share");
  mkdirSync(share);
});
afterAll(() => scene.close());

/** Starts a container in the background that runs a script once the file of its name appears. */
function waiting(name: string, script: string, flags: string[] = []): Promise<string> {
  const whole = `until [ -e /share/${name} ]; do usleep 5000; done; ${script}`;
  return scene.daemon.ok(
    "run",
    "-d",
    "--name",
    name,
    "-v",
    `${share}:/share`,
    ...flags,
    scene.image,
    "sh",
    "-c",
    whole,
  );
}

function inspect(name: string, format: string): Promise<string> {
  return scene.daemon.ok("inspect", "-f", format, name);
}

async function pidOf(name: string): Promise<number> {
  return Number(await inspect(name, "{{.State.Pid}}"));
}

function shimOf(id: string): number {
  const record = readFileSync(join(scene.daemon.state, "containers", id, "shim.json"), "utf8");
  return (JSON.parse(record) as { shimPid: number }).shimPid;
}

function gone(pid: number): Promise<boolean> {
  return until(`process ${pid} has ended`, () => {
    try {
      // A zombie has ended, whoever is to reap it.
      return /^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));
    } catch (error) {
      if (isErrno(error, "ENOENT", "ESRCH")) return true;
      throw error;
    }
  });
}

describe.each(["tsd", "runc"])("under the runtime %s", (runtime) => {
  const flags = ["--runtime", runtime];

  test("containers that ended while there was no daemon have their right status and whole log", async () => {
    const ids = {
      code: await waiting("code", "echo last words; exit 7", flags),
      signal: await waiting("signal", "echo never", flags),
      oom: await waiting("oom", "a=x; while :; do a=$a$a; done", [...flags, "--memory", "8m"]),
      fleeting: await waiting("fleeting", "echo unseen; exit 3", [...flags, "--rm", "-v", "/anonymous"]),
      lasting: await waiting("lasting", "exit 0", flags),
    };
    const names = ["code", "signal", "oom", "fleeting"] as const;
    const pids = await Promise.all(names.map(pidOf));
    const shims = names.map((name) => shimOf(ids[name]));
    await scene.daemon.stop("SIGKILL");
    for (const name of ["code", "oom", "fleeting"]) await Bun.write(join(share, name), "");
    process.kill(pids[names.indexOf("signal")]!, "SIGKILL");
    for (const pid of [...pids, ...shims]) await gone(pid);
    await scene.daemon.start();

    const state = "{{.State.Status}} {{.State.ExitCode}} {{.State.OOMKilled}} {{.State.Error}}";
    expect(await inspect("code", state)).toBe("exited 7 false ");
    expect(await inspect("signal", state)).toBe("exited 137 false ");
    expect(await inspect("oom", state)).toBe("exited 137 true ");
    expect(await inspect("lasting", state)).toBe("running 0 false ");
    expect(await scene.daemon.ok("logs", "code")).toBe("last words");
    expect(await scene.daemon.ok("wait", "code", "signal")).toBe("7\n137");
    expect(await scene.daemon.ok("ps", "-a", "--format", "{{.Names}}")).not.toContain("fleeting");
    await expectAgreement(scene.workspace, scene.daemon);
    for (const name of names)
      await Bun.file(join(share, name))
        .delete()
        .catch(() => undefined);
    await scene.daemon.ok("rm", "-f", "code", "signal", "oom", "lasting");
  });

  test("a shim that is killed under the daemon makes an unknown end, and nothing is left of the container", async () => {
    const id = await waiting("orphan", "exit 0", flags);
    const pid = await pidOf("orphan");
    const exec = scene.daemon.tsd(["exec", "orphan", "sleep", "1000"]);
    await until("the exec runs", async () => (await scene.daemon.ok("exec", "orphan", "ps")).includes("sleep 1000"));
    const waited = scene.daemon.tsd(["wait", "orphan"]);
    process.kill(shimOf(id), "SIGKILL");
    await gone(pid);
    expect((await exec).status).not.toBe(0);
    const unknown = "exit status unknown: the container's shim was killed";
    expect(await waited).toEqual({ status: 0, stdout: "255\n", stderr: `orphan: ${unknown}\n` });
    const state = "{{.State.Status}} {{.State.ExitCode}} {{.State.Error}}";
    expect(await inspect("orphan", state)).toBe(`exited 255 ${unknown}`);
    await expectAgreement(scene.workspace, scene.daemon);
    // And it can be started again.
    await scene.daemon.ok("start", "orphan");
    expect(await scene.daemon.ok("exec", "orphan", "echo", "back")).toBe("back");
    await scene.daemon.ok("rm", "-f", "orphan");
    await expectAgreement(scene.workspace, scene.daemon);
  });

  test("a shim that was killed while there was no daemon makes an unknown end, and nothing is left", async () => {
    const id = await waiting("lost", "exit 0", flags);
    const removed = await waiting("lost-removed", "exit 0", [...flags, "--rm"]);
    const pids = [await pidOf("lost"), await pidOf("lost-removed")];
    const shims = [shimOf(id), shimOf(removed)];
    await scene.daemon.stop("SIGKILL");
    for (const shim of shims) process.kill(shim, "SIGKILL");
    for (const shim of shims) await gone(shim);
    await scene.daemon.start();
    for (const pid of pids) await gone(pid);
    const state = "{{.State.Status}} {{.State.ExitCode}} {{.State.Error}}";
    expect(await inspect("lost", state)).toBe("exited 255 exit status unknown: the container's shim was killed");
    expect(await scene.daemon.ok("ps", "-aq", "--no-trunc")).toBe(id);
    await expectAgreement(scene.workspace, scene.daemon);
    await scene.daemon.ok("rm", "lost");
  });
});
